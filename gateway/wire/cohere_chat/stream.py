"""A streamed answer as events (docs.cohere.com, A Guide to Streaming Responses, and Streaming for tool use).

Each event says in its payload what it is. Content blocks and calls are counted apart, each from 0; citations come
while their text is open, or after it.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from gateway.errors import UpstreamBroken, UpstreamTruncated
from gateway.features import Usage
from gateway.wire import openai_error
from gateway.wire.anthropic_event import UNSAID
from gateway.wire.cohere_chat.citations import read_citation
from gateway.wire.cohere_chat.logprobs import read_logprobs
from gateway.wire.cohere_chat.words import CITATION, NAME, PLAN, read_finish, read_usage
from gateway.wire.ir import (
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finish,
    Finished,
    Foreign,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

_DONE: Final = b"[DONE]"
_NO_ERROR: Final = (UNSAID, Raw(b'""'))

# An unknown one is nobody else's.
_KNOWN: Final = frozenset((None, "text", "thinking"))

_One = TypeVar("_One")


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Content(Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Message(Struct, gc=False):
    """A message that begins holds empty lists where later ones hold what was added."""

    content: _Content | list[_Content] | None = None
    tool_plan: str | None = None
    tool_calls: _Call | list[_Call] | None = None
    citations: Raw = UNSAID


class _Delta(Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: Raw = UNSAID
    error: Raw = UNSAID


class _Said(Struct, gc=False):
    type: str = ""
    id: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    logprobs: Raw = UNSAID
    message: Raw = UNSAID

    def added(self) -> _Message:
        return (self.delta.message if self.delta is not None else None) or _NO_MESSAGE


_NO_MESSAGE: Final = _Message()
_NO_CALL: Final = _Call()
_NO_FUNCTION: Final = _Function()

_read: Final = Decoder(_Said).decode
_several: Final = Decoder(list[Raw]).decode


class CohereReader:
    """See codec.Reader. One block of content, thought or plan is open at a time, and one call."""

    __slots__ = (
        "_calls",
        "_content",
        "_finish",
        "_id",
        "_losses",
        "_next",
        "_open",
        "_open_block",
        "_started",
        "_usage",
        "done",
    )

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._id = ""
        self._started = False
        self._next = 0
        self._open = -1
        self._open_block: Block | None = None
        self._content: int | None = None
        self._calls = 0
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        del name
        if payload == _DONE:
            return []
        said = _read(payload)
        events: list[Event] = []
        take = _TAKEN.get(said.type)
        if take is not None:
            take(self, events, said)
        elif said.type == "error" or (not said.type and said.message != UNSAID):
            raise openai_error.read_inside(payload)
        return events

    def end(self) -> list[Event]:
        if self._finish is None:
            raise UpstreamTruncated("The upstream's answer ended early.")
        events: list[Event] = []
        self._start(events)
        self._close(events)
        events.append(Finished(self._finish, usage=self._usage))
        return events

    def _start(self, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Started(self._id))

    def _close(self, events: list[Event]) -> None:
        if self._open_block is not None:
            events.append(BlockClosed(self._open))
            self._open_block = None

    def _opened(self, events: list[Event], block: Block) -> None:
        self._start(events)
        self._close(events)
        self._open = self._next
        self._next += 1
        self._open_block = block
        events.append(BlockOpened(self._open, block))

    def _message_start(self, events: list[Event], said: _Said) -> None:
        self._id = said.id or ""
        self._start(events)

    def _content_start(self, events: list[Event], said: _Said) -> None:
        content = _first(said.added().content) or _Content()
        self._content = said.index
        if content.type not in _KNOWN:
            self._opened(events, Foreign(NAME, content.type or "", Raw(encode({"type": content.type}))))
            return
        thinks = content.type == "thinking" or content.thinking is not None
        self._opened(events, Thinking(content.thinking or "") if thinks else Text(content.text or ""))

    def _content_delta(self, events: list[Event], said: _Said) -> None:
        content = _first(said.added().content)
        if content is None or (content.thinking is None and content.text is None):
            return
        thinks = content.thinking is not None
        kind = Thinking if thinks else Text
        # Not everybody who speaks this says where a block begins.
        if type(self._open_block) is not kind or self._content != said.index:
            self._content = said.index
            self._opened(events, Thinking() if thinks else Text(""))
        text = content.thinking if thinks else content.text
        logprobs = read_logprobs(said.logprobs, self._losses) if said.logprobs != UNSAID else None
        if text or logprobs is not None:
            events.append(BlockGrew(self._open, text or "", logprobs=logprobs))

    def _content_end(self, events: list[Event], said: _Said) -> None:
        # A text stays open until something else begins: its citations may come late.
        if not isinstance(self._open_block, Text):
            self._close(events)

    def _tool_plan_delta(self, events: list[Event], said: _Said) -> None:
        plan = said.added().tool_plan
        if not plan:
            return
        if not isinstance(self._open_block, Thinking) or self._open_block.id != PLAN:
            self._opened(events, Thinking(origin=NAME, id=PLAN))
        events.append(BlockGrew(self._open, plan))

    def _tool_call_start(self, events: list[Event], said: _Said) -> None:
        call = _first(said.added().tool_calls) or _NO_CALL
        function = call.function or _NO_FUNCTION
        id_ = call.id or f"{self._id}call_{self._calls}"
        self._calls += 1
        self._opened(events, ToolCall(id_, function.name or "", function.arguments or ""))

    def _tool_call_delta(self, events: list[Event], said: _Said) -> None:
        call = _first(said.added().tool_calls) or _NO_CALL
        arguments = (call.function or _NO_FUNCTION).arguments
        if not arguments:
            return
        if type(self._open_block) is not ToolCall:
            raise UpstreamBroken("The upstream went on with a call that had not begun.", code="upstream_error")
        events.append(BlockGrew(self._open, arguments))

    def _tool_call_end(self, events: list[Event], said: _Said) -> None:
        self._close(events)

    def _citation_start(self, events: list[Event], said: _Said) -> None:
        raw = said.added().citations
        if raw == UNSAID:
            return
        for one in _several(raw) if bytes(raw)[:1] == b"[" else [raw]:
            citation, index = read_citation(one)
            if citation is not None and isinstance(self._open_block, Text) and index in (None, self._content):
                events.append(BlockGrew(self._open, citation=citation))
                continue
            self._opened(events, Foreign(NAME, CITATION, one))
            self._close(events)

    def _message_end(self, events: list[Event], said: _Said) -> None:
        ending = said.delta or _Delta()
        if ending.error not in _NO_ERROR:
            raise openai_error.read_inside(b'{"error":%b}' % bytes(ending.error))
        self._finish = read_finish(ending.finish_reason, called=self._calls > 0)
        self._usage = read_usage(ending.usage)
        self.done = True


_TAKEN: Final[Mapping[str, Callable[[CohereReader, list[Event], _Said], None]]] = {
    "content-delta": CohereReader._content_delta,
    "content-start": CohereReader._content_start,
    "content-end": CohereReader._content_end,
    "tool-plan-delta": CohereReader._tool_plan_delta,
    "tool-call-start": CohereReader._tool_call_start,
    "tool-call-delta": CohereReader._tool_call_delta,
    "tool-call-end": CohereReader._tool_call_end,
    "citation-start": CohereReader._citation_start,
    "message-start": CohereReader._message_start,
    "message-end": CohereReader._message_end,
}


def _first(one: _One | list[_One] | None) -> _One | None:
    """What is there of something that may come in a list."""
    if isinstance(one, list):
        return one[0] if one else None
    return one
