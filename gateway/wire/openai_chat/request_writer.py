"""An Ask as a request for a chat completion (platform.openai.com/docs/api-reference/chat/create).

Written is what OpenAI documents; others' habits only go back to where they came from, since OpenAI and most hosts
refuse a field they don't know.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import Decoder, encode

from gateway.wire.ir import Ask, Effort, Format, Tool, ToolChoice
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.fields import NAME, Fields
from gateway.wire.openai_chat.messages_writer import write_messages
from gateway.wire.openai_chat.parts import Part, merge, write_cache
from gateway.wire.openai_chat.request import TOOLS

# Numbers that OpenAI has no name for: its servers refuse them, and so do most.
_OTHERS: Final = frozenset(("top_k", "min_p", "repetition_penalty"))
# OpenAI's names of its tiers, and Anthropic's for "no other than the standard one".
_TIERS: Final[Mapping[str, str]] = {
    **{tier: tier for tier in ("auto", "default", "flex", "scale", "priority", "fast")},
    "standard_only": "default",
}
# Budgets in tokens to words, after Claude Code's own steps of 4 000, 10 000 and 32 000.
_LOW: Final = 4_096
_MEDIUM: Final = 16_384
_FORMAT: Final = "answer"
_INSIDE: Final = "function."

_by_tool: Final = Decoder(Fields).decode


def write_request(ask: Ask, model: str, losses: Losses) -> Fields:
    own = ask.origin == NAME
    if ask.n > 1 and not own:
        losses.refused("n")  # only one can be read back
    said: Part = {"model": model, "messages": write_messages(ask, losses, own=own), "stream": ask.stream}
    tools = _tools(ask, losses, own=own)
    if ask.choice is not None:
        tools = _choose(ask.choice, tools, said, losses, own=own)
    if tools:
        said["tools"] = tools
    _write_sampling(ask, said, losses, own=own)
    if ask.thinking is not None:
        _write_effort(ask.thinking, said, losses, own=own)
    if ask.format is not None:
        said["response_format"] = _format(ask.format)
    _write_rest(ask, said, losses, own=own)
    return {name: Raw(encode(value)) for name, value in said.items()}


def _tools(ask: Ask, losses: Losses, *, own: bool) -> list[Part]:
    tools: list[Part] = []
    for tool in ask.tools:
        if isinstance(tool, Tool):
            tools.append(_tool(tool, losses, own=own))
        elif tool.origin == NAME:
            tools.append({**_by_tool(tool.raw)})
        else:
            losses.dropped(tool.kind)
    if own:
        for name, values in ask.other.items():
            if name.startswith(TOOLS):
                _put_back(tools, name.removeprefix(TOOLS), _by_tool(values))
    return tools


def _tool(tool: Tool, losses: Losses, *, own: bool) -> Part:
    function: Part = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
    written: Part = {"type": "function", "function": {name: v for name, v in function.items() if v not in (None, "")}}
    if tool.cache is not None:
        if own:
            written["cache_control"] = write_cache(tool.cache)
        else:
            losses.dropped("cache")
    return written


def _put_back(tools: list[Part], name: str, values: Fields) -> None:
    """What else a caller said of his functions, by their names."""
    inside = name.removeprefix(_INSIDE)
    for tool in tools:
        function = tool.get("function")
        if isinstance(function, dict) and function["name"] in values:
            merge(function if inside != name else tool, inside, values[function["name"]])


def _choose(choice: ToolChoice, tools: list[Part], said: Part, losses: Losses, *, own: bool) -> list[Part]:
    """Say which tools are to be called; the tools that are then still to be named."""
    if not tools and choice.mode in ("auto", "none"):
        return tools  # OpenAI refuses a choice among nothing
    if choice.parallel is not None:
        said["parallel_tool_calls"] = choice.parallel
    mode = "required" if choice.mode == "tool" else choice.mode
    if choice.mode == "tool" and len(choice.names) == 1:
        said["tool_choice"] = {"type": "function", "function": {"name": choice.names[0]}}
    elif choice.names and own:
        allowed = [{"type": "function", "function": {"name": name}} for name in choice.names]
        said["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
    elif choice.names:
        # Hardly any host knows `allowed_tools`; to know no other tools comes to the same.
        losses.mapped("tool_choice.names")
        said["tool_choice"] = mode
        return [tool for tool in tools if _name(tool) in choice.names]
    else:
        said["tool_choice"] = mode
    return tools


def _name(tool: Part) -> object:
    function = tool.get("function")
    return function["name"] if isinstance(function, dict) else ""


def _write_sampling(ask: Ask, said: Part, losses: Losses, *, own: bool) -> None:
    if ask.max_tokens is not None:
        said["max_completion_tokens"] = ask.max_tokens
    if ask.stop:
        said["stop"] = ask.stop
    for name, value in ask.sampling.items():
        if name in _OTHERS and not own:
            losses.dropped(name)
        else:
            said[name] = value
    if ask.logprobs is not None:
        said["logprobs"] = True
        if ask.logprobs:
            said["top_logprobs"] = ask.logprobs
    if ask.n > 1:
        said["n"] = ask.n


def _write_effort(effort: Effort, said: Part, losses: Losses, *, own: bool) -> None:
    level = effort.level
    if own and (effort.tokens is not None or effort.shown is not None):
        reasoning: Part = {"effort": level} if level else {}
        if effort.tokens is not None:
            reasoning["max_tokens"] = effort.tokens
        if effort.shown is not None:
            reasoning["exclude"] = not effort.shown
        said["reasoning"] = reasoning
        return
    if not level and effort.tokens is not None:
        losses.mapped("thinking")
        level = _level(effort.tokens)
    if effort.shown:
        losses.mapped("thinking")  # whoever tells thoughts here tells them unasked
    if level:
        said["reasoning_effort"] = level


def _level(tokens: int) -> str:
    """A word for a budget; "" where the model decides (Gemini's -1)."""
    if tokens <= 0:
        return "none" if tokens == 0 else ""
    if tokens < _LOW:
        return "low"
    return "medium" if tokens < _MEDIUM else "high"


def _format(form: Format) -> Part:
    if form.schema is None:
        return {"type": "json_object"}
    schema: Part = {"name": form.name or _FORMAT, "schema": form.schema}
    if form.description:
        schema["description"] = form.description
    if form.strict is not None:
        schema["strict"] = form.strict
    return {"type": "json_schema", "json_schema": schema}


def _write_rest(ask: Ask, said: Part, losses: Losses, *, own: bool) -> None:
    if ask.user:
        said["user"] = ask.user
    if ask.cache_key:
        said["prompt_cache_key"] = ask.cache_key
    tier = ask.service_tier if own else _TIERS.get(ask.service_tier, "")
    if tier:
        said["service_tier"] = tier
    elif ask.service_tier:
        losses.dropped("service_tier")
    if own:
        _write_own(ask, said)
    else:
        _drop(ask, losses)


def _write_own(ask: Ask, said: Part) -> None:
    if ask.metadata:
        said["metadata"] = ask.metadata
    if ask.cache is not None:
        said["cache_control"] = write_cache(ask.cache)
    said |= {name: value for name, value in ask.other.items() if not name.startswith(TOOLS)}


def _drop(ask: Ask, losses: Losses) -> None:
    if ask.metadata:
        losses.dropped("metadata")  # OpenAI refuses it where an answer isn't stored
    if ask.cache is not None:
        losses.dropped("cache")
    for name in ask.other:
        losses.dropped(name)
