"""Watches a chat or text completion stream pass: first content, end, usage, errors (HTTP.md, Bodies and streams).

The law: a caller gets whole events only, nothing before the first content, and nothing after an error. What he gets
does not depend on where the bytes were cut. Events cross as they were written, but for what official clients choke on.
"""

from typing import Final

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError, UpstreamTruncated
from gateway.features import Usage
from gateway.wire import openai_error, sse
from gateway.wire.openai_event import UNSAID, Event, complains, decode, identity, read, says_something, usage_of

DONE: Final = b"data: [DONE]\n\n"
_LF: Final = 10
_CR: Final = 13
_END: Final = b"\n\n"
_TOO_LONG: Final = "The upstream sent an event above the limit."
_TOO_LATE: Final = "The upstream sent too much before its first content."
_NO_JSON: Final = "The upstream sent an event that is no JSON."
_TOLD: Final = "The upstream reported an error in its stream."


class OpenAIMeter:
    """See StreamMeter. `event_bytes` caps one event, and all that is held before the first content."""

    media_type = b""
    lost: tuple[str, ...] = ()
    __slots__ = (
        "_at_start",
        "_ends",
        "_event_bytes",
        "_flows",
        "_held",
        "_held_bytes",
        "_kind",
        "_opening",
        "_splitter",
        "_strip_usage",
        "committed",
        "done",
        "error",
        "finish",
        "pieces",
        "usage",
    )

    def __init__(self, *, strip_usage: bool, event_bytes: int, kind: str = "chat.completion.chunk") -> None:
        self._splitter = sse.EventSplitter(event_bytes)
        self._strip_usage = strip_usage
        self._event_bytes = event_bytes
        self._kind = kind
        self._opening = b"{}"
        self._at_start = True
        self._flows = False  # committed, and neither done nor broken
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._ends: dict[int, bool] = {}  # choice -> whether its finish reason came
        self.committed = False
        self.done = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.finish = ""
        self.pieces = 0

    def feed(self, data: bytes) -> bytes:
        # Nearly every piece is one event of one line. A number `in` bytes is one memchr, and an index less than that;
        # find, startswith and endswith cost ten times as much.
        if self._flows and data[:7] == b"data: {" and data[-1] == _LF and data[-2] == _LF and self._splitter.calm:
            payload = data[6:-2]
            if (
                _LF not in payload
                and _CR not in payload
                and len(data) <= self._event_bytes
                and (payload.isascii() or _is_utf8(payload))
            ):
                goes_on = self._glance(payload)
                if goes_on is not None:
                    return data if goes_on else b""
        if self.done or self.error is not None:
            return b""
        whole = self._splitter.feed(data)
        out = self._pass_on(whole) if whole else b""
        if self._splitter.too_long and self.error is None and not self.done:
            self._break(UpstreamBroken(_TOO_LONG, code="upstream_error"))
        return out

    def finish_up(self) -> bytes:
        if self.error is not None:
            return b""
        last = self._last_words() if self.committed and not self.done else b""
        complete = self.done or (bool(self._ends) and all(self._ends.values()))
        if self.committed and complete and self.error is None:
            self.done = True
            self._flows = False
            return last + DONE
        if self.error is None:
            self._break(UpstreamTruncated("The upstream ended before its answer was complete."))
        return b""

    def failure(self, error: GatewayError) -> bytes:
        return openai_error.error_frame(error, *identity(self._opening), self._kind)

    def _pass_on(self, whole: bytes) -> bytes:
        """What of these whole events may go to the caller now."""
        out: list[bytes] = []
        plain = whole.isascii()
        for event in whole.split(_END):
            kept = self._take(event, plain=plain)
            if self.done or self.error is not None:
                break
            if not kept:
                continue
            if self.committed:
                if self._held:
                    out += self._held
                    self._held.clear()
                out.append(kept)
            else:
                self._hold(kept)
        return _END.join(out) + _END if out else b""

    def _glance(self, payload: bytes) -> bool | None:
        """Whether an event after the first content goes on; None where it wants a closer look, and nothing is noted."""
        try:
            event = decode(payload)
        except (ValueError, RecursionError):
            return None
        choices = event.choices
        if choices is None:
            return None
        if len(choices) == 1 and event.usage is None and event.error is UNSAID and event.x_groq is None:
            choice = choices[0]
            if choice.finish_reason is None and choice.index in self._ends:
                self.pieces += 1  # content and nothing else: nearly all of them
                return True
        return self._note(event, payload)

    def _take(self, rough: bytes, *, plain: bool) -> bytes:
        """What of one event may cross; notes what it means. Breaks the stream where it can't be read."""
        event = rough.lstrip(b"\n")
        if not event:
            return b""
        if len(event) > self._event_bytes:
            self._break(UpstreamBroken(_TOO_LONG, code="upstream_error"))
            return b""
        one_line = event[:7] == b"data: {" and _LF not in event
        if one_line and plain and self._flows:
            goes_on = self._glance(event[6:])
            if goes_on is not None:
                return event if goes_on else b""
        try:
            if not plain:
                event.decode()
            if self._at_start:
                self._at_start = False
                event = event.removeprefix(sse.BOM)
            payload, kept = (event[6:], event) if one_line else sse.read_event(event)
            if not payload:
                return kept
            if payload[:6] == b"[DONE]":
                self._end()
                return b""
            goes_on = self._note(read(payload), payload)
        except (ValueError, RecursionError):
            self._break(UpstreamBroken(_NO_JSON, code="upstream_error"))
            return b""
        if not self.committed:
            self._look_for_content(payload)
        return kept if goes_on else b""

    def _look_for_content(self, payload: bytes) -> None:
        if self.error is not None:
            return
        if says_something(payload):
            self.committed = self._flows = True
            self._opening = payload
        else:
            self.pieces = 0

    def _note(self, event: Event, payload: bytes) -> bool:
        """Keep what an event says of errors, ends and usage; whether the caller gets it."""
        told = complains(event, payload) if event.error is not UNSAID or event.choices is None or event.x_groq else b""
        if told:
            # Once content has gone out, nobody else can take over, and the frame says nothing more.
            self._break(
                UpstreamBroken(_TOLD, code="upstream_error") if self.committed else openai_error.read_inside(told)
            )
            return False
        for choice in event.choices or ():
            reason = choice.finish_reason
            if reason == "error":
                # Mistral, OpenRouter and vLLM end a choice so when they failed.
                self._break(UpstreamBroken(_TOLD, code="upstream_error"))
                return False
            if reason:
                self._ends[choice.index] = True
                self.finish = reason
            else:
                self._ends.setdefault(choice.index, False)
                self.pieces += 1
        self.usage = usage_of(event) or self.usage
        # Only the extra chunk that was asked for on our account is ours to take out.
        return not (self._strip_usage and event.usage is not None and not event.choices)

    def _hold(self, kept: bytes) -> None:
        self._held.append(kept)
        self._held_bytes += len(kept)
        if self._held_bytes > self._event_bytes:
            self._break(UpstreamBroken(_TOO_LATE, code="upstream_error"))

    def _last_words(self) -> bytes:
        """A last event whose blank line never came: whole JSON is a whole event. llama.cpp ends its [DONE] so."""
        rest = self._splitter.leftover().rstrip(b"\n")
        payload, _ = sse.read_event(rest)
        if payload[:6] != b"[DONE]":
            try:
                read(payload)
            except (ValueError, RecursionError):
                return b""
        return self._pass_on(rest)

    def _end(self) -> None:
        if self.committed:
            self.done = True
            self._flows = False
        else:
            self._break(UpstreamTruncated("The upstream ended without an answer."))

    def _break(self, error: UpstreamError) -> None:
        self.error = error
        self._flows = False
        self._held.clear()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
