"""A streamed Converse answer to events and back (docs.aws.amazon.com, Bedrock API reference, ConverseStreamOutput).

`contentBlockStart` is said for tools and images alone: a text or a thought begins with its first delta, and boto3
refuses a start that holds nothing.
"""

from binascii import a2b_base64, b2a_base64
from typing import Final

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from gateway.errors import UpstreamTruncated
from gateway.features import Usage
from gateway.wire.bedrock_converse.answer import finish_of, is_there, note, sequence_of, tier_of, usage_of
from gateway.wire.bedrock_converse.error import read_exception
from gateway.wire.bedrock_converse.media import read_media
from gateway.wire.bedrock_converse.reading import RESULT, SERVED, SIGNER, Called, foreign, read_citation, redacted
from gateway.wire.eventstream import FAILED
from gateway.wire.ir import (
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

_REDACTED: Final = "redactedContent"
_IMAGE: Final = "image"


class _Start(Struct, rename="camel"):
    tool_use: Raw | UnsetType = UNSET
    tool_result: Raw | UnsetType = UNSET
    image: Raw | UnsetType = UNSET


class _StartEvent(Struct, rename="camel"):
    start: _Start
    content_block_index: int = 0


class _Thought(Struct, rename="camel", gc=False):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Input(Struct, gc=False):
    input: str = ""


class _Delta(Struct, rename="camel"):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Thought | None = None
    citation: Raw | UnsetType = UNSET
    tool_result: list[Raw] | None = None
    image: Raw | UnsetType = UNSET


class _DeltaEvent(Struct, rename="camel"):
    delta: _Delta
    content_block_index: int = 0


class _UnknownEvent(Struct):
    start: Raw = Raw(b"{}")
    delta: Raw = Raw(b"{}")


class _StopEvent(Struct, rename="camel"):
    content_block_index: int = 0


class _EndEvent(Struct, rename="camel"):
    stop_reason: str | None = None
    additional_model_response_fields: Raw | UnsetType = UNSET


class _Metadata(Struct, rename="camel"):
    usage: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    trace: Raw | UnsetType = UNSET


_start: Final = Decoder(_StartEvent).decode
_called: Final = Decoder(Called).decode
_delta: Final = Decoder(_DeltaEvent).decode
_unknown: Final = Decoder(_UnknownEvent).decode
_stop: Final = Decoder(_StopEvent).decode
_end: Final = Decoder(_EndEvent).decode
_metadata: Final = Decoder(_Metadata).decode
_fields: Final = Decoder(dict[str, Raw]).decode
_encode: Final = Encoder().encode


class _Gathered:
    """A block that is given when it is whole: what Amazon's own tools do, a picture, a thought nobody may read."""

    __slots__ = ("_kind", "_parts", "_start", "_texts")

    def __init__(self, kind: str, start: Raw | None = None) -> None:
        self._kind = kind
        self._start = start
        self._parts: list[Raw] = []
        self._texts: list[str] = []

    def add(self, delta: _Delta) -> bool:
        """Whether this is more of it."""
        thought = delta.reasoning_content
        if self._kind == _REDACTED:
            if thought is None or thought.redacted_content is None:
                return False
            self._texts.append(thought.redacted_content)
        elif self._kind == SERVED:
            if delta.tool_use is None:
                return False
            self._texts.append(delta.tool_use.input)
        elif self._kind == _IMAGE:
            if not is_there(delta.image):
                return False
            self._parts.append(delta.image)
        else:
            if delta.tool_result is None:
                return False
            self._parts += delta.tool_result
        return True

    def block(self) -> Block:
        if self._start is None:
            return redacted(_joined(self._texts))
        said: dict[str, object] = dict(_fields(self._start))
        if self._kind == SERVED:
            said["input"] = Raw("".join(self._texts).encode() or b"{}")
            return foreign(SERVED, "toolUse", Raw(_encode(said)))
        if self._kind == _IMAGE:
            for part in self._parts:
                said |= _fields(part)
            return read_media(_IMAGE, Raw(_encode(said)))[-1]
        said["content"] = self._parts
        return foreign(self._kind, self._kind, Raw(_encode(said)))


def _joined(blobs: list[str]) -> str:
    """Pieces of bytes, each in base64, as one."""
    if len(blobs) == 1:
        return blobs[0]
    return b2a_base64(b"".join(map(a2b_base64, blobs)), newline=False).decode()


class ConverseReader:
    """See Reader. A block's index in the stream says which one grows; its place among the events is our own."""

    __slots__ = (
        "_calls",
        "_end",
        "_gathered",
        "_losses",
        "_next",
        "_open",
        "_started",
        "_texts",
        "_tier",
        "_usage",
        "done",
    )

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._started = False
        self._next = 0
        self._open: dict[int, tuple[int, type[Block]]] = {}
        self._texts: dict[int, int] = {}  # those of `_open` that are texts, which is most of any answer
        self._gathered: dict[int, _Gathered] = {}
        self._calls = False
        self._end: _EndEvent | None = None
        self._usage: Usage | None = None
        self._tier = ""
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        if name == "contentBlockDelta":
            said = _delta(payload)
            text = said.delta.text
            if text is not None and said.content_block_index in self._texts:
                return [BlockGrew(self._texts[said.content_block_index], text)]
            return self._begin() + self._grow(said.content_block_index, said.delta, payload)
        if name.startswith(FAILED):
            raise read_exception(name, payload)
        events = self._begin()
        match name:
            case "contentBlockStart":
                start = _start(payload)
                events += self._start(start.content_block_index, start.start, payload)
            case "contentBlockStop":
                events += self._close(_stop(payload).content_block_index)
            case "messageStop":
                self._end = _end(payload)
            case "metadata":
                said_last = _metadata(payload)
                self._usage = usage_of(said_last.usage)
                self._tier = tier_of(said_last.service_tier)
                note(said_last.trace, self._losses)
                self.done = self._end is not None
        return events

    def end(self) -> list[Event]:
        events = self._begin()
        for index in (*self._open, *self._gathered):
            events += self._close(index)
        if self._end is None:
            raise UpstreamTruncated("The upstream's stream ended before its answer did.")
        finish = finish_of(self._end.stop_reason or "", calls=self._calls)
        sequence = sequence_of(self._end.additional_model_response_fields, self._losses)
        events.append(Finished(finish, sequence, self._usage, self._tier))
        return events

    def _begin(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Started()]

    def _start(self, index: int, start: _Start, payload: bytes) -> list[Event]:
        events = self._close(index)
        if is_there(start.tool_use):
            call = _called(start.tool_use)
            if call.type == SERVED:
                self._gathered[index] = _Gathered(SERVED, start.tool_use)
            else:
                self._calls = True
                events += self._opened(index, ToolCall(call.tool_use_id, call.name))
        elif is_there(start.tool_result):
            self._gathered[index] = _Gathered(RESULT, start.tool_result)
        elif is_there(start.image):
            self._gathered[index] = _Gathered(_IMAGE, start.image)
        else:
            self._note_unknown(payload)
        return events

    def _grow(self, index: int, delta: _Delta, payload: bytes) -> list[Event]:
        gathered = self._gathered.get(index)
        if gathered is not None and gathered.add(delta):
            return []
        thought = delta.reasoning_content
        if delta.text is not None:
            return self._more(index, Text(""), delta.text) if delta.text else []
        if thought is not None and thought.redacted_content is not None:
            events = self._close(index)
            self._gathered[index] = gathered = _Gathered(_REDACTED)
            gathered.add(delta)
            return events
        if thought is not None:
            return self._more(index, Thinking(origin=SIGNER), thought.text or "", thought.signature or "")
        if delta.tool_use is not None:
            if self._open.get(index, (0, Text))[1] is not ToolCall:
                raise ValueError("A call grows that never began.")
            return [BlockGrew(self._open[index][0], delta.tool_use.input)]
        if is_there(delta.citation):
            events = self._more(index, Text(""), "")
            return [*events, BlockGrew(self._open[index][0], citation=read_citation(delta.citation))]
        self._note_unknown(payload)
        return []

    def _note_unknown(self, payload: bytes) -> None:
        said = _unknown(payload)
        for kind in (*_fields(said.start), *_fields(said.delta)):
            self._losses.dropped(kind)

    def _more(self, index: int, block: Text | Thinking, text: str, signature: str = "") -> list[Event]:
        """Growth of a block of this kind, which begins here where it hasn't."""
        events: list[Event] = []
        if self._open.get(index, (0, None))[1] is not type(block):
            events = self._close(index) + self._opened(index, block)
        if text or signature:
            events.append(BlockGrew(self._open[index][0], text, signature))
        return events

    def _opened(self, index: int, block: Block) -> list[Event]:
        at = self._next
        self._next += 1
        self._open[index] = (at, type(block))
        if isinstance(block, Text):
            self._texts[index] = at
        return [BlockOpened(at, block)]

    def _close(self, index: int) -> list[Event]:
        gathered = self._gathered.pop(index, None)
        if gathered is not None:
            at = self._next
            self._next += 1
            return [BlockOpened(at, gathered.block()), BlockClosed(at)]
        block = self._open.pop(index, None)
        self._texts.pop(index, None)
        return [BlockClosed(block[0])] if block is not None else []
