"""Deadlines as fields, looked at by one timer a worker: no timer object per request (HTTP.md, Inbound)."""

from typing import Protocol

INTERVAL_S = 0.1


class Swept(Protocol):
    """Something with deadlines; `sweep` acts on those that have passed. Same `now`, same outcome."""

    def sweep(self, now: float) -> None: ...


class Sweeper:
    """All that has deadlines in one worker."""

    def __init__(self) -> None:
        self._members: set[Swept] = set()

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Swept) -> None:
        self._members.add(member)

    def discard(self, member: Swept) -> None:
        self._members.discard(member)

    def sweep(self, now: float) -> None:
        """Show everyone the time; what one of them raises is raised when all have seen it."""
        failure: Exception | None = None
        for member in tuple(self._members):
            try:
                member.sweep(now)
            except Exception as error:  # noqa: BLE001  (raised below)
                failure = failure or error
        if failure is not None:
            raise failure
