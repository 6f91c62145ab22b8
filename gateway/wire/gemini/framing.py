"""Server-sent events, and the bare JSON of an error behind them.

Google ends a stream it gives up on with an error that is no event: a JSON object of several lines, straight after the
last one (seen with flex capacity, theopenco/llmgateway pull request 3616).
"""

from typing import Final

from gateway.wire.codec import Frame
from gateway.wire.framing import Events

_END: Final = b"\n\n"
_BRACE: Final = b"{"
_BARE: Final = b"\n{"


class Chunks(Events):
    """Events; a block that begins as a JSON object is a payload as it stands."""

    __slots__ = ()

    def _cut(self, whole: bytes) -> list[Frame]:
        if _BARE not in whole and whole[:1] != _BRACE:
            return super()._cut(whole)
        frames: list[Frame] = []
        for rough in whole.split(_END):
            event = rough.strip()
            if event[:1] == _BRACE:
                if len(event) > self._most_bytes:
                    self.too_long = True
                    break
                frames.append(("", event, event + _END))
            else:
                frames += super()._cut(rough)
        return frames
