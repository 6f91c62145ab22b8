"""Google's generateContent, streamGenerateContent and countTokens, as the Gemini API and Vertex AI speak them."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.errors import GatewayError, UpstreamError
from gateway.features import Request
from gateway.wire.gemini import answer, asking, count, error, request
from gateway.wire.gemini.fields import NAME
from gateway.wire.gemini.framing import Chunks
from gateway.wire.gemini.stream import GeminiReader
from gateway.wire.gemini.writer import EVENTS, ArrayWriter, EventWriter, asks_events
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses


class Gemini:
    """See Codec. Backends are always asked for events (`?alt=sse`); callers may want an array instead."""

    name = NAME
    stream_type = EVENTS

    def check(self, asked: Request) -> None:
        request.check(asked)

    def read_request(self, asked: Request) -> Ask:
        return request.read_request(asked)

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return asking.write_request(ask, model, losses)

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        return answer.read_answer(body, losses)

    def write_answer(self, told: Answer, ask: Ask, losses: Losses) -> bytes:
        return answer.write_answer(told, ask, losses)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return error.read_error(status, headers, body)

    def write_error(self, failed: GatewayError, request_id: str) -> bytes:
        return error.write_error(failed, request_id)

    def framing(self, most_bytes: int) -> Chunks:
        return Chunks(most_bytes)

    def reader(self, losses: Losses) -> GeminiReader:
        return GeminiReader(losses)

    def writer(self, ask: Ask, losses: Losses) -> EventWriter | ArrayWriter:
        """Events where the address asks for them, else an array."""
        return EventWriter(ask, losses) if asks_events(ask.query) else ArrayWriter(ask, losses)

    def check_count(self, asked: Request) -> None:
        request.check(asked)

    def read_count(self, asked: Request) -> Ask:
        return count.read_count(asked)

    def write_count(self, tokens: int) -> bytes:
        return count.write_count(tokens)

    def write_count_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return count.write_count_request(ask, model, losses)

    def name_model(self, fields: dict[str, Raw], model: str) -> None:
        count.name_model(fields, model)

    def read_count_answer(self, body: bytes) -> int:
        return count.read_count_answer(body)


CODEC: Final = Gemini()
