"""A streamed chat completion, read: chunks to events (platform.openai.com/docs/api-reference/chat/streaming).

Words and thoughts follow one another. Calls may stay open side by side, since chunks name the call they belong to; one
whose arguments are whole when something else begins is closed, so that nobody waits for it.
"""

import re
from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.errors import UpstreamTruncated
from gateway.features import Usage
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
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat import loose
from gateway.wire.openai_chat.annotations import address, read_annotation
from gateway.wire.openai_chat.answer import (
    LITELLM,
    call_id,
    finish_of,
    heard,
    picture_of,
    piece_of,
    seals_call,
    signature_of,
    thought_of,
)
from gateway.wire.openai_chat.content import CALL_KIND, MESSAGE
from gateway.wire.openai_chat.fields import NAME, NULL, Fields
from gateway.wire.openai_chat.shapes import (
    Call,
    Choice,
    Chunk,
    Function,
    Message,
    addresses_in,
    check,
    decode,
    failed,
    usage_in,
)
from gateway.wire.openai_chat.thinking import read_detail
from gateway.wire.openai_event import UNSAID

DONE: Final = b"[DONE]"
_TEXT: Final = "text"
_REFUSAL: Final = "refusal"
_THOUGHT: Final = "thought"
_skim: Final = Decoder(Fields).decode
_EMPTY: Final = (NULL, Raw(b"[]"))
# Halves of a character, at the end of a string and at the beginning of one.
_FIRST_HALF: Final = re.compile(rb'(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}(?=")')
_OTHER_HALF: Final = re.compile(rb'(?<=[^\\]")(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')


class _Open(Struct):
    """A call: `at` is -1 until its name is known, `said` its arguments so far."""

    id: str = ""
    at: int = -1
    said: list[str] = []
    closed: bool = False


class ChatReader:
    """See Reader."""

    __slots__ = (
        "_addresses",
        "_calls",
        "_cited",
        "_count",
        "_finish",
        "_flow",
        "_flow_at",
        "_forms",
        "_half",
        "_id",
        "_last_call",
        "_losses",
        "_seals",
        "_started",
        "_tier",
        "_usage",
        "done",
    )

    def __init__(self, losses: Losses) -> None:
        self.done = False
        self._losses = losses
        self._started = False
        self._id = ""
        self._count = 0
        self._flow = ""  # what kind of block is open, beside calls
        self._flow_at = 0
        self._forms: dict[int | None, str] = {}
        self._calls: dict[int, _Open] = {}
        self._last_call = -1
        self._seals: dict[str, Thinking] = {}  # what may be signed of calls, by their ids
        self._addresses = NULL
        self._cited = False
        self._finish: tuple[str, str | int | None] = ("", None)
        self._usage: Usage | None = None
        self._tier = ""
        self._half = b""

    def feed(self, name: str, payload: bytes) -> list[Event]:
        del name
        if self.done:
            return []
        if payload[:6] == DONE:
            self.done = True
            return []
        chunk = self._decode(payload)
        choices = chunk.choices
        if choices is None or chunk.error is not UNSAID or chunk.x_groq is not None:
            check(chunk, payload)
        if chunk.usage is not None or chunk.x_groq is not None:
            self._usage = usage_in(chunk) or self._usage
        if chunk.service_tier:
            self._tier = chunk.service_tier
        if chunk.citations is not NULL:
            self._addresses = chunk.citations
        if not choices:
            return []
        events: list[Event] = []
        if not self._started:
            self._start(chunk, events)
        for choice in choices:
            if choice.index:
                self._losses.dropped("n")
            else:
                self._take(choice, chunk, events)
        return events

    def end(self) -> list[Event]:
        reason, sequence = self._finish
        if not reason and not (self.done and self._count):
            raise UpstreamTruncated("The upstream ended before its answer was complete.")
        events: list[Event] = []
        for call in self._calls.values():
            if call.at < 0:
                self._open_call(call, "", events)
        for seal in self._seals.values():
            self._whole(seal, events)
        for url in () if self._cited else addresses_in(self._addresses):
            events.append(BlockGrew(self._words(events), citation=address(url)))
        open_ = [call.at for call in self._calls.values() if not call.closed]
        open_ += [self._flow_at] if self._flow else []
        events += map(BlockClosed, sorted(open_))
        finish, said = finish_of(reason or "stop", sequence, called=bool(self._calls))
        events.append(Finished(finish, said, self._usage, self._tier))
        return events

    # --- one chunk ----------------------------------------------------------------------------------------------------

    def _decode(self, payload: bytes) -> Chunk:
        try:
            return decode(payload)
        except ValidationError:
            return loose.read(payload)
        except DecodeError:
            return loose.read(self._join(payload))

    def _join(self, payload: bytes) -> bytes:
        """Put together the halves of a character that was cut in two by who counts as JavaScript does."""
        if self._half:
            half, self._half = self._half, b""
            payload = _OTHER_HALF.sub(lambda _: half, payload, count=1)
        first = _FIRST_HALF.search(payload)
        if first is not None:
            self._half = first[0]
            payload = payload[: first.start()] + payload[first.end() :]
        return payload

    def _start(self, chunk: Chunk, events: list[Event]) -> None:
        self._started = True
        self._id = chunk.id or ""
        events.append(Started(self._id, chunk.model or "", chunk.created or 0))

    def _take(self, choice: Choice, chunk: Chunk, events: list[Event]) -> None:
        delta = choice.delta or choice.message
        logprobs = choice.logprobs.content if choice.logprobs is not None else NULL
        if delta is not None:
            self._grow(delta, None if logprobs in _EMPTY else logprobs, events)
        if choice.finish_reason:
            if failure := failed(choice.finish_reason):
                raise failure
            self._finish = (choice.finish_reason, choice.stop_reason)
        if choice.usage is not None:  # Moonshot
            self._usage = usage_in(chunk) or self._usage

    def _grow(self, delta: Message, logprobs: Raw | None, events: list[Event]) -> None:
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.thinking_blocks:
            self._think(delta, events)
        content = delta.content
        if isinstance(content, str):
            if content:
                events.append(BlockGrew(self._words(events), content, logprobs=logprobs))
            elif logprobs is not None and self._flow == _TEXT:
                events.append(BlockGrew(self._flow_at, logprobs=logprobs))
        elif content is not None:
            self._take_pieces(content, events)
        if delta.refusal:
            events.append(BlockGrew(self._go_on(_REFUSAL, Refusal(""), events), delta.refusal))
        for call in delta.tool_calls or ():
            self._take_call(call, events)
        if delta.function_call is not None:
            self._take_call(Call(0, function=delta.function_call), events)
        if delta.annotations or delta.images or delta.audio is not NULL or delta.executed_tools is not NULL:
            self._take_rest(delta, events)

    def _take_pieces(self, pieces: list[Raw], events: list[Event]) -> None:
        for raw in pieces:
            block = piece_of(raw)
            if isinstance(block, Text):
                if block.text:
                    events.append(BlockGrew(self._words(events), block.text))
            elif isinstance(block, Thinking):
                self._take_thought(block, _THOUGHT, events)
            else:
                self._whole(block, events)

    def _take_rest(self, delta: Message, events: list[Event]) -> None:
        self._cited = self._cited or bool(delta.annotations)
        for note in delta.annotations or ():
            events.append(BlockGrew(self._words(events), citation=read_annotation(note)))
        for picture in delta.images or ():
            if picture.image_url is not None:
                self._whole(picture_of(picture.image_url.url), events)
        if delta.audio != NULL:
            if words := heard(delta.audio):
                events.append(BlockGrew(self._words(events), words))
            self._whole(Foreign(NAME, f"{MESSAGE}audio", delta.audio), events)
        if delta.executed_tools not in _EMPTY:
            self._whole(Foreign(NAME, f"{MESSAGE}executed_tools", delta.executed_tools), events)

    # --- thoughts -----------------------------------------------------------------------------------------------------

    def _think(self, delta: Message, events: list[Event]) -> None:
        """In the fullest of the ways they are told in: the others repeat it."""
        said = False
        for detail in delta.reasoning_details or ():
            # Who says a thing only once says whose it is at the beginning.
            form = detail.format = detail.format or self._forms.get(detail.index, "")
            self._forms[detail.index] = form
            thought = read_detail(detail)
            said = said or bool(thought.text)
            if seals_call(detail):
                self._seals[thought.id] = thought
            else:
                self._take_thought(thought, f"{_THOUGHT} {detail.type} {detail.index}", events)
        for piece in delta.thinking_blocks or ():
            thought = thought_of(piece, LITELLM)
            said = said or bool(thought.text)
            self._take_thought(thought, _THOUGHT, events)
        text = delta.reasoning_content or delta.reasoning
        if text and not said:
            self._take_thought(Thinking(text), _THOUGHT, events)

    def _take_thought(self, thought: Thinking, key: str, events: list[Event]) -> None:
        if thought.redacted:
            self._whole(thought, events)
            return
        if not (thought.text or thought.signature or thought.id):
            return
        at = self._go_on(
            f"{key} {thought.origin}",
            Thinking(origin=thought.origin, id=thought.id, summary=thought.summary),
            events,
        )
        if thought.text or thought.signature:
            events.append(BlockGrew(at, thought.text, thought.signature))

    # --- calls --------------------------------------------------------------------------------------------------------

    def _take_call(self, call: Call, events: list[Event]) -> None:
        function = call.function or Function()
        if call.custom != NULL:
            self._losses.dropped(f"custom{CALL_KIND}")
            return
        key = self._key(call)
        known = self._calls.get(key)
        if known is not None and call.id and known.id and call.id != known.id and function.name:
            # Several calls under one index: Google's endpoint did so.
            key = max(self._calls) + 1
            known = None
        if known is None:
            known = self._calls[key] = _Open()
        self._last_call = key
        known.id = known.id or call.id or ""
        more = function.arguments or ""
        if more:
            known.said.append(more)
        if known.at < 0:
            if function.name:
                self._open_call(known, function.name, events, *signature_of(call))
            return
        signature = signature_of(call)[0] if call.extra_content is not None else ""
        if (more or signature) and not known.closed:
            events.append(BlockGrew(known.at, more, signature))

    def _key(self, call: Call) -> int:
        """By its index; without one a new id begins a new call."""
        if call.index is not None:
            return call.index
        last = self._calls.get(self._last_call)
        if last is None or (call.id and call.id != last.id):
            return max(self._calls, default=-1) + 1
        return self._last_call

    def _open_call(self, call: _Open, name: str, events: list[Event], signature: str = "", origin: str = "") -> None:
        self._close(events)
        id_ = call.id or call_id(self._id, sum(known.at >= 0 for known in self._calls.values()))
        call.at = self._count
        self._count += 1
        seal = self._seals.pop(call.id, None)
        if seal is not None:
            signature, origin = seal.redacted, seal.origin
        events.append(BlockOpened(call.at, ToolCall(id_, name, "".join(call.said), signature, origin)))

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _words(self, events: list[Event]) -> int:
        return self._flow_at if self._flow == _TEXT else self._go_on(_TEXT, Text(""), events)

    def _go_on(self, flow: str, block: Block, events: list[Event]) -> int:
        """The block that is open, where it is of that kind; else the new one."""
        if self._flow != flow:
            self._close(events)
            self._flow = flow
            self._flow_at = self._count
            self._count += 1
            events.append(BlockOpened(self._flow_at, block))
        return self._flow_at

    def _whole(self, block: Block, events: list[Event]) -> None:
        self._go_on("whole", block, events)
        self._close(events)

    def _close(self, events: list[Event]) -> None:
        if self._flow:
            events.append(BlockClosed(self._flow_at))
            self._flow = ""
        for call in self._calls.values():
            if not call.closed and call.at >= 0 and _is_whole("".join(call.said)):
                call.closed = True
                events.append(BlockClosed(call.at))


def _is_whole(arguments: str) -> bool:
    """Whether nothing can follow but white space."""
    try:
        _skim(arguments)
    except (DecodeError, RecursionError):
        return False
    return True
