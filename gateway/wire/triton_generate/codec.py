"""Triton's generate and generate_stream, as backends speak them."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.errors import UpstreamError
from gateway.wire import openai_error
from gateway.wire.codec import OutCodec
from gateway.wire.framing import Events
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses
from gateway.wire.triton_generate.answer import TritonReader, read_answer
from gateway.wire.triton_generate.request import write_request


class TritonGenerate:
    """See OutCodec."""

    name = "triton_generate"
    stream_type = "text/event-stream"

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        del model  # it is in the path
        return write_request(ask, losses)

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        del losses
        return read_answer(body)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return openai_error.read_error(status, headers, body)

    def framing(self, most_bytes: int) -> Events:
        return Events(most_bytes)

    def reader(self, losses: Losses) -> TritonReader:
        del losses
        return TritonReader()


CODEC: Final[OutCodec] = TritonGenerate()
