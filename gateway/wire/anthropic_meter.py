"""Watches a messages stream pass: first content, end, usage, errors. The laws are those of openai_meter.py."""

from typing import Final

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError, UpstreamTruncated
from gateway.features import Usage
from gateway.wire import anthropic_error, openai_error, sse
from gateway.wire.anthropic_event import UNSAID, Event, Spent, read_event, says_something

STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_END: Final = b"\n\n"
_TOLD: Final = "The upstream reported an error in its stream."


class AnthropicMeter:
    """See StreamMeter. `event_bytes` caps one event, and all that is held before the first content."""

    media_type = b""
    lost: tuple[str, ...] = ()
    __slots__ = (
        "_at_start",
        "_event_bytes",
        "_held",
        "_held_bytes",
        "_spent",
        "_splitter",
        "committed",
        "done",
        "error",
        "finish",
        "pieces",
    )

    def __init__(self, *, event_bytes: int) -> None:
        self._splitter = sse.EventSplitter(event_bytes)
        self._event_bytes = event_bytes
        self._at_start = True
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._spent = Spent()
        self.committed = False
        self.done = False
        self.error: UpstreamError | None = None
        self.finish = ""
        self.pieces = 0

    @property
    def usage(self) -> Usage | None:
        return self._spent.usage()

    def feed(self, data: bytes) -> bytes:
        if self._over():
            return b""
        whole = self._splitter.feed(data)
        out = self._pass_on(whole) if whole else b""
        if self._splitter.too_long and self.error is None and not self.done:
            self._break(UpstreamBroken("The upstream sent an event above the limit.", code="upstream_error"))
        return out

    def finish_up(self) -> bytes:
        if self._over():
            return b""
        last = self._last_words() if self.committed else b""
        if self._over():
            return last
        if self.committed and self.finish:
            self.done = True
            return last + STOP
        self._break(UpstreamTruncated("The upstream ended before its answer was complete."))
        return b""

    def failure(self, error: GatewayError) -> bytes:
        return anthropic_error.error_frame(error)

    def _over(self) -> bool:
        return self.done or self.error is not None

    def _last_words(self) -> bytes:
        """A last event whose blank line never came: whole JSON is a whole event."""
        rest = self._splitter.leftover().rstrip(b"\n")
        payload, _ = sse.read_event(rest)
        try:
            read_event(payload)
        except (ValueError, RecursionError):
            return b""
        return self._pass_on(rest)

    def _pass_on(self, whole: bytes) -> bytes:
        """What of these whole events may go to the caller now."""
        out: list[bytes] = []
        for rough in whole.split(_END):
            kept = self._take(rough.lstrip(b"\n"))
            if self.error is not None:
                break
            if not kept:
                continue
            if self.committed:
                out += self._held
                self._held.clear()
                out.append(kept)
            else:
                self._hold(kept)
            if self.done:
                break
        return _END.join(out) + _END if out else b""

    def _take(self, event: bytes) -> bytes:
        """What of one event may cross; notes what it means. Breaks the stream where it can't be read."""
        if not event:
            return b""
        if len(event) > self._event_bytes:
            self._break(UpstreamBroken("The upstream sent an event above the limit.", code="upstream_error"))
            return b""
        try:
            if not event.isascii():
                event.decode()
            if self._at_start:
                self._at_start = False
                event = event.removeprefix(sse.BOM)
            payload, kept = sse.read_event(event)
            if payload:
                self._note(read_event(payload), payload)
        except (ValueError, RecursionError):
            self._break(UpstreamBroken("The upstream sent an event that is no JSON.", code="upstream_error"))
            return b""
        return kept

    def _note(self, event: Event, payload: bytes) -> None:
        """Keep what an event says of errors, content, ends and usage."""
        if event.type == "error" or event.error is not UNSAID:
            # Once content has gone out, nobody else can take over, and the frame says nothing more.
            self._break(
                UpstreamBroken(_TOLD, code="upstream_error") if self.committed else openai_error.read_inside(payload)
            )
            return
        if not self.committed:
            self.committed = says_something(event)
        if event.message is not None and event.message.usage is not None:
            self._spent = event.message.usage.over(self._spent)
        if event.usage is not None:
            self._spent = event.usage.over(self._spent)
        if event.type == "content_block_delta":
            self.pieces += 1
        elif event.type == "message_delta" and event.delta is not None:
            self.finish = event.delta.stop_reason or self.finish
        elif event.type == "message_stop":
            if self.committed:
                self.done = True
            else:
                self._break(UpstreamTruncated("The upstream ended without an answer."))

    def _hold(self, kept: bytes) -> None:
        self._held.append(kept)
        self._held_bytes += len(kept)
        if self._held_bytes > self._event_bytes:
            self._break(UpstreamBroken("The upstream sent too much before its first content.", code="upstream_error"))

    def _break(self, error: UpstreamError) -> None:
        self.error = error
        self._held.clear()
