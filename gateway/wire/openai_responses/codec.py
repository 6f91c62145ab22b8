"""OpenAI's Responses API, stateless: items in, items out. Its files tied together as a bridge wants them."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.errors import GatewayError, UpstreamError
from gateway.features import Request
from gateway.wire import openai_error
from gateway.wire.framing import Events
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses
from gateway.wire.openai_responses import answer, outbound, request
from gateway.wire.openai_responses.fields import NAME
from gateway.wire.openai_responses.stream import Reader
from gateway.wire.openai_responses.writer import Writer


class Responses:
    """See codec.Codec."""

    name = NAME
    stream_type = "text/event-stream"

    def check(self, request_: Request) -> None:
        request.check(request_)

    def read_request(self, request_: Request) -> Ask:
        return request.read_request(request_)

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return outbound.write_request(ask, model, losses)

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        return answer.read_answer(body, losses)

    def write_answer(self, answer_: Answer, ask: Ask, losses: Losses) -> bytes:
        return answer.write_answer(answer_, ask, losses)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return openai_error.read_error(status, headers, body)

    def write_error(self, error: GatewayError, request_id: str) -> bytes:
        return openai_error.write_error(error, request_id)

    def framing(self, most_bytes: int) -> Events:
        return Events(most_bytes)

    def reader(self, losses: Losses) -> Reader:
        return Reader(losses)

    def writer(self, ask: Ask, losses: Losses) -> Writer:
        return Writer(ask, losses)


CODEC: Final = Responses()
