"""One backend's record: what is under way there, why it is asked nothing, and how it is shown. health.py writes it."""

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gateway.channel import BackendState
from gateway.exchange import Attempt
from gateway.routing.candidate import Candidate
from gateway.routing.estimate import KEPT, Rtt, Track
from gateway.routing.facts import Work
from gateway.routing.geo import Location, kilometres, rtt_prior_ms
from gateway.routing.outlier import Outlier
from gateway.routing.score import KV_FULL
from gateway.routing.snapshot import FOR_EVER, Load
from gateway.routing.throttle import Cap, Throttle
from gateway.settings.shape import Backend

FAILING_AFTER: Final = 3  # failures in a row; at five it is ejected
# Quantiles are for people to read: no need to sort them more often.
SHOWN_EVERY_S: Final = 1.0
LEAST_MS: Final = 1.0  # that a first token may take, as far as anybody counts on it
_KM_PER_MS_AND_BACK: Final = 100.0  # light in fibre

# Why a backend is asked nothing, the weightiest first: an operator's word is never outvoted by what requests show.
_REASONS: Final = ("drained", "dead", "loading", "cooling", "ejected")
# After these it starts slowly: its caches are empty, or it was not there at all.
_STARTS_SLOWLY: Final = frozenset({"drained", "dead", "loading"})
_WHYS: Final = {"drained": "operator", "dead": "health_check", "loading": "health_check", "cooling": "retry_after"}


class Record:
    """Everything about one backend. `until` is when each reason to ask it nothing ends, in monotonic seconds."""

    __slots__ = (
        "answered_at",
        "backend",
        "cap",
        "cooling",
        "dead_since",
        "deads",
        "elsewhere",
        "freed",
        "load",
        "outlier",
        "row",
        "rtt",
        "scraped",
        "shown_at",
        "slots",
        "streams",
        "throttle",
        "tracks",
        "until",
        "why",
    )

    def __init__(self, backend: Backend, here: Location | None) -> None:
        self.backend = backend
        self.row = BackendState(
            name=backend.name, provider=backend.provider.name, region=backend.region, country=backend.country
        )
        self.load = Load()
        self.slots = backend.slots
        self.rtt = _rtt(backend, here)
        self.scraped: float | None = None  # requests of others, as the server tells
        self.elsewhere = 0  # and as other gateways tell
        self.until = dict.fromkeys(_REASONS, 0.0)
        self.why = ""
        self.cooling: dict[str, float] = {}
        self.outlier = Outlier()
        self.throttle = Throttle()
        self.cap = Cap()
        self.deads = 0
        self.dead_since = 0.0
        self.answered_at = -FOR_EVER
        self.tracks: dict[str, Track] = {}  # by its models
        self.freed: Callable[[str], None] | None = None
        self.streams: deque[tuple[Attempt, int]] = deque(maxlen=KEPT)
        self.shown_at = -FOR_EVER

    def become(self, newer: "Record", now: float) -> bool:
        """The configuration was read again; whether it is another server now, by its address or key.

        Of that nothing is known, but what an operator said of the name still holds.
        """
        was, self.backend, self.slots = self.backend, newer.backend, newer.slots
        row, fresh = self.row, newer.row
        row.provider, row.region, row.country = fresh.provider, fresh.region, fresh.country
        if (was.base_urls, was.api_key) == (self.backend.base_urls, self.backend.api_key):
            return False
        self.until |= dict.fromkeys(_REASONS[1:], 0.0)
        self.cooling = {}
        self.outlier, self.throttle, self.cap, self.rtt = Outlier(), Throttle(), Cap(), newer.rtt
        load = self.load
        load.half_open = load.probing = False
        load.held_ms = load.rtt_ms = 0.0
        load.most = FOR_EVER
        row.consecutive_failures = 0
        self.tracks = {}
        self.streams.clear()
        self.settle(now)
        return True

    def settle(self, now: float) -> None:
        """Bring `load.shut` up to now: the weightiest reason there is, until the last of them ends."""
        load = self.load
        was, load.shut, load.shut_until = load.shut, "", 0.0
        for why, until in self.until.items():
            if until > now:
                load.shut = load.shut or why
                load.shut_until = max(load.shut_until, until)
        if self.until["ejected"] <= now:
            load.probing = False
        if was in _STARTS_SLOWLY and not load.shut:
            load.since = now

    def count_others(self) -> None:
        """Bring `load.reported` up to what is known of others' requests: a server's own count holds gateways', too."""
        known = max(self.scraped or 0.0, float(self.elsewhere))
        self.load.reported = known if known or self.scraped is not None else None

    def shown(self, now: float) -> BackendState:
        """The row, up to date."""
        row, load = self.row, self.load
        row.state, row.why, row.until_s = self._state(now)
        row.in_flight = load.in_flight
        row.load = max(load.working() / self.slots if self.slots else 0.0, load.kv / KV_FULL)
        row.rtt_ms = load.rtt_ms
        if not self.shown_at <= now < self.shown_at + SHOWN_EVERY_S:
            self.shown_at = now
            firsts = [one.first_content - (one.sent or one.started) for one, _ in self.streams]
            row.ttft_s, row.ttft_p95_s, row.ttft_p99_s = _statistics(firsts)
            eaches = [(one.ended - one.first_content) / (tokens - 1) for one, tokens in self.streams if tokens > 1]
            row.tpot_s, row.tpot_p95_s, row.tpot_p99_s = _statistics(eaches)
        return row

    def _state(self, now: float) -> tuple[str, str, float]:
        """What it is in one word, more of it in another, and in how many seconds that ends by itself."""
        row, load = self.row, self.load
        if load.shut and load.shut_until > now and not (load.shut == "ejected" and load.probing):
            return load.shut, _WHYS.get(load.shut, self.why), self.until[load.shut] - now
        if load.half_open:
            return "half_open", self.why, 0.0
        if row.consecutive_failures >= FAILING_AFTER:
            return "failing", row.last_error, 0.0
        return ("healthy" if row.answered else "unknown"), "", 0.0


class Trip(Struct, gc=False):
    """One attempt under way; candidate and work are those it was decided with, both or neither.

    `tokens` are those of its prompt that wait to be read, `prompt` those and what waited before them. `predicted_ms`
    and `track`, what is known of that model there, are for streams: nobody sees when a whole answer begins.
    `singular`: it is a probe, or counted as `only_here`. `seen`: its first content has come; `learned`: what that
    teaches has been learned.
    """

    record: Record
    started: float
    candidate: Candidate | None = None
    work: Work | None = None
    tokens: int = 0
    prompt: float = 0.0
    track: Track | None = None
    predicted_ms: float = 0.0
    cold_ms: float = 0.0
    singular: bool = False
    probe: bool = False
    seen: bool = False
    learned: bool = False

    def arrived(self) -> None:
        """Its prompt has been read, or no longer will be."""
        if self.tokens:
            self.record.load.waiting_tokens -= self.tokens
            self.tokens = 0

    def expected_ms(self) -> float:
        """The time to its first token to be counted on; where nothing better is known, what its place promises."""
        candidate, load = self.candidate, self.record.load
        if self.predicted_ms or candidate is None:
            return self.predicted_ms
        way_ms = load.rtt_ms or candidate.rtt_ms
        return way_ms + candidate.first_ms + self.prompt * candidate.ms_per_token_in + LEAST_MS


def _rtt(backend: Backend, here: Location | None) -> Rtt:
    there = backend.location
    floor_ms = kilometres(here, there) / _KM_PER_MS_AND_BACK if here is not None and there is not None else 0.0
    return Rtt(rtt_prior_ms(here, there), floor_ms)


def _statistics(samples: list[float]) -> tuple[float, float, float]:
    """The mean, and the quantiles 0.95 and 0.99; 0.0 where there is none."""
    if not samples:
        return 0.0, 0.0, 0.0
    samples.sort()
    count = len(samples)
    return sum(samples) / count, samples[count * 95 // 100], samples[count * 99 // 100]
