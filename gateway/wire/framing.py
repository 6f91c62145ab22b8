"""Streams to frames: server-sent events, and a JSON value a line. AWS's binary framing is in eventstream.py."""

from typing import Final

from gateway.wire import sse
from gateway.wire.codec import Frame

_END: Final = b"\n\n"
_LF: Final = b"\n"
_SIMPLE: Final = b"data: "


class Events:
    """Server-sent events. Their names aren't read: every language that has them says them in the payload again."""

    __slots__ = ("_at_start", "_most_bytes", "_splitter", "too_long")

    def __init__(self, most_bytes: int) -> None:
        self._splitter = sse.EventSplitter(most_bytes)
        self._most_bytes = most_bytes
        self._at_start = True
        self.too_long = False

    def feed(self, data: bytes) -> list[Frame]:
        whole = self._splitter.feed(data)
        if self._splitter.too_long:
            self.too_long = True
        return self._cut(whole) if whole else []

    def end(self) -> list[Frame]:
        rest = self._splitter.leftover().rstrip(_LF)
        return self._cut(rest) if rest else []

    def _cut(self, whole: bytes) -> list[Frame]:
        frames: list[Frame] = []
        for rough in whole.split(_END):
            event = rough.lstrip(_LF)
            if not event:
                continue
            if len(event) > self._most_bytes:
                self.too_long = True
                break
            if self._at_start:
                self._at_start = False
                event = event.removeprefix(sse.BOM)
            if event[:6] == _SIMPLE and _LF not in event:
                frames.append(("", event[6:], event + _END))
                continue
            payload, kept = sse.read_event(event)
            if payload:
                frames.append(("", payload, kept + _END))
        return frames


class Lines:
    """A JSON value a line, as Ollama streams. Every byte is looked at a fixed number of times, however it was cut.

    After a line above `most_bytes` nothing more is given.
    """

    __slots__ = ("_held", "_most_bytes", "too_long")

    def __init__(self, most_bytes: int) -> None:
        self._held = bytearray()
        self._most_bytes = most_bytes
        self.too_long = False

    def feed(self, data: bytes) -> list[Frame]:
        if self.too_long:
            return []
        end = data.rfind(_LF) + 1
        frames: list[Frame] = []
        if end:
            whole = bytes(self._held) + data[:end] if self._held else data[:end]
            self._held.clear()
            frames = self._frames(whole.split(_LF))
        self._held += data[end:]
        if len(self._held) > self._most_bytes:
            self.too_long = True
            self._held.clear()
        return frames

    def end(self) -> list[Frame]:
        rest = bytes(self._held)
        self._held.clear()
        return [] if self.too_long else self._frames([rest])

    def _frames(self, lines: list[bytes]) -> list[Frame]:
        frames: list[Frame] = []
        for line in lines:
            if len(line) > self._most_bytes:
                self.too_long = True
                break
            payload = line.strip()
            if payload:
                frames.append(("", payload, line + _LF))
        return frames
