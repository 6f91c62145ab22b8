"""Events to a stream as callers of this language read it: every event named, every block told by itself.

Blocks may be open side by side in the events; here they never are: official clients differ in what they do then (the
older Go clients add a delta to the last block, whatever its index). Text and thought end where another block begins,
and go on in a new one; behind a tool's call, which can't be parted, others wait.
"""

from typing import Final

from msgspec import Raw
from msgspec.json import Encoder

from gateway.errors import GatewayError
from gateway.wire import anthropic_error
from gateway.wire.answer_id import answer_id
from gateway.wire.anthropic_messages import citation, finish, spending
from gateway.wire.anthropic_messages.answer import unsaid, write_block
from gateway.wire.anthropic_messages.shapes import MESSAGE, NAME
from gateway.wire.anthropic_messages.thought import proof
from gateway.wire.ir import (
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Foreign,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

_GROWS: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_TEXT: Final = _GROWS + b'{"type":"text_delta","text":%b}}\n\n'
_THOUGHT: Final = _GROWS + b'{"type":"thinking_delta","thinking":%b}}\n\n'
_INPUT: Final = _GROWS + b'{"type":"input_json_delta","partial_json":%b}}\n\n'
_SIGNATURE: Final = _GROWS + b'{"type":"signature_delta","signature":%b}}\n\n'
_CITATION: Final = _GROWS + b'{"type":"citations_delta","citation":%b}}\n\n'
_OPENS: Final = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
_CLOSES: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_EMPTY_TEXT: Final = b'{"type":"text","text":""}'
_EMPTY_THOUGHT: Final = b'{"type":"thinking","thinking":"","signature":""}'
_BEGINS: Final = b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n'
_ENDS: Final = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":%b,"usage":%b}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)

_encode: Final = Encoder().encode


class MessagesWriter:
    """See codec.Writer."""

    media_type = "text/event-stream"

    __slots__ = ("_ask", "_at", "_block", "_index", "_losses", "_more", "_parted", "_waiting")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._ask = ask
        self._losses = losses
        self._index = 0
        self._at = -1  # the block that is open, as events count; none below 0
        self._block: Block = Text("")
        self._more = _TEXT
        self._parted: dict[int, Block] = {}
        self._waiting: dict[int, list[BlockOpened | BlockGrew | BlockClosed]] = {}

    def feed(self, event: Event) -> bytes:
        if type(event) is BlockGrew:
            if event.at == self._at and event.text and not event.signature and event.citation is None:
                if event.logprobs is not None:
                    self._losses.dropped("logprobs")
                return self._more % (self._index, _encode(event.text))
            return self._take(event) + self._drain()
        if isinstance(event, Started):
            return self._begin(event)
        if isinstance(event, Finished):
            return self._end(event)
        return self._take(event) + self._drain()

    def fail(self, error: GatewayError) -> bytes:
        return anthropic_error.error_frame(error)

    def _begin(self, event: Started) -> bytes:
        """Usage is told at the end; official clients need the object here, and take the later counts over it."""
        return _BEGINS % _encode(
            {
                "id": answer_id(event.id, self._ask, MESSAGE),
                "type": "message",
                "role": "assistant",
                "model": event.model or self._ask.model,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": spending.write(None),
            }
        )

    def _end(self, event: Finished) -> bytes:
        out = self._close() if self._at >= 0 else b""
        while self._waiting:
            out += self._drain()
            out += self._close() if self._at >= 0 else b""
        if event.service_tier:
            self._losses.dropped("service_tier")  # only a stream's beginning has a place for it
        reason = {"stop_reason": finish.write(event.finish), "stop_sequence": event.sequence or None}
        return out + _ENDS % (_encode(reason), _encode(spending.write(event.usage)))

    def _take(self, event: BlockOpened | BlockGrew | BlockClosed) -> bytes:
        at = event.at
        if at in self._waiting:
            self._waiting[at].append(event)
            return b""
        if isinstance(event, BlockOpened):
            return self._open_or_wait(event)
        if at == self._at:
            return self._close() if isinstance(event, BlockClosed) else self._grow(event)
        if isinstance(event, BlockClosed):
            self._parted.pop(at, None)
            return b""
        again = self._parted.get(at)
        if again is None:
            return b""
        out = self._open_or_wait(BlockOpened(at, again))
        return out + self._take(event)

    def _open_or_wait(self, event: BlockOpened) -> bytes:
        out = b""
        if self._at >= 0:
            if isinstance(self._block, ToolCall):
                self._waiting[event.at] = [event]
                return out
            out = self._part()
        return out + self._open(event.at, event.block)

    def _drain(self) -> bytes:
        """What waited behind a tool's call."""
        out = b""
        while self._waiting and (self._at < 0 or not isinstance(self._block, ToolCall)):
            if self._at >= 0:
                out += self._part()
            for event in self._waiting.pop(next(iter(self._waiting))):
                out += self._take(event)
        return out

    def _part(self) -> bytes:
        """End a block of words before its end."""
        at, block = self._at, self._block
        out = self._close()
        self._parted[at] = _beginning(block)
        return out

    def _open(self, at: int, block: Block) -> bytes:
        match block:
            case Text():
                said = self._begin_block(at, Text(""), _EMPTY_TEXT, _TEXT)
                return said + self._grow(BlockGrew(at, block.text)) + self._cite(block)
            case Refusal():
                self._losses.mapped("refusal")
                said = self._begin_block(at, block, _EMPTY_TEXT, _TEXT)
                return said + self._grow(BlockGrew(at, block.text))
            case Thinking() if block.redacted and not block.text:
                self._parted[at] = _beginning(block)
                return self._whole(block)
            case Thinking():
                kept = Thinking("", block.signature, block.redacted, block.origin, block.id, block.summary)
                said = self._begin_block(at, kept, _EMPTY_THOUGHT, _THOUGHT)
                return said + self._grow(BlockGrew(at, block.text))
            case ToolCall():
                if block.signature:
                    self._losses.dropped("thinking.signature")
                start = _encode({"type": "tool_use", "id": block.id, "name": block.name, "input": {}})
                said = self._begin_block(at, block, start, _INPUT)
                return said + self._grow(BlockGrew(at, block.arguments))
            case Foreign() if block.origin == NAME:
                return self._whole(block)
            case _:
                self._losses.dropped(unsaid(block))
                return b""

    def _begin_block(self, at: int, block: Block, start: bytes, more: bytes) -> bytes:
        self._at = at
        self._block = block
        self._more = more
        return _OPENS % (self._index, start)

    def _whole(self, block: Block) -> bytes:
        """A block that never grows."""
        index = self._index
        self._index += 1
        return _OPENS % (index, _encode(write_block(block, self._losses))) + _CLOSES % index

    def _grow(self, event: BlockGrew) -> bytes:
        block = self._block
        out = self._more % (self._index, _encode(event.text)) if event.text else b""
        if event.signature and isinstance(block, Thinking):
            block.signature += event.signature
        elif event.signature:
            self._losses.dropped("thinking.signature")
        if event.citation is not None:
            out += self._cite(Text("", citations=[event.citation]))
        if event.logprobs is not None:
            self._losses.dropped("logprobs")
        return out

    def _cite(self, text: Text) -> bytes:
        places: list[Raw | None] = [citation.write(one, NAME, self._losses) for one in text.citations]
        return b"".join(_CITATION % (self._index, bytes(place)) for place in places if place is not None)

    def _close(self) -> bytes:
        """The end of the open block; what proves a thought is told last, as Anthropic does."""
        out = b""
        if isinstance(self._block, Thinking):
            out = _SIGNATURE % (self._index, _encode(proof(self._block, NAME)))
        out += _CLOSES % self._index
        self._index += 1
        self._at = -1
        return out


def _beginning(block: Block) -> Block:
    """What a block of words goes on as."""
    return Thinking(origin=block.origin, id=block.id) if isinstance(block, Thinking) else Text("")
