"""OpenAI's chat and text completions: `choices`, streamed as SSE, ended by `[DONE]`.

Same language in and out, so bodies and events cross as they were written; this file reads only what must be known:
the model, whether a stream is asked for, the first content, the end, the usage, and errors wherever they hide.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest, GatewayError, UpstreamBroken, UpstreamError, UpstreamTruncated
from gateway.features import Request, Usage, Whole
from gateway.wire import openai_error, raw, sse
from gateway.wire.dialect import Dialect, apply

DONE: Final = b"data: [DONE]\n\n"
_ASK_USAGE: Final = Raw(b'{"include_usage":true}')
_EMPTY: Final = frozenset((b"", b"null", b'""', b"[]", b"{}"))


class _Details(Struct):
    cached_tokens: int | None = None


class _OutDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _OutDetails | None = None
    cache_creation_input_tokens: int | None = None


class _Choice(Struct):
    index: int = 0
    finish_reason: str | None = None


class _Event(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Raw = Raw(b"null")


class _Delta(Struct):
    content: Raw = Raw(b"")
    reasoning_content: Raw = Raw(b"")
    reasoning: Raw = Raw(b"")
    reasoning_details: Raw = Raw(b"")
    refusal: Raw = Raw(b"")
    tool_calls: Raw = Raw(b"")
    function_call: Raw = Raw(b"")
    audio: Raw = Raw(b"")
    images: Raw = Raw(b"")
    annotations: Raw = Raw(b"")

    def says_something(self) -> bool:
        return any(bytes(getattr(self, name)) not in _EMPTY for name in self.__struct_fields__)


class _FirstChoice(_Choice):
    delta: _Delta | None = None
    text: str | None = None
    logprobs: Raw = Raw(b"")


class _First(Struct):
    """An event before the first content: read in full, since this decides whether the caller sees this answer."""

    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""
    choices: list[_FirstChoice] | None = None
    usage: _Usage | None = None
    error: Raw = Raw(b"null")


class _WholeAnswer(Struct):
    object: str = ""
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Raw = Raw(b"null")


class _StreamOptions(Struct):
    include_usage: bool | None = None


_event = Decoder(_Event)
_first = Decoder(_First)
_whole = Decoder(_WholeAnswer)
_options = Decoder(dict[str, Raw])
_stream_options = Decoder(_StreamOptions)


def _read_usage(usage: _Usage) -> Usage | None:
    """None for what no model can have used: below zero, or above a billion tokens (row F38)."""
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    thought = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    counts = (
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
        cached or 0,
        usage.cache_creation_input_tokens or 0,
        thought or 0,
    )
    if min(counts) < 0 or max(counts) > 1_000_000_000:
        return None
    return Usage(*counts)


class OpenAIMeter:
    """Watches a chat stream pass (HTTP.md, Bodies and streams): first content, end, usage, errors."""

    __slots__ = (
        "_created",
        "_held",
        "_id",
        "_kind",
        "_model",
        "_open",
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
        self._held: list[bytes] = []
        self._open: dict[int, bool] = {}
        self._id = ""
        self._created = 0
        self._model = ""
        self._kind = kind
        self.committed = False
        self.done = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.finish = ""
        self.pieces = 0

    def feed(self, data: bytes) -> bytes:
        if self.done or self.error is not None:
            return b""
        try:
            whole = self._splitter.feed(data)
        except sse.TooLong:
            self.error = UpstreamBroken("The upstream sent an event above the limit.", code="upstream_error")
            return b""
        if not whole:
            return b""
        if not whole.isascii():
            try:
                whole.decode()
            except UnicodeDecodeError:
                return self._sort(whole)
        # The usual case: one event, of one data line, that crosses as it is.
        if self.committed and whole.startswith(b"data: {") and whole.find(b"\n") == len(whole) - 2:
            return whole if self._passes(whole[6:-2]) else b""
        return self._sort(whole)

    def finish_up(self) -> bytes:
        if self.error is not None:
            return b""
        complete = self.done or (bool(self._open) and not any(self._open.values()))
        if self.committed and complete:
            self.done = True
            return DONE
        self.error = UpstreamTruncated("The upstream ended before its answer was complete.")
        return b""

    def failure(self, error: GatewayError) -> bytes:
        return openai_error.error_frame(error, self._id, self._created, self._model, self._kind)

    def _sort(self, whole: bytes) -> bytes:
        """Several events, or one that needs a closer look: what of them may go on."""
        out: list[bytes] = []
        for event in whole.split(b"\n\n"):
            if not event:
                continue
            payload, kept = sse.data_of(event.lstrip(b"\n"))
            if payload == b"[DONE]":
                self.done = bool(self.committed)
                if not self.committed:
                    self.error = UpstreamTruncated("The upstream ended without an answer.")
                break
            if payload and not (self._passes(payload) if self.committed else self._opens(payload)):
                if self.error is not None:
                    break
                continue
            if kept:
                out.append(kept)
        if not out:
            return b""
        kept = b"\n\n".join(out) + b"\n\n"
        if self.committed:
            if self._held:
                self._held.append(kept)
                kept = b"".join(self._held)
                self._held.clear()
            return kept
        self._held.append(kept)
        return b""

    def _passes(self, payload: bytes) -> bool:
        """Whether an event after the first content goes on; notes its finish, usage or error."""
        try:
            if not payload.isascii():
                payload.decode()
            event = _event.decode(payload)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            self.error = UpstreamBroken("The upstream sent an event that is no JSON.", code="upstream_error")
            return False
        return self._note(event)

    def _opens(self, payload: bytes) -> bool:
        """The same before the first content, which it looks for."""
        try:
            payload.decode()
            event = _first.decode(payload)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            self.error = UpstreamBroken("The upstream sent an event that is no JSON.", code="upstream_error")
            return False
        self._id = event.id or self._id
        self._created = event.created or self._created
        self._model = event.model or self._model
        goes_on = self._note(event)
        if goes_on and event.choices:
            self.committed = any(_has_content(choice) for choice in event.choices)
        return goes_on

    def _note(self, event: "_Event | _First") -> bool:
        choices = event.choices
        if (choices is None and event.usage is None) or bytes(event.error) not in _EMPTY:
            # `{"error": …}` and vLLM's `{"object": "error"}` inside a 200 both land here: neither has choices.
            self.error = UpstreamBroken("The upstream reported an error in its stream.", code="upstream_error")
            return False
        for choice in choices or ():
            if choice.finish_reason:
                self._open[choice.index] = False
                self.finish = choice.finish_reason
            else:
                self.pieces += 1
                if choice.index not in self._open:
                    self._open[choice.index] = True
        if event.usage is not None:
            self.usage = _read_usage(event.usage) or self.usage
            if not choices and self._strip_usage:
                return False
        return True


def _has_content(choice: _FirstChoice) -> bool:
    if choice.finish_reason or choice.text:
        return True
    if bytes(choice.logprobs) not in _EMPTY:
        return True
    return choice.delta is not None and choice.delta.says_something()


class OpenAIChat:
    """Chat completions and text completions."""

    paths: Mapping[str, str] = {"/v1/chat/completions": "chat", "/v1/completions": "completions"}

    def read_request(self, body: bytes) -> Request:
        fields = raw.read_fields(body)
        stream = raw.read_flag(fields, "stream")
        wants_usage = False
        options = fields.get("stream_options")
        if options is not None and bytes(options) != b"null":
            if not stream:
                raise BadRequest(
                    "The field 'stream_options' needs 'stream' to be true.",
                    code="invalid_value",
                    param="stream_options",
                )
            try:
                wants_usage = _stream_options.decode(options).include_usage is True
            except DecodeError as error:
                raise BadRequest(
                    "The field 'stream_options' must be an object of flags.",
                    code="invalid_type",
                    param="stream_options",
                ) from error
        return Request(fields, raw.read_model(fields), stream, wants_usage)

    def write_request(
        self, request: Request, model: str, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        fields = request.fields.copy()
        fields["model"] = raw.text_of(model)
        if request.stream and ask_usage and not request.wants_usage:
            given = fields.get("stream_options")
            if given is None or bytes(given) == b"null":
                fields["stream_options"] = _ASK_USAGE
            else:
                options = _options.decode(given)
                options["include_usage"] = Raw(b"true")
                fields["stream_options"] = Raw(raw.write_fields(options))
        changed = apply(dialect, fields)
        if "stream_options" in changed and not request.wants_usage:
            changed.remove("stream_options")  # ours, not the caller's: nothing he sent was lost
        return raw.write_fields(fields), changed

    def read_whole(self, content_type: str, body: bytes) -> Whole:
        if not content_type.startswith("application/json"):
            raise UpstreamBroken("The upstream answered in another form than JSON.")
        try:
            if not body.isascii():
                body.decode()
            answer = _whole.decode(body)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer is no valid JSON.") from error
        if bytes(answer.error) not in _EMPTY or answer.object == "error" or answer.choices is None:
            raise UpstreamBroken("The upstream reported an error in its answer.", code="upstream_error")
        finish = next((choice.finish_reason for choice in answer.choices if choice.finish_reason), "")
        return Whole(_read_usage(answer.usage) if answer.usage else None, finish)

    def check_stream(self, content_type: str) -> None:
        """JSON or HTML where a stream was asked for is a silent empty success in both SDKs: a failure here."""
        if not content_type.startswith("text/event-stream"):
            raise UpstreamBroken("The upstream answered a stream in another form.")

    def meter(self, request: Request, event_bytes: int) -> OpenAIMeter:
        kind = "text_completion" if "prompt" in request.fields else "chat.completion.chunk"
        return OpenAIMeter(strip_usage=not request.wants_usage, event_bytes=event_bytes, kind=kind)

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)


WIRE = OpenAIChat()
