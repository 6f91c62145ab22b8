"""Cohere's chat, version 2, read and written (docs.cohere.com, Chat)."""

from typing import Final

from msgspec import Raw

from gateway.features import Request
from gateway.wire.codec import Codec
from gateway.wire.cohere_chat import answer, asking, error, request
from gateway.wire.cohere_chat.stream import CohereReader
from gateway.wire.cohere_chat.words import NAME
from gateway.wire.cohere_chat.writer import CohereWriter
from gateway.wire.framing import Events
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses


class CohereChat:
    """See Codec."""

    name = NAME
    stream_type = "text/event-stream"

    check = staticmethod(request.check_request)
    read_error = staticmethod(error.read_error)
    write_error = staticmethod(error.write_error)
    read_answer = staticmethod(answer.read_answer)

    def read_request(self, request_: Request) -> Ask:
        return request.read_request(request_)

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return asking.write_request(ask, model, losses)

    def write_answer(self, answer_: Answer, ask: Ask, losses: Losses) -> bytes:
        return answer.write_answer(answer_, ask, losses)

    def framing(self, most_bytes: int) -> Events:
        return Events(most_bytes)

    def reader(self, losses: Losses) -> CohereReader:
        return CohereReader(losses)

    def writer(self, ask: Ask, losses: Losses) -> CohereWriter:
        return CohereWriter(ask, losses)


CODEC: Final[Codec] = CohereChat()
