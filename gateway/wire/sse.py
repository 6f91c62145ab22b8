"""Server-sent events: bytes to whole events, wherever they were cut (WHATWG HTML, section 9.2.6).

Line ends may be LF, CRLF or CR, mixed. An event is never given before its blank line has come. Every byte is looked
at a fixed number of times, however an endless line or event is cut.
"""

from typing import Final

BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_CR: Final = 13


class EventSplitter:
    """Cuts a byte stream at its blank lines; holds at most one unfinished event.

    `calm` says that nothing is held, so that the next piece may be read by itself. `too_long` says that an unfinished
    event grew above `most_bytes` and was thrown away.
    """

    __slots__ = ("_after_cr", "_held", "_most_bytes", "calm", "too_long")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held = bytearray()
        self._after_cr = False
        self.calm = True
        self.too_long = False

    def feed(self, data: bytes) -> bytes:
        """The whole events now there, each ended by an empty line in LF form; b"" while there is none."""
        if self._after_cr or _CR in data:
            data = self._to_lf(data)
        held = self._held
        if not held and data[-2:] == b"\n\n":
            return data
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            # No blank line, unless it straddles two pieces.
            end = 1 if held and held[-1] == _LF and data[:1] == b"\n" else 0
        whole = data[:end]
        if whole and held:
            whole = bytes(held) + whole
            held.clear()
        # Blank lines between events are nobody's: they never count as an event's bytes.
        held += data[end:] if held else data[end:].lstrip(b"\n")
        # One byte more than the cap may be the first half of the blank line.
        if len(held) > self._most_bytes + 1:
            self.too_long = True
            held.clear()
        self.calm = not held
        return whole

    def leftover(self) -> bytes:
        """What is held of an event whose blank line never came; nothing is held after that."""
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _to_lf(self, data: bytes) -> bytes:
        # A CR ends its line at once; an LF that follows it in the next piece is the same line end.
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if _CR in data:
            self._after_cr = data[-1] == _CR
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


def read_event(event: bytes) -> tuple[bytes, bytes]:
    """One event in LF form, without its blank line, as (payload, what may be forwarded).

    Left out are `id:`, `retry:`, empty `data:` lines and an event's name without data: official clients fail on them
    (reliability 0, finding 5). Several data lines become one. llama.cpp told errors in a field named `error` until
    September 2025 (its pull request 16109): its value becomes the payload `{"error": …}`.
    """
    values: list[bytes] = []
    kept: list[bytes] = []
    at = 0
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data" and value:
            if not values:
                at = len(kept)
                kept.append(line)
            values.append(value)
        elif name == b"error" and value:
            return b'{"error":%b}' % value, b""
        elif line and name not in (b"data", b"id", b"retry"):
            kept.append(line)
    if not values:
        kept = [line for line in kept if line.startswith(b":")]
    elif len(values) > 1:
        # A line end inside JSON is white space, or else it is no JSON.
        kept[at] = b"data: " + b" ".join(values)
    return b"\n".join(values), b"\n".join(kept)
