"""Amazon Bedrock's Converse for a bridge, both directions (docs.aws.amazon.com, Bedrock API reference, Converse)."""

from typing import Final

from gateway.wire.bedrock_converse import answer, error, request
from gateway.wire.bedrock_converse.media import NAME
from gateway.wire.bedrock_converse.stream import ConverseReader
from gateway.wire.bedrock_converse.stream_writer import ConverseWriter
from gateway.wire.codec import Codec
from gateway.wire.eventstream import MEDIA_TYPE, Messages
from gateway.wire.ir import Answer, Ask
from gateway.wire.losses import Losses


class BedrockConverse:
    """See Codec. The model and whether a stream is wanted stand in the path; whoever routes it puts them in."""

    name = NAME
    stream_type = MEDIA_TYPE

    check = staticmethod(request.check)
    read_request = staticmethod(request.read_request)
    write_request = staticmethod(request.write_request)
    read_answer = staticmethod(answer.read_answer)
    read_error = staticmethod(error.read_error)
    write_error = staticmethod(error.write_error)

    def write_answer(self, answered: Answer, ask: Ask, losses: Losses) -> bytes:
        return answer.write_answer(answered, ask, losses)

    def framing(self, most_bytes: int) -> Messages:
        return Messages(most_bytes)

    def reader(self, losses: Losses) -> ConverseReader:
        return ConverseReader(losses)

    def writer(self, ask: Ask, losses: Losses) -> ConverseWriter:
        return ConverseWriter(ask, losses)


CODEC: Final[Codec] = BedrockConverse()
