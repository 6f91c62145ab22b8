"""AWS's binary framing, `application/vnd.amazon.eventstream`: headers and a payload in each message, two sums to check.

    total length u32 | headers length u32 | CRC32 of these eight bytes | headers | payload | CRC32 of all before it

All numbers are big-endian (docs.aws.amazon.com, Amazon Lex V2, Event stream encoding; Smithy, Amazon Event Stream
specification). Every byte is looked at a fixed number of times, however the stream is cut.
"""

from struct import Struct as Layout
from typing import Final
from zlib import crc32

from msgspec.json import Encoder

from gateway.wire.codec import Frame

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"
# The mark before the name of an exception or error, so that it is no event's.
FAILED: Final = "!"

_PRELUDE: Final = Layout(">II")
_CHECKED_PRELUDE: Final = Layout(">III")
_NUMBER: Final = Layout(">I")
_PRELUDE_BYTES: Final = 12
_OVERHEAD: Final = 16
# How long a header's value is, by its type; -1 where two bytes before the value say so.
_LENGTHS: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: -1, 7: -1, 8: 8, 9: 16}
_STRING: Final = 7
_MOST_HEADS: Final = 64

_encode: Final = Encoder().encode


def head(kind: str, name: str) -> bytes:
    """The headers of a message with JSON in it: `kind` is event or exception, `name` which of them."""
    said = ((f":{kind}-type", name), (":content-type", "application/json"), (":message-type", kind))
    return headers(said)


def headers(said: tuple[tuple[str, str], ...]) -> bytes:
    """Headers with text in them, as they stand in a message."""
    parts: list[bytes] = []
    for name, value in said:
        key, text = name.encode(), value.encode()
        parts.append(b"%c%b\x07%b%b" % (len(key), key, len(text).to_bytes(2, "big"), text))
    return b"".join(parts)


def message(head: bytes, payload: bytes) -> bytes:
    """A whole message of ready headers and a payload."""
    prelude = _PRELUDE.pack(_OVERHEAD + len(head) + len(payload), len(head))
    checked = b"%b%b%b%b" % (prelude, _NUMBER.pack(crc32(prelude)), head, payload)
    return checked + _NUMBER.pack(crc32(checked))


def read_headers(head: bytes) -> dict[str, str]:
    """The headers that hold text. ValueError where the bytes are no headers."""
    said: dict[str, str] = {}
    at, end = 0, len(head)
    while at < end:
        name_end = at + 1 + head[at]
        if name_end >= end:
            raise ValueError("A header of an event stream's message has no value.")
        kind = head[name_end]
        start = name_end + 1
        length = _LENGTHS.get(kind)
        if length is None:
            raise ValueError("A header of an event stream's message is of an unknown type.")
        if length < 0:
            length = int.from_bytes(head[start : start + 2], "big")
            start += 2
        stop = start + length
        if stop > end:
            raise ValueError("A header of an event stream's message is cut off.")
        if kind == _STRING:
            said[head[at + 1 : name_end].decode()] = head[start:stop].decode()
        at = stop
    return said


class Messages:
    """See Framing. A frame's name is its event's type; an exception's, or an error's code, has FAILED before it.

    What came before a broken message is given first; the ValueError comes with the next call.
    """

    __slots__ = ("_broken", "_held", "_most_bytes", "_names", "_need", "too_long")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held = bytearray()
        self._need = _PRELUDE_BYTES
        self._names: dict[bytes, str] = {}
        self._broken: ValueError | None = None
        self.too_long = False

    def feed(self, data: bytes) -> list[Frame]:
        self._complain()
        if self.too_long:
            return []
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return []
            data = bytes(self._held)
            self._held.clear()
        frames: list[Frame] = []
        try:
            rest = self._cut(data, frames)
        except ValueError as error:
            self._broken = error
            if not frames:
                self._complain()
            return frames
        self._held += rest
        return frames

    def end(self) -> list[Frame]:
        self._complain()
        return []  # a message says how long it is, so half of one is never whole

    def _complain(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _cut(self, data: bytes, frames: list[Frame]) -> bytes:
        """Put the whole messages into `frames`; give what is left, and know how much of it is wanted."""
        at, end = 0, len(data)
        self._need = _PRELUDE_BYTES
        while end - at >= _PRELUDE_BYTES:
            total, head_bytes, told = _CHECKED_PRELUDE.unpack_from(data, at)
            if crc32(data[at : at + 8]) != told:
                raise ValueError("The prelude of an event stream's message is damaged.")
            if head_bytes > total - _OVERHEAD:
                raise ValueError("The headers of an event stream's message are longer than the message.")
            if total > self._most_bytes:
                self.too_long = True
                return b""
            if end - at < total:
                self._need = total
                break
            frames.append(self._frame(data[at : at + total], _PRELUDE_BYTES + head_bytes))
            at += total
        return data[at:] if at else data

    def _frame(self, raw: bytes, start: int) -> Frame:
        if crc32(raw[:-4]) != int.from_bytes(raw[-4:], "big"):
            raise ValueError("A message of an event stream is damaged.")
        said = raw[_PRELUDE_BYTES:start]
        payload = raw[start:-4]
        name = self._names.get(said)
        if name is None:
            read = read_headers(said)
            kind = read.get(":message-type", "event")
            if kind == "error":
                # A failure that the service's own model doesn't know says everything in its headers.
                payload = payload or _encode({"message": read.get(":error-message", "")})
                return FAILED + read.get(":error-code", ""), payload, raw
            name = read.get(":event-type", "") if kind == "event" else FAILED + read.get(":exception-type", "")
            if len(self._names) < _MOST_HEADS:
                self._names[said] = name
        return name, payload, raw
