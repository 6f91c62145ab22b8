"""How much may be asked a second time: a share of what was asked at all, over the last seconds.

Without such a bound every failure is answered with more load, and a place that is in trouble stays there (Google SRE,
Handling Overload; Finagle, RetryBudget).
"""

from typing import Final

RETRY_SHARE: Final = 0.1
# Finagle's ten a second: when a place dies, whoever is under way there is rescued, and a quiet gateway tries again too.
RETRY_LEAST: Final = 100
RETRY_TTL_S: Final = 10.0
HEDGE_SHARE: Final = 0.02
# A second attempt that nothing has failed for is a luxury: no least, and a longer memory, for those that ask rarely.
HEDGE_TTL_S: Final = 60.0


class Counts:
    """Two counts over the last `span_s` seconds, in `parts` that are forgotten one at a time.

    What is counted is remembered for `span_s` at most and for a part less at least. A step costs O(1), and turning past
    what is too old O(parts).
    """

    __slots__ = ("_at", "_each_s", "_ends", "_number", "_ones", "_others", "one", "other")

    def __init__(self, span_s: float, parts: int) -> None:
        self._each_s = span_s / parts
        self._ones = [0] * parts
        self._others = [0] * parts
        self._at = 0
        self._number = 0
        self._ends = 0.0
        self.one = 0
        self.other = 0

    def add(self, now: float, one: int = 1, other: int = 0) -> None:
        """Count at `now`; a moment that is already past counts as the last one."""
        if now >= self._ends:
            self.turn(now)
        at = self._at
        self.one += one
        self._ones[at] += one
        if other:
            self.other += other
            self._others[at] += other

    def turn(self, now: float) -> None:
        """Forget what is too old by now."""
        if now < self._ends:
            return
        number = int(now // self._each_s)
        parts = len(self._ones)
        for step in range(min(parts, number - self._number)):
            at = (number - step) % parts
            self.one -= self._ones[at]
            self.other -= self._others[at]
            self._ones[at] = self._others[at] = 0
        self._number, self._at = number, number % parts
        self._ends = (number + 1) * self._each_s

    def clear(self) -> None:
        """Forget everything."""
        parts = len(self._ones)
        self._ones = [0] * parts
        self._others = [0] * parts
        self.one = self.other = 0


class Budget:
    """What may be spent beside the requests of the last `ttl_s` seconds: a share of them, and `least` in any case."""

    __slots__ = ("_counts", "_least", "fresh")

    def __init__(self, least: int, ttl_s: float, parts: int = 10) -> None:
        self._least = least
        self._counts = Counts(ttl_s, parts)
        self.fresh = 0  # requests that came since somebody asked; who counts here calls `turn` a few times a second

    def asked(self, now: float) -> None:
        """A request has come, which is not itself an extra attempt."""
        self.fresh += 1
        self.turn(now)

    def turn(self, now: float) -> None:
        """Take `fresh` for requests of now."""
        self._counts.add(now, self.fresh)
        self.fresh = 0

    def spend(self, now: float, share: float) -> bool:
        """Whether one more may be spent under this share; where it may, it is."""
        self.turn(now)
        counts = self._counts
        spent = counts.other + 1
        if spent > self._least and spent > share * counts.one:
            return False
        counts.add(now, 0, 1)
        return True

    def used(self, now: float) -> float:
        """What was spent lately as a share of the requests; 0.0 where there were none."""
        self.turn(now)
        return self._counts.other / self._counts.one if self._counts.one else 0.0


def retries() -> Budget:
    """The budget of attempts after a failure."""
    return Budget(RETRY_LEAST, RETRY_TTL_S)


def hedges() -> Budget:
    """The budget of attempts beside a slow one."""
    return Budget(0, HEDGE_TTL_S)
