"""OpenAI's chat and text completions: `choices`, streamed as SSE, ended by `[DONE]`.

Same language in and out, so bodies and events cross as they were written; this file reads only what must be known:
the model, whether a stream is asked for, how the answer ended, the usage, and errors wherever they hide.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest, UpstreamBroken
from gateway.features import Request, Whole
from gateway.wire import PLAIN, Addressed, Pattern, openai_error, raw
from gateway.wire.dialect import Dialect, apply
from gateway.wire.openai_chat.request import check
from gateway.wire.openai_event import complains, read, usage_of
from gateway.wire.openai_meter import OpenAIMeter

_ASK_USAGE: Final = Raw(b'{"include_usage":true}')


class _StreamOptions(Struct):
    include_usage: bool | None = None


_read_options: Final = Decoder(_StreamOptions).decode


class OpenAIChat:
    """Chat completions and text completions."""

    paths: Mapping[str, str] = {"/v1/chat/completions": "chat", "/v1/completions": "completions"}
    patterns: tuple[Pattern, ...] = ()
    passes: tuple[bytes, ...] = (b"openai-beta",)

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        fields = raw.read_fields(body)
        stream = raw.read_flag(fields, "stream")
        options = fields.get("stream_options")
        wants_usage = options is not None and _wants_usage(bytes(options), stream=stream)
        model = addressed.model or raw.read_model(fields)
        request = Request(fields, model, stream, wants_usage, addressed.query)
        check(request)
        return request

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        fields = request.fields.copy()
        fields["model"] = model
        given = fields.get("stream_options")
        if request.stream and ask_usage and not request.wants_usage:
            fields["stream_options"] = _asking(given)
        changed = apply(dialect, fields)
        if given is None and "stream_options" in changed:
            changed.remove("stream_options")  # ours, not the caller's: nothing he sent was lost
        return raw.write_fields(fields), changed

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        del request
        raw.check_answer(content_type, body)
        try:
            answer = read(body)
            told = complains(answer, body)
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer is no valid JSON.") from error
        if told:
            raise openai_error.read_inside(told)
        if answer.choices is None:
            raise UpstreamBroken("The upstream's answer has no choices.")
        ends = [choice.finish_reason for choice in answer.choices if choice.finish_reason]
        if "error" in ends:
            raise UpstreamBroken("The upstream reported an error in its answer.", code="upstream_error")
        return Whole(usage_of(answer), ends[-1] if ends else "")

    def check_stream(self, content_type: str) -> None:
        """JSON or HTML where a stream was asked for is a silent empty success in both SDKs: a failure here."""
        if not content_type.lower().startswith("text/event-stream"):
            raise UpstreamBroken("The upstream answered a stream in another form.")

    def meter(self, request: Request, event_bytes: int) -> OpenAIMeter:
        kind = "chat.completion.chunk" if "messages" in request.fields else "text_completion"
        return OpenAIMeter(strip_usage=not request.wants_usage, event_bytes=event_bytes, kind=kind)

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)
    error_headers = staticmethod(openai_error.no_headers)


def _wants_usage(options: bytes, *, stream: bool) -> bool:
    if options == b"null":
        return False
    if not stream:
        raise BadRequest(
            "The field 'stream_options' needs 'stream' to be true.", code="invalid_value", param="stream_options"
        )
    try:
        return _read_options(options).include_usage is True
    except DecodeError as error:
        raise BadRequest(
            "The field 'stream_options' must be an object of flags.", code="invalid_type", param="stream_options"
        ) from error


def _asking(given: Raw | None) -> Raw:
    """The caller's stream options, with usage asked for."""
    if given is None or bytes(given) == b"null":
        return _ASK_USAGE
    options = raw.read_object(given)
    options["include_usage"] = Raw(b"true")
    return Raw(raw.write_fields(options))


WIRE = OpenAIChat()
