"""The second half of a chat completion, said in events of the first: its id, time, model and whatever else they had."""

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder, encode

from gateway.errors import GatewayError, UpstreamError
from gateway.features import Request, Usage
from gateway.wire import StreamMeter, openai_error, sse
from gateway.wire.openai_event import identity, usage_of
from gateway.wire.openai_event import read as read_event
from gateway.wire.resuming import Count, Seam, Torn, together

END: Final = b"\n\n"
_DONE: Final = b"[DONE]"
_KIND: Final = "chat.completion.chunk"
# What an event says of itself rather than of the answer.
_OWN: Final = ("usage", "timings")


class AnyChoice(Struct, gc=False):
    index: int = 0
    delta: dict[str, object] | None = None
    finish_reason: str | None = None
    logprobs: object = None

    def text(self) -> str | None:
        """What it says, None where that is more than text."""
        delta = self.delta or {}
        content = delta.get("content")
        if self.index or self.logprobs or not (content is None or isinstance(content, str)):
            return None
        if any(value for name, value in delta.items() if name not in ("role", "content")):
            return None
        return content or ""


class AnyChunk(Struct, gc=False):
    choices: list[AnyChoice] | None = None
    usage: object = None


read_any: Final = Decoder(AnyChunk).decode
_mapping: Final = Decoder(dict[str, object]).decode


class Rest:
    """See resuming.Rest. `is_over`: nothing more may be said, only how it ended.

    `is_guessed`: its cap is lower than it need be, since nobody knows how many tokens were said.
    """

    def __init__(
        self,
        request: Request,
        last: bytes,
        seam: Seam,
        prompt: int | None,
        said: Count,
        reread: Count,
        *,
        is_over: bool,
        is_guessed: bool,
    ) -> None:
        self.request = request
        self.last = last
        self.seam = seam
        self.prompt = prompt
        self.said = said
        self.reread = reread
        self.is_over = is_over
        self.is_guessed = is_guessed

    def meter(self, inner: StreamMeter) -> "Joined":
        return Joined(inner, self)


class Joined:
    """See StreamMeter. The second half, in events of the first: its id, time, model and whatever else it had."""

    media_type = b""
    lost: tuple[str, ...] = ()

    def __init__(self, inner: StreamMeter, rest: Rest) -> None:
        self._inner = inner
        self._rest = rest
        fields = _mapping(rest.last)
        self._top = {name: value for name, value in fields.items() if name not in _OWN}
        self._says_nothing_used = "usage" in fields and fields["usage"] is None
        choices = fields["choices"]
        assert isinstance(choices, list)
        self._choice: dict[str, object] = {**choices[0]}
        delta = self._choice["delta"]
        assert isinstance(delta, dict)
        self._delta: dict[str, object] = {name: value for name, value in delta.items() if name != "role"}
        self._unsaid = 0
        self.committed = self.done = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.finish = ""
        self.pieces = rest.said.least

    def feed(self, data: bytes) -> bytes:
        if self.done or self.error is not None:
            return b""
        return self._joined(self._inner.feed(data))

    def finish_up(self) -> bytes:
        if self.error is not None:
            return b""
        return self._joined(self._inner.finish_up())

    def failure(self, error: GatewayError) -> bytes:
        return openai_error.error_frame(error, *identity(self._rest.last), _KIND)

    def _joined(self, events: bytes) -> bytes:
        inner = self._inner
        out = b"".join([self._take(event) for event in events.split(END) if event]) if events else b""
        if self.error is None:
            self.error = inner.error
            self.done = inner.done
            self.finish = self.finish or inner.finish
        self.committed = self.committed or bool(out)
        if inner.usage is not None:
            self.usage = self._together(inner.usage)
        return out

    def _take(self, event: bytes) -> bytes:
        """One event of the second half as the caller gets it, nothing where it says nothing new."""
        if self.error is not None:
            return b""
        payload = payload_of(event)
        if payload[:6] == _DONE or not payload:
            return event + END
        told = read_event(payload)
        usage = usage_of(told)
        if not told.choices:
            return self._event([], usage) if usage is not None else b""
        choice = (read_any(payload).choices or [AnyChoice()])[0]
        said = choice.text()
        if said is None:
            return self._tear()
        text = self._new(said) if said else ""
        finish = choice.finish_reason
        seam = self._rest.seam
        if seam.torn or (finish and (seam.open or (finish == "length" and self._rest.is_guessed))):
            return self._tear()
        if not text and not finish:
            return b""
        if finish:
            self.finish = finish = "length" if self._rest.is_over else finish
        delta_now = {**self._delta, "content": text}
        if not text:
            delta_now = {}
        self.pieces += bool(text)
        return self._event([{**self._choice, "delta": delta_now, "finish_reason": finish or None}], usage)

    def _new(self, text: str) -> str:
        if self._rest.is_over:
            self._unsaid += 1
            return ""
        return self._rest.seam.new(text)

    def _event(self, choices: list[dict[str, object]], usage: Usage | None) -> bytes:
        fields: dict[str, object] = {**self._top, "choices": choices}
        if usage is not None:
            used = self._together(usage)
            fields["usage"] = {
                "prompt_tokens": used.input_tokens,
                "completion_tokens": used.output_tokens,
                "total_tokens": used.input_tokens + used.output_tokens,
            }
        elif self._says_nothing_used:
            fields["usage"] = None
        return b"data: %b\n\n" % encode(fields)

    def _together(self, second: Usage) -> Usage:
        rest = self._rest
        return together(rest.prompt, rest.said, rest.reread, second, rest.seam.again + self._unsaid)

    def _tear(self) -> bytes:
        self.error = Torn("The answer could not go on elsewhere as it had begun.")
        return b""


def payload_of(event: bytes) -> bytes:
    """What one event carries, b"" where that is nothing."""
    event = event.strip(b"\n")
    if event[:6] == b"data: " and b"\n" not in event:
        return event[6:]
    return sse.read_event(event)[0]
