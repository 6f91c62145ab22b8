"""What is known of every backend at one moment. Its owner (upstream/) writes it in place; a decision only reads."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gateway.routing.candidate import Candidate

FOR_EVER: Final = float("inf")


class Load(Struct):
    """One backend. Times are monotonic seconds.

    `in_flight` and `waiting_tokens` (of prompts whose first token hasn't come) are this gateway's own; `reported` are
    the requests of others: what the backend or other gateways told, less our own of that moment, None where nobody
    told. `queued` are those that it said it keeps waiting, whosever they are. It is asked nothing before
    `shut_until`, for the reason `shut`; `probing` says its one request after that is out. `since` is when it came or
    came back, for slow start. `models` are those in its memory, `loadable` those it could load within `cold_ms`,
    `adapters` the LoRA adapters in use; None where it doesn't tell. `held_ms` is added while it asks for less, `most`
    is how many requests of ours it may have. `kv` is the used share of its cache. `only_here` counts those in flight
    that can run on nothing but its class of hardware.
    """

    in_flight: int = 0
    waiting_tokens: float = 0.0
    reported: float | None = None
    queued: float = 0.0
    kv: float = 0.0
    told_at: float = 0.0
    shut: str = ""
    shut_until: float = 0.0
    half_open: bool = False
    probing: bool = False
    since: float = -FOR_EVER
    rtt_ms: float = 0.0
    held_ms: float = 0.0
    most: float = FOR_EVER
    models: frozenset[str] | None = None
    loadable: frozenset[str] = frozenset()
    cold_ms: float = 10_000.0
    adapters: frozenset[str] | None = None
    watts: float = 0.0
    only_here: int = 0

    def working(self) -> float:
        """Requests it works on or keeps waiting; our own count at once, whenever the others' were told."""
        return self.in_flight + (self.reported or 0.0)


class Pace(Struct):
    """One model on one backend: how slow it is against what was expected, and its time a token (milliseconds).

    `slow` are TTFT over what was predicted, its mean, p95 and p99; `each` are the times of a token after the first. 0:
    not measured. `ms_per_token_in` is what was learned of its prefill.
    """

    slow: float = 1.0
    slow_p95: float = 0.0
    slow_p99: float = 0.0
    each: float = 0.0
    each_p95: float = 0.0
    each_p99: float = 0.0
    ms_per_token_in: float = 0.0
    at: float = 0.0


class Home(Struct):
    """Where a conversation or a prefix was served last."""

    backend: str
    at: float


# A place as all decisions of one moment see it: the candidate and its load; how many requests of ours it may have
# before it may keep one waiting; its way and the milliseconds to a first token, but for the prompt's; milliseconds a
# token of prompts and one of answers; what is held against it, its weight, and its way alone.
Runner = tuple[Candidate, Load, float, float, float, float, float, float, float]


class Lane(Struct, eq=False):
    """The places of a route as a snapshot shows them, for decisions up to `until`; none where the day isn't calm."""

    way: object
    seen: "Snapshot"
    until: float
    runners: tuple[Runner, ...] = ()


class Snapshot(Struct):
    """Everything a decision may know. What is missing in a map is idle, healthy and unmeasured.

    `homes` are by session or prefix; `ended` are splits that were stopped; `refused_here` are targets whose provider
    was seen not to serve this POP's country, `cooling` those that said until when they refuse (monotonic seconds),
    while the rest of their backend may not. `lanes` is what calm.py has made of it, by route: whoever writes anything
    here but `in_flight` and `waiting_tokens` empties it.
    """

    loads: Mapping[str, Load] = {}
    paces: Mapping[tuple[str, str], Pace] = {}
    homes: Mapping[int, Home] = {}
    ended: frozenset[str] = frozenset()
    refused_here: frozenset[tuple[str, str]] = frozenset()
    cooling: Mapping[tuple[str, str], float] = {}
    lanes: dict[int, Lane] = {}


IDLE: Final = Load()
UNKNOWN: Final = Pace()
