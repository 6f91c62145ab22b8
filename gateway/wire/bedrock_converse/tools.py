"""Tools in Converse, and which of them are to be called (Bedrock API reference, ToolConfiguration)."""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.wire.bedrock_converse.additional import is_strict
from gateway.wire.bedrock_converse.fields import fields_of, said, understood, wrong
from gateway.wire.bedrock_converse.media import NAME
from gateway.wire.bedrock_converse.reading import POINT, foreign, point_of
from gateway.wire.bedrock_converse.writing import Piece, Writing
from gateway.wire.ir import Ask, Foreign, Tool, ToolChoice
from gateway.wire.losses import Losses

_TAKES_NOTHING: Final = Raw(b'{"type":"object","properties":{}}')
_TAKES_ANYTHING: Final = Raw(b'{"type":"object"}')


class _Schema(Struct):
    json: Raw


class _Spec(Struct, rename="camel"):
    name: str
    input_schema: _Schema
    description: str | None = None
    strict: bool | None = None


class _Named(Struct):
    name: str


_tools: Final = Decoder(list[dict[str, Raw]]).decode
_spec: Final = Decoder(_Spec).decode
_named: Final = Decoder(_Named).decode


def read_tools(ask: Ask, config: dict[str, Raw]) -> None:
    """Put a `toolConfig` into the Ask."""
    for name in config:
        value = said(config, name)
        if value is None:
            continue
        if name == "tools":
            for n, tool in enumerate(understood(_tools, value, "toolConfig.tools")):
                _read_tool(ask.tools, tool, f"toolConfig.tools[{n}]")
        elif name == "toolChoice":
            ask.choice = _read_choice(value)
        else:
            ask.other[f"toolConfig.{name}"] = value


def _read_tool(tools: list[Tool | Foreign], tool: dict[str, Raw], param: str) -> None:
    given = [kind for kind in tool if said(tool, kind) is not None]
    if len(given) != 1:
        raise wrong(param, "has one field")
    kind = given[0]
    value = tool[kind]
    if kind == "toolSpec":
        spec = understood(_spec, value, f"{param}.toolSpec")
        understood(fields_of, spec.input_schema.json, f"{param}.toolSpec.inputSchema.json")
        tools.append(Tool(spec.name, spec.description or "", spec.input_schema.json, spec.strict))
        return
    if kind == POINT:
        cache = point_of(value)
        last = tools[-1] if tools else None
        if cache is not None and isinstance(last, Tool) and last.cache is None:
            last.cache = cache
            return
    tools.append(foreign(kind, kind, value))


def _read_choice(value: Raw) -> ToolChoice:
    param = "toolConfig.toolChoice"
    choice = understood(fields_of, value, param)
    given = [kind for kind in choice if said(choice, kind) is not None]
    match given:
        case ["auto"]:
            return ToolChoice("auto")
        case ["any"]:
            return ToolChoice("required")
        case ["tool"]:
            return ToolChoice("tool", (understood(_named, choice["tool"], f"{param}.tool").name,))
    raise wrong(param, "is auto, any or tool")


def write_tools(ask: Ask, model: str, writing: Writing, losses: Losses) -> dict[str, object]:
    """A `toolConfig`, empty where there is nothing to call. The conversation has been written by now."""
    called = writing.calls
    choice = ask.choice or ToolChoice()
    if choice.parallel is False:
        losses.dropped("tool_choice.parallel")
    tools = _offered(ask.tools, choice, losses)
    if choice.mode == "none":
        # Converse has no word for it: where no tool is offered, none is called.
        if not called:
            if tools:
                losses.mapped("tool_choice")
            return {}
        losses.dropped("tool_choice")
    pieces: list[Piece] = []
    own = ask.origin == NAME
    for tool in tools:
        if isinstance(tool, Tool):
            pieces.append({"toolSpec": _write_tool(tool, model, losses, own=own)})
            if tool.cache is not None:
                pieces += writing.point(tool.cache)
        elif tool.origin == NAME:
            pieces.append(fields_of(tool.raw))
        else:
            losses.dropped(tool.kind)
    if not pieces:
        if not called:
            return {}
        # A conversation with calls in it is refused without its tools (recorded by many: "The toolConfig field must
        # be defined when using toolUse and toolResult content blocks").
        losses.mapped("tools")
        pieces += ({"toolSpec": {"name": name, "inputSchema": {"json": _TAKES_ANYTHING}}} for name in called)
    config: dict[str, object] = {"tools": pieces}
    chosen = _write_choice(choice, own=own and ask.choice is not None)
    if chosen is not None:
        config["toolChoice"] = chosen
    return config


def _offered(tools: list[Tool | Foreign], choice: ToolChoice, losses: Losses) -> list[Tool | Foreign]:
    """The tools a model may choose from: where only some are allowed, the others are not said."""
    if not choice.names or _is_named(choice):
        return tools
    losses.mapped("tool_choice.names")
    some = [tool for tool in tools if isinstance(tool, Foreign) or tool.name in choice.names]
    if not some:
        losses.refused("tool_choice.names")
    return some


def _is_named(choice: ToolChoice) -> bool:
    return len(choice.names) == 1 and choice.mode in ("tool", "required")


def _write_choice(choice: ToolChoice, *, own: bool) -> Piece | None:
    if _is_named(choice):
        return {"tool": {"name": choice.names[0]}}
    if choice.mode in ("tool", "required"):
        return {"any": {}}
    # It is what happens anyway, and not every model takes the word.
    return {"auto": {}} if own else None


def _write_tool(tool: Tool, model: str, losses: Losses, *, own: bool) -> Piece:
    said: dict[str, object] = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    said["inputSchema"] = {"json": tool.schema if own and tool.schema is not None else _schema(tool.schema)}
    if own and tool.strict is not None:
        said["strict"] = tool.strict
    elif tool.strict:
        if is_strict(model):
            said["strict"] = True
        else:
            losses.dropped("tools.strict")
    return said


def _schema(schema: Raw | None) -> object:
    """What a tool takes; a schema that doesn't say that it is of an object is refused."""
    fields = fields_of(schema) if schema is not None else {}
    if not fields:
        return _TAKES_NOTHING
    return schema if "type" in fields else {"type": "object", **fields}
