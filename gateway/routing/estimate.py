"""What attempts teach: how slow a place is against what was expected of it, and what of that was expected wrongly.

Two peak-EWMAs of each model on each backend, kept apart: TTFT over what was predicted, and the time of a token after
the first. They rise at once and fade within seconds towards the prior, never towards nought: an idle place must not
look faster the longer nobody asks it (Finagle's PeakEwma, but for that; routing 4.3). Everything in milliseconds; `now`
in monotonic seconds.
"""

from bisect import bisect_left, insort
from collections import deque
from math import exp
from typing import Final

from msgspec import Struct

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Work
from gateway.routing.geo import rtt_ms
from gateway.routing.score import ADAPTER_MS, AT_ONCE, BUSY_AT, TAU_S
from gateway.routing.snapshot import UNKNOWN, Load, Pace

KEPT: Final = 200  # samples a quantile is of
KEPT_S: Final = 300.0
KEPT_EVERY_S: Final = 0.05  # of more samples one: then KEPT of them are ten seconds at least, however many come
GAIN: Final = 0.1
# Of a place that is asked rarely, as a slow one is, a sample counts for more: nothing else says that it is well again.
_RARE: Final = 0.7  # what is left of the average by then: three and a half seconds
_RARELY: Final = 1.0 / 3.0
# A place may be so much slower or faster at prompts than its hardware promises; what is beyond is something else.
PREFILL_SLOWEST: Final = 0.05
PREFILL_FASTEST: Final = 1.2
# A shorter prompt's time to the first token is all fixed costs, and says nothing of the rate.
PREFILL_LEAST_TOKENS: Final = 200
_EACH_RANGE: Final = 20.0
# Two tokens come in one packet as often as not; so few say nothing of the time between them.
EACH_LEAST_TOKENS: Final = 8
_LEAST_MS: Final = 0.001  # 0 means: not measured
SLOWEST: Final = 1000.0
# A failure counts as so many times the worst that a caller sees here otherwise.
FAILURE: Final = 3.0
PINGS: Final = 16
LENGTH_FIRST: Final = 256.0
LENGTHS_MOST: Final = 10_000


def predicted_first_ms(candidate: Candidate, load: Load, work: Work, pace: Pace = UNKNOWN, hit: float = 0.0) -> float:
    """The time to the first token that the score counts with (score.scores), slowness left out.

    `load` is the place's as the request is sent, before the request itself is counted; `pace` gives the learned prefill
    rate and time of a token, `hit` the share of the prompt in its cache.
    """
    per_token = pace.ms_per_token_in or candidate.ms_per_token_in
    first = candidate.first_ms + (load.waiting_tokens + (1.0 - hit) * work.tokens_in) * per_token
    slots, queued, reported = candidate.slots, load.queued, load.reported
    if (slots and (load.in_flight * 2 >= slots or reported)) or queued:
        at_once = slots or AT_ONCE
        over = max(queued, load.in_flight + (reported or 0.0) + 1.0 - BUSY_AT * at_once)
        if over > 0.0:
            first += over * work.tokens_out * (pace.each or candidate.ms_per_token_out) / at_once
    if load.models is not None:
        first += cold_ms(candidate, load)
    return (load.rtt_ms or candidate.rtt_ms) + first


def cold_ms(candidate: Candidate, load: Load) -> float:
    """How long a model that isn't in a place's memory takes to get there; 0.0 where it is, or nobody knows."""
    if load.models is None or candidate.model in load.models:
        return 0.0
    return ADAPTER_MS if load.adapters is not None and candidate.model in load.loadable else load.cold_ms


class Window:
    """The quantiles of recent samples: at most KEPT of them, KEPT_S old; 0.0 while there is none.

    The values are kept sorted beside their order: a sample costs two binary searches and the moving of a few hundred
    bytes, and what it pushes out is forgotten in amortised O(log n). Reading is free. `due`: when the next one is
    taken; who comes before may leave `add` out.
    """

    __slots__ = ("_ages", "_sorted", "due", "p95", "p99")

    def __init__(self) -> None:
        self._ages: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self.due = 0.0
        self.p95 = self.p99 = 0.0

    def add(self, value: float, now: float) -> None:
        if now < self.due:
            return
        self.due = now + KEPT_EVERY_S
        ages, ordered = self._ages, self._sorted
        if ages and (len(ages) >= KEPT or ages[0][0] < now - KEPT_S):
            self._forget(now)
        ages.append((now, value))
        insort(ordered, value)
        count = len(ordered)
        self.p95 = ordered[count * 95 // 100]
        self.p99 = ordered[count * 99 // 100]

    def _forget(self, now: float) -> None:
        ages, ordered = self._ages, self._sorted
        while ages and (len(ages) >= KEPT or ages[0][0] < now - KEPT_S):
            _, value = ages.popleft()
            del ordered[bisect_left(ordered, value)]

    def clear(self) -> None:
        """Forget them all."""
        self._ages.clear()
        self._sorted.clear()
        self.p95 = self.p99 = 0.0


class Track:
    """One model on one backend. `pace` is what decisions read; it is written in place."""

    __slots__ = ("_each", "_each_at", "_each_prior", "_eaches", "_nominal", "_read_at", "_slows", "pace")

    def __init__(self, candidate: Candidate) -> None:
        self.pace = Pace()
        self._nominal = candidate.ms_per_token_in
        self._each_prior = candidate.ms_per_token_out
        self._each = 0.0
        self._each_at = 0.0
        self._read_at = 0.0
        self._slows = Window()
        self._eaches = Window()

    def first(self, ratio: float, now: float, *, only_slow: bool = False) -> bool:
        """A first token came after `ratio` times what was predicted; whether that was learned.

        `only_slow`: not, unless it is worse than what decisions count with.
        """
        pace = self.pace
        keep, slow = 1.0, pace.slow
        if now > pace.at:
            keep = exp((pace.at - now) / TAU_S)
            slow = 1.0 + (slow - 1.0) * keep
        if ratio >= slow:
            slow = ratio = min(ratio, SLOWEST)
        elif only_slow:
            return False
        else:
            slow = slow * keep + ratio * (1.0 - keep)
        pace.slow = slow
        if keep != 1.0:
            pace.at = now
        slows = self._slows
        if now >= slows.due:
            slows.add(ratio, now)
            pace.slow_p95, pace.slow_p99 = slows.p95, slows.p99
        return True

    def failed(self, ratio: float, now: float) -> None:
        """It failed after `ratio` times what was predicted for the first token, which is what it made somebody wait.

        That counts as three times the slowest one in a hundred, or as what was waited where that is more. Only what was
        measured is kept for the quantiles, so that failures can't drive one another up.
        """
        pace = self.pace
        if now > pace.at:
            pace.slow = 1.0 + (pace.slow - 1.0) * exp((pace.at - now) / TAU_S)
            pace.at = now
        worst = FAILURE * max(1.0, pace.slow_p99)
        pace.slow = max(pace.slow, min(SLOWEST, max(worst, ratio)))

    def token(self, each_ms: float, now: float) -> None:
        """The tokens after the first took so long each; the prior follows slowly, within what can be."""
        prior, each = self._each_prior, self._each
        each_ms = each_ms or _LEAST_MS
        most = prior * _EACH_RANGE
        keep = 1.0
        if each and now > self._each_at:
            keep = exp((self._each_at - now) / TAU_S)
            each = prior + (each - prior) * keep
        each = each_ms if each_ms >= each else each * keep + each_ms * (1.0 - keep)
        gain = GAIN if keep > _RARE else 1.0 - keep**_RARELY
        self._each_prior = prior + gain * (min(most, each_ms) - prior)
        self._each_at = now
        self._each = self.pace.each = each
        eaches = self._eaches
        if now >= eaches.due:
            eaches.add(each_ms, now)
            self.pace.each_p95, self.pace.each_p99 = eaches.p95, eaches.p99

    def prefill(self, tokens: float, spent_ms: float, now: float) -> None:
        """So many tokens of prompts, those queued before it included, were read in so long.

        Fewer than PREFILL_LEAST_TOKENS teach nothing, and are not to be told.
        """
        nominal = 1.0 / self._nominal
        rate = tokens / max(spent_ms, _LEAST_MS)
        rate = min(max(rate, PREFILL_SLOWEST * nominal), PREFILL_FASTEST * nominal)
        learned = 1.0 / self.pace.ms_per_token_in if self.pace.ms_per_token_in else nominal
        keep = exp(min(0.0, self._read_at - now) / TAU_S) if self._read_at else 1.0
        gain = GAIN if keep > _RARE else 1.0 - keep**_RARELY
        self._read_at = now
        self.pace.ms_per_token_in = 1.0 / (learned + gain * (rate - learned))

    def settle(self, now: float) -> None:
        """Let what time has done show: call it once a second. `slow` fades where it is read (score.scores)."""
        pace = self.pace
        if self._each:
            prior = self._each_prior
            pace.each = prior + (self._each - prior) * exp(min(0.0, self._each_at - now) / TAU_S)
        if pace.slow_p95 and now - pace.at > KEPT_S:
            self._slows.clear()
            pace.slow_p95 = pace.slow_p99 = 0.0
        if pace.each_p95 and now - self._each_at > KEPT_S:
            self._eaches.clear()
            pace.each_p95 = pace.each_p99 = 0.0


class Rtt:
    """One backend's round trip: what its distance says, until it was measured often enough.

    `floor_ms` is what light in fibre needs there and back, 0.0 where its place is unknown: who answers sooner is a
    proxy on the way, and the model is no nearer for it.
    """

    __slots__ = ("_measured_ms", "_pings", "_samples", "floor_ms", "prior_ms")

    def __init__(self, prior_ms: float, floor_ms: float = 0.0) -> None:
        self.prior_ms = prior_ms
        self.floor_ms = floor_ms
        self._measured_ms = 0.0
        self._samples = 0
        self._pings: deque[float] = deque(maxlen=PINGS)

    def measured(self, sample_ms: float) -> float:
        """The round trip after one more measurement."""
        self._samples += 1
        self._measured_ms += max(GAIN, 1.0 / self._samples) * (sample_ms - self._measured_ms)
        return max(self.floor_ms, rtt_ms(self.prior_ms, self._measured_ms, self._samples))

    def pinged(self, sample_ms: float) -> float:
        """The same after a small request was answered, which takes the server some time, too: the least of several."""
        self._pings.append(sample_ms)
        return self.measured(min(self._pings))


class _Length(Struct, gc=False):
    """The tokens of answers: half of them are shorter than `half`, four in five than `most`."""

    half: float
    most: float


class Lengths:
    """How long answers are, by caller and model. The least lately seen are forgotten beyond LENGTHS_MOST."""

    __slots__ = ("_known", "_limit")

    def __init__(self, limit: int = LENGTHS_MOST) -> None:
        self._known: dict[tuple[str, str], _Length] = {}
        self._limit = limit

    def saw(self, caller: str, model: str, tokens: int) -> None:
        """An answer was that long. Both quantiles step towards it, as far as keeps their share above and below."""
        key = (caller, model)
        length = self._known.pop(key, None)
        if length is None:
            if len(self._known) >= self._limit:
                del self._known[next(iter(self._known))]
            length = _Length(float(tokens), float(tokens))
        else:
            step = GAIN * max(1.0, length.half)
            length.half = max(1.0, length.half + step * _above(tokens, length.half, 0.5))
            length.most = max(length.half, length.most + step * _above(tokens, length.most, 0.8))
        self._known[key] = length

    def expected(self, caller: str, model: str, limit: int = 0) -> float:
        """How long the next answer is likely to be; `limit` is the most that was asked for, 0 where nobody said."""
        length = self._known.get((caller, model))
        expected = LENGTH_FIRST if length is None else length.half
        return min(expected, limit) if limit else expected

    def reserved(self, caller: str, model: str, limit: int = 0) -> float:
        """What four in five answers stay below."""
        length = self._known.get((caller, model))
        expected = LENGTH_FIRST if length is None else length.most
        return min(expected, limit) if limit else expected


def _above(sample: float, quantile: float, share: float) -> float:
    """Which way a quantile goes, and how far: a share of samples below it keeps it where it is."""
    return share if sample > quantile else share - 1.0 if sample < quantile else 0.0


def moved(average: float, sample: float) -> float:
    """An EWMA after one more sample; the first is taken whole."""
    return sample if average == 0.0 else average + GAIN * (sample - average)


def size_class(size: int) -> int:
    """Bodies of about the same size: each class is four times as large as the one before."""
    return (size.bit_length() + 1) // 2
