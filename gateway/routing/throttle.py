"""What a gateway keeps from a place that says no, before the place has to say it again.

Refusing costs a place that is full nearly as much as answering; so whoever is refused asks less.
"""

from typing import Final

from gateway.routing.budget import Counts
from gateway.routing.chance import unit

# Google SRE, Handling Overload, Client-Side Throttling: up to K times what is accepted is sent, so that what is refused
# still shows when that ends.
K: Final = 2.0
# Longer than nearly every answer takes (go-zero #5011 shows what a shorter one does).
WINDOW_S: Final = 120.0
_PARTS: Final = 24
# So few say nothing of a rate.
LEAST: Final = 10

# A limit learned from refusals: AIMD, as TCP does and Netflix's concurrency-limits.
BACK_OFF: Final = 0.9
BACK_OFF_EVERY_S: Final = 1.0
GROWS_AFTER: Final = 50
# A refusal may be about tokens a minute, which a limit on requests at once can't cure: so far down, it would only harm.
LEAST_AT_ONCE: Final = 4
# Limits of providers are by the minute and the day; what was learned ten minutes ago is learned anew.
FORGOTTEN_S: Final = 600.0
NO_LIMIT: Final = float("inf")


class Throttle:
    """Requests sent to one place, and those it refused because of its load.

    A request is counted when it is sent, and taken for accepted until it is refused: answers take minutes, and those
    under way would otherwise look refused. Nothing is counted before the first refusal, nor when none is left in the
    window: `counting` says so, and `sent` may then be left out.
    """

    __slots__ = ("_counts", "counting")

    def __init__(self) -> None:
        self._counts = Counts(WINDOW_S, _PARTS)
        self.counting = False

    def sent(self, now: float) -> None:
        """A request goes there."""
        if self.counting:
            self._counts.add(now)

    def refused(self, now: float) -> None:
        """One that was sent is refused."""
        if not self.counting:
            self._counts.clear()
            self._counts.add(now)
            self.counting = True
        self._counts.add(now, 0, 1)

    def share(self, now: float) -> float:
        """The share of requests that isn't to be sent: max(0, (requests - K * accepts) / (requests + 1))."""
        if not self.counting:
            return 0.0
        counts = self._counts
        counts.turn(now)
        self.counting = counts.other > 0
        sent = counts.one
        if sent < LEAST:
            return 0.0
        accepted = max(0, sent - counts.other)
        return max(0.0, (sent - K * accepted) / (sent + 1))

    def holds(self, now: float, bits: int) -> bool:
        """Whether this request, of 64 bits of chance, isn't to be sent."""
        return unit(bits) < self.share(now)


class Cap:
    """How many requests at once a place takes, learned from its refusals that don't say when to come back."""

    __slots__ = ("_accepted", "_lowered_at", "_most")

    def __init__(self) -> None:
        self._most = NO_LIMIT
        self._lowered_at = -NO_LIMIT
        self._accepted = 0

    @property
    def most(self) -> float:
        return self._most

    def refused(self, in_flight: int, now: float) -> None:
        """One was refused while so many were under way, itself included."""
        self._accepted = 0
        if now - self._lowered_at < BACK_OFF_EVERY_S:
            # All that were under way when it was too much are refused together; they are one piece of news.
            return
        self._lowered_at = now
        self._most = max(float(LEAST_AT_ONCE), float(int(BACK_OFF * min(self._most, in_flight))))

    def accepted(self, now: float) -> None:
        """One was answered."""
        if self._most == NO_LIMIT:
            return
        self._accepted += 1
        if now - self._lowered_at >= FORGOTTEN_S:
            self._most = NO_LIMIT
        elif self._accepted >= GROWS_AFTER:
            self._accepted = 0
            self._most += 1.0
