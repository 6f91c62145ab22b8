"""A request, read into the inner form (OpenAI, API reference, "Create a model response").

Nothing is stored here, so what refers to something stored is refused (`check`), whichever way the request goes on.
Items of the conversation are grouped into turns; what this language alone knows stays as it is, where it is.
"""

from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder, decode, encode

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.ir import Ask, Block, Effort, Foreign, Format, Refusal, Role, Text, ToolCall, ToolResult, Turn
from gateway.wire.openai_responses.fields import (
    NAME,
    Fields,
    is_list,
    is_object,
    is_text,
    items_in,
    missing,
    names_in,
    need_text,
    object_in,
    raw_of,
    says_nothing,
    take,
    take_count,
    take_flag,
    take_items,
    take_object,
    take_text,
    text_in,
    untranslatable,
    wrong_type,
    wrong_value,
)
from gateway.wire.openai_responses.parts import beside, read_content
from gateway.wire.openai_responses.thoughts import Reasoning, read_thoughts, signed_call
from gateway.wire.openai_responses.tools import Toolbox, free_arguments, read_choice

ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"

_STORED: Final = ("previous_response_id", "conversation", "prompt")
_SAMPLING: Final = ("temperature", "top_p")
_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
# Items that the caller's side makes; all others are the model's.
_ANSWERS: Final = ("_output", "_response", "_tools")
# What names something stored, in a tool of OpenAI's; in JSON a name may be spelt with escapes.
_HELD: Final = (b'"model"', b"vector_store_ids", b"file_id", b"container", b"skill_id", b"\\u00")
_HOLDERS: Final = frozenset(("vector_store_ids", "file_id", "file_ids", "container_id", "skill_id"))


class _Named(Struct):
    """As much of a part as may name a stored file."""

    file_id: object = None


class _Reference(Struct):
    """As much of an item as may refer to something stored."""

    type: object = None
    role: object = None
    id: object = None
    content: Raw = Raw(b"null")
    output: Raw = Raw(b"null")


class _Head(Struct):
    type: str | None = None
    call_id: str | None = None
    id: str | None = None


_references: Final = Decoder(list[_Reference]).decode
_named: Final = Decoder(_Named).decode
_named_parts: Final = Decoder(list[_Named]).decode


# --- what may not be asked at all -------------------------------------------------------------------------------------


def check(request: Request) -> None:
    """What the gateway acts on, or can't look up the owner of, in whatever way the request goes on."""
    fields = request.fields.copy()
    for name in _STORED:
        if take(fields, name) is not None:
            raise _stored(name)
    if take_flag(fields, "background", ""):
        raise BadRequest(
            "Answers in the background can't be had through this gateway.",
            code="unsupported_feature",
            param="background",
        )
    take_count(fields, "max_output_tokens", least=1)
    items, tools = take(fields, "input"), take(fields, "tools")
    if items is not None and is_list(items):
        _check_items(items)
    if tools is not None and any(name in bytes(tools) for name in _HELD):
        _check_tools(tools)


def _stored(param: str) -> BadRequest:
    return BadRequest(
        "Nothing is stored here: what is stored elsewhere can't be used through this gateway.",
        code="unsupported_feature",
        param=param,
    )


def _check_items(raw: Raw) -> None:
    """Items that are references, and files by their ids. A reference needs no type, only an id."""
    try:
        for at, item in enumerate(_references(raw)):
            if item.type == "item_reference" or (item.type is None and item.role is None and item.id is not None):
                raise _stored(f"input[{at}]")
            for name, inner in (("content", item.content), ("output", item.output)):
                named = _named_parts(inner) if is_list(inner) else [_named(inner)] if is_object(inner) else []
                if any(part.file_id is not None for part in named):
                    raise _stored(f"input[{at}].{name}")
    except ValidationError as error:
        raise wrong_type("input", "a string or a list of items") from error


def _check_tools(raw: Raw) -> None:
    for at, item in enumerate(items_in(raw, "tools")):
        tool = decode(item)
        if not isinstance(tool, dict) or tool.get("type") in ("function", "custom", "namespace"):
            continue
        if _holds(tool):
            raise _stored(f"tools[{at}]")
        if tool.get("model") is not None:
            # It would be called with our key, whatever models the caller's key may call.
            raise BadRequest(
                "A tool can't name a model of its own through this gateway.",
                code="unsupported_feature",
                param=f"tools[{at}].model",
            )


def _holds(value: object) -> bool:
    """Whether anything in a tool names something stored; a container by its bare id, too."""
    if isinstance(value, dict):
        return isinstance(value.get("container"), str) or any(
            (name in _HOLDERS and inner not in (None, [])) or _holds(inner) for name, inner in value.items()
        )
    return isinstance(value, list) and any(map(_holds, value))


# --- the conversation -------------------------------------------------------------------------------------------------


class _Conversation:
    """The items so far. What the model said in a row is one turn, and so is what the caller answered to it."""

    __slots__ = ("_box", "_calls", "_open", "_signatures", "_signed", "system", "turns")

    def __init__(self, box: Toolbox) -> None:
        self.turns: list[Turn] = []
        self.system: list[Text] = []
        self._box = box
        self._calls: set[str] = set()
        self._open: set[str] = set()
        self._signed: dict[str, ToolCall] = {}
        self._signatures: dict[str, tuple[str, str]] = {}

    def take(self, raw: Raw, param: str) -> None:
        fields = object_in(raw, param)
        kind = take_text(fields, "type", f"{param}.") or "message"
        for housekeeping in ("id", "status"):
            fields.pop(housekeeping, None)
        match kind:
            case "message":
                self._message(fields, f"{param}.")
            case "function_call" | "custom_tool_call":
                self._call(fields, f"{param}.", custom=kind == "custom_tool_call")
            case "function_call_output" | "custom_tool_call_output":
                self._result(fields, f"{param}.")
            case "reasoning":
                self._reasoning(raw, param)
            case _:
                self._foreign(kind, raw, param)

    def _message(self, fields: Fields, param: str) -> None:
        told = need_text(fields, "role", param)
        role = _ROLES.get(told)
        if role is None:
            raise wrong_value(f"{param}role", "is no role")
        if fields.get("phase") == Raw(b'"final_answer"'):
            del fields["phase"]  # what every message is that says nothing
        content = take(fields, "content")
        if content is None:
            raise missing(f"{param}content")
        blocks = [*read_content(content, f"{param}content"), *beside(fields, "message.")]
        texts = [block for block in blocks if isinstance(block, Text)]
        if role == "system" and not self.turns and len(texts) == len(blocks):
            self.system += texts
        elif role != "system" and self._goes_on(role):
            self.turns[-1].content += blocks
        else:
            self.turns.append(Turn(role, blocks))

    def _goes_on(self, role: Role) -> bool:
        """Whether a message belongs to the turn before it: not after another message of the same speaker."""
        if not self.turns or self.turns[-1].role != role:
            return False
        last = next((block for block in reversed(self.turns[-1].content) if not _is_beside(block)), None)
        return not isinstance(last, Text | Refusal) and (role == "assistant" or isinstance(last, ToolResult))

    def _add(self, role: Role, blocks: list[Block]) -> None:
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role, []))
        self.turns[-1].content += blocks

    def _know(self, call_id: str, param: str) -> None:
        # Once it was answered, an id may stand for another call: who counts anew in each turn writes such.
        if call_id in self._open:
            raise untranslatable(f"{param}call_id", "is the same as an earlier call's")
        self._open.add(call_id)
        self._calls.add(call_id)

    def _call(self, fields: Fields, param: str, *, custom: bool) -> None:
        call_id = need_text(fields, "call_id", param)
        self._know(call_id, param)
        space = take_text(fields, "namespace", param)
        name = self._box.called(need_text(fields, "name", param), space)
        text = take_text(fields, "input" if custom else "arguments", param)
        signature, origin = self._signatures.pop(call_id, ("", ""))
        call = ToolCall(call_id, name, free_arguments(text) if custom else text, signature, origin)
        self._signed[call_id] = call
        self._add("assistant", [call, *beside(fields, "function_call.")])

    def _result(self, fields: Fields, param: str) -> None:
        call_id = need_text(fields, "call_id", param)
        if call_id not in self._calls:
            raise untranslatable(f"{param}call_id", "is that of no call before it")
        self._open.discard(call_id)
        self._signed.pop(call_id, None)
        for same in ("name", "namespace"):
            fields.pop(same, None)  # the call says them
        output = take(fields, "output")
        if output is None:
            blocks: list[Block] = []
        elif is_object(output):
            blocks = [Text(bytes(output).decode())]
        else:
            blocks = read_content(output, f"{param}output")
        self._add("user", [ToolResult(call_id, blocks), *beside(fields, "function_call_output.")])

    def _reasoning(self, raw: Raw, param: str) -> None:
        try:
            item = decode(raw, type=Reasoning)
        except ValidationError as error:
            raise wrong_type(param, "a reasoning item") from error
        call_id, signature, origin = signed_call(item)
        if not call_id:
            self._add("assistant", [*read_thoughts(item)])
        elif call_id in self._signed:
            self._signed[call_id].signature, self._signed[call_id].origin = signature, origin
        else:
            self._signatures[call_id] = signature, origin

    def _foreign(self, kind: str, raw: Raw, param: str) -> None:
        """An item only this language has. Tools that it brings are tools like the others."""
        if kind in ("additional_tools", "tool_search_output"):
            told = object_in(raw, param)
            self._box.read(take_items(told, "tools", f"{param}."), f"{param}.tools", late=True)
        try:
            head = decode(raw, type=_Head)
        except ValidationError as error:
            raise wrong_type(param, "an item") from error
        self._calls.update(id_ for id_ in (head.call_id, head.id) if id_)
        self._add("user" if kind.endswith(_ANSWERS) else "assistant", [Foreign(NAME, kind, raw)])


def _is_beside(block: Block) -> bool:
    return isinstance(block, Foreign) and "." in block.kind


# --- the request ------------------------------------------------------------------------------------------------------


def read_request(request: Request) -> Ask:
    fields = request.fields.copy()
    for known in ("model", "stream"):
        fields.pop(known, None)
    box, other = Toolbox(), Fields()
    box.read(take_items(fields, "tools", ""), "tools")
    talk = _Conversation(box)
    instructions = take_text(fields, "instructions", "")
    if instructions:
        talk.system.append(Text(instructions))
    raw = take(fields, "input")
    if raw is None:
        raise missing("input")
    if is_text(raw):
        talk.turns.append(Turn("user", [Text(text_in(raw, "input"))]))
    else:
        items = items_in(raw, "input")
        if not items:
            raise wrong_value("input", "is empty")
        for at, item in enumerate(items):
            talk.take(item, f"input[{at}]")
    ask = Ask(
        NAME,
        request.model,
        talk.turns,
        talk.system,
        request.stream,
        box.tools,
        read_choice(fields, box, other),
        take_count(fields, "max_output_tokens", least=1),
        sampling={name: value for name in _SAMPLING if (value := take(fields, name)) is not None},
        thinking=_effort(fields, other),
        format=_format(fields, other),
        logprobs=_logprobs(fields, other),
        user=take_text(fields, "safety_identifier", "") or take_text(fields, "user", ""),
        service_tier=take_text(fields, "service_tier", ""),
        cache_key=take_text(fields, "prompt_cache_key", ""),
        query=request.query,
    )
    names = names_in(fields.get("metadata", raw_of(None)))
    if names is not None:
        ask.metadata = names
        del fields["metadata"]
    for default in ("truncation", "stream_options"):
        if fields.get(default) in _DEFAULTS:
            del fields[default]
    ask.other = other | {name: value for name, value in fields.items() if not says_nothing(value)}
    return ask


# What these fields say where nothing is said of them: nothing is cut, and here nothing is padded.
_DEFAULTS: Final = (raw_of("disabled"), raw_of({"include_obfuscation": False}))


def _effort(fields: Fields, other: Fields) -> Effort | None:
    told = take_object(fields, "reasoning", "")
    level = take_text(told, "effort", "reasoning.")
    old = take_text(told, "generate_summary", "reasoning.")
    summary = take_text(told, "summary", "reasoning.") or old
    if summary not in ("", "auto"):
        told["summary"] = raw_of(summary)
    rest = {name: value for name, value in told.items() if not says_nothing(value)}
    if rest:
        other["reasoning"] = raw_of(rest)
    return Effort(level, shown=True if summary else None) if level or summary else None


def _format(fields: Fields, other: Fields) -> Format | None:
    told = take_object(fields, "text", "")
    verbosity = take(told, "verbosity")
    if verbosity is not None:
        other["verbosity"] = verbosity
    form = take_object(told, "format", "text.")
    rest = {name: value for name, value in told.items() if not says_nothing(value)}
    kind = take_text(form, "type", "text.format.")
    made: Format | None = None
    if kind == "json_object":
        made = Format()
    elif kind == "json_schema":
        schema = take(form, "schema")
        if schema is None or not is_object(schema):
            raise wrong_type("text.format.schema", "an object")
        made = Format(
            schema,
            take_text(form, "name", "text.format."),
            take_text(form, "description", "text.format."),
            take_flag(form, "strict", "text.format."),
        )
    elif kind not in ("", "text"):
        rest["format"] = raw_of({"type": kind} | form)
    if rest:
        other["text"] = raw_of(rest)
    return made


def _logprobs(fields: Fields, other: Fields) -> int | None:
    """How many alternatives are wanted. `include` asks for tokens' logprobs and for what only this language has."""
    included = take(fields, "include")
    wanted: list[str] = []
    if included is not None:
        try:
            wanted = decode(included, type=list[str])
        except DecodeError as error:
            raise wrong_type("include", "a list of strings") from error
    rest = [word for word in wanted if word not in (ENCRYPTED, LOGPROBS)]
    if rest:
        other["include"] = Raw(encode(rest))
    count = take_count(fields, "top_logprobs", least=0)
    return count or 0 if count or LOGPROBS in wanted else None
