"""Anthropic's messages, and the counting of their tokens (platform.claude.com, Messages API).

To a place that speaks it too, bodies and events cross as they were written; what is read is what must be known.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.errors import UpstreamBroken
from gateway.features import Request, Whole
from gateway.wire import anthropic_error, openai_error, raw
from gateway.wire.anthropic_event import UNSAID, read_message
from gateway.wire.anthropic_meter import AnthropicMeter
from gateway.wire.dialect import Dialect, apply

_EVENTS: Final = "text/event-stream"


class AnthropicMessages:
    """Messages, whole and streamed, and counts."""

    paths: Mapping[str, str] = {"/v1/messages": "messages", "/v1/messages/count_tokens": "count_tokens"}
    passes: tuple[bytes, ...] = (b"anthropic-version", b"anthropic-beta")

    def read_request(self, body: bytes) -> Request:
        fields = raw.read_fields(body)
        return Request(fields, raw.read_model(fields), raw.read_flag(fields, "stream"))

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        del ask_usage  # it is always told
        fields = request.fields.copy()
        fields["model"] = model
        changed = apply(dialect, fields)
        return raw.write_fields(fields), changed

    def read_whole(self, content_type: str, body: bytes) -> Whole:
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


WIRE = AnthropicMessages()
