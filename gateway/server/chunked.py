"""A chunked request body (RFC 9112, section 7.1), strictly: CRLF only, hex sizes only, framing counted and capped.

llhttp can't be used here: it does not say where in its input a message ended, so bytes of the next request would be
read before they were counted. A property test holds this reader to llhttp's own reading of the same bytes.
"""

from typing import Final

from gateway.errors import MalformedHttp, TooLarge

SIZE_LINE_BYTES: Final = 1024 + 20
TRAILER_BYTES: Final = 1024
FRAMING_BYTES: Final = 16 * 1024
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedBody:
    """Bytes in, body out, wherever they were cut. Extensions and trailers are counted and thrown away."""

    __slots__ = ("_framing", "_left", "_line", "_most_bytes", "_parts", "_size", "_state", "_trailers")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._state = _SIZE
        self._line = b""
        self._left = 0
        self._size = 0
        self._framing = 0
        self._trailers = 0
        self._parts: list[bytes] = []

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def body(self) -> bytes:
        return b"".join(self._parts)

    def feed(self, data: bytes) -> bytes:
        """Take in more of the body; what is left over belongs to the next request, once `done`.

        Raises MalformedHttp, and TooLarge at the cap.
        """
        at = 0
        while at < len(data) and self._state != _DONE:
            if self._state == _DATA:
                piece = data[at : at + self._left]
                self._parts.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left == 0:
                    self._state = _DATA_END
                continue
            end = data.find(b"\n", at)
            stop = end + 1 if end >= 0 else len(data)
            self._count(stop - at)
            self._line += data[at:stop]
            at = stop
            if len(self._line) > SIZE_LINE_BYTES:
                raise MalformedHttp("The request's chunk framing is too long.")
            if end >= 0:
                line, self._line = self._line, b""
                self._take_line(line)
        return data[at:]

    def _take_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise MalformedHttp("The request's chunk framing is not valid.")
        text = line[:-2]
        if b"\r" in text or b"\0" in text:
            raise MalformedHttp("The request's chunk framing is not valid.")
        if self._state == _DATA_END:
            if text:
                raise MalformedHttp("A chunk is longer than it said.")
            self._state = _SIZE
        elif self._state == _SIZE:
            self._begin_chunk(text)
        else:
            self._trailers += len(line)
            if self._trailers > TRAILER_BYTES:
                raise MalformedHttp("The request's trailers are too long.")
            if not text:
                self._state = _DONE

    def _begin_chunk(self, text: bytes) -> None:
        size, _, extension = text.partition(b";")
        if not size or len(size) > 16 or not _HEX.issuperset(size) or not (extension.isascii() or not extension):
            raise MalformedHttp("A chunk's size is not valid.")
        self._left = int(size, 16)
        self._size += self._left
        if self._size > self._most_bytes:
            raise TooLarge("The request body is too large.")
        self._state = _DATA if self._left else _TRAILERS

    def _count(self, size: int) -> None:
        # Chunks of one byte cost five bytes of framing each: allowed for a while, not for a million of them.
        self._framing += size
        if self._framing > FRAMING_BYTES + 2 * self._size:
            raise MalformedHttp("The request's chunks are too small.")
