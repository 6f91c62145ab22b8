"""A chat request as callers write it (docs.cohere.com, Chat)."""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.anthropic_event import UNSAID
from gateway.wire.cohere_chat.reading import missing, read, wrong
from gateway.wire.cohere_chat.turns import Conversation, document
from gateway.wire.cohere_chat.words import NAME
from gateway.wire.ir import (
    Ask,
    Effort,
    Foreign,
    Format,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)

# The largest number of tokens that is one anywhere (reliability row D4).
_MOST: Final = 2**31 - 1
_NULL: Final = b"null"
_SAMPLING: Final = {
    "temperature": "temperature",
    "p": "top_p",
    "k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
# Modes in which documents aren't cited.
_UNCITED: Final = frozenset(("OFF", "DISABLED"))


class _Function(Struct):
    name: str | None = None
    description: str | None = None
    parameters: Raw = UNSAID


class _Tool(Struct):
    type: str | None = None
    function: _Function | None = None


class _Thought(Struct):
    type: str | None = None
    token_budget: int | None = None


class _Form(Struct):
    """Version 2 began with `schema`."""

    type: str
    json_schema: Raw = UNSAID
    schema: Raw = UNSAID


class _Citing(Struct):
    mode: str | None = None


_items: Final = Decoder(list[Raw])
_string: Final = Decoder(str)
_strings: Final = Decoder(list[str])
_tool: Final = Decoder(_Tool)
_thought: Final = Decoder(_Thought)
_form: Final = Decoder(_Form)
_citing: Final = Decoder(_Citing)
_flag: Final = Decoder(bool)
_number: Final = Decoder(int)


def check_request(request: Request) -> None:
    """What the gateway acts on, whoever is to read the rest."""
    _limit(request.fields.get("max_tokens"))
    messages = request.fields.get("messages")
    if messages is None:
        raise BadRequest("The field 'messages' is missing.", code="missing_field", param="messages")
    text = bytes(messages)
    if text[:1] != b"[":
        raise wrong("messages", "a list")
    if text[1:].lstrip()[:1] == b"]":
        raise BadRequest("The field 'messages' must not be empty.", code="invalid_value", param="messages")


def read_request(request: Request) -> Ask:
    check_request(request)
    fields = {name: value for name, value in request.fields.items() if bytes(value) != _NULL}
    ask = Ask(NAME, request.model, [], stream=request.stream)
    fields.pop("model", None)
    fields.pop("stream", None)
    Conversation(ask).read(fields.pop("messages"))
    ask.max_tokens = _limit(fields.pop("max_tokens", None))
    ask.sampling = {ours: fields.pop(name) for name, ours in _SAMPLING.items() if name in fields}
    if "stop_sequences" in fields:
        ask.stop = read(_strings, fields.pop("stop_sequences"), "stop_sequences")
    if "logprobs" in fields and read(_flag, fields.pop("logprobs"), "logprobs"):
        ask.logprobs = 0
    _read_tools(ask, fields)
    _read_thinking(ask, fields)
    _read_form(ask, fields)
    _read_documents(ask, fields)
    ask.other = fields
    return ask


def _said(raw: Raw) -> Raw | None:
    return None if raw == UNSAID else raw


def _limit(raw: Raw | None) -> int | None:
    """A number of tokens, which is what the gateway reserves."""
    if raw is None or bytes(raw) == _NULL:
        return None
    limit = read(_number, raw, "max_tokens")
    if not 1 <= limit <= _MOST:
        raise BadRequest(
            f"The field 'max_tokens' must be between 1 and {_MOST}.", code="invalid_value", param="max_tokens"
        )
    return limit


# --- what is asked of it ----------------------------------------------------------------------------------------------


def _read_tools(ask: Ask, fields: dict[str, Raw]) -> None:
    strict = None
    if "tools" in fields:
        if "strict_tools" in fields:
            strict = read(_flag, fields.pop("strict_tools"), "strict_tools")
        tools: list[Raw] = read(_items, fields.pop("tools"), "tools")
        for at, raw in enumerate(tools):
            ask.tools.append(_read_tool(raw, f"tools[{at}]", strict=strict))
    choice = fields.get("tool_choice")
    mode = None if choice is None else read(_string, choice, "tool_choice")
    if mode == "REQUIRED":
        ask.choice = ToolChoice("required")
    elif mode == "NONE":
        ask.choice = ToolChoice("none")
    if ask.choice is not None:
        del fields["tool_choice"]


def _read_tool(raw: Raw, param: str, *, strict: bool | None) -> Tool | Foreign:
    tool = read(_tool, raw, param)
    if tool.type not in (None, "function"):
        return Foreign(NAME, tool.type or "", raw)
    if tool.function is None:
        raise missing(f"{param}.function")
    if not tool.function.name:
        raise missing(f"{param}.function.name")
    return Tool(tool.function.name, tool.function.description or "", _said(tool.function.parameters), strict)


def _read_thinking(ask: Ask, fields: dict[str, Raw]) -> None:
    if "thinking" in fields:
        thought = read(_thought, fields.pop("thinking"), "thinking")
        ask.thinking = Effort("none") if thought.type == "disabled" else Effort(tokens=thought.token_budget)


def _read_form(ask: Ask, fields: dict[str, Raw]) -> None:
    raw = fields.get("response_format")
    if raw is None:
        return
    form = read(_form, raw, "response_format")
    if form.type == "json_object":
        ask.format = Format(_said(form.json_schema) or _said(form.schema))
    if form.type in ("json_object", "text"):  # text is what there is without it
        del fields["response_format"]


def _read_documents(ask: Ask, fields: dict[str, Raw]) -> None:
    """What goes with the whole conversation goes into the last thing a user said, before it."""
    last = next((turn for turn in reversed(ask.messages) if _is_users(turn)), None)
    if "documents" not in fields or last is None:
        return
    mode = read(_citing, fields["citation_options"], "citation_options").mode if "citation_options" in fields else None
    cites = mode not in _UNCITED
    if not cites:
        del fields["citation_options"]  # said by each of them
    documents = read(_items, fields.pop("documents"), "documents")
    last.content[:0] = [document(raw, f"documents[{at}]", cites=cites) for at, raw in enumerate(documents)]


def _is_users(turn: Turn) -> bool:
    return turn.role == "user" and not any(isinstance(block, ToolResult) for block in turn.content)
