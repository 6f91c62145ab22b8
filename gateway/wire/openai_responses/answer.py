"""A whole answer, both ways (OpenAI, API reference, "The response object")."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder, encode

from gateway.errors import UpstreamBroken, UpstreamError
from gateway.features import Usage
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    Citation,
    Finish,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_responses import items
from gateway.wire.openai_responses.error import cancelled, failure_in
from gateway.wire.openai_responses.fields import NAME, NULL
from gateway.wire.openai_responses.parts import Written, read_citation
from gateway.wire.openai_responses.thoughts import Reasoning, answered_thoughts
from gateway.wire.openai_responses.tools import free_arguments
from gateway.wire.openai_usage import MOST_TOKENS

FUNCTION: Final = "function_call"
CUSTOM: Final = "custom_tool_call"
_EMPTY: Final = Raw(b"[]")
_REASONS: Final[Mapping[str, Finish]] = {"max_output_tokens": "length", "content_filter": "filter"}


class _Incomplete(Struct, gc=False):
    reason: str | None = None


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class _Spent(Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class Response(Struct, gc=False):
    """The response object, as far as it is read."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Raw] | None = None
    error: Raw = NULL
    incomplete_details: _Incomplete | None = None
    usage: Raw = NULL
    service_tier: str | None = None


class Kind(Struct, gc=False):
    type: str = ""


class Call(Struct, gc=False):
    """A function's or a custom tool's call."""

    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class Message(Struct, gc=False):
    content: list[Raw] | None = None
    phase: str | None = None


class Part(Struct, gc=False):
    """A part of a message's content."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Raw] | None = None
    logprobs: Raw = NULL


read_response: Final = Decoder(Response).decode
read_kind: Final = Decoder(Kind).decode
read_part: Final = Decoder(Part).decode
read_message: Final = Decoder(Message).decode
read_call: Final = Decoder(Call).decode
read_reasoning: Final = Decoder(Reasoning).decode
_read_spent: Final = Decoder(_Spent).decode
_tokens: Final = Decoder(list[Raw]).decode


# --- reading ----------------------------------------------------------------------------------------------------------


def usage_of(raw: Raw) -> Usage | None:
    """The counts; None where there are none, or where no model can have used that much (row F38)."""
    if raw == NULL:
        return None
    try:
        spent = _read_spent(raw)
    except ValidationError:
        return None
    if spent.input_tokens is None and spent.output_tokens is None:
        return None
    inside, outside = spent.input_tokens_details or _InputDetails(), spent.output_tokens_details or _OutputDetails()
    counts = (
        spent.input_tokens or 0,
        spent.output_tokens or 0,
        inside.cached_tokens or 0,
        inside.cache_write_tokens or 0,
        outside.reasoning_tokens or 0,
    )
    return Usage(*counts) if 0 <= min(counts) <= max(counts) <= MOST_TOKENS else None


def failure_of(response: Response, told: bytes) -> UpstreamError | None:
    """What went wrong, where an answer says that something did; `told` is where it says so."""
    if response.error != NULL or response.status == "failed":
        return failure_in(told)
    if response.status == "cancelled":
        return cancelled()
    return None


def finish_of(response: Response, *, called: bool, refused: bool) -> Finish:
    """Why it ended. A call of a tool, and the model's own no, are seen in what it said."""
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details is not None else None
        return _REASONS.get(reason or "", "other")
    if response.status in ("queued", "in_progress"):
        return "pause"
    return "tools" if called else "refusal" if refused else "stop"


def read_tool_call(call: Call, kind: str, at: int, losses: Losses) -> ToolCall:
    """A call; `at` counts the calls of this answer, for where it has no id."""
    if call.namespace:
        losses.mapped("namespace")
    id_ = call.call_id or call.id or f"call_{at}"
    if kind == CUSTOM:
        losses.mapped(CUSTOM)
        return ToolCall(id_, call.name or "", free_arguments(call.input or ""))
    return ToolCall(id_, call.name or "", call.arguments or "")


def note_phase(phase: str | None, losses: Losses) -> None:
    """What is said on the way to an answer is text like any other elsewhere."""
    if phase == "commentary":
        losses.mapped("phase")


def cited(part: Part) -> list[Citation]:
    return [read_citation(raw) for raw in part.annotations or ()]


class _Reading:
    def __init__(self, losses: Losses) -> None:
        self.content: list[Block] = []
        self.logprobs: list[Raw] = []
        self.calls = 0
        self._losses = losses

    def take(self, raw: Raw) -> None:
        kind = read_kind(raw).type
        if kind == "message":
            said = read_message(raw)
            note_phase(said.phase, self._losses)
            for part in said.content or ():
                self._part(part)
        elif kind == "reasoning":
            self.content += answered_thoughts(read_reasoning(raw))
        elif kind in (FUNCTION, CUSTOM):
            self.content.append(read_tool_call(read_call(raw), kind, self.calls, self._losses))
            self.calls += 1
        else:
            self.content.append(Foreign(NAME, kind, raw))

    def _part(self, raw: Raw) -> None:
        part = read_part(raw)
        if part.type in ("output_text", "text"):
            self.content.append(Text(part.text or "", citations=cited(part)))
            if part.logprobs != NULL:
                self.logprobs += _tokens(part.logprobs)
        elif part.type == "refusal":
            self.content.append(Refusal(part.refusal or ""))
        else:
            self.content.append(Foreign(NAME, part.type, raw))


def read_answer(body: bytes, losses: Losses) -> Answer:
    response = read_response(body)
    failure = failure_of(response, body)
    if failure is not None:
        raise failure
    if response.output is None:
        raise UpstreamBroken("The upstream's answer has no output.")
    reading = _Reading(losses)
    for item in response.output:
        reading.take(item)
    refused = any(isinstance(block, Refusal) for block in reading.content)
    return Answer(
        reading.content,
        finish_of(response, called=reading.calls > 0, refused=refused),
        id=response.id or "",
        model=response.model or "",
        created=int(response.created_at or 0),
        usage=usage_of(response.usage),
        logprobs=Raw(encode(reading.logprobs)) if reading.logprobs else None,
        service_tier=response.service_tier or "",
    )


# --- writing ----------------------------------------------------------------------------------------------------------


def incomplete_reason(finish: Finish, *, refused: bool) -> str:
    """Why an answer isn't completed, "" where it is. A refusal without a word is a filter's."""
    if finish == "refusal" and not refused:
        return items.INCOMPLETE["filter"]
    return items.INCOMPLETE.get(finish, "")


def write_answer(answer: Answer, ask: Ask, losses: Losses) -> bytes:
    told = items.Told(ask, answer.id, answer.model, answer.created)
    if answer.sequence:
        losses.mapped("stop")
    refused = any(isinstance(block, Refusal) for block in answer.content)
    reason = incomplete_reason(answer.finish, refused=refused)
    return encode(
        told.response(
            "incomplete" if reason else "completed",
            _Writing(told, losses, answer.logprobs).output(answer.content),
            usage=answer.usage,
            incomplete=reason,
            tier=items.tier(answer.service_tier, losses),
        )
    )


class _Writing:
    """Blocks to items: what is said in a row is one message."""

    def __init__(self, told: items.Told, losses: Losses, logprobs: Raw | None) -> None:
        self._told = told
        self._losses = losses
        self._logprobs = logprobs or _EMPTY
        self._output: list[object] = []
        self._parts: list[object] = []

    def output(self, content: list[Block]) -> list[object]:
        for block in content:
            if isinstance(block, Text | Refusal):
                self._say(block)
            else:
                self._close()
                self._item(block)
        self._close()
        return self._output

    def _say(self, block: Text | Refusal) -> None:
        if isinstance(block, Refusal):
            self._parts.append(items.refusal_part(block.text))
            return
        cited = items.annotations(block.citations, block.text, self._losses)
        self._parts.append(items.text_part(block.text, cited, self._logprobs))
        self._logprobs = _EMPTY  # they are told of the whole answer, and once

    def _close(self) -> None:
        if self._parts:
            self._add(items.message(self._id(items.MESSAGE), "completed", self._parts))
            self._parts = []

    def _item(self, block: Block) -> None:
        if isinstance(block, ToolCall):
            if block.signature:
                self._add(items.call_signature(self._id(items.REASONING), block))
            call = self._told.call(block, len(self._output))
            self._add(call.written("completed", call.whole(block.arguments)))
        elif isinstance(block, Thinking):
            own = block.id if block.origin == NAME else ""
            self._add(items.reasoning(own or self._id(items.REASONING), block))
        elif isinstance(block, Foreign) and block.origin == NAME:
            self._output.append(block.raw)
        elif isinstance(block, Media):
            made = items.image(self._id(items.IMAGE), block, self._losses)
            if made is not None:
                self._add(made)
        else:
            self._losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")

    def _id(self, kind: str) -> str:
        return self._told.item_id(kind, len(self._output))

    def _add(self, item: Written) -> None:
        self._output.append(item)
