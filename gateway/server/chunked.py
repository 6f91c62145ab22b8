"""A chunked request body (RFC 9112, section 7.1), strictly: CRLF only, hex sizes only, framing counted and capped.

llhttp can't be used here: it does not say where in its input a message ended, so bytes of the next request would be
read before they were counted. A property test holds this reader to llhttp's own reading of the same bytes.
"""

import re
from typing import Final

from gateway.errors import MalformedHttp, TooLarge
from gateway.server.pieces import Pieces

LINE_BYTES: Final = 1024 + 20  # a size and its extensions (row A15)
TRAILER_BYTES: Final = 1024
FRAMING_BYTES: Final = 8 * 1024
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = rb'"(?:[\t !\x23-\x5b\x5d-\x7e]|\\[\t -~])*"'
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%b(?:=(?:%b|%b))?)*\Z" % (_TOKEN, _TOKEN, _QUOTED))
_TRAILER: Final = re.compile(rb"(?!(?:content-length|transfer-encoding):)%b:[\t -~]*\Z" % _TOKEN, re.IGNORECASE)

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedBody:
    """Bytes in, body out, wherever they were cut. Extensions and trailers are counted and thrown away.

    `keeps=False` only follows the framing, for a body that somebody else gathers.
    """

    __slots__ = ("_body", "_framing", "_keeps", "_left", "_line", "_most_bytes", "_size", "_state", "_trailers")

    def __init__(self, most_bytes: int, *, keeps: bool = True) -> None:
        self._most_bytes = most_bytes
        self._keeps = keeps
        self._state = _SIZE
        self._line = b""
        self._left = 0
        self._size = 0
        self._framing = 0
        self._trailers = 0
        self._body = Pieces()

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def body(self) -> bytes:
        return self._body.whole()

    def feed(self, data: bytes) -> bytes:
        """Take in more of the body; what is left over belongs to the next request, once `done`.

        Raises MalformedHttp, and TooLarge at the cap.
        """
        at = 0
        size = len(data)
        while at < size and self._state != _DONE:
            if self._state == _DATA:
                stop = min(at + self._left, size)
                if self._keeps:
                    self._body.add(data[at:stop])
                self._left -= stop - at
                at = stop
                if self._left:
                    continue
                if data[at : at + 2] == b"\r\n":
                    at += 2
                    self._count(2)
                    self._state = _SIZE
                else:
                    self._state = _DATA_END
                continue
            end = data.find(b"\n", at) + 1
            stop = end or size
            self._count(stop - at)
            line = self._line + data[at:stop] if self._line else data[at:stop]
            at = stop
            if len(line) > LINE_BYTES:
                raise MalformedHttp("The request's chunk framing is too long.")
            if end:
                self._line = b""
                self._take_line(line)
            else:
                self._line = line
        return data[at:]

    def _take_line(self, line: bytes) -> None:
        text = line[:-2]
        if line[-2:] != b"\r\n":
            raise MalformedHttp("The request's chunk framing is not valid.")
        if self._state == _DATA_END:
            if text:
                raise MalformedHttp("A chunk is longer than it said.")
            self._state = _SIZE
        elif self._state == _SIZE:
            self._begin_chunk(text)
        elif not text:
            self._state = _DONE
        else:
            self._trailers += len(line)
            if self._trailers > TRAILER_BYTES or not _TRAILER.match(text):
                raise MalformedHttp("The request's trailers are not valid.")

    def _begin_chunk(self, text: bytes) -> None:
        found = _SIZE_LINE.match(text)
        if found is None:
            raise MalformedHttp("A chunk's size is not valid.")
        self._left = int(found[1], 16)
        self._size += self._left
        if self._size > self._most_bytes:
            raise TooLarge("The request body is too large.")
        self._state = _DATA if self._left else _TRAILERS

    def _count(self, size: int) -> None:
        # Chunks of one byte cost five bytes of framing each: allowed for a while, not for a million of them.
        self._framing += size
        if self._framing > FRAMING_BYTES + 2 * self._size:
            raise MalformedHttp("The request's chunks are too small.")
