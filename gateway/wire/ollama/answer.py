"""Answers of Ollama's chat, whole and streamed (its docs/openapi.yaml, ChatResponse; docs/api/errors.mdx).

A stream is a JSON value a line, each a piece of the message; the last says `done`. Calls come whole.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.errors import UpstreamBroken, UpstreamTruncated
from gateway.features import Usage
from gateway.wire import openai_error
from gateway.wire.anthropic_event import MOST_TOKENS, UNSAID
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Answer,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finish,
    Finished,
    Media,
    Started,
    Text,
    Thinking,
    ToolCall,
)

_FINISHES: Final[Mapping[str, Finish]] = {"stop": "stop", "length": "length"}
# Go writes as many digits of a second as there are, and its own zone.
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
# How base64 of each form of picture begins; nothing else says what it is.
_PICTURES: Final[Mapping[str, str]] = {"iVBOR": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp"}


class _Function(Struct, gc=False):
    name: str = ""
    arguments: Raw = UNSAID


class _Call(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None
    images: list[str] | None = None


class _Said(Struct, gc=False):
    model: str | None = None
    created_at: str | None = None
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: Raw = UNSAID
    error: Raw = UNSAID


_said: Final = Decoder(_Said).decode
_NO_CALL: Final = _Function()


def read_answer(body: bytes) -> Answer:
    said = _read(body)
    message = said.message
    if message is None:
        raise UpstreamBroken("The upstream's answer has no message.")
    blocks: list[Block] = []
    if message.thinking:
        blocks.append(Thinking(message.thinking))
    if message.content:
        blocks.append(Text(message.content))
    blocks += map(_picture, message.images or ())
    calls = [_call(call, at) for at, call in enumerate(message.tool_calls or ())]
    return Answer(
        [*blocks, *calls],
        _finish(said, called=bool(calls)),
        model=said.model or "",
        created=_created(said.created_at),
        usage=_usage(said),
        logprobs=_there(said.logprobs),
    )


class OllamaReader:
    """See codec.Reader. One block is open at a time: another kind of piece begins another."""

    __slots__ = ("_calls", "_last", "_next", "_open", "_started", "done")

    def __init__(self) -> None:
        self._started = False
        self._open: type[Text | Thinking] | None = None
        self._next = 0
        self._calls = 0
        self._last: _Said | None = None
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        del name
        said = _read(payload)
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(Started(model=said.model or "", created=_created(said.created_at)))
        message = said.message
        if message is not None:
            logprobs = _there(said.logprobs)
            if message.thinking:
                self._grow(events, Thinking, message.thinking, None if message.content else logprobs)
            if message.content:
                self._grow(events, Text, message.content, logprobs)
            for picture in message.images or ():
                self._whole(events, _picture(picture))
            for call in message.tool_calls or ():
                self._whole(events, _call(call, self._calls))
                self._calls += 1
        if said.done:
            self._last = said
            self.done = True
        return events

    def end(self) -> list[Event]:
        if self._last is None:
            raise UpstreamTruncated("The upstream's answer ended early.")
        events: list[Event] = []
        self._close(events)
        events.append(Finished(_finish(self._last, called=self._calls > 0), usage=_usage(self._last)))
        return events

    def _grow(self, events: list[Event], kind: type[Text] | type[Thinking], text: str, logprobs: Raw | None) -> None:
        if self._open is not kind:
            self._close(events)
            self._open = kind
            events.append(BlockOpened(self._next, kind("")))
            self._next += 1
        events.append(BlockGrew(self._next - 1, text, logprobs=logprobs))

    def _whole(self, events: list[Event], block: Block) -> None:
        self._close(events)
        events += (BlockOpened(self._next, block), BlockClosed(self._next))
        self._next += 1

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(BlockClosed(self._next - 1))
            self._open = None


def _read(payload: bytes) -> _Said:
    said = _said(payload)
    if said.error != UNSAID:
        raise openai_error.read_inside(payload)
    return said


def _call(call: _Call, at: int) -> ToolCall:
    """A call; older versions give it no id. Its arguments are an object's text, as it came."""
    function = call.function or _NO_CALL
    text = bytes(function.arguments).decode() if function.arguments != UNSAID else NO_ARGUMENTS
    return ToolCall(call.id or f"call_{at}", function.name, text)


def _picture(data: str) -> Block:
    kind = next((kind for begins, kind in _PICTURES.items() if data.startswith(begins)), "")
    return Media("image", kind, data=data)


def _finish(said: _Said, *, called: bool) -> Finish:
    """A model that calls a tool stops, too; older servers tell no reason."""
    finish = _FINISHES.get(said.done_reason, "other") if said.done_reason else "stop"
    return "tools" if called and finish == "stop" else finish


def _usage(said: _Said) -> Usage | None:
    """A count of 0 isn't told: a prompt's, where all of it was in memory (api/types.go, Metrics, omitempty)."""
    if said.prompt_eval_count is None and said.eval_count is None:
        return None
    read, wrote = said.prompt_eval_count or 0, said.eval_count or 0
    return Usage(read, wrote) if 0 <= min(read, wrote) <= max(read, wrote) <= MOST_TOKENS else None


def _created(told: str | None) -> int:
    when = _TIME.match(told) if told else None
    try:
        return int(datetime.fromisoformat(when[1] + when[2]).timestamp()) if when else 0
    except ValueError:
        return 0


def _there(raw: Raw) -> Raw | None:
    return None if raw == UNSAID else raw
