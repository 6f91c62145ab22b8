"""Deadlines for what is awaited in a task: swept with all others, so that one clock rules and tests can move it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.sweep import Sweeper


class Watch:
    """What somebody waits for, and until when."""

    __slots__ = ("_deadline", "_timeout")

    def __init__(self, deadline: float, timeout: asyncio.Timeout) -> None:
        self._deadline = deadline
        self._timeout = timeout

    def sweep(self, now: float) -> None:
        if now >= self._deadline:
            self.expire()

    def expire(self) -> None:
        """End the waiting now."""
        if self._deadline < float("inf"):
            self._deadline = float("inf")
            self._timeout.reschedule(0.0)


@asynccontextmanager
async def until(deadline: float, sweeper: Sweeper) -> AsyncIterator[Watch]:
    """Cancels what runs inside at the first sweep after `deadline` (monotonic seconds), as TimeoutError outside."""
    async with asyncio.timeout(None) as timeout:
        watch = Watch(deadline, timeout)
        sweeper.add(watch)
        try:
            yield watch
        finally:
            sweeper.discard(watch)
