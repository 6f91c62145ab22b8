"""A streamed answer on its way from one language to another, or through as it was with its reader beside it.

The laws of openai_meter.py hold: whole events only, nothing before the first content, nothing after an error, and the
same whatever the cuts were.
"""

from typing import Final

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.features import Usage
from gateway.wire.call_ids import CallIds
from gateway.wire.codec import Framing, Reader, Writer
from gateway.wire.ir import BlockGrew, BlockOpened, Event, Finished, Media, Refusal, Text, Thinking, ToolCall
from gateway.wire.losses import Losses

_TOLD: Final = "The upstream reported an error in its stream."
_TOO_LONG: Final = "The upstream sent an event above the limit."
_TOO_LATE: Final = "The upstream sent too much before its first content."
_NO_JSON: Final = "The upstream sent an event that can't be read."


class Crossing:
    """See StreamMeter. `event_bytes` caps all that is held before the first content.

    `carried`: what the caller gets are the frames themselves, so the writer only says how the stream broke. `ids`: who
    sees to it that calls have each an id of its own.
    """

    __slots__ = (
        "_carried",
        "_event_bytes",
        "_framing",
        "_held",
        "_held_bytes",
        "_ids",
        "_losses",
        "_reader",
        "_writer",
        "committed",
        "done",
        "error",
        "finish",
        "media_type",
        "pieces",
        "usage",
    )

    def __init__(
        self,
        framing: Framing,
        reader: Reader,
        writer: Writer,
        losses: Losses,
        *,
        event_bytes: int,
        carried: bool = False,
        ids: CallIds | None = None,
    ) -> None:
        self._framing = framing
        self._reader = reader
        self._writer = writer
        self._losses = losses
        self._carried = carried
        self._ids = ids
        self._event_bytes = event_bytes
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.media_type = b"" if carried else writer.media_type.encode()
        self.committed = False
        self.done = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.finish = ""
        self.pieces = 0

    @property
    def lost(self) -> tuple[str, ...]:
        return tuple(self._losses.names())

    def feed(self, data: bytes) -> bytes:
        if self._over():
            return b""
        out: list[bytes] = []
        try:
            for name, payload, raw in self._framing.feed(data):
                if self._take(name, payload, raw, out):
                    break
        except (UpstreamError, ValueError, RecursionError) as error:
            self._break(error)
        if self._framing.too_long and not self._over():
            self.error = UpstreamBroken(_TOO_LONG, code="upstream_error")
        return self._let_go(out)

    def finish_up(self) -> bytes:
        if self._over():
            return b""
        out: list[bytes] = []
        try:
            if not any(self._take(name, payload, raw, out) for name, payload, raw in self._framing.end()):
                self._end(out)
        except (UpstreamError, ValueError, RecursionError) as error:
            self._break(error)
        return self._let_go(out)

    def failure(self, error: GatewayError) -> bytes:
        return self._writer.fail(error)

    def _over(self) -> bool:
        return self.done or self.error is not None

    def _take(self, name: str, payload: bytes, raw: bytes, out: list[bytes]) -> bool:
        """One frame; whether it was the last. Raises what it tells or why it can't be read."""
        events = self._reader.feed(name, payload)
        if self._carried:
            out.append(raw)  # only now: an error it tells is ours to tell
        for event in events:
            self._say(event, out)
        if self._reader.done:
            self._end(out)
        return self.done

    def _end(self, out: list[bytes]) -> None:
        for event in self._reader.end():
            self._say(event, out)
        self.done = True

    def _say(self, event: Event, out: list[bytes]) -> None:
        if type(event) is BlockGrew:
            self.pieces += 1
            if not self.committed:
                self.committed = bool(event.text or event.signature)
        elif type(event) is Finished:
            self.committed = True
            self.usage = event.usage
            self.finish = event.finish
        elif type(event) is BlockOpened:
            if self._ids is not None and isinstance(event.block, ToolCall):
                self._ids.settle(event.block)
            if not self.committed:
                self.committed = _says_something(event)
        if not self._carried:
            out.append(self._writer.feed(event))

    def _break(self, error: Exception) -> None:
        """What was wrong. Once content has gone out, nobody else can take over, and the frame says nothing more."""
        if not isinstance(error, UpstreamError):
            self.error = UpstreamBroken(_NO_JSON, code="upstream_error")
            self.error.__cause__ = error
        elif self.committed and not isinstance(error, UpstreamBroken):
            self.error = UpstreamBroken(_TOLD, code="upstream_error")
        else:
            self.error = error

    def _let_go(self, out: list[bytes]) -> bytes:
        """What may go to the caller now."""
        given = out[0] if len(out) == 1 else b"".join(out)
        if self.committed:
            if self._held:
                given = b"".join((*self._held, given))
                self._held.clear()
            return given
        if given and self.error is None:
            self._held.append(given)
            self._held_bytes += len(given)
            if self._held_bytes > self._event_bytes:
                self.error = UpstreamBroken(_TOO_LATE, code="upstream_error")
        return b""


def _says_something(event: BlockOpened) -> bool:
    block = event.block
    if isinstance(block, Text | Refusal):
        return bool(block.text)
    if isinstance(block, Thinking):
        return bool(block.text or block.signature or block.redacted)
    # A tool's call, a picture, and what only one language knows begin with what they are.
    return not isinstance(block, Media) or bool(block.data or block.url or block.file or block.text)
