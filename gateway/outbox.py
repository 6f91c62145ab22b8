"""Writes that come thick leave together, at the next turn of the loop.

A write to a socket whose reader sleeps on another core wakes it, and that costs more than the write itself. A reader
woken once for many writes, and kernel code that runs hot, save a fifth of a short answer's CPU (decision 0007). A write
with no other just before it goes out at once, so an idle gateway answers no later.
"""

import asyncio
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Sequence

# Two writes further apart than this have nothing to gain from each other.
THICK_S = 0.0001


class Outbox:
    """What waits to leave, of all the transports of a loop; `now` is monotonic seconds."""

    __slots__ = ("_call_soon", "_last", "_now", "_waiting")

    def __init__(self, now: Callable[[], float], call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._now = now
        self._last = -THICK_S
        self._waiting: list[Outgoing] = []

    def takes(self, outgoing: "Outgoing") -> bool:
        """Whether a write shall wait for the others, which then leave at the next turn: asked for each write."""
        if not self._waiting:
            last, self._last = self._last, self._now()
            if self._last - last >= THICK_S:
                return False
            self._call_soon(self._leave)
        self._waiting.append(outgoing)
        return True

    def _leave(self) -> None:
        waiting, self._waiting = self._waiting, []
        waiting.reverse()
        try:
            while waiting:
                waiting.pop().flush()
        finally:
            self._last = self._now()
            if waiting:
                # One whose transport failed costs the others a turn, not their bytes.
                waiting.reverse()
                self._waiting = waiting
                self._call_soon(self._leave)


class Outgoing:
    """A transport whose writes may leave together with others'. Their order stays, and nothing overtakes them."""

    __slots__ = ("_outbox", "_pending", "_transport")

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self._transport = transport
        self._outbox = outbox
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        if self._pending or self._outbox.takes(self):
            self._pending.append(data)
        else:
            self._transport.write(data)

    def writelines(self, pieces: Sequence[bytes]) -> None:
        """Write large pieces: they aren't copied, and don't wait."""
        self.flush()
        self._transport.writelines(pieces)

    def flush(self) -> None:
        """Hand on all that waits."""
        pending = self._pending
        if not pending:
            return
        try:
            if not self._transport.is_closing():
                if len(pending) == 1:
                    self._transport.write(pending[0])
                else:
                    self._transport.writelines(pending)
        finally:
            pending.clear()  # kept, they would hold back whatever is written next

    def sock(self) -> TransportSocket | None:
        """What lies below, None where that is no socket; to be asked, not used."""
        found: TransportSocket | None = self._transport.get_extra_info("socket")
        return found

    def release(self) -> asyncio.Transport:
        """The transport itself, for somebody else."""
        self.flush()
        return self._transport

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """End the connection. What was written before leaves first, as far as it can without waiting."""
        self.flush()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes not yet taken by the system."""
        return self._transport.get_write_buffer_size() + sum(map(len, self._pending))
