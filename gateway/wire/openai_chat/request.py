"""A chat completion's request, read into the inner form (platform.openai.com/docs/api-reference/chat/create).

What the gateway acts on is strict, and numbers of sampling cross as they were written. What this file doesn't take is
kept in `Ask.other`, and so are fields of tools that only this language has (`tools.…`, by the tool's name).
"""

from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, encode

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.ir import Ask, ChoiceMode, Effort, Foreign, Format, Tool, ToolChoice
from gateway.wire.openai_chat.content import take_cache
from gateway.wire.openai_chat.fields import (
    NAME,
    NULL,
    Fields,
    is_object,
    is_text,
    missing,
    names_in,
    need_object,
    need_text,
    object_in,
    take,
    take_count,
    take_flag,
    take_object,
    take_objects,
    take_strings,
    take_text,
    text_in,
    wrong_type,
    wrong_value,
)
from gateway.wire.openai_chat.messages import read_messages

SAMPLING: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
)
TOOLS: Final = "tools."
_MOST_CHOICES: Final = 128
_MODES: Final[dict[str, ChoiceMode]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",  # Mistral
}
# Any way a JSON text can spell a stored file's id: its letters may be escaped, which no common encoder does.
_FILE_ID: Final = b"file_id"
_ESCAPED: Final = b"\\u00"
_LETTERS: Final = (b"\\u005", b"\\u006")


class FunctionsAsk(Ask):
    """An Ask in the form before tools: its answer calls a function, and no list of tools."""


_UNDERSCORE: Final = ord("_")
_BACKSLASH: Final = ord("\\")
_ZERO: Final = ord("0")
_DIGITS: Final = 10  # fewer are below 2^31
_messages: Final = Decoder(list[object]).decode


def check(request: Request) -> None:
    """What the gateway acts on, or can't look up the owner of, in whatever way the request goes on."""
    fields = request.fields
    if "n" in fields or ("max_tokens" in fields and not _is_plain(fields)) or "max_completion_tokens" in fields:
        counts = fields.copy()
        _limit(counts)
        take_count(counts, "n", "", most=_MOST_CHOICES)
    raw = fields.get("messages", NULL)
    text = bytes(raw)
    # A number `in` bytes is one memchr, forty times as quick as a search for words.
    if (_UNDERSCORE in text and _FILE_ID in text) or (
        _BACKSLASH in text and _ESCAPED in text and any(letter in text for letter in _LETTERS)
    ):
        _check_files(raw)


def _is_plain(fields: Fields) -> bool:
    """Whether the only limit is a number as nearly everyone writes it."""
    text = bytes(fields["max_tokens"])
    return text.isdigit() and len(text) < _DIGITS and text[0] != _ZERO


def read_request(request: Request) -> Ask:
    fields = request.fields.copy()
    for known in ("model", "stream", "stream_options"):
        fields.pop(known, None)
    raw = take(fields, "messages")
    if raw is None:
        raise missing("messages")
    system, turns = read_messages(raw)
    kind = FunctionsAsk if _holds(fields, "functions") or _holds(fields, "function_call") else Ask
    other: Fields = {}
    ask = kind(
        NAME,
        request.model,
        turns,
        system,
        request.stream,
        _tools(fields, other),
        max_tokens=_limit(fields),
        stop=take_strings(fields, "stop"),
        sampling={name: value for name in SAMPLING if (value := take(fields, name)) is not None},
        thinking=_effort(fields),
        format=_format(fields),
        logprobs=_logprobs(fields),
        n=take_count(fields, "n", "", most=_MOST_CHOICES) or 1,
        user=take_text(fields, "user", "") or take_text(fields, "safety_identifier", ""),
        metadata=_metadata(fields),
        service_tier=take_text(fields, "service_tier", ""),
        cache_key=take_text(fields, "prompt_cache_key", ""),
        cache=take_cache(fields, ""),
        wants_usage=request.wants_usage,
        query=request.query,
    )
    ask.choice = _choice(fields, ask.tools)
    ask.other = other | {name: value for name, value in fields.items() if value != NULL}
    return ask


def _holds(fields: Fields, name: str) -> bool:
    return fields.get(name, NULL) != NULL


def _check_files(raw: Raw) -> None:
    """Whose a stored file is can't be looked up; what isn't shaped as messages is the backend's to refuse."""
    try:
        messages = _messages(raw)
    except DecodeError:
        return
    for at, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        for part_at, part in enumerate(content if isinstance(content, list) else ()):
            if _names_file(part):
                raise BadRequest(
                    "Stored files can't be used through this gateway.",
                    code="unsupported_feature",
                    param=f"messages[{at}].content[{part_at}]",
                )


def _names_file(part: object) -> bool:
    if isinstance(part, dict):
        return part.get("file_id") is not None or any(map(_names_file, part.values()))
    return isinstance(part, list) and any(map(_names_file, part))


def _limit(fields: Fields) -> int | None:
    """The most tokens an answer may have. The old name counts the same; two numbers are no limit (row D4)."""
    old = take_count(fields, "max_tokens", "")
    new = take_count(fields, "max_completion_tokens", "")
    if old is not None and new is not None and old != new:
        raise wrong_value("max_tokens", "differs from 'max_completion_tokens'")
    return old if new is None else new


def _tools(fields: Fields, other: Fields) -> list[Tool | Foreign]:
    tools: list[Tool | Foreign] = []
    strange: dict[str, dict[str, Raw]] = {}
    for at, fields_of_one in enumerate(take_objects(fields, "tools", "")):
        tools.append(_tool(fields_of_one, f"tools[{at}].", strange))
    for at, function in enumerate(take_objects(fields, "functions", "")):
        tools.append(_function(function, f"functions[{at}].", f"{TOOLS}function.", strange))
    names = [tool.name for tool in tools if isinstance(tool, Tool)]
    if len(set(names)) != len(names):
        raise wrong_value("tools", "has two tools of the same name")
    other.update({name: Raw(encode(values)) for name, values in strange.items()})
    return tools


def _tool(fields: Fields, param: str, strange: dict[str, dict[str, Raw]]) -> Tool | Foreign:
    kind = take_text(fields, "type", param) or "function"
    if kind != "function":
        return Foreign(NAME, kind, Raw(encode({"type": kind, **fields})))
    tool = _function(need_object(fields, "function", param), f"{param}function.", f"{TOOLS}function.", strange)
    tool.cache = take_cache(fields, param)  # OpenRouter
    _keep(fields, TOOLS, tool.name, strange)
    return tool


def _function(fields: Fields, param: str, where: str, strange: dict[str, dict[str, Raw]]) -> Tool:
    tool = Tool(
        need_text(fields, "name", param),
        take_text(fields, "description", param),
        strict=take_flag(fields, "strict", param),
    )
    tool.schema = take(fields, "parameters")
    if tool.schema is not None and not is_object(tool.schema):
        raise wrong_type(f"{param}parameters", "an object")
    _keep(fields, where, tool.name, strange)
    return tool


def _keep(fields: Fields, where: str, tool: str, strange: dict[str, dict[str, Raw]]) -> None:
    for name, value in fields.items():
        if value != NULL:
            strange.setdefault(where + name, {})[tool] = value


def _choice(fields: Fields, tools: list[Tool | Foreign]) -> ToolChoice | None:
    parallel = take_flag(fields, "parallel_tool_calls", "")
    choice = _chosen(fields, tools)
    if choice is None and parallel is not None:
        choice = ToolChoice()
    if choice is not None:
        choice.parallel = parallel
    return choice


def _chosen(fields: Fields, tools: list[Tool | Foreign]) -> ToolChoice | None:
    name = "tool_choice" if _holds(fields, "tool_choice") else "function_call"
    raw = take(fields, name)
    if raw is None:
        return None
    if is_text(raw):
        word = text_in(raw, name)
        if word in _MODES:
            return ToolChoice(_MODES[word])
        if any(isinstance(tool, Tool) and tool.name == word for tool in tools):
            return ToolChoice("tool", (word,))  # text-generation-inference
        raise wrong_value(name, "is no choice of tools")
    said = object_in(raw, name)
    kind = take_text(said, "type", f"{name}.") or "function"
    if kind == "function":
        named = said if name == "function_call" else need_object(said, "function", f"{name}.")
        return ToolChoice("tool", (need_text(named, "name", f"{name}.function."),))
    if kind == "allowed_tools":
        allowed = need_object(said, "allowed_tools", f"{name}.")
        inside = f"{name}.allowed_tools."
        names = [
            _named(tool, f"{inside}tools[{at}].") for at, tool in enumerate(take_objects(allowed, "tools", inside))
        ]
        mode = _MODES.get(take_text(allowed, "mode", inside) or "auto")
        if mode is None:
            raise wrong_value(f"{inside}mode", "is no choice of tools")
        if all(names):
            return ToolChoice(mode, tuple(names))
    fields[name] = raw  # one of this language's own kinds of tool
    return None


def _named(tool: Fields, param: str) -> str:
    """The function's name, "" where it is another kind of tool."""
    if (take_text(tool, "type", param) or "function") != "function":
        return ""
    return need_text(need_object(tool, "function", param), "name", f"{param}function.")


def _format(fields: Fields) -> Format | None:
    raw = take(fields, "response_format")
    if raw is None:
        return None
    said = object_in(raw, "response_format")
    kind = take_text(said, "type", "response_format.")
    if kind == "text":
        return None
    if kind == "json_object" and not said:
        return Format()
    if kind == "json_schema":
        inside = "response_format.json_schema."
        inner = need_object(said, "json_schema", "response_format.")
        schema = take(inner, "schema")
        if schema is not None and is_object(schema):
            form = Format(schema)
            form.name = take_text(inner, "name", inside)
            form.description = take_text(inner, "description", inside)
            form.strict = take_flag(inner, "strict", inside)
            return form
    fields["response_format"] = raw  # a grammar, or another's form
    return None


def _logprobs(fields: Fields) -> int | None:
    if not take_flag(fields, "logprobs", ""):
        return None
    return take_count(fields, "top_logprobs", "", least=0) or 0


def _metadata(fields: Fields) -> dict[str, str]:
    raw = fields.get("metadata", NULL)
    names = names_in(raw)
    if names is None:
        return {}
    del fields["metadata"]
    return names


def _effort(fields: Fields) -> Effort | None:
    """How much thinking is wanted, in the first of the ways to say it; the others stay as they are."""
    level = take_text(fields, "reasoning_effort", "")
    if level:
        return Effort(level)
    return _openrouter_effort(fields) or _anthropic_effort(fields)


def _openrouter_effort(fields: Fields) -> Effort | None:
    """OpenRouter's `reasoning`: `enabled` alone asks for a medium effort."""
    inner = take_object(fields, "reasoning", "")
    if inner is None:
        return None
    enabled = take_flag(inner, "enabled", "reasoning.")
    exclude = take_flag(inner, "exclude", "reasoning.")
    effort = Effort(
        take_text(inner, "effort", "reasoning."),
        take_count(inner, "max_tokens", "reasoning."),
        None if exclude is None else not exclude,
    )
    if enabled is False:
        effort.level = "none"
    elif enabled and not effort.level and effort.tokens is None:
        effort.level = "medium"
    if inner:
        fields["reasoning"] = Raw(encode(inner))
    return effort if effort != Effort() else None


def _anthropic_effort(fields: Fields) -> Effort | None:
    """Anthropic's `thinking` (LiteLLM's callers, DeepSeek, Zhipu), where nothing else is in it."""
    raw = fields.get("thinking", NULL)
    if not is_object(raw):
        return None
    inner = object_in(raw, "thinking")
    kind = take_text(inner, "type", "thinking.")
    tokens = take_count(inner, "budget_tokens", "thinking.")
    if inner or kind not in ("enabled", "disabled"):
        return None
    del fields["thinking"]
    if kind == "disabled":
        return Effort("none")
    return Effort("medium") if tokens is None else Effort(tokens=tokens)
