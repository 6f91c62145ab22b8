"""Anthropic's messages (platform.claude.com, Messages API).

To a place that speaks it too, bodies and events cross as they were written; what is read is what must be known.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UpstreamBroken
from gateway.features import Request, Whole
from gateway.wire import PLAIN, Addressed, Pattern, anthropic_error, openai_error, raw
from gateway.wire.anthropic_event import UNSAID, read_message
from gateway.wire.anthropic_messages.check import check
from gateway.wire.anthropic_messages.request import read
from gateway.wire.anthropic_messages.request_out import write
from gateway.wire.anthropic_meter import AnthropicMeter
from gateway.wire.dialect import Dialect, apply
from gateway.wire.losses import Losses
from gateway.wire.signing import is_sealed_elsewhere

_EVENTS: Final = "text/event-stream"


class AnthropicMessages:
    """Messages, whole and streamed."""

    paths: Mapping[str, str] = {"/v1/messages": "messages"}
    patterns: tuple[Pattern, ...] = ()
    passes: tuple[bytes, ...] = (b"anthropic-version", b"anthropic-beta")

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        fields = raw.read_fields(body)
        request = Request(
            fields, addressed.model or raw.read_model(fields), raw.read_flag(fields, "stream"), query=addressed.query
        )
        check(request)
        return request

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage  # it is always told
        losses = Losses()
        fields = request.fields.copy()
        if is_sealed_elsewhere(bytes(fields["messages"])):
            fields = write(read(request), decode(model, type=str), losses)
        fields["model"] = model
        changed = apply(dialect, fields)
        return raw.write_fields(fields), losses.names() + changed

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        del request
        raw.check_answer(content_type, body)
        try:
            message = read_message(body)
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer is no valid JSON.") from error
        if message.type == "error" or message.error is not UNSAID:
            raise openai_error.read_inside(body)
        if message.content is None and message.input_tokens is None:
            raise UpstreamBroken("The upstream's answer has no content.")
        return Whole(message.usage.usage() if message.usage is not None else None, message.stop_reason or "")

    def check_stream(self, content_type: str) -> None:
        if not content_type.lower().startswith(_EVENTS):
            raise UpstreamBroken("The upstream answered a stream in another form.")

    def meter(self, request: Request, event_bytes: int) -> AnthropicMeter:
        del request
        return AnthropicMeter(event_bytes=event_bytes)

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(anthropic_error.write_error)
    error_headers = staticmethod(openai_error.no_headers)


WIRE = AnthropicMessages()
