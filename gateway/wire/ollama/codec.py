"""Ollama's /api/chat, as backends speak it."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.errors import UpstreamError
from gateway.wire import openai_error
from gateway.wire.codec import OutCodec
from gateway.wire.framing import Lines
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses
from gateway.wire.ollama.answer import OllamaReader, read_answer
from gateway.wire.ollama.request import write_request


class Ollama:
    """See OutCodec."""

    name = "ollama"
    stream_type = "application/x-ndjson"

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        return write_request(ask, model, losses)

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        del losses
        return read_answer(body)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return openai_error.read_error(status, headers, body)

    def framing(self, most_bytes: int) -> Lines:
        return Lines(most_bytes)

    def reader(self, losses: Losses) -> OllamaReader:
        del losses
        return OllamaReader()


CODEC: Final[OutCodec] = Ollama()
