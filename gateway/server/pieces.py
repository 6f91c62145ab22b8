"""A body that comes in pieces: few large ones are copied once, many small ones weigh no more than what they hold."""

from typing import Final

LOOSE_MOST: Final = 64  # a list of two-byte pieces weighs thirty times its bytes


class Pieces:
    """Bytes in order."""

    __slots__ = ("_loose", "_packed")

    def __init__(self) -> None:
        self._loose: list[bytes] = []
        self._packed: bytearray | None = None

    def add(self, data: bytes) -> None:
        loose = self._loose
        loose.append(data)
        if len(loose) >= LOOSE_MOST:
            if self._packed is None:
                self._packed = bytearray()
            self._packed += b"".join(loose)
            loose.clear()

    def whole(self) -> bytes:
        """Everything that was added."""
        if self._packed is None:
            return b"".join(self._loose)
        return b"".join((self._packed, *self._loose))
