"""Anthropic's messages for a bridge, both directions, whole and streamed; and the counting of tokens.

Sources: platform.claude.com, Messages API, Streaming messages, Token counting; the types of the official clients.
"""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.features import Request
from gateway.wire import anthropic_error, openai_error
from gateway.wire.anthropic_messages import answer, check, request, request_out, shapes
from gateway.wire.anthropic_messages.stream import MessagesReader
from gateway.wire.anthropic_messages.stream_out import MessagesWriter
from gateway.wire.framing import Events
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses


class _Count(Struct):
    input_tokens: int


_count: Final = Decoder(_Count).decode
_encode: Final = Encoder().encode


class AnthropicCodec:
    """See codec.Codec. A count has the shape of a message without what only an answer needs."""

    name = shapes.NAME
    stream_type = "text/event-stream"

    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(anthropic_error.write_error)

    def check(self, asked: Request) -> None:
        check.check(asked)

    def read_request(self, asked: Request) -> Ask:
        return request.read(asked)

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return request_out.write(ask, model, losses)

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        return answer.read(body, losses)

    def write_answer(self, said: Answer, ask: Ask, losses: Losses) -> bytes:
        return answer.write(said, ask, losses)

    def framing(self, most_bytes: int) -> Events:
        return Events(most_bytes)

    def reader(self, losses: Losses) -> MessagesReader:
        return MessagesReader(losses)

    def writer(self, ask: Ask, losses: Losses) -> MessagesWriter:
        return MessagesWriter(ask, losses)

    def check_count(self, asked: Request) -> None:
        """As `check`, of a request to count its tokens."""
        check.check(asked, counts=True)

    def read_count(self, asked: Request) -> Ask:
        """A request to count its tokens; it has no `max_tokens`."""
        return request.read(asked, counts=True)

    def write_count_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return request_out.write_count(ask, model, losses)

    def name_model(self, fields: dict[str, Raw], model: str) -> None:
        fields["model"] = Raw(_encode(model))

    def read_count_answer(self, body: bytes) -> int:
        """The number of tokens. ValueError or RecursionError where there is none."""
        return _count(body).input_tokens

    def write_count(self, tokens: int) -> bytes:
        return _encode(_Count(tokens))


CODEC: Final = AnthropicCodec()
