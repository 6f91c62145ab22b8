"""A streamed answer of this language to events (platform.claude.com, Streaming messages).

A backend opens its blocks one after another. Hosts differ from Anthropic, and are read all the same: some leave out
`message_stop`, or a block's start or stop; some give a tool's whole input in the start.
"""

from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from gateway.errors import UpstreamTruncated
from gateway.wire import openai_error
from gateway.wire.anthropic_messages import citation, finish, spending
from gateway.wire.anthropic_messages.answer import ANSWER_FIELDS, note_rest, read_block, read_details, text_of
from gateway.wire.anthropic_messages.kept import NULL, UNSAID
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Foreign,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses


class _Delta(Struct, gc=False):
    """What is more of a block. Its kinds are told apart by the one field that each of them has."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: Raw = UNSAID


class _Event(Struct, gc=False):
    type: str = ""
    index: int | None = None
    delta: _Delta | None = None
    content_block: Raw = UNSAID
    message: Raw = UNSAID
    usage: Raw = UNSAID
    error: Raw = UNSAID


class _Kind(Struct, gc=False):
    type: str = ""


class _End(Struct):
    delta: dict[str, Raw] = {}


_event: Final = Decoder(_Event).decode
_kind: Final = Decoder(_Kind).decode
_end: Final = Decoder(_End).decode
_anything: Final = Decoder(Raw).decode
_fields: Final = Decoder(dict[str, Raw]).decode
_encode: Final = Encoder().encode
_KNOWN: Final = frozenset(
    ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "error")
)
_DELTAS: Final = frozenset(("text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta"))
_END_FIELDS: Final = frozenset(("stop_reason", "stop_sequence", "stop_details"))
_EVENT_FIELDS: Final = frozenset(("type", "delta", "usage"))


class _Open:
    """A block that is being told. A foreign one is gathered, since it goes on whole or not at all."""

    __slots__ = ("at", "block", "fields", "grew", "input")

    def __init__(self, at: int, block: Block, fields: dict[str, Raw] | None = None) -> None:
        self.at = at
        self.block = block
        self.fields = fields
        self.grew = False
        self.input = ""


class MessagesReader:
    """See codec.Reader."""

    __slots__ = ("_begun", "_called", "_losses", "_next", "_open", "_reason", "_said", "_sequence", "_spent", "done")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._open: dict[int, _Open] = {}
        self._next = 0
        self._begun = False
        self._called = False
        self._said = False
        self._reason = ""
        self._sequence = ""
        self._spent = spending.Spending()
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        try:
            event = _event(payload)
        except ValidationError:
            if _kind(payload).type in _KNOWN:
                raise
            return []
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            return self._grow(event, event.delta, payload)
        if kind == "content_block_start":
            return self._start(event)
        if kind == "content_block_stop":
            return self._close(event.index)
        if kind == "error" or bytes(event.error) != NULL:
            raise openai_error.read_inside(payload)
        if kind == "message_start":
            return self._begin(event)
        if kind == "message_delta":
            return self._note_end(event, payload)
        if kind == "message_stop":
            self.done = True
        return []

    def end(self) -> list[Event]:
        if not self._reason and not (self.done and self._said):
            raise UpstreamTruncated("The upstream ended before its answer was complete.")
        events = self._started()
        for index in tuple(self._open):
            events += self._close(index)
        how = finish.read(self._reason, called=self._called)
        events.append(Finished(how, self._sequence, self._spent.usage(), self._spent.tier))
        return events

    def _started(self) -> list[Event]:
        """What begins a stream on a host that doesn't."""
        if self._begun:
            return []
        self._begun = True
        return [Started()]

    def _begin(self, event: _Event) -> list[Event]:
        fields = _fields(event.message) if bytes(event.message) != NULL else {}
        note_rest(fields, ANSWER_FIELDS, "", self._losses)
        self._spent.add(fields.get("usage", UNSAID), self._losses)
        if self._begun:
            return []
        self._begun = True
        return [Started(text_of(fields, "id"), text_of(fields, "model"))]

    def _start(self, event: _Event) -> list[Event]:
        events = self._started()
        index = self._next if event.index is None else event.index
        if index in self._open:
            events += self._close(index)
        block = read_block(event.content_block, self._losses)
        self._said = True
        if isinstance(block, Foreign):
            self._open[index] = _Open(-1, block, _fields(event.content_block))
            return events
        one = self._open[index] = _Open(self._next, block)
        self._next += 1
        if isinstance(block, ToolCall):
            self._called = True
            # Empty until it grows; where it isn't, the host gives it whole, and sometimes again in pieces.
            one.input = block.arguments if block.arguments[:1] == "{" else NO_ARGUMENTS
            block.arguments = ""
        events.append(BlockOpened(one.at, block))
        return events

    def _grow(self, event: _Event, delta: _Delta, payload: bytes) -> list[Event]:
        index = event.index if event.index is not None else max(self._open, default=0)
        one = self._open.get(index)
        if one is None:
            events, one = self._open_for(index, delta)
        else:
            events = []
        if one.fields is not None:
            self._gather(one, one.fields, delta, payload)
            return events
        if delta.text:
            events.append(BlockGrew(one.at, delta.text))
        elif delta.thinking:
            events.append(BlockGrew(one.at, delta.thinking))
        elif delta.partial_json:
            one.grew = True
            events.append(BlockGrew(one.at, delta.partial_json))
        elif delta.signature:
            events.append(BlockGrew(one.at, signature=delta.signature))
        elif bytes(delta.citation) != NULL:
            events.append(BlockGrew(one.at, citation=citation.read(delta.citation, NAME)))
        elif delta.type not in _DELTAS:
            self._losses.dropped(delta.type)
        return events

    def _open_for(self, index: int, delta: _Delta) -> tuple[list[Event], _Open]:
        """A block that grows without its start; of a tool's call the name would be missing."""
        if delta.text is None and delta.thinking is None:
            raise ValueError("a delta of no block")
        events = self._started()
        block = Text("") if delta.text is not None else Thinking(origin=NAME)
        one = self._open[index] = _Open(self._next, block)
        self._next += 1
        self._said = True
        events.append(BlockOpened(one.at, block))
        return events, one

    def _gather(self, one: _Open, fields: dict[str, Raw], delta: _Delta, payload: bytes) -> None:
        if delta.partial_json is not None:
            one.input += delta.partial_json
            return
        more = _end(payload).delta
        fields.update((name, value) for name, value in more.items() if name != "type")

    def _close(self, index: int | None) -> list[Event]:
        one = self._open.pop(max(self._open, default=0) if index is None else index, None)
        if one is None:
            return []
        block = one.block
        if isinstance(block, Foreign) and one.fields is not None:
            if one.input:
                one.fields["input"] = _whole(one.input)
            block.raw = Raw(_encode(one.fields))
            one.at = self._next
            self._next += 1
            return [BlockOpened(one.at, block), BlockClosed(one.at)]
        if isinstance(block, ToolCall) and not one.grew:
            return [BlockGrew(one.at, one.input), BlockClosed(one.at)]
        return [BlockClosed(one.at)]

    def _note_end(self, event: _Event, payload: bytes) -> list[Event]:
        """How the answer ended, and what it used; a refusal's words make a block of their own."""
        self._spent.add(event.usage, self._losses)
        delta = _end(payload).delta
        self._reason = text_of(delta, "stop_reason") or self._reason
        self._sequence = text_of(delta, "stop_sequence") or self._sequence
        note_rest(delta, _END_FIELDS, "", self._losses)
        note_rest(_fields(payload), _EVENT_FIELDS, "", self._losses)
        refusal = read_details(delta.get("stop_details", UNSAID), self._losses)
        if refusal is None:
            return []
        at = self._next
        self._next += 1
        return [*self._started(), BlockOpened(at, refusal), BlockClosed(at)]


def _whole(text: str) -> Raw:
    """The input of a provider's own tool; where the answer was cut off in it, as much of it as there is."""
    try:
        return _anything(text)
    except DecodeError:
        return Raw(_encode(text))
