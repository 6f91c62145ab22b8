"""A request of this language, read into the inner form (platform.claude.com, Messages API).

Only what must cross is understood. A field of the request that nobody else has stands in `Ask.other` as it was; one
inside of something that others have too is kept there with its place (kept.py).
"""

from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.anthropic_messages import effort, shapes
from gateway.wire.anthropic_messages.check import read_limit
from gateway.wire.anthropic_messages.content import Content
from gateway.wire.anthropic_messages.kept import NULL, UNSAID, Kept, misfit, read_items, read_kind, read_object
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import Ask, ChoiceMode, Foreign, Format, Tool, ToolChoice

# Each has a field of its own in the Ask.
_READ: Final = frozenset(
    (
        "cache_control",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    )
)
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_NUMBER: Final = b"-0123456789"
_MODES: Final[dict[str, ChoiceMode]] = {"auto": "auto", "any": "required", "tool": "tool", "none": "none"}
_CUSTOM: Final = (None, "custom")


class _Choice(Struct, forbid_unknown_fields=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Metadata(Struct, forbid_unknown_fields=True):
    user_id: str | None = None


class _Output(Struct, forbid_unknown_fields=True):
    effort: str | None = None
    format: Raw = UNSAID


class _Format(Struct, forbid_unknown_fields=True):
    type: str
    schema: Raw


_choice: Final = Decoder(_Choice)
_metadata: Final = Decoder(_Metadata)
_output: Final = Decoder(_Output)
_format: Final = Decoder(_Format)
_strings: Final = Decoder(list[str]).decode
_string: Final = Decoder(str).decode


def read(request: Request, *, counts: bool = False) -> Ask:
    """The inner form of a request. `counts`: it is one to count its tokens, which has no `max_tokens`."""
    fields = {name: value for name, value in request.fields.items() if bytes(value) != NULL}
    kept = Kept()
    content = Content(kept)
    if "messages" not in fields:
        raise BadRequest("The field 'messages' is missing.", code="missing_field", param="messages")
    output = kept.read(_output, "output_config", "output_config", fields.get("output_config", shapes.EMPTY))
    ask = Ask(
        NAME,
        request.model,
        content.turns(fields["messages"]),
        system=content.texts(fields["system"]) if "system" in fields else [],
        stream=request.stream,
        tools=_tools(fields, content),
        choice=_tool_choice(fields, kept),
        max_tokens=read_limit(fields, needed=not counts),
        stop=_stop(fields),
        sampling={name: _number(fields[name], name) for name in _SAMPLING if name in fields},
        thinking=effort.read(fields.get("thinking", UNSAID), output.effort or "", kept),
        format=_answer_format(fields, output, kept),
        user=_user(fields, kept),
        service_tier=_tier(fields),
        cache=content.mark(fields["cache_control"], "") if "cache_control" in fields else None,
        wants_usage=True,
    )
    ask.other = {name: value for name, value in fields.items() if name not in _READ} | kept.fields()
    return ask


def _tools(fields: dict[str, Raw], content: Content) -> list[Tool | Foreign]:
    if "tools" not in fields:
        return []
    return [_tool(raw, f"tools[{at}]", content) for at, raw in enumerate(read_items(fields["tools"], "tools"))]


def _tool(raw: Raw, place: str, content: Content) -> Tool | Foreign:
    """A tool of the caller's own has a schema; every other kind is Anthropic's to run."""
    try:
        tool = shapes.read_tool.decode(raw)
    except ValidationError:
        said = read_object(raw, place)
        kind = read_kind(said, place) if bytes(said.get("type", UNSAID)) != NULL else None
        if kind not in _CUSTOM:
            return Foreign(NAME, kind or "", raw)
        tool = content.kept.read(shapes.read_tool, "tools", place, raw)
    if tool.type not in _CUSTOM:
        return Foreign(NAME, tool.type or "", raw)
    schema = tool.input_schema if bytes(tool.input_schema) != NULL else None
    if schema is not None:
        read_object(schema, f"{place}.input_schema")
    return Tool(tool.name, tool.description or "", schema, tool.strict, content.mark(tool.cache_control, place))


def _tool_choice(fields: dict[str, Raw], kept: Kept) -> ToolChoice | None:
    if "tool_choice" not in fields:
        return None
    said = kept.read(_choice, "tool_choice", "tool_choice", fields["tool_choice"])
    if said.type not in _MODES:
        raise BadRequest("This tool choice isn't known.", code="invalid_value", param="tool_choice.type")
    if said.type == "tool" and not said.name:
        raise BadRequest("A field is missing.", code="missing_field", param="tool_choice.name")
    alone = said.disable_parallel_tool_use
    return ToolChoice(
        _MODES[said.type],
        (said.name,) if said.type == "tool" and said.name else (),
        None if alone is None else not alone,
    )


def _answer_format(fields: dict[str, Raw], output: _Output, kept: Kept) -> Format | None:
    """`output_config.format`, or the field it was before that (Structured outputs, of November 2025)."""
    raw, place = output.format, "output_config.format"
    if bytes(raw) == NULL:
        raw, place = fields.get("output_format", UNSAID), "output_format"
    if bytes(raw) == NULL:
        return None
    said = kept.read(_format, "format", place, raw)
    if said.type != "json_schema":
        raise BadRequest("This output format isn't known.", code="invalid_value", param=f"{place}.type")
    read_object(said.schema, f"{place}.schema")
    return Format(said.schema)


def _user(fields: dict[str, Raw], kept: Kept) -> str:
    if "metadata" not in fields:
        return ""
    return kept.read(_metadata, "metadata", "metadata", fields["metadata"]).user_id or ""


def _stop(fields: dict[str, Raw]) -> list[str]:
    if "stop_sequences" not in fields:
        return []
    try:
        return _strings(fields["stop_sequences"])
    except ValidationError as error:
        raise misfit(error, "stop_sequences") from error
    except DecodeError as error:
        raise BadRequest("A field is not valid JSON.", code="invalid_json", param="stop_sequences") from error


def _tier(fields: dict[str, Raw]) -> str:
    if "service_tier" not in fields:
        return ""
    try:
        return _string(fields["service_tier"])
    except DecodeError as error:
        raise BadRequest("A tier is a name.", code="invalid_type", param="service_tier") from error


def _number(raw: Raw, name: str) -> Raw:
    if bytes(raw)[0] not in _NUMBER:
        raise BadRequest(f"The field '{name}' must be a number.", code="invalid_type", param=name)
    return raw
