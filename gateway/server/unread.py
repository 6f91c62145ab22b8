"""What was written to a caller and not taken yet: a slow reader is served, one who stands still is not."""

from typing import Protocol


class Writing(Protocol):
    """What is asked of a transport."""

    def get_write_buffer_size(self) -> int: ...


class Unread:
    """Bytes waiting in these transports (a TLS one and the one below it), and since when their number is the same."""

    __slots__ = ("_bytes", "_since", "_transports")

    def __init__(self, *transports: Writing) -> None:
        self._transports = transports
        self._bytes = 0
        self._since = 0.0

    @property
    def size(self) -> int:
        return sum([transport.get_write_buffer_size() for transport in self._transports])

    def begin(self, now: float) -> None:
        """From now on he is waited for."""
        self._bytes = self.size
        self._since = now

    def stalled(self, now: float, most_s: float) -> bool:
        """Whether nothing has moved for longer than `most_s` seconds; to be asked again and again."""
        size = self.size
        if size != self._bytes:
            self._bytes = size
            self._since = now
        return size > 0 and now - self._since > most_s

    def taken(self) -> bool:
        """Whether he was waited for and now has everything; says so once."""
        waited = self._bytes > 0 and self.size == 0
        if waited:
            self._bytes = 0
        return waited
