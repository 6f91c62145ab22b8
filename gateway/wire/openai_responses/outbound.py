"""The inner form, written as a request to a backend of this language. Nothing is ever stored there for our callers."""

import hashlib
import re
from typing import Final

from msgspec import Raw
from msgspec.json import decode

from gateway.wire.ir import Ask, Block, Effort, Foreign, Media, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.fields import NAME, TIERS, object_in, raw_of
from gateway.wire.openai_responses.items import write_format
from gateway.wire.openai_responses.parts import PartWriter, Written, is_part
from gateway.wire.openai_responses.request import ENCRYPTED, LOGPROBS
from gateway.wire.openai_responses.thoughts import write_thought
from gateway.wire.openai_responses.tools import Wrapped, free_text, wrapped, write_choice, write_tools

# OpenAI's models before and beside the thinking ones refuse to be asked for thoughts: "Encrypted content is not
# supported with this model", "Unsupported parameter: 'reasoning.effort'".
_THOUGHTLESS: Final = re.compile(r"\b(?:gpt-[34]|chatgpt-|gpt-5-chat)", re.IGNORECASE)
_EFFORTS: Final = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))
_LOW, _MEDIUM = 4096, 16384  # tokens up to which an effort is low, and medium
_SAMPLING: Final = ("temperature", "top_p")
# What chat completions and responses call alike.
_SHARED: Final = frozenset(("verbosity", "prompt_cache_retention", "prompt_cache_options", "moderation"))
_CHAT: Final = "openai_chat"
_MOST_USER: Final = 64  # characters of a user's identifier
_TEXT: Final = {"type", "text"}


def write_request(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    own = ask.origin == NAME
    thinks = _THOUGHTLESS.search(model) is None
    if ask.n > 1:
        losses.refused("n")
    written: Written = {"model": model}
    items = _Items(ask, losses, own=own)
    if ask.system and ask.messages:
        items.instruct(ask.system, written)
    elif ask.system:
        items.begin(ask.system)
    for at, turn in enumerate(ask.messages):
        items.turn(turn, needed=at == len(ask.messages) - 1)
    written["input"] = items.items
    tools = write_tools(ask, losses)
    if tools:
        written["tools"] = tools
    if ask.choice is not None:
        written["tool_choice"] = write_choice(ask.choice, items.known)
        if ask.choice.parallel is not None:
            written["parallel_tool_calls"] = ask.choice.parallel
    _numbers(ask, written, losses)
    _thinking(ask, written, losses, thinks=thinks)
    _text(ask, written)
    _identity(ask, written, losses, own=own)
    if ask.stream:
        written["stream"] = True
    if ask.cache is not None:
        losses.mapped("cache")
    _other(ask, written, losses, own=own)
    written["store"] = False
    return {name: raw_of(value) for name, value in written.items()}


def _numbers(ask: Ask, written: Written, losses: Losses) -> None:
    if ask.max_tokens is not None:
        written["max_output_tokens"] = ask.max_tokens
    for name, value in ask.sampling.items():
        if name in _SAMPLING:
            written[name] = value
        else:
            losses.dropped(name)
    if ask.stop:
        losses.dropped("stop")
    if ask.logprobs is not None:
        written["top_logprobs"] = ask.logprobs


def _thinking(ask: Ask, written: Written, losses: Losses, *, thinks: bool) -> None:
    """How much thinking is wanted, and what the answer is to include of it."""
    include = [ENCRYPTED] if thinks else []
    if ask.logprobs is not None:
        include.append(LOGPROBS)
    if include:
        written["include"] = include
    if ask.thinking is None:
        return
    reasoning = _reasoning(ask.thinking, losses)
    if reasoning and thinks:
        written["reasoning"] = reasoning
    elif reasoning and ask.thinking.level != "none":
        losses.dropped("thinking")


def _reasoning(effort: Effort, losses: Losses) -> Written:
    said: Written = {}
    level = effort.level
    if not level and effort.tokens is not None:
        losses.mapped("thinking")
        level = "low" if effort.tokens < _LOW else "medium" if effort.tokens < _MEDIUM else "high"
    if level in _EFFORTS:
        said["effort"] = level
    elif level:
        losses.dropped("thinking")
    if effort.shown:
        said["summary"] = "auto"
    return said


def _text(ask: Ask, written: Written) -> None:
    if ask.format is not None:
        written["text"] = {"format": write_format(ask.format)}


def _identity(ask: Ask, written: Written, losses: Losses, *, own: bool) -> None:
    """Who asks, in which tier, and what a cache may know it by."""
    if ask.user:
        user = ask.user
        if len(user) > _MOST_USER and not own:
            # Longer ones are refused; what OpenAI recommends instead is a hash (safety best practices).
            losses.mapped("user")
            user = hashlib.sha256(user.encode()).hexdigest()
        written["safety_identifier"] = user
    if ask.metadata:
        written["metadata"] = ask.metadata
    if ask.service_tier in TIERS or (own and ask.service_tier):
        written["service_tier"] = ask.service_tier
    elif ask.service_tier:
        losses.dropped("service_tier")
    if ask.cache_key:
        written["prompt_cache_key"] = ask.cache_key


def _other(ask: Ask, written: Written, losses: Losses, *, own: bool) -> None:
    """What only its origin says; where that is this language, it joins what is written."""
    for name, value in ask.other.items():
        if name in _SHARED and (own or ask.origin == _CHAT):
            if name == "verbosity":
                _join(written, "text", {"verbosity": value})
            else:
                written[name] = value
        elif not own:
            losses.dropped(name)
        elif name in ("text", "reasoning"):
            _join(written, name, dict(object_in(value, name)))
        elif name == "include":
            asked = written.get(name)
            written[name] = [*(asked if isinstance(asked, list) else []), *decode(value, type=list[str])]
        else:
            written[name] = value


def _join(written: Written, name: str, more: Written) -> None:
    said = written.get(name)
    written[name] = {**said, **more} if isinstance(said, dict) else more


class _Items:
    """The items of a conversation so far."""

    __slots__ = ("_custom", "_last", "_losses", "_own", "_parts", "items", "known")

    def __init__(self, ask: Ask, losses: Losses, *, own: bool) -> None:
        self.items: list[object] = []
        self.known: dict[str, Wrapped] = wrapped(ask)
        self._losses = losses
        self._own = own
        self._parts = PartWriter(losses, own=own)
        self._custom: set[str] = set()
        self._last: Written = {}

    def instruct(self, system: list[Text], written: Written) -> None:
        """The first text is the instructions; what follows it stands at the head of the conversation."""
        first, *rest = system
        if first.cache is None or not self._own:
            written["instructions"] = first.text
            if first.cache is not None:
                self._losses.mapped("cache")
        else:
            rest = system
        for text in rest:
            self._message("system", [text], "input_text")

    def begin(self, system: list[Text]) -> None:
        """Instructions alone, which others answer: here there must be an item."""
        for text in system:
            self._message("system", [text], "input_text")

    def turn(self, turn: Turn, *, needed: bool) -> None:
        if turn.name:
            self._losses.dropped("name")
        self._parts.needed = needed and turn.role == "user"
        run: list[Block] = []
        text = "output_text" if turn.role == "assistant" else "input_text"
        for block in turn.content:
            if isinstance(block, Text | Media | Refusal) or (isinstance(block, Foreign) and is_part(block)):
                run.append(block)
                continue
            self._message(turn.role, run, text)
            run = []
            if isinstance(block, ToolCall):
                self._call(block)
            elif isinstance(block, ToolResult):
                self._result(block)
            elif isinstance(block, Thinking):
                self._thought(block)
            else:
                self._foreign(block)
        self._message(turn.role, run, text)

    def _message(self, role: str, run: list[Block], text: str) -> None:
        """What is said in a row, as one message."""
        parts = self._parts.parts(run, text)
        if parts:
            self._add({"role": role, "content": _bare(parts)})

    def _add(self, item: Written) -> None:
        self._last = item
        self.items.append(item)

    def _call(self, call: ToolCall) -> None:
        tool = self.known.get(call.name)
        name = tool.short if tool is not None else call.name
        if tool is not None and tool.custom:
            self._custom.add(call.id)
            item: Written = {"type": "custom_tool_call", "call_id": call.id, "name": name}
            item["input"] = free_text(call.arguments)
        else:
            item = {"type": "function_call", "call_id": call.id, "name": name, "arguments": call.arguments or "{}"}
        if tool is not None and tool.space:
            item["namespace"] = tool.space
        if call.signature:
            self._losses.dropped("thinking.signature")
        if call.cache is not None:
            self._losses.mapped("cache")
        self._add(item)

    def _result(self, result: ToolResult) -> None:
        kind = "custom_tool_call_output" if result.call_id in self._custom else "function_call_output"
        item: Written = {"type": kind, "call_id": result.call_id}
        item["output"] = _bare(self._parts.parts(result.content, "input_text"))
        if result.is_error:
            self._losses.dropped("tool_results.error")
        if result.cache is not None:
            self._losses.mapped("cache")
        self._add(item)

    def _thought(self, thinking: Thinking) -> None:
        signed = thinking.signature or thinking.redacted
        if thinking.origin != NAME or not (signed or self._own):
            # OpenAI takes no thoughts but its own, sealed.
            self._losses.dropped("thinking.blocks")
            return
        item = write_thought(thinking, self.items[-1] if self.items else None)
        if item is not None:
            self._add(item)

    def _foreign(self, block: Foreign) -> None:
        if block.origin != NAME:
            self._losses.dropped(block.kind)
        elif "." in block.kind:
            self._last[block.kind.partition(".")[2]] = block.raw
        else:
            self.items.append(block.raw)


def _bare(parts: list[Written]) -> object:
    """Parts, or the text itself where there is nothing else."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == _TEXT else parts
