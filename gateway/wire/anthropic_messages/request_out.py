"""A request of this language, written from the inner form."""

from typing import Final

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from gateway.wire.anthropic_messages import effort
from gateway.wire.anthropic_messages.content_out import ContentOut, Placed, Said, marked
from gateway.wire.anthropic_messages.kept import sort
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.thought import has_lost
from gateway.wire.ir import Ask, Foreign, Format, Text, Tool, ToolChoice
from gateway.wire.losses import Losses

_SAMPLING: Final = frozenset(("temperature", "top_p", "top_k"))
_MODES: Final = {"auto": "auto", "required": "any", "tool": "tool", "none": "none"}
_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard": "standard_only"}
_NOTHING: Final = Raw(b'{"type":"object","properties":{}}')
_OBJECT: Final = Raw(b'"object"')
# There is no JSON without a schema here. The sentence is what Anthropic itself advises where no schema is given.
_JSON_ONLY: Final = "Answer with one valid JSON object and nothing else: no words around it, no code fence."
# Objects of the request with a field that Anthropic alone says.
_PARTS: Final = ("thinking", "output_config", "metadata", "tool_choice")
# What a request to count tokens doesn't take.
_UNCOUNTED: Final = (
    "max_tokens",
    "stream",
    "metadata",
    "service_tier",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
)

_encode: Final = Encoder().encode
_object: Final = Decoder(dict[str, Raw]).decode


def write(ask: Ask, model: str, losses: Losses, *, fetches: bool = True) -> dict[str, Raw]:
    """The fields of a request; see OutCodec.write_request. `fetches` is ContentOut's."""
    own = ask.origin == NAME
    plain, placed = sort(ask.other) if own else ({}, {})
    if own:
        thought = effort.again(ask.thinking, alone="effort" in placed.get("output_config", {}))
        thought.most = ask.max_tokens or thought.most
        if ask.thinking is not None and ask.thinking.tokens is not None and has_lost(ask.messages, NAME):
            losses.dropped("thinking")
            thought.thinking = None
    else:
        thought = effort.write(ask, model, losses)
        _note_unsayable(ask, losses)
    said: Said = {"model": model, "max_tokens": thought.most}
    _say_conversation(said, ask, ContentOut(ask, placed, losses, fetches=fetches), losses)
    if ask.stream:
        said["stream"] = True
    _say_tools(said, ask, placed, losses)
    _say_limits(
        said, ask, model, losses, thinks=thought.thinking is not None and thought.thinking["type"] != "disabled"
    )
    if thought.thinking is not None:
        said["thinking"] = thought.thinking
    output: Said = {"effort": thought.effort} if thought.effort else {}
    if ask.format is not None and ask.format.schema is not None:
        output["format"] = _format(ask.format, ask.format.schema, placed, losses)
    if output:
        said["output_config"] = output
    if ask.user:
        said["metadata"] = {"user_id": ask.user}
    marked(said, ask.cache)
    for place in _PARTS:
        if place in placed:
            part = said.get(place)
            said[place] = {**(part if isinstance(part, dict) else {}), **placed[place]}
    said |= {**placed.get("", {}), **plain}
    return {name: Raw(_encode(value)) for name, value in said.items()}


def write_count(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    """The fields of a request that has its tokens counted: the same, without what only an answer needs."""
    return {name: value for name, value in write(ask, model, losses).items() if name not in _UNCOUNTED}


def _note_unsayable(ask: Ask, losses: Losses) -> None:
    if ask.n > 1:
        losses.refused("n")
    for name in ask.other:
        losses.dropped(name)
    if ask.logprobs is not None:
        losses.dropped("logprobs")
    if ask.metadata:
        losses.dropped("metadata")
    if ask.cache_key:
        losses.dropped("cache_key")


def _say_conversation(said: Said, ask: Ask, content: ContentOut, losses: Losses) -> None:
    """The system prompt and the turns. Where no turn says anything, which others allow, the prompt is the question."""
    system = ask.system
    if ask.format is not None and ask.format.schema is None:
        losses.mapped("format")
        system = [*system, Text(_JSON_ONLY)]
    prompt = content.texts(system)
    turns = content.turns(ask.messages)
    if system and not turns:
        losses.mapped("system")
        said["messages"] = [{"role": "user", "content": prompt}]
        return
    if system:
        said["system"] = prompt
    said["messages"] = turns


def _say_tools(said: Said, ask: Ask, placed: Placed, losses: Losses) -> None:
    choice, tools = ask.choice, ask.tools
    if choice is not None and len(choice.names) > (choice.mode == "tool"):
        # "Only these" is said by giving only these.
        losses.mapped("tool_choice.names")
        tools = [tool for tool in tools if isinstance(tool, Foreign) or tool.name in choice.names]
        if not tools:
            losses.refused("tool_choice.names")
        choice = ToolChoice("required" if choice.mode == "tool" else choice.mode, (), choice.parallel)
    written: list[object] = []
    for at, tool in enumerate(tools):
        if isinstance(tool, Tool):
            written.append({**_tool(tool), **placed.get(f"tools[{at}]", {})})
        elif tool.origin == NAME:
            written.append(tool.raw)
        else:
            losses.dropped(tool.kind)
    if written:
        said["tools"] = written
    if choice is not None and (written or ask.origin == NAME or choice.mode in ("required", "tool")):
        said["tool_choice"] = _choice(choice)


def _tool(tool: Tool) -> Said:
    said: Said = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    said["input_schema"] = _schema(tool.schema)
    if tool.strict is not None:
        said["strict"] = tool.strict
    return marked(said, tool.cache)


def _schema(schema: Raw | None) -> Raw | Said:
    """A tool's schema; Anthropic refuses one that doesn't say that it is of an object."""
    if schema is None:
        return _NOTHING
    fields = _object(schema)
    return schema if "type" in fields else {"type": _OBJECT, **fields}


def _choice(choice: ToolChoice) -> Said:
    said: Said = {"type": _MODES[choice.mode]}
    if choice.mode == "tool":
        said["name"] = choice.names[0]
    if choice.parallel is not None and choice.mode != "none":
        said["disable_parallel_tool_use"] = not choice.parallel
    return said


def _say_limits(said: Said, ask: Ask, model: str, losses: Losses, *, thinks: bool) -> None:
    own = ask.origin == NAME
    refused = effort.refused(ask.sampling, model)
    for name, value in ask.sampling.items():
        # "Thinking isn't compatible with temperature or top_k modifications" (Extended thinking, compatibility).
        if name in _SAMPLING and (own or not (thinks or name in refused)):
            said[name] = value
        else:
            losses.dropped(name)
    stop = [text for text in ask.stop if own or text.strip()]
    if len(stop) < len(ask.stop):
        losses.dropped("stop")  # "each stop sequence must contain non-whitespace"
    if stop:
        said["stop_sequences"] = stop
    tier = ask.service_tier if own else _TIERS.get(ask.service_tier, "")
    if tier:
        said["service_tier"] = tier
    elif ask.service_tier:
        losses.dropped("service_tier")


def _format(form: Format, schema: Raw, placed: Placed, losses: Losses) -> Said:
    """A schema, which Anthropic always holds to; it knows no names for it."""
    if form.name or form.description:
        losses.mapped("format.name")
    if form.strict is False:
        losses.mapped("format.strict")
    kept = {**placed.get("output_format", {}), **placed.get("output_config.format", {})}
    return {"type": "json_schema", "schema": schema, **kept}
