"""When a split ends by itself: what its requests have come to, held against those that went where all others go.

Both sides are forgotten by halves whenever the split has had twice as many requests as its rule wants, so that what is
compared is what was seen lately, and never fewer of its requests than the rule says.
"""

from math import ceil, log
from typing import Final, Literal

from msgspec import Struct

from gateway.routing.policy import Split, Stop

Why = Literal["", "errors", "ttft_p95"]

# Fewer failures than these are chance, whatever they are a multiple of.
ERRORS_LEAST: Final = 5
# Others who never fail are taken to fail so often: one and a half times nothing is nothing.
RATE_LEAST: Final = 0.01
# Fewer than so many have no rate, and no p95, to be held against.
OTHERS_LEAST: Final = 20
# Nothing is forgotten below so many: a handful would never hold what the rules above ask for.
_KEPT_LEAST: Final = 100
# Looked at again after this share of what the rule wants, not after each request: a look costs a walk over the buckets.
_AGAIN: Final = 0.05
# Times are kept in buckets, each so much wider than the one before: from a millisecond to more than an hour, and no
# quantile is off by more than this.
_STEP: Final = 1.02
_BUCKETS: Final = 768
_LOG_STEP: Final = log(_STEP)


class Side(Struct):
    """What requests of one side came to. `timed` are those whose first token has a time, in `buckets` by that time."""

    requests: float = 0.0
    errors: float = 0.0
    timed: float = 0.0
    buckets: dict[int, float] = {}

    def count(self, *, failed: bool, ttft_ms: float | None) -> None:
        self.requests += 1.0
        if failed:
            self.errors += 1.0
        if ttft_ms is not None:
            bucket = min(_BUCKETS, ceil(log(ttft_ms) / _LOG_STEP)) if ttft_ms > 1.0 else 0
            self.timed += 1.0
            self.buckets[bucket] = self.buckets.get(bucket, 0.0) + 1.0

    def halve(self) -> None:
        """Count what was seen so far half as much as what will be."""
        self.requests /= 2.0
        self.errors /= 2.0
        self.timed /= 2.0
        for bucket in self.buckets:
            self.buckets[bucket] /= 2.0

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def ttft_p95_ms(self) -> float:
        """The time that 95 in a hundred stay below or reach; 0.0 where there is none."""
        beyond = 0.05 * self.timed
        for bucket in sorted(self.buckets, reverse=True):
            beyond -= self.buckets[bucket]
            if beyond < 0.0:
                return _STEP**bucket
        return 0.0


class Tally:
    """One split's requests and the others', and what its rule says to them."""

    __slots__ = ("_due", "others", "own", "split")

    def __init__(self, split: Split) -> None:
        self.split = split
        self.own = Side()
        self.others = Side()
        self._due = 0.0

    def count(self, *, own: bool, failed: bool, ttft_ms: float | None) -> Why:
        """Add one request, the split's own or another; why the split is to end now, "" where it isn't.

        `ttft_ms` is the time to its first token, None where nobody saw one come.
        """
        stop = self.split.stop
        if stop is None:
            return ""
        if not own:
            self.others.count(failed=failed, ttft_ms=ttft_ms)
            return ""
        side = self.own
        side.count(failed=failed, ttft_ms=ttft_ms)
        if side.requests < max(stop.after, self._due):
            return ""
        why = self._verdict(stop)
        self._due = side.requests + _AGAIN * stop.after
        if side.requests >= max(_KEPT_LEAST, 2 * stop.after):
            self._due -= side.requests / 2.0
            side.halve()
            self.others.halve()
        return why

    def _verdict(self, stop: Stop) -> Why:
        own, others = self.own, self.others
        if others.requests < OTHERS_LEAST:
            return ""
        if (
            stop.errors is not None
            and own.errors >= ERRORS_LEAST
            and own.error_rate >= stop.errors * max(RATE_LEAST, others.error_rate)
        ):
            return "errors"
        if (
            stop.ttft_p95 is not None
            and min(own.timed, others.timed) >= OTHERS_LEAST
            and own.ttft_p95_ms >= stop.ttft_p95 * others.ttft_p95_ms
        ):
            return "ttft_p95"
        return ""
