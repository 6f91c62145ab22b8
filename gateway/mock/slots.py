"""A fixed number of requests are worked on at once; the others wait in the order they came."""

from collections.abc import Iterator
from typing import Protocol

from gateway.mock.ledger import Entry


class Holder(Protocol):
    """Whoever holds a slot or waits for one. `begin` may only schedule work: it is called from within another's end."""

    entry: Entry

    def begin(self) -> None: ...


class Slots:
    """First come, first served; whoever leaves makes room, also from the middle of the queue."""

    __slots__ = ("_running", "_waiting", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._running: dict[int, Holder] = {}
        self._waiting: dict[int, Holder] = {}

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def running_entries(self) -> Iterator[Entry]:
        return (holder.entry for holder in self._running.values())

    def waiting_entries(self) -> Iterator[Entry]:
        return (holder.entry for holder in self._waiting.values())

    def enter(self, holder: Holder) -> None:
        """Begin now, or stand at the end of the queue."""
        if len(self._running) < self.capacity:
            self._running[holder.entry.sequence] = holder
            holder.begin()
        else:
            self._waiting[holder.entry.sequence] = holder

    def leave(self, holder: Holder) -> None:
        """Give up the slot, or the place in the queue. Once more is no harm."""
        sequence = holder.entry.sequence
        if self._waiting.pop(sequence, None) is not None or self._running.pop(sequence, None) is None:
            return
        if self._waiting:
            following = next(iter(self._waiting))
            successor = self._waiting.pop(following)
            self._running[following] = successor
            successor.begin()
