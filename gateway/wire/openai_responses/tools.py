"""Tools, and which of them is to be called, both ways.

Two kinds of tools of this language's own are functions elsewhere, and what a model calls there is told to the caller
as he knows it. A custom tool takes free text: elsewhere it is a function of one string, `input`. A namespace groups
tools: elsewhere each bears the namespace in its name. Codex edits files by the one and groups its agents and MCP
servers by the other, and rejects calls that are told otherwise (openai/codex #32318; CLIProxyAPI #4850).
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.wire.ir import Ask, ChoiceMode, Foreign, Tool, ToolChoice
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.fields import (
    NAME,
    Fields,
    is_text,
    need_text,
    object_in,
    raw_of,
    says_nothing,
    take,
    take_flag,
    take_items,
    take_text,
    text_in,
    untranslatable,
    wrong_value,
)
from gateway.wire.openai_responses.parts import Written

# How the kinds of fields beside a tool, and beside a namespace, begin.
_TOOL: Final = "tools."
_SPACE: Final = "namespace."
# Codex puts its own tools into a namespace of this name; they need no longer name elsewhere (opencodex #2020).
_PLAIN: Final = "functions"
_MOST_CHARACTERS: Final = 64
_INPUT: Final = "The tool's whole input, as free text."
_MODES: Final[Mapping[str, ChoiceMode]] = {"auto": "auto", "none": "none", "required": "required"}


class Wrapped(Tool):
    """A function that callers of this language know by another name or kind.

    `late` is one that an item of the conversation brings: it isn't among the tools.
    """

    space: str = ""
    short: str = ""
    custom: bool = False
    late: bool = False


class _Free(Struct):
    input: str


_read_free: Final = Decoder(_Free).decode


def free_text(arguments: str) -> str:
    """What a custom tool is given, out of a function's arguments; those themselves where they have another form."""
    try:
        return _read_free(arguments).input
    except (ValueError, RecursionError):
        return arguments


def free_arguments(text: str) -> str:
    """A custom tool's input as a function's arguments."""
    return bytes(raw_of({"input": text})).decode()


class Toolbox:
    """The tools of one request, by the names they bear elsewhere."""

    def __init__(self) -> None:
        self.tools: list[Tool | Foreign] = []
        self._known: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def read(self, items: list[Raw], param: str, *, space: str = "", late: bool = False) -> None:
        """More tools. `late` ones that are already known are passed over."""
        for at, raw in enumerate(items):
            spot = f"{param}[{at}]"
            fields = object_in(raw, spot)
            kind = need_text(fields, "type", f"{spot}.")
            if kind in ("function", "custom"):
                self._function(fields, f"{spot}.", space=space, late=late, custom=kind == "custom")
            elif kind == "namespace":
                name = need_text(fields, "name", f"{spot}.")
                self.read(take_items(fields, "tools", f"{spot}."), f"{spot}.tools", space=name, late=late)
                self._beside(fields, _SPACE, late=late)
            elif not late:
                self.tools.append(Foreign(NAME, kind, raw))

    def called(self, name: str, space: str) -> str:
        """The name under which a tool that was called is known elsewhere."""
        return self._known.get((space, name)) or self._known.get(("", name)) or _flat(space, name)

    def _function(self, fields: Fields, param: str, *, space: str, late: bool, custom: bool) -> None:
        short = need_text(fields, "name", param)
        if late and (space, short) in self._known:
            return
        name = _flat(space, short)
        if name in self._taken and space:
            name = _cut(f"{space}__{short}")
        if name in self._taken:
            raise untranslatable(f"{param}name", "is the same as another tool's")
        self._known[space, short] = name
        self._taken.add(name)
        description, strict = take_text(fields, "description", param), take_flag(fields, "strict", param)
        schema = _free_schema(fields) if custom else take(fields, "parameters")
        if space or custom or late:
            self.tools.append(
                Wrapped(name, description, schema, strict, space=space, short=short, custom=custom, late=late)
            )
        else:
            self.tools.append(Tool(name, description, schema, strict))
        self._beside(fields, _TOOL, late=late)

    def _beside(self, fields: Fields, where: str, *, late: bool) -> None:
        if not late:
            self.tools += [Foreign(NAME, where + name, raw) for name, raw in fields.items() if not says_nothing(raw)]


def wrapped(ask: Ask) -> dict[str, Wrapped]:
    """The tools that the caller knows otherwise, by the names that models call them."""
    return {tool.name: tool for tool in ask.tools if isinstance(tool, Wrapped)}


def write_tools(ask: Ask, losses: Losses) -> list[object]:
    """The tools of a request, each as OpenAI has it."""
    own = ask.origin == NAME
    written: list[object] = []
    space = ""
    group: Written = {}
    inner: list[object] = []
    last: Written = {}
    for tool in ask.tools:
        if isinstance(tool, Foreign):
            if tool.origin != NAME:
                losses.dropped(tool.kind)
            elif tool.kind.startswith(_TOOL):
                last[tool.kind.removeprefix(_TOOL)] = tool.raw
            elif tool.kind.startswith(_SPACE):
                group[tool.kind.removeprefix(_SPACE)] = tool.raw
            else:
                written.append(tool.raw)
            continue
        if tool.cache is not None:
            losses.mapped("cache")
        if not isinstance(tool, Wrapped):
            last = _tool(tool, own=own)
            written.append(last)
        elif not tool.late:
            last = _wrapped(tool)
            if not tool.space:
                written.append(last)
                continue
            if tool.space != space:
                space, inner = tool.space, []
                group = {"type": "namespace", "name": space, "tools": inner}
                written.append(group)
            inner.append(last)
    return written


def _tool(tool: Tool, *, own: bool) -> Written:
    written: Written = {"type": "function", "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["parameters"] = tool.schema
    if tool.strict is not None:
        written["strict"] = tool.strict
    elif not own:
        # Here alone the default is strict, which not every schema bears (API reference, FunctionTool.strict).
        written["strict"] = False
    return written


def _wrapped(tool: Wrapped) -> Written:
    if not tool.custom:
        return {**_tool(tool, own=True), "name": tool.short}
    written: Written = {"type": "custom", "name": tool.short}
    if tool.description:
        written["description"] = tool.description
    return written


def _flat(space: str, name: str) -> str:
    return name if space in ("", _PLAIN) else _cut(f"{space}__{name}")


def _cut(name: str) -> str:
    """A name that every language takes: OpenAI's and Gemini's end at 64 characters."""
    if len(name) <= _MOST_CHARACTERS:
        return name
    return f"{name[: _MOST_CHARACTERS - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _free_schema(fields: Fields) -> Raw:
    """A function's parameters for a custom tool. Its grammar, which only OpenAI holds a model to, is told in words."""
    told = _INPUT
    form = fields.get("format")
    if form is not None and not says_nothing(form):
        said = object_in(form, "tools.format")
        if take_text(said, "type", "tools.format.") == "text":
            del fields["format"]
        elif "definition" in said:
            syntax = take_text(said, "syntax", "tools.format.")
            told = f"{_INPUT} It follows this {syntax} grammar:\n{take_text(said, 'definition', 'tools.format.')}"
    return raw_of(
        {
            "type": "object",
            "properties": {"input": {"type": "string", "description": told}},
            "required": ["input"],
            "additionalProperties": False,
        }
    )


# --- which of them is to be called ------------------------------------------------------------------------------------


def read_choice(fields: Fields, box: Toolbox, other: dict[str, Raw]) -> ToolChoice | None:
    """What `tool_choice` and `parallel_tool_calls` say; what names no function is kept in `other`."""
    parallel = take_flag(fields, "parallel_tool_calls", "")
    raw = take(fields, "tool_choice")
    mode: ChoiceMode = "auto"
    names: tuple[str, ...] = ()
    if raw is None:
        pass
    elif is_text(raw):
        mode = _mode(text_in(raw, "tool_choice"), "tool_choice")
    else:
        told = object_in(raw, "tool_choice")
        kind = take_text(told, "type", "tool_choice.")
        if kind in ("function", "custom"):
            mode, names = "tool", (box.called(*_name(told)),)
        elif kind == "allowed_tools":
            mode = _mode(take_text(told, "mode", "tool_choice.") or "auto", "tool_choice.mode")
            names = _allowed(take_items(told, "tools", "tool_choice."), box)
        if not names:
            other["tool_choice"] = raw
            mode = "auto"
    return None if raw is None and parallel is None else ToolChoice(mode, names, parallel)


def _mode(word: str, param: str) -> ChoiceMode:
    mode = _MODES.get(word)
    if mode is None:
        raise wrong_value(param, "is not a choice that is known")
    return mode


def _name(told: Fields) -> tuple[str, str]:
    return need_text(told, "name", "tool_choice."), take_text(told, "namespace", "tool_choice.")


def _allowed(items: list[Raw], box: Toolbox) -> tuple[str, ...]:
    """The names of the functions among them; none where there are others too."""
    names: list[str] = []
    for at, raw in enumerate(items):
        told = object_in(raw, f"tool_choice.tools[{at}]")
        if take_text(told, "type", "tool_choice.tools.") not in ("function", "custom"):
            return ()
        names.append(box.called(*_name(told)))
    return tuple(names)


def write_choice(choice: ToolChoice, known: dict[str, Wrapped]) -> object:
    """`tool_choice` as this language has it."""
    if not choice.names:
        return "required" if choice.mode == "tool" else choice.mode
    named = [_named(name, known.get(name)) for name in choice.names]
    if choice.mode == "tool" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": "auto" if choice.mode == "auto" else "required", "tools": named}


def _named(name: str, tool: Wrapped | None) -> Written:
    if tool is None:
        return {"type": "function", "name": name}
    named: Written = {"type": "custom" if tool.custom else "function", "name": tool.short}
    if tool.space:
        named["namespace"] = tool.space
    return named
