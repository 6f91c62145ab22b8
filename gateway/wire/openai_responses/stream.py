"""A streamed answer to events (OpenAI, API reference, "Streaming events").

Every event says which item and part it is of; what a part is in the end is said again when it is done, so that a
backend which leaves out the way there is understood as well. Tools that OpenAI runs tell their progress in events of
their own; their item is whole when it is done, and is Foreign.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.errors import UpstreamTruncated
from gateway.wire.ir import (
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
)
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.answer import (
    CUSTOM,
    FUNCTION,
    Part,
    cited,
    failure_of,
    finish_of,
    note_phase,
    read_call,
    read_kind,
    read_message,
    read_part,
    read_reasoning,
    read_response,
    read_tool_call,
    usage_of,
)
from gateway.wire.openai_responses.error import cancelled, failure_in
from gateway.wire.openai_responses.fields import NAME, NULL
from gateway.wire.openai_responses.parts import read_citation
from gateway.wire.openai_responses.thoughts import PARAGRAPH, said_thoughts

_DONE: Final = b"[DONE]"  # nobody's end here, and yet some send it
_TEXT: Final = "response.output_text.delta"
_SUMMARY: Final = "response.reasoning_summary_text.delta"
_NONE: Final = (b"null", b"[]")


class _Event(Struct, gc=False):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str = ""
    logprobs: Raw = NULL
    item: Raw = NULL
    part: Raw = NULL
    annotation: Raw = NULL
    response: Raw = NULL


class _Grown(Struct):
    """A block on its way: how many characters and citations of it were given, and whether more may come."""

    at: int
    said: int = 0
    cited: int = 0
    open: bool = True
    summary: bool = False


_read: Final = Decoder(_Event).decode


class Reader:
    """One streamed answer."""

    __slots__ = (
        "_blocks",
        "_called",
        "_calls",
        "_finished",
        "_ids",
        "_losses",
        "_out",
        "_parts",
        "_refused",
        "_started",
        "_thoughts",
        "_whole",
        "done",
    )

    def __init__(self, losses: Losses) -> None:
        self.done = False
        self._losses = losses
        self._out: list[Event] = []
        self._started = False
        self._blocks = 0
        self._called = 0
        self._refused = False
        self._ids: dict[int, str] = {}
        self._parts: dict[tuple[int, int], _Grown] = {}
        self._calls: dict[int, _Grown] = {}
        self._thoughts: dict[int, _Grown] = {}
        self._whole: set[int] = set()
        self._finished: Finished | None = None

    def feed(self, name: str, payload: bytes) -> list[Event]:
        del name  # the payload says it again
        if payload == _DONE:
            return []
        try:
            event = _read(payload)
        except ValidationError:
            if read_kind(payload).type in _TAKES:
                raise
            return []  # an event that isn't known, with fields of other types
        if event.type == _TEXT:
            grown = self._parts.get((event.output_index, event.content_index))
            if grown is not None:
                grown.said += len(event.delta)
                if event.logprobs == NULL or bytes(event.logprobs) in _NONE:
                    return [BlockGrew(grown.at, event.delta)]
                return [BlockGrew(grown.at, event.delta, logprobs=event.logprobs)]
        if event.type == _ERROR:
            raise failure_in(payload)
        take = _TAKES.get(event.type)
        if take is None:
            return []
        self._out = []
        if not self._started:
            self._start(event)
        take(self, event)
        return self._out

    def end(self) -> list[Event]:
        if self._finished is None:
            raise UpstreamTruncated("The upstream's stream ended without its end.")
        return [self._finished]

    # --- what blocks do -----------------------------------------------------------------------------------------------

    def _start(self, event: _Event) -> None:
        self._started = True
        if event.response == NULL:
            self._out.append(Started())
        else:
            told = read_response(event.response)
            self._out.append(Started(told.id or "", told.model or "", int(told.created_at or 0)))

    def _open(self, block: Block) -> _Grown:
        grown = _Grown(self._blocks)
        self._blocks += 1
        self._out.append(BlockOpened(grown.at, block))
        return grown

    def _grow(self, grown: _Grown, text: str) -> None:
        if text:
            grown.said += len(text)
            self._out.append(BlockGrew(grown.at, text))

    def _close(self, grown: _Grown) -> None:
        grown.open = False
        self._out.append(BlockClosed(grown.at))

    # --- what events say ----------------------------------------------------------------------------------------------

    def _created(self, event: _Event) -> None:
        """What there is to say of it is said by the first event, whichever it is."""

    def _item_added(self, event: _Event) -> None:
        kind = read_kind(event.item).type
        if kind == FUNCTION:
            self._call_opened(event.output_index, event.item)
        elif kind == "reasoning":
            self._ids[event.output_index] = read_reasoning(event.item).id or ""
        elif kind == "message":
            note_phase(read_message(event.item).phase, self._losses)

    def _call_opened(self, index: int, item: Raw) -> _Grown:
        call = read_tool_call(read_call(item), FUNCTION, self._called, self._losses)
        self._called += 1
        arguments, call.arguments = call.arguments, ""
        grown = self._calls[index] = self._open(call)
        self._grow(grown, arguments)
        return grown

    def _part_added(self, event: _Event) -> None:
        self._part_opened((event.output_index, event.content_index), read_part(event.part))

    def _part_opened(self, key: tuple[int, int], part: Part) -> _Grown | None:
        """A text or a refusal; None for what is no part of a message, or none that is known."""
        if part.type in ("output_text", "text"):
            return self._part_begun(key, Text(""), part.text or "")
        if part.type == "refusal":
            return self._part_begun(key, Refusal(""), part.refusal or "")
        return None

    def _part_begun(self, key: tuple[int, int], block: Text | Refusal, text: str) -> _Grown:
        self._refused = self._refused or isinstance(block, Refusal)
        grown = self._parts[key] = self._open(block)
        self._grow(grown, text)
        return grown

    def _said(self, event: _Event) -> None:
        """A piece of a part; the first may come without the part having been announced."""
        key = (event.output_index, event.content_index)
        block = Text("") if event.type == _TEXT else Refusal("")
        self._grow(self._parts.get(key) or self._part_begun(key, block, ""), event.delta)

    def _annotated(self, event: _Event) -> None:
        grown = self._parts.get((event.output_index, event.content_index))
        if grown is not None and event.annotation != NULL:
            grown.cited += 1
            self._out.append(BlockGrew(grown.at, citation=read_citation(event.annotation)))

    def _part_done(self, event: _Event) -> None:
        self._part_whole((event.output_index, event.content_index), event.part)

    def _part_whole(self, key: tuple[int, int], raw: Raw) -> None:
        """A part as it is in the end: what of it wasn't said yet is said now."""
        part = read_part(raw)
        if part.type == "reasoning_text":
            return
        grown = self._parts.get(key)
        if grown is None:
            grown = self._part_opened(key, Part(part.type))
        if grown is None:
            self._parts[key] = grown = self._open(Foreign(NAME, part.type, raw))
            self._close(grown)
        if not grown.open:
            return
        rest = (part.text or part.refusal or "")[grown.said :]
        if rest and grown.said == 0 and bytes(part.logprobs) not in _NONE:
            self._out.append(BlockGrew(grown.at, rest, logprobs=part.logprobs))
        else:
            self._grow(grown, rest)
        self._out += [BlockGrew(grown.at, citation=one) for one in cited(part)[grown.cited :]]
        self._close(grown)

    def _argued(self, event: _Event) -> None:
        grown = self._calls.get(event.output_index)
        if grown is not None:
            self._grow(grown, event.delta)

    def _summary_added(self, event: _Event) -> None:
        grown = self._thoughts.get(event.output_index)
        if grown is not None and grown.open and grown.summary:
            self._grow(grown, PARAGRAPH)

    def _thought(self, event: _Event) -> None:
        """A piece of a thought, or of its summary: each is a block of its own."""
        index, summary = event.output_index, event.type == _SUMMARY
        grown = self._thoughts.get(index)
        if grown is not None and grown.summary != summary:
            self._close(grown)
            grown = None
        if grown is None:
            grown = self._open(Thinking(origin=NAME, id=self._ids.get(index, ""), summary=summary))
            grown.summary = summary
            self._thoughts[index] = grown
        self._grow(grown, event.delta)

    def _item_done(self, event: _Event) -> None:
        self._item_whole(event.output_index, event.item)

    def _item_whole(self, index: int, raw: Raw) -> None:
        """An item as it is in the end."""
        if index in self._whole:
            return
        self._whole.add(index)
        kind = read_kind(raw).type
        if kind == "message":
            for at, part in enumerate(read_message(raw).content or ()):
                self._part_whole((index, at), part)
        elif kind == "reasoning":
            self._thought_whole(index, raw)
        elif kind == FUNCTION:
            grown = self._calls.get(index) or self._call_opened(index, raw)
            self._grow(grown, (read_call(raw).arguments or "")[grown.said :])
            self._close(grown)
        elif kind == CUSTOM:
            # Nobody asks for these but callers of this language: there is no hurry.
            self._close(self._open(read_tool_call(read_call(raw), kind, self._called, self._losses)))
            self._called += 1
        else:
            self._close(self._open(Foreign(NAME, kind, raw)))

    def _thought_whole(self, index: int, raw: Raw) -> None:
        item = read_reasoning(raw)
        thoughts = said_thoughts(item, NAME)
        grown = self._thoughts.get(index)
        if grown is None:
            for thought in thoughts:
                if grown is not None:
                    self._close(grown)
                text, thought.text = thought.text, ""
                grown = self._open(thought)
                self._grow(grown, text)
            if grown is None and item.encrypted_content:
                grown = self._open(Thinking(origin=NAME, id=item.id or ""))
        else:
            same = next((thought.text for thought in thoughts if thought.summary == grown.summary), "")
            self._grow(grown, same[grown.said :])
        if grown is None:
            return
        if item.encrypted_content:
            self._out.append(BlockGrew(grown.at, signature=item.encrypted_content))
        self._close(grown)

    def _completed(self, event: _Event) -> None:
        response = read_response(event.response)
        failure = failure_of(response, bytes(event.response))
        if failure is not None:
            raise failure
        if not self._blocks:
            for index, item in enumerate(response.output or ()):
                self._item_whole(index, item)
        for grown in (*self._parts.values(), *self._thoughts.values(), *self._calls.values()):
            if grown.open:
                self._close(grown)
        self.done = True
        self._finished = Finished(
            finish_of(response, called=self._called > 0, refused=self._refused),
            usage=usage_of(response.usage),
            service_tier=response.service_tier or "",
        )

    def _cancelled(self, event: _Event) -> None:
        raise cancelled()

    def _failed(self, event: _Event) -> None:
        raise failure_in(bytes(event.response))


# `error` has no response in it; it is read apart.
_ERROR: Final = "error"
_TAKES: Final[Mapping[str, Callable[[Reader, _Event], None]]] = {
    "response.created": Reader._created,
    "response.queued": Reader._created,
    "response.in_progress": Reader._created,
    "response.output_item.added": Reader._item_added,
    "response.content_part.added": Reader._part_added,
    _TEXT: Reader._said,
    "response.refusal.delta": Reader._said,
    "response.output_text.annotation.added": Reader._annotated,
    "response.content_part.done": Reader._part_done,
    "response.reasoning_summary_part.added": Reader._summary_added,
    _SUMMARY: Reader._thought,
    "response.reasoning_text.delta": Reader._thought,
    "response.function_call_arguments.delta": Reader._argued,
    "response.output_item.done": Reader._item_done,
    "response.completed": Reader._completed,
    "response.incomplete": Reader._completed,
    "response.failed": Reader._failed,
    "response.cancelled": Reader._cancelled,
}
