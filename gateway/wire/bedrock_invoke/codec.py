"""Claude on Bedrock as InvokeModel and InvokeModelWithResponseStream have it.

Bodies are Anthropic's, with a version in place of the model and of `stream`, which stand in the path; pictures and
documents are in them as data, for Amazon fetches none and stores none (Bedrock user guide, Anthropic Claude Messages
API: `source.type` is base64). Each event of a stream is Anthropic's in base64, inside a `chunk` of AWS's binary
framing (API reference, ResponseStream and PayloadPart); exceptions are Amazon's own.
"""

from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.errors import UpstreamError
from gateway.wire.anthropic_messages import request_out
from gateway.wire.bedrock_converse import error
from gateway.wire.codec import OutCodec, Reader, codec
from gateway.wire.eventstream import FAILED, MEDIA_TYPE, Messages
from gateway.wire.ir import Answer, Ask, Event
from gateway.wire.losses import Losses

_CLAUDE: Final = "anthropic_messages"
_VERSION: Final = Raw(b'"bedrock-2023-05-31"')
# What the path says, and what Anthropic knows on its own platform only, by the word for its loss.
_IN_PATH: Final = ("model", "stream")
_NOT_HERE: Final = {"service_tier": "service_tier", "cache_control": "cache"}
_CHUNK: Final = "chunk"


class _Part(Struct):
    bytes: str


_part: Final = Decoder(_Part).decode


class ChunkReader:
    """See Reader: Anthropic's, of what the chunks hold."""

    __slots__ = ("_inner", "done")

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        if name == _CHUNK:
            events = self._inner.feed("", a2b_base64(_part(payload).bytes))
            self.done = self._inner.done
            return events
        if name.startswith(FAILED):
            raise error.read_exception(name, payload)
        return []

    def end(self) -> list[Event]:
        return self._inner.end()


class BedrockInvoke:
    """See OutCodec."""

    name = "bedrock_invoke"
    stream_type = MEDIA_TYPE

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        fields = request_out.write(ask, model, losses, fetches=False)
        for name in _IN_PATH:
            fields.pop(name, None)
        for name, word in _NOT_HERE.items():
            if fields.pop(name, None) is not None:
                losses.dropped(word)
        fields["anthropic_version"] = _VERSION
        return fields

    def read_answer(self, body: bytes, losses: Losses) -> Answer:
        return self._claude().read_answer(body, losses)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return error.read_error(status, headers, body)

    def framing(self, most_bytes: int) -> Messages:
        return Messages(most_bytes)

    def reader(self, losses: Losses) -> ChunkReader:
        return ChunkReader(self._claude().reader(losses))

    def _claude(self) -> OutCodec:
        return codec(_CLAUDE)


CODEC: Final[OutCodec] = BedrockInvoke()
