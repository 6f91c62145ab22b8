"""Events to a streamed answer of Google's language: as server-sent events, or as one JSON array.

The array is what `streamGenerateContent` answers without `?alt=sse` (cloud.google.com, "System parameters": `$alt` is
another spelling). Every element is a whole GenerateContentResponse either way.
"""

from typing import Final
from urllib.parse import parse_qsl

from msgspec import Raw
from msgspec.json import Encoder
from msgspec.structs import replace

from gateway.errors import GatewayError
from gateway.wire.gemini.answer import about, candidate_of, ending, write_block, write_thought
from gateway.wire.gemini.chunk import tier_of, write_usage
from gateway.wire.gemini.citation import Grounding
from gateway.wire.gemini.contents import Part
from gateway.wire.gemini.error import error_body
from gateway.wire.gemini.logprobs import write_logprobs
from gateway.wire.ir import (
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

EVENTS: Final = "text/event-stream"
ARRAY: Final = "application/json; charset=UTF-8"

_ALT: Final = frozenset(("alt", "$alt"))

_encode: Final = Encoder().encode


def asks_events(query: str) -> bool:
    """Whether a request's address asks for server-sent events."""
    return any(name in _ALT and value.lower() == "sse" for name, value in parse_qsl(query))


class ChunkWriter:
    """Events to chunks, one at most for each."""

    __slots__ = ("_about", "_blocks", "_grounding", "_losses", "_model", "_tail", "_texts", "_thought_tail")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._model = ask.model
        self._losses = losses
        self._grounding = Grounding(losses)
        # Blocks that are open, and what was said in them so far.
        self._blocks: dict[int, Block] = {}
        self._texts: dict[int, list[str]] = {}
        self._about: dict[str, object] = {}
        self._tail = self._thought_tail = b""

    def chunk(self, event: Event) -> bytes:
        """What an event says, b"" where it says nothing yet."""
        if type(event) is BlockGrew:
            return self._grew(event)
        if type(event) is BlockOpened:
            return self._opened(event.at, event.block)
        if type(event) is BlockClosed:
            return self._closed(event.at)
        if type(event) is Started:
            self._start(event)
            return b""
        return self._finished(event) if type(event) is Finished else b""

    def _start(self, event: Started) -> None:
        self._about = about(event.id, event.model or self._model, event.created)
        rest = _encode(self._about)[1:]
        self._tail = b'}],"role":"model"},"index":0}],%b' % rest
        self._thought_tail = b',"thought":true%b' % self._tail

    def _opened(self, at: int, block: Block) -> bytes:
        # The event is others' too; what grows is ours.
        self._blocks[at] = replace(block, citations=block.citations[:]) if isinstance(block, Text) else replace(block)
        self._texts[at] = []
        if isinstance(block, Thinking):
            return self._said(at, block.text, self._thought_tail) if block.text else b""
        if isinstance(block, Refusal):
            self._losses.mapped("refusal")
        return self._said(at, block.text, self._tail) if isinstance(block, Text | Refusal) and block.text else b""

    def _grew(self, event: BlockGrew) -> bytes:
        block = self._blocks[event.at]
        if isinstance(block, Text | Refusal):
            if event.citation is not None and isinstance(block, Text):
                block.citations.append(event.citation)
            if event.logprobs is not None:
                return self._with_logprobs(event.at, event.text, event.logprobs)
            return self._said(event.at, event.text, self._tail) if event.text else b""
        if isinstance(block, Thinking):
            block.signature += event.signature
            return self._said(event.at, event.text, self._thought_tail) if event.text else b""
        if isinstance(block, ToolCall):
            # It is told whole, at its end.
            self._texts[event.at].append(event.text)
            block.signature += event.signature
        return b""

    def _said(self, at: int, text: str, tail: bytes) -> bytes:
        self._texts[at].append(text)
        return b'{"candidates":[{"content":{"parts":[{"text":%b%b' % (_encode(text), tail)

    def _with_logprobs(self, at: int, text: str, logprobs: Raw) -> bytes:
        self._texts[at].append(text)
        candidate = candidate_of([{"text": text}])
        candidate["logprobsResult"] = write_logprobs(logprobs)
        return _encode({"candidates": [candidate]} | self._about)

    def _closed(self, at: int) -> bytes:
        block = self._blocks.pop(at)
        said = "".join(self._texts.pop(at))
        parts: list[Part] = []
        if isinstance(block, Text | Refusal):
            self._grounding.passed(said, block.citations if isinstance(block, Text) else [])
        elif isinstance(block, Thinking):
            block.text = ""
            write_thought(block, parts, worded=bool(said))
        else:
            if isinstance(block, ToolCall):
                block.arguments += said
            write_block(block, parts, self._losses)
        return _encode({"candidates": [candidate_of(parts)]} | self._about) if parts else b""

    def _finished(self, event: Finished) -> bytes:
        candidate = candidate_of([])
        ending(candidate, event.finish, self._grounding)
        written: dict[str, object] = {"candidates": [candidate]}
        tier = tier_of(event.service_tier, self._losses)
        if event.usage is not None:
            written["usageMetadata"] = write_usage(event.usage, tier)
        return _encode(written | self._about)


class EventWriter:
    """See Writer: server-sent events. There is no last frame."""

    __slots__ = ("_chunks", "media_type")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self.media_type = EVENTS
        self._chunks = ChunkWriter(ask, losses)

    def feed(self, event: Event) -> bytes:
        chunk = self._chunks.chunk(event)
        return b"data: %b\r\n\r\n" % chunk if chunk else b""

    def fail(self, error: GatewayError) -> bytes:
        return b"data: %b\r\n\r\n" % error_body(error)


class ArrayWriter:
    """See Writer: one JSON array, closed by the answer's end or by the error that broke it."""

    __slots__ = ("_chunks", "_first", "media_type")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self.media_type = ARRAY
        self._chunks = ChunkWriter(ask, losses)
        self._first = True

    def feed(self, event: Event) -> bytes:
        chunk = self._chunks.chunk(event)
        if not chunk:
            return b""
        return self._element(chunk) + b"\n]" if type(event) is Finished else self._element(chunk)

    def fail(self, error: GatewayError) -> bytes:
        return self._element(error_body(error)) + b"\n]"

    def _element(self, element: bytes) -> bytes:
        if self._first:
            self._first = False
            return b"[" + element
        return b"\n,\r\n" + element
