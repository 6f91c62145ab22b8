"""Events to a streamed answer, in the order official clients hold it to (OpenAI, API reference, "Streaming events").

`response.created` comes first, each item is added before anything is said of it and done after, and the response at
the end holds all of them: clients fold the events by item and part, Codex by the items that are done.
"""

from typing import Final, Protocol

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from gateway.errors import GatewayError
from gateway.wire.ir import (
    Ask,
    Block,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Foreign,
    Media,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_responses import items
from gateway.wire.openai_responses.answer import incomplete_reason
from gateway.wire.openai_responses.error import FAILED, error_object
from gateway.wire.openai_responses.fields import NAME
from gateway.wire.openai_responses.parts import Written

_encode: Final = Encoder().encode
_tokens: Final = Decoder(list[Raw]).decode
_GOING: Final = "in_progress"
_TEXT: Final = "response.output_text"
_REFUSAL: Final = "response.refusal"
_THOUGHT: Final = "response.reasoning_summary_text"
_ARGUMENTS: Final = "response.function_call_arguments"
_INPUT: Final = "response.custom_tool_call_input"


class _Piece(Protocol):
    """A block on its way."""

    def grew(self, event: BlockGrew) -> bytes: ...

    def closed(self) -> bytes: ...


class Writer:
    """One streamed answer to one caller. `number` counts its events."""

    __slots__ = ("_added", "_ask", "_message", "_output", "_pieces", "_refused", "_told", "losses", "number")

    media_type = "text/event-stream"

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self.losses = losses
        self.number = 0
        self._ask = ask
        self._told = items.Told(ask, "", "", 0)
        self._added = 0
        self._output: dict[int, object] = {}
        self._pieces: dict[int, _Piece] = {}
        self._message: _Message | None = None
        self._refused = False

    def feed(self, event: Event) -> bytes:
        if type(event) is BlockGrew:
            return self._pieces[event.at].grew(event)
        if isinstance(event, BlockOpened):
            return self._opened(event.at, event.block)
        if isinstance(event, Started):
            self._told = items.Told(self._ask, event.id, event.model, event.created)
            response = self._told.response(_GOING, [])
            return self.say("response.created", response=response) + self.say("response.in_progress", response=response)
        if isinstance(event, Finished):
            return self._finished(event)
        return self._pieces.pop(event.at).closed()

    def fail(self, error: GatewayError) -> bytes:
        return self.say(FAILED, response=self._told.response("failed", self._items(), error=error_object(error)))

    # --- for the pieces -----------------------------------------------------------------------------------------------

    def say(self, kind: str, **fields: object) -> bytes:
        event = {"type": kind, **fields, "sequence_number": self.number}
        self.number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event))

    def add(self, item: object, at: int) -> bytes:
        return self.say("response.output_item.added", output_index=at, item=item)

    def finish(self, item: object, at: int) -> bytes:
        self._output[at] = item
        return self.say("response.output_item.done", output_index=at, item=item)

    def sign(self, call: ToolCall) -> bytes:
        """The signature of a call, which has no field of its own."""
        return self._whole(items.call_signature(self._id(items.REASONING), call))

    # --- what events say ----------------------------------------------------------------------------------------------

    def _opened(self, at: int, block: Block) -> bytes:
        if isinstance(block, Text | Refusal):
            said, message = self._speaking()
            self._refused = self._refused or isinstance(block, Refusal)
            begun = _Refused(message) if isinstance(block, Refusal) else _Said(message, block.citations)
            self._pieces[at] = begun
            return said + begun.opened() + begun.grew(BlockGrew(at, block.text))
        said = self._end_message()
        if isinstance(block, ToolCall):
            if block.signature:
                said += self.sign(block)
            call = self._told.call(block, self._added)
            piece = self._pieces[at] = _Called(self, block, call, self._place())
            return said + piece.opened() + piece.grew(BlockGrew(at, block.arguments))
        if isinstance(block, Thinking):
            id_ = (block.id if block.origin == NAME else "") or self._id(items.REASONING)
            thought = self._pieces[at] = _Thought(self, block, id_, self._place())
            return said + thought.opened() + thought.grew(BlockGrew(at, block.text))
        self._pieces[at] = _Silent()
        if isinstance(block, Foreign) and block.origin == NAME:
            return said + self._whole(block.raw)
        if isinstance(block, Media):
            made = items.image(self._id(items.IMAGE), block, self.losses)
            return said if made is None else said + self._whole(made)
        self.losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")
        return said

    def _finished(self, event: Finished) -> bytes:
        said = self._end_message()
        if event.sequence:
            self.losses.mapped("stop")
        reason = incomplete_reason(event.finish, refused=self._refused)
        status = "incomplete" if reason else "completed"
        tier = items.tier(event.service_tier, self.losses)
        response = self._told.response(status, self._items(), usage=event.usage, incomplete=reason, tier=tier)
        return said + self.say(f"response.{status}", response=response)

    def _items(self) -> list[object]:
        return [self._output[at] for at in sorted(self._output)]

    def _id(self, kind: str) -> str:
        return self._told.item_id(kind, self._added)

    def _place(self) -> int:
        self._added += 1
        return self._added - 1

    def _whole(self, item: object) -> bytes:
        at = self._place()
        return self.add(item, at) + self.finish(item, at)

    def _speaking(self) -> tuple[bytes, "_Message"]:
        """The message that what is said next belongs to: what is said in a row is one."""
        if self._message is not None and not self._message.speaking:
            return b"", self._message
        said = self._end_message()
        message = self._message = _Message(self, self._id(items.MESSAGE), self._place())
        return said + self.add(items.message(message.id, _GOING, []), message.at), message

    def _end_message(self) -> bytes:
        """Nothing more joins the message; it is done when nothing of it is on its way."""
        message, self._message = self._message, None
        return message.end() if message is not None else b""


class _Message:
    """A message: the parts of it that are whole, whether one is on its way, whether more may come."""

    __slots__ = ("_ended", "at", "id", "parts", "speaking", "writer")

    def __init__(self, writer: Writer, id_: str, at: int) -> None:
        self.writer = writer
        self.id = id_
        self.at = at
        self.parts: list[object] = []
        self.speaking = False
        self._ended = False

    def end(self) -> bytes:
        self._ended = True
        if self.speaking:
            return b""
        return self.writer.finish(items.message(self.id, "completed", self.parts), self.at)

    def whole(self, part: Written) -> bytes:
        """A part is whole, and with it the message, where it waited for it."""
        said = self.writer.say("response.content_part.done", **self.spot(), part=part)
        self.parts.append(part)
        self.speaking = False
        return said + self.end() if self._ended else said

    def spot(self) -> dict[str, object]:
        return {"item_id": self.id, "output_index": self.at, "content_index": len(self.parts)}

    def begin(self, part: Written) -> bytes:
        self.speaking = True
        return self.writer.say("response.content_part.added", **self.spot(), part=part)


class _Said:
    """A text."""

    __slots__ = ("_citations", "_head", "_logprobs", "_message", "_texts", "_writer")

    def __init__(self, message: _Message, citations: list[Citation]) -> None:
        self._message = message
        self._writer = message.writer
        self._citations = [*citations]
        self._texts: list[str] = []
        self._logprobs: list[Raw] = []
        self._head = _head(f"{_TEXT}.delta", message.spot())

    def opened(self) -> bytes:
        return self._message.begin(items.text_part("", [], []))

    def grew(self, event: BlockGrew) -> bytes:
        if event.citation is not None:
            self._citations.append(event.citation)
        if not event.text:
            return b""
        self._texts.append(event.text)
        writer = self._writer
        number = writer.number
        writer.number = number + 1
        logprobs = b"[]"
        if event.logprobs is not None:
            logprobs = bytes(event.logprobs)
            self._logprobs += _tokens(event.logprobs)
        return b'%b%b,"logprobs":%b,"sequence_number":%d}\n\n' % (self._head, _encode(event.text), logprobs, number)

    def closed(self) -> bytes:
        text = "".join(self._texts)
        cited = items.annotations(self._citations, text, self._writer.losses)
        spot = self._message.spot()
        events = [
            self._writer.say(f"{_TEXT}.annotation.added", **spot, annotation_index=at, annotation=one)
            for at, one in enumerate(cited)
        ]
        events.append(self._writer.say(f"{_TEXT}.done", **spot, text=text, logprobs=self._logprobs))
        events.append(self._message.whole(items.text_part(text, cited, self._logprobs)))
        return b"".join(events)


class _Refused:
    """The model's own no."""

    __slots__ = ("_message", "_texts")

    def __init__(self, message: _Message) -> None:
        self._message = message
        self._texts: list[str] = []

    def opened(self) -> bytes:
        return self._message.begin(items.refusal_part(""))

    def grew(self, event: BlockGrew) -> bytes:
        if not event.text:
            return b""
        self._texts.append(event.text)
        return self._message.writer.say(f"{_REFUSAL}.delta", **self._message.spot(), delta=event.text)

    def closed(self) -> bytes:
        text = "".join(self._texts)
        said = self._message.writer.say(f"{_REFUSAL}.done", **self._message.spot(), refusal=text)
        return said + self._message.whole(items.refusal_part(text))


class _Thought:
    """A reasoning item: one summary, begun where there is a word of it, and what is kept for its maker."""

    __slots__ = ("_at", "_head", "_id", "_spot", "_texts", "_thinking", "_writer")

    def __init__(self, writer: Writer, thinking: Thinking, id_: str, at: int) -> None:
        self._writer = writer
        self._thinking = thinking
        self._id = id_
        self._at = at
        self._texts: list[str] = []
        self._spot: dict[str, object] = {"item_id": id_, "output_index": at, "summary_index": 0}
        self._head = _head(f"{_THOUGHT}.delta", self._spot)

    def opened(self) -> bytes:
        return self._writer.add(items.reasoning(self._id, Thinking()), self._at)

    def grew(self, event: BlockGrew) -> bytes:
        if event.signature:
            self._thinking.signature += event.signature
        if not event.text:
            return b""
        said = b"" if self._texts else self._part("added", "")
        self._texts.append(event.text)
        number = self._writer.number
        self._writer.number = number + 1
        return b'%b%b%b,"sequence_number":%d}\n\n' % (said, self._head, _encode(event.text), number)

    def closed(self) -> bytes:
        self._thinking.text = text = "".join(self._texts)
        said = b""
        if text:
            said = self._writer.say(f"{_THOUGHT}.done", **self._spot, text=text) + self._part("done", text)
        return said + self._writer.finish(items.reasoning(self._id, self._thinking), self._at)

    def _part(self, what: str, text: str) -> bytes:
        part = {"type": "summary_text", "text": text}
        return self._writer.say(f"response.reasoning_summary_part.{what}", **self._spot, part=part)


class _Called:
    """A call. A custom tool's text is told when the JSON around it is whole."""

    __slots__ = ("_at", "_call", "_head", "_item", "_signed", "_spot", "_texts", "_writer")

    def __init__(self, writer: Writer, call: ToolCall, item: items.CallItem, at: int) -> None:
        self._writer = writer
        self._call = call
        self._signed = bool(call.signature)
        self._item = item
        self._at = at
        self._texts: list[str] = []
        self._spot: dict[str, object] = {"item_id": item.id, "output_index": at}
        self._head = _head(f"{_ARGUMENTS}.delta", self._spot)

    def opened(self) -> bytes:
        return self._writer.add(self._item.written(_GOING, ""), self._at)

    def grew(self, event: BlockGrew) -> bytes:
        if event.signature:
            self._call.signature += event.signature
        if not event.text:
            return b""
        self._texts.append(event.text)
        return b"" if self._item.custom else self._delta(event.text)

    def closed(self) -> bytes:
        told = "".join(self._texts)
        whole = self._item.whole(told)
        if self._item.custom:
            said = self._writer.say(f"{_INPUT}.delta", **self._spot, delta=whole)
            said += self._writer.say(f"{_INPUT}.done", **self._spot, input=whole)
        else:
            said = b"" if told else self._delta(whole)
            said += self._writer.say(f"{_ARGUMENTS}.done", **self._spot, arguments=whole)
        said += self._writer.finish(self._item.written("completed", whole), self._at)
        if self._call.signature and not self._signed:
            said += self._writer.sign(self._call)
        return said

    def _delta(self, text: str) -> bytes:
        number = self._writer.number
        self._writer.number = number + 1
        return b'%b%b,"sequence_number":%d}\n\n' % (self._head, _encode(text), number)


class _Silent:
    """A block that was said when it began, or not at all."""

    __slots__ = ()

    def grew(self, event: BlockGrew) -> bytes:
        del event
        return b""

    def closed(self) -> bytes:
        return b""


def _head(kind: str, spot: dict[str, object]) -> bytes:
    """An event up to its delta: most of a stream is this, over and over."""
    fields = _encode({"type": kind, **spot})[:-1]
    return b'event: %b\ndata: %b,"delta":' % (kind.encode(), fields)
