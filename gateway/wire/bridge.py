"""From the language a caller speaks to the one a backend speaks, and back. A bridge is a Wire like any other."""

from collections.abc import Mapping
from functools import cache
from typing import Final, cast

from msgspec import Raw
from msgspec.json import decode

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError
from gateway.features import Request, Whole
from gateway.wire import PLAIN, Addressed, Pattern, Wire, load, raw
from gateway.wire.call_ids import CallIds
from gateway.wire.codec import Codec, OutCodec, codec
from gateway.wire.crossing import Crossing
from gateway.wire.dialect import Dialect, apply
from gateway.wire.ir import Ask, ToolCall
from gateway.wire.losses import Losses

# The operation that a conversation is in each language: where a provider's row has a path for it, it can be reached.
CONVERSATIONS: Final[Mapping[str, str]] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic_messages": "messages",
    "gemini": "generate",
    "bedrock_converse": "converse",
    "bedrock_invoke": "invoke",
    "cohere_chat": "cohere_chat",
    "ollama": "ollama_chat",
    "tgi": "tgi_generate",
    "triton_generate": "triton_generate",
}
LANGUAGES: Final[Mapping[str, str]] = {operation: language for language, operation in CONVERSATIONS.items()}

_ASKS_USAGE: Final = "openai_chat"
_OPTIONS: Final = "stream_options"
_ASK_USAGE: Final = Raw(b'{"include_usage":true}')


class Bridge:
    """Joins two languages. What is lost on the way in goes with the request, on the way back with the answer."""

    paths: Mapping[str, str] = {}
    patterns: tuple[Pattern, ...] = ()
    passes: tuple[bytes, ...] = ()

    def __init__(self, inbound: Codec, outbound: OutCodec, native: Wire) -> None:
        """`native` is the wire of the inbound language."""
        self._inbound = inbound
        self._outbound = outbound
        self._native = native

    def read_request(self, body: bytes, addressed: Addressed = PLAIN) -> Request:
        return self._native.read_request(body, addressed)

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        losses = Losses()
        fields = self._outbound.write_request(self._ask(request), decode(model, type=str), losses)
        if request.stream and ask_usage and self._outbound.name == _ASKS_USAGE:
            fields[_OPTIONS] = _ASK_USAGE
        changed = [name for name in apply(dialect, fields) if name != _OPTIONS]
        return raw.write_fields(fields), losses.names() + changed

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        raw.check_answer(content_type, body)
        losses = Losses()
        try:
            answer = self._outbound.read_answer(body, losses)
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken("The upstream's answer can't be read.") from error
        ask = self._ask(request)
        ids = CallIds(ask.messages)
        for block in answer.content:
            if isinstance(block, ToolCall):
                ids.settle(block)
        written = self._inbound.write_answer(answer, ask, losses)
        return Whole(answer.usage, answer.finish, written, tuple(losses.names()))

    def check_stream(self, content_type: str) -> None:
        if not content_type.lower().startswith(self._outbound.stream_type):
            raise UpstreamBroken("The upstream answered a stream in another form.")

    def meter(self, request: Request, event_bytes: int) -> Crossing:
        losses = Losses()
        ask = self._ask(request)
        return Crossing(
            self._outbound.framing(event_bytes),
            self._outbound.reader(losses),
            self._inbound.writer(ask, losses),
            losses,
            event_bytes=event_bytes,
            ids=CallIds(ask.messages),
        )

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return self._outbound.read_error(status, headers, body)

    def write_error(self, error: GatewayError, request_id: str) -> bytes:
        return self._native.write_error(error, request_id)

    def error_headers(self, error: GatewayError) -> tuple[tuple[str, str], ...]:
        return self._native.error_headers(error)

    def _ask(self, request: Request) -> Ask:
        """The inner form, made once for all attempts."""
        ask = request.inner
        if not isinstance(ask, Ask):
            ask = request.inner = self._inbound.read_request(request)
        # Whoever looked at the request before may have made it: a reader doesn't see the address.
        ask.query = request.query
        return ask


@cache
def between(inbound: str, outbound: str) -> Wire:
    """The bridge from one language to another; ModuleNotFoundError where there is no such language."""
    # Whoever has a Wire of his own speaks both ways.
    return Bridge(cast("Codec", codec(inbound)), codec(outbound), load(inbound))
