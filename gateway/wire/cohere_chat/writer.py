"""Events as a streamed answer (docs.cohere.com, A Guide to Streaming Responses).

The Python client reads `type` in the payload, others the event's name: each has both. The end is `message-end`, and
`[DONE]` after it; an answer that broke ends in a `message-end` whose delta has an `error`, the one place the clients'
types have for it, and no `[DONE]`.
"""

from itertools import chain, repeat
from typing import Final

from msgspec import Raw
from msgspec.json import Encoder

from gateway.errors import GatewayError
from gateway.wire.answer_id import answer_id
from gateway.wire.cohere_chat.answer import lose_beside, lose_block, says_thought
from gateway.wire.cohere_chat.citations import write_citation
from gateway.wire.cohere_chat.logprobs import write_items
from gateway.wire.cohere_chat.message import write_call
from gateway.wire.cohere_chat.words import ANSWER, CITATION, NAME, is_plan, write_finish, write_usage
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Foreign,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

_DONE: Final = b"data: [DONE]\n\n"
_START: Final = (
    b'event: message-start\ndata: {"type":"message-start","id":%b,"delta":{"message":'
    b'{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}\n\n'
)
_BEGINS: Final = (
    b'event: content-start\ndata: {"type":"content-start","index":%d,"delta":{"message":{"content":%b}}}\n\n'
)
_TEXT: Final = b'{"type":"text","text":""}'
_THOUGHT: Final = b'{"type":"thinking","thinking":""}'
_GROWS: Final = (
    b'event: content-delta\ndata: {"type":"content-delta","index":%d,"delta":{"message":{"content":{"%b":%b}}}}\n\n'
)
_WITH_LOGPROBS: Final = (
    b'event: content-delta\ndata: {"type":"content-delta","index":%d,'
    b'"delta":{"message":{"content":{"%b":%b}}},"logprobs":%b}\n\n'
)
_ENDS: Final = b'event: content-end\ndata: {"type":"content-end","index":%d}\n\n'
_PLANS: Final = b'event: tool-plan-delta\ndata: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":%b}}}\n\n'
_CALLS: Final = (
    b'event: tool-call-start\ndata: {"type":"tool-call-start","index":%d,"delta":{"message":{"tool_calls":%b}}}\n\n'
)
_ARGUES: Final = (
    b'event: tool-call-delta\ndata: {"type":"tool-call-delta","index":%d,'
    b'"delta":{"message":{"tool_calls":{"function":{"arguments":%b}}}}}\n\n'
)
_CALLED: Final = b'event: tool-call-end\ndata: {"type":"tool-call-end","index":%d}\n\n'
_CITES: Final = (
    b'event: citation-start\ndata: {"type":"citation-start","index":%d,"delta":{"message":{"citations":%b}}}\n\n'
    b'event: citation-end\ndata: {"type":"citation-end","index":%d}\n\n'
)
_FINISHED: Final = b'event: message-end\ndata: {"type":"message-end","delta":%b}\n\n'

_encode: Final = Encoder().encode


class _Open:
    """A block being written: what it is called, where it stands among its kind, and what it said so far."""

    __slots__ = ("at", "field", "pieces")

    def __init__(self, field: bytes, at: int) -> None:
        self.field = field
        self.at = at
        self.pieces: list[str] = []

    def text(self) -> str:
        return "".join(self.pieces)


_PLAN: Final = b"tool_plan"
_CALL: Final = b"arguments"


class CohereWriter:
    """See codec.Writer."""

    media_type = "text/event-stream"
    __slots__ = ("_ask", "_calls", "_cited", "_contents", "_losses", "_open")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._ask = ask
        self._losses = losses
        # What a block of the events is here; one that can't be said isn't in it.
        self._open: dict[int, _Open] = {}
        self._contents = 0
        self._calls = 0
        self._cited = 0

    def feed(self, event: Event) -> bytes:
        if isinstance(event, BlockGrew):
            return self._grow(event)
        if isinstance(event, BlockOpened):
            return self._begin(event.at, event.block)
        if isinstance(event, BlockClosed):
            return self._close(event.at)
        if isinstance(event, Started):
            return _START % _encode(answer_id(event.id, self._ask, ANSWER))
        delta: dict[str, object] = {"finish_reason": write_finish(event.finish)}
        if event.usage is not None:
            delta["usage"] = write_usage(event.usage)
        lose_beside(event.sequence, event.service_tier, self._losses)
        return _FINISHED % _encode(delta) + _DONE

    def fail(self, error: GatewayError) -> bytes:
        return _FINISHED % _encode({"error": error.message, "finish_reason": "ERROR"})

    def _begin(self, at: int, block: Block) -> bytes:
        if isinstance(block, Text | Refusal):
            if isinstance(block, Refusal):
                self._losses.mapped("refusal")
            open_ = self._open[at] = _Open(b"text", self._contents)
            self._contents += 1
            out = _BEGINS % (open_.at, _TEXT) + self._say(open_, block.text)
            for citation in block.citations if isinstance(block, Text) else ():
                out += self._cite(write_citation(citation, open_.text(), open_.at, self._losses))
            return out
        if isinstance(block, Thinking):
            return self._think(at, block)
        if isinstance(block, ToolCall):
            open_ = self._open[at] = _Open(_CALL, self._calls)
            self._calls += 1
            begun = _CALLS % (open_.at, _encode(write_call(block, "", self._losses)))
            return begun + self._say(open_, block.arguments)
        if isinstance(block, Foreign) and block.origin == NAME and block.kind == CITATION:
            return self._cite(block.raw)
        lose_block(block, self._losses)
        return b""

    def _think(self, at: int, thinking: Thinking) -> bytes:
        if is_plan(thinking):
            open_ = self._open[at] = _Open(_PLAN, 0)
            return self._say(open_, thinking.text)
        if not says_thought(thinking, self._losses) and thinking.redacted:
            return b""
        open_ = self._open[at] = _Open(b"thinking", self._contents)
        self._contents += 1
        return _BEGINS % (open_.at, _THOUGHT) + self._say(open_, thinking.text)

    def _grow(self, event: BlockGrew) -> bytes:
        if event.signature:
            self._losses.dropped("thinking.signature")
        open_ = self._open.get(event.at)
        if open_ is None:
            return b""
        out = self._say(open_, event.text, event.logprobs)
        if event.citation is not None:
            out += self._cite(write_citation(event.citation, open_.text(), open_.at, self._losses))
        return out

    def _say(self, open_: _Open, text: str, logprobs: Raw | None = None) -> bytes:
        if not text and logprobs is None:
            return b""
        field = open_.field
        if field == _PLAN:
            return _PLANS % _encode(text)
        open_.pieces.append(text)
        if field == _CALL:
            return _ARGUES % (open_.at, _encode(text))
        items = write_items(logprobs, self._losses) if logprobs is not None else None
        if not items:
            return _GROWS % (open_.at, field, _encode(text))
        # An event is about one token: of several that came together the first has all of the text.
        texts = chain((text,), repeat(""))
        return b"".join(
            _WITH_LOGPROBS % (open_.at, field, _encode(piece), _encode(item))
            for piece, item in zip(texts, items, strict=False)
        )

    def _cite(self, raw: Raw) -> bytes:
        at = self._cited
        self._cited += 1
        return _CITES % (at, bytes(raw), at)

    def _close(self, at: int) -> bytes:
        open_ = self._open.pop(at, None)
        if open_ is None or open_.field == _PLAN:
            return b""
        if open_.field != _CALL:
            return _ENDS % open_.at
        # Arguments are parsed by whoever calls: nothing is no JSON.
        return (b"" if open_.pieces else self._say(open_, NO_ARGUMENTS)) + _CALLED % open_.at
