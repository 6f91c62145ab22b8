"""Tools and their choice, both ways: `tools`, `toolConfig` (ai.google.dev, "Function calling"; Caching, Tool).

Google's own tools are Foreign, one each, whatever objects they were said in. Of a declaration, `response` and
`behavior` are said by nobody else: they stand behind it as Foreign with its name.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import Decoder

from gateway.wire.gemini.fields import (
    NAME,
    Fields,
    need_text,
    object_in,
    raw_of,
    take_list,
    take_object,
    take_strings,
    take_text,
    wrong_value,
)
from gateway.wire.gemini.schema import read_schema
from gateway.wire.ir import Ask, ChoiceMode, Foreign, Tool, ToolChoice
from gateway.wire.losses import Losses

CONFIG: Final = "toolConfig"
CALLING: Final = "functionCallingConfig"
# What only Google says of a function: `functionDeclarations.behavior`.
OF_FUNCTION: Final = "functionDeclarations."

_DECLARED: Final = "functionDeclarations"
_MODE: Final = f"{CONFIG}.{CALLING}.mode"
_VALIDATED: Final = "VALIDATED"
_MODES: Final[Mapping[str, ChoiceMode]] = {
    "": "auto",
    "MODE_UNSPECIFIED": "auto",
    "AUTO": "auto",
    _VALIDATED: "auto",
    "ANY": "required",
    "NONE": "none",
}
_WORDS: Final[Mapping[ChoiceMode, str]] = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}

_object: Final = Decoder(dict[str, Raw]).decode


def read_tools(items: list[Raw], param: str) -> list[Tool | Foreign]:
    tools: list[Tool | Foreign] = []
    for at, item in enumerate(items):
        where = f"{param}[{at}]"
        fields = object_in(item, where)
        for index, declared in enumerate(take_list(fields, _DECLARED, where)):
            tools += _function(declared, f"{where}.{_DECLARED}[{index}]")
        tools += [Foreign(NAME, kind, raw_of({kind: raw})) for kind, raw in fields.items()]
    return tools


def _function(raw: Raw, param: str) -> list[Tool | Foreign]:
    fields = object_in(raw, param)
    name = need_text(fields, "name", param)
    description = take_text(fields, "description", param)
    schema = fields.pop("parametersJsonSchema", None)
    openapi = fields.pop("parameters", None)
    if schema is None and openapi is not None:
        schema = read_schema(openapi, f"{param}.parameters")
    more = [Foreign(NAME, OF_FUNCTION + kind, raw_of({name: value})) for kind, value in fields.items()]
    return [Tool(name, description, schema), *more]


def read_choice(config: Fields, other: Fields) -> ToolChoice | None:
    """The choice in a `toolConfig`; what else it says goes to `other`."""
    calling = take_object(config, CALLING, CONFIG)
    other |= {f"{CONFIG}.{name}": raw for name, raw in config.items()}
    if calling is None:
        return None
    where = f"{CONFIG}.{CALLING}"
    said = take_text(calling, "mode", where).upper()
    names = tuple(take_strings(calling, "allowedFunctionNames", where))
    other |= {f"{where}.{name}": raw for name, raw in calling.items()}
    mode = _MODES.get(said)
    if mode is None:
        raise wrong_value(f"{where}.mode", "is not a known mode")
    if said == _VALIDATED and not names:
        other[_MODE] = raw_of(said)
    if mode == "required" and len(names) == 1:
        mode = "tool"
    return ToolChoice(mode, names)


def write_tools(tools: list[Tool | Foreign], losses: Losses) -> list[dict[str, object]]:
    """All functions in one object, as Vertex wants them, and an object for each tool of Google's own."""
    functions: dict[str, dict[str, object]] = {}
    declared: list[dict[str, object]] = []
    written: list[dict[str, object]] = []
    for tool in tools:
        if isinstance(tool, Tool):
            if not declared:
                written.append({_DECLARED: declared})
            functions[tool.name] = _declaration(tool, losses)
            declared.append(functions[tool.name])
        elif tool.origin != NAME:
            losses.dropped(tool.kind)
        elif tool.kind.startswith(OF_FUNCTION):
            for name, value in _object(tool.raw).items():
                functions.get(name, {})[tool.kind.removeprefix(OF_FUNCTION)] = value
        else:
            written.append(dict(_object(tool.raw)))
    return written


def _declaration(tool: Tool, losses: Losses) -> dict[str, object]:
    if tool.strict:
        losses.dropped("tools.strict")
    if tool.cache is not None:
        losses.dropped("cache")
    declared: dict[str, object] = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.schema is not None:
        declared["parametersJsonSchema"] = tool.schema
    return declared


def write_choice(ask: Ask, losses: Losses) -> dict[str, object] | None:
    """The configuration of calls; None where nothing is said. Without functions it would be an error 400."""
    choice = ask.choice
    if choice is None or (ask.origin != NAME and not any(isinstance(tool, Tool) for tool in ask.tools)):
        return None
    if choice.parallel is False:
        losses.dropped("tool_choice.parallel")
    if choice.mode == "auto" and choice.names:
        # The only mode in which the model may answer in words and its calls are narrowed.
        return {"mode": _VALIDATED, "allowedFunctionNames": choice.names}
    config: dict[str, object] = {"mode": _WORDS[choice.mode]}
    if choice.names and choice.mode != "none":
        config["allowedFunctionNames"] = choice.names
    return config
