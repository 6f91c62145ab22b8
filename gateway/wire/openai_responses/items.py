"""The items of an answer as callers are given them, and the response object around them, streamed or whole."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.features import Usage
from gateway.wire.answer_id import answer_id
from gateway.wire.ir import NO_ARGUMENTS, Ask, Citation, Finish, Format, Media, Thinking, ToolCall
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.fields import TIERS
from gateway.wire.openai_responses.parts import Written, write_citation
from gateway.wire.openai_responses.thoughts import seal, seal_call
from gateway.wire.openai_responses.tools import Wrapped, free_text, wrapped, write_choice

MESSAGE: Final = "msg"
REASONING: Final = "rs"
IMAGE: Final = "ig"
# Ends that are no completion here, and why.
INCOMPLETE: Final[Mapping[Finish, str]] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "filter": "content_filter",
}
# OpenAI takes items back whose id has 64 of these at most.
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_MOST_CHARACTERS: Final = 48
_USUAL: Final = frozenset(("standard", "on_demand"))  # what others call the default
_FORMATS: Final = frozenset(("png", "webp", "jpeg", "gif", "svg"))


def write_format(form: Format) -> Written:
    """A form as requests and answers say it; one with a schema has both that and a name (ResponseFormatJsonSchema)."""
    if form.schema is None:
        return {"type": "json_object"}
    said: Written = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
    if form.description:
        said["description"] = form.description
    if form.strict is not None:
        said["strict"] = form.strict
    return said


class Told:
    """One answer to one caller: its id, and what he asked for as far as every response object says it again."""

    __slots__ = ("_ask", "_known", "_stem", "created", "id", "model")

    def __init__(self, ask: Ask, id_: str, model: str, created: int) -> None:
        self.id = answer_id(id_, ask, "resp")
        self.model = model or ask.model
        self.created = created
        self._ask = ask
        self._known: dict[str, Wrapped] = wrapped(ask)
        self._stem = _UNSAFE.sub("_", self.id[-_MOST_CHARACTERS:])

    def item_id(self, kind: str, at: int) -> str:
        return f"{kind}_{self._stem}_{at}"

    def response(
        self,
        status: str,
        output: list[object],
        *,
        usage: Usage | None = None,
        incomplete: str = "",
        error: Written | None = None,
        tier: str = "",
    ) -> Written:
        """The response object. Tools and instructions aren't said again: they may be long, and nobody reads them."""
        ask, choice = self._ask, self._ask.choice
        thinking, form = ask.thinking, ask.format
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "instructions": None,
            "max_output_tokens": ask.max_tokens,
            "max_tool_calls": None,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": True if choice is None or choice.parallel is None else choice.parallel,
            "previous_response_id": None,
            "prompt_cache_key": ask.cache_key or None,
            "reasoning": {"effort": thinking.level or None if thinking is not None else None, "summary": None},
            "safety_identifier": ask.user or None,
            "service_tier": tier or None,
            "store": False,
            "temperature": ask.sampling.get("temperature"),
            "text": {"format": {"type": "text"} if form is None else write_format(form)},
            "tool_choice": "auto" if choice is None else write_choice(choice, self._known),
            "tools": [],
            "top_logprobs": ask.logprobs or 0,
            "top_p": ask.sampling.get("top_p"),
            "truncation": "disabled",
            "usage": None if usage is None else write_usage(usage),
            "user": None,
            "metadata": ask.metadata,
        }

    def call(self, call: ToolCall, at: int) -> "CallItem":
        return CallItem(self, call, self._known.get(call.name), at)


class CallItem:
    """A call of a tool, as the caller knows that tool."""

    __slots__ = ("_call_id", "_name", "_tool", "custom", "id")

    def __init__(self, told: Told, call: ToolCall, tool: Wrapped | None, at: int) -> None:
        self._call_id = call.id or told.item_id("call", at)
        self._name = call.name if tool is None else tool.short
        self._tool = tool
        self.custom = tool is not None and tool.custom
        self.id = told.item_id("ctc" if self.custom else "fc", at)

    def written(self, status: str, arguments: str) -> Written:
        tool = self._tool
        item: Written = {
            "id": self.id,
            "type": "custom_tool_call" if self.custom else "function_call",
            "status": status,
            "input" if self.custom else "arguments": arguments,
            "call_id": self._call_id,
            "name": self._name,
        }
        if tool is not None and tool.space:
            item["namespace"] = tool.space
        return item

    def whole(self, arguments: str) -> str:
        """What the tool is given in the end: text, or JSON, of which there is always some."""
        return free_text(arguments) if self.custom else arguments or NO_ARGUMENTS


def message(id_: str, status: str, parts: list[object]) -> Written:
    return {"id": id_, "type": "message", "status": status, "content": parts, "role": "assistant"}


def text_part(text: str, annotations: list[Raw], logprobs: object) -> Written:
    return {"type": "output_text", "annotations": annotations, "logprobs": logprobs, "text": text}


def refusal_part(text: str) -> Written:
    return {"type": "refusal", "refusal": text}


def annotations(citations: list[Citation], text: str, losses: Losses) -> list[Raw]:
    said = [write_citation(cited, len(text), losses) for cited in citations]
    return [raw for raw in said if raw is not None]


def reasoning(id_: str, thinking: Thinking) -> Written:
    """A thought; all of it is told as a summary, since that is what callers show and send back."""
    item: Written = {"id": id_, "type": "reasoning", "summary": []}
    if thinking.text:
        item["summary"] = [{"type": "summary_text", "text": thinking.text}]
    sealed = seal(thinking.signature, thinking.redacted, thinking.origin)
    if sealed:
        item["encrypted_content"] = sealed
    return item


def call_signature(id_: str, call: ToolCall) -> Written:
    """An item beside a signed call, so that its signature comes back: Gemini refuses its calls without it."""
    return {"id": id_, "type": "reasoning", "summary": [], "encrypted_content": seal_call(call)}


def image(id_: str, media: Media, losses: Losses) -> Written | None:
    """A picture in an answer, as the tool that makes them here tells it."""
    if media.kind != "image" or not media.data:
        losses.dropped("images" if media.kind == "image" else media.kind)
        return None
    losses.mapped("images")
    item: Written = {"id": id_, "type": "image_generation_call", "status": "completed", "result": media.data}
    form = media.media_type.removeprefix("image/")
    if form in _FORMATS:
        item["output_format"] = form
    return item


def tier(told: str, losses: Losses) -> str:
    """The tier an answer was made in; one that OpenAI doesn't have is told as its usual one."""
    if not told or told in TIERS:
        return told
    if told not in _USUAL:
        losses.mapped("service_tier")
    return "default"


def write_usage(usage: Usage) -> Written:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_written_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
