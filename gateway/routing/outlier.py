"""When a place is taken out because it fails, for how long, and when it is taken back.

Five failures in a row, or half of its requests: then it is asked nothing for half a minute, after that one request to
see, and where that fails, for longer. Envoy's outlier detection with a half-open state (routing 4.5).
"""

from typing import Final, Literal

from gateway.routing.budget import Counts
from gateway.routing.chance import unit

IN_A_ROW: Final = 5
RATE: Final = 0.5
RATE_LEAST: Final = 20  # requests in the window; half of three is no rate
RATE_WINDOW_S: Final = 30.0
_PARTS: Final = 15

EJECTED_S: Final = 30.0
EJECTED_MOST_S: Final = 300.0
JITTER: Final = 0.2
# Each so long a time without being taken out makes the next one a step shorter.
CLEAN_S: Final = 60.0
# One who is out may be asked by one request at a time. An answer that takes longer is no longer waited for: the next
# one may ask, lest a place that holds its one request for ever is never asked again.
PROBE_S: Final = 30.0
# Of a model's places so many may be out for their rate: if all fail at half, what they have in common fails.
RATE_SHARE_OUT: Final = 0.3

Why = Literal["", "consecutive_failures", "failure_rate"]


def most_out(places: int) -> int:
    """How many of so many places may be out for their rate of failures; one in any case."""
    return max(1, int(places * RATE_SHARE_OUT))


class Outlier:
    """What one place's requests say of it. `out` while it is ejected, and until its probe has gone well.

    Nothing is counted before the first failure, nor once none is left in the window; `counting` says so, and `well` may
    then be left out.
    """

    __slots__ = ("_back_at", "_counts", "_times", "counting", "in_a_row", "out", "out_at")

    def __init__(self) -> None:
        self._counts = Counts(RATE_WINDOW_S, _PARTS)
        self._times = 0
        self._back_at = 0.0
        self.counting = False
        self.in_a_row = 0
        self.out = False
        self.out_at = 0.0

    def well(self, now: float) -> None:
        """It has answered, if only to say that the request is wrong."""
        if self.counting:
            self.in_a_row = 0
            self._counts.add(now)
            self.counting = self._counts.other > 0

    def failed(self, now: float) -> Why:
        """It has failed; why it is to be taken out now, "" where it isn't."""
        self.in_a_row += 1
        self.counting = True
        counts = self._counts
        counts.add(now, 1, 1)
        if self.in_a_row >= IN_A_ROW:
            return "consecutive_failures"
        if counts.one >= RATE_LEAST and counts.other >= RATE * counts.one:
            return "failure_rate"
        return ""

    def eject(self, now: float, bits: int) -> float:
        """Take it out, or leave it out after a probe that failed: for so many seconds, by 64 bits of chance."""
        if not self.out:
            self._times = max(0, self._times - int((now - self._back_at) / CLEAN_S))
        self._times += 1
        self.out, self.out_at = True, now
        # Gateways that took it out together must not all come back together.
        jitter = 1.0 + JITTER * (2.0 * unit(bits) - 1.0)
        return min(EJECTED_MOST_S, EJECTED_S * self._times) * jitter

    def back(self, now: float) -> None:
        """It is well again; what it did before is forgotten, but not how often it was out."""
        self.out = self.counting = False
        self.in_a_row = 0
        self._back_at = now
        self._counts.clear()
