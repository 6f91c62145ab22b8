"""An outbox for tests that look at each write: nothing waits in it."""

from collections.abc import Callable
from itertools import count

from gateway.outbox import Outbox


def at_once() -> Outbox:
    """Every write comes a second after the last one, so it leaves by itself."""
    seconds = count()
    return Outbox(lambda: float(next(seconds)), _never)


def _never(callback: Callable[[], None]) -> None:
    del callback
    raise AssertionError("nothing waits in this outbox")
