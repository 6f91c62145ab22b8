"""`contents` to turns: parts to blocks (ai.google.dev, Content; google-genai, types.Part)."""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw

from gateway.wire.gemini import media, signature
from gateway.wire.gemini.fields import (
    NAME,
    Fields,
    list_in,
    need_text,
    object_in,
    take_flag,
    take_list,
    take_object,
    take_text,
    untranslatable,
    wrong_type,
    wrong_value,
)
from gateway.wire.gemini.result import read_response
from gateway.wire.ir import NO_ARGUMENTS, Block, Foreign, Media, Role, Text, Thinking, ToolCall, ToolResult, Turn

# What only Google says of a part, a result or a turn stands behind it, by these names: `part.videoMetadata`.
OF_PART: Final = "part."
OF_RESULT: Final = "functionResponse."
OF_TURN: Final = "content."

# `function` is what results were said by at first.
_ROLES: Final[Mapping[str, Role]] = {"": "user", "user": "user", "function": "user", "model": "assistant"}


class _Calls:
    """The calls so far. One without an id is given one; a result without belongs to the first open call of its name.

    Official clients answer without an id even where the call has one (google-genai, Part.from_function_response).
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._made: set[str] = set()
        self._open: list[ToolCall] = []

    def called(self, call: ToolCall, param: str) -> None:
        if not call.id:
            call.id = f"call_{len(self._ids)}"
            self._made.add(call.id)
        # Once it was answered, an id may stand for another call: who counts anew in each turn writes such.
        if any(call.id == other.id for other in self._open):
            raise untranslatable(f"{param}.id", "is the id of an earlier call")
        self._ids.add(call.id)
        self._open.append(call)

    def answered(self, call_id: str, name: str, param: str) -> str:
        """The id of the call a result is of."""
        known = call_id in self._ids
        for at, call in enumerate(self._open):
            likely = call.name == name and (not call_id or call.id in self._made)
            if call.id == call_id if known else likely:
                del self._open[at]
                return call.id
        if known:
            return call_id  # answered before: the backend's to judge
        raise untranslatable(param, "is the result of no earlier call")


def read_contents(raw: Raw, param: str) -> list[Turn]:
    """All turns. BadRequest where there is none, or one can't be understood."""
    calls = _Calls()
    turns: list[Turn] = []
    for at, item in enumerate(list_in(raw, param)):
        turn = _turn(item, f"{param}[{at}]", calls)
        if turns and turn.role == turns[-1].role == "assistant":
            _join(turns[-1].content, turn.content)
        else:
            turns.append(turn)
    if not turns:
        raise wrong_value(param, "must not be empty")
    for turn in turns:
        if turn.role == "assistant" and len(turn.content) > 1:
            # The last chunk of a stream is often an empty text, which no other language would take.
            turn.content = [block for block in turn.content if not isinstance(block, Text) or block.text]
    return turns


def _join(blocks: list[Block], more: list[Block]) -> None:
    """One turn out of two: chunks of a streamed answer come back as a turn each (google-genai, chats)."""
    last, first = (blocks[-1], more[0]) if blocks and more else (None, None)
    if (isinstance(last, Text) and isinstance(first, Text)) or (
        isinstance(last, Thinking) and isinstance(first, Thinking) and not last.origin and not first.origin
    ):
        last.text += first.text
        more = more[1:]
    for block in more:
        _add(blocks, block)


def read_system(raw: Raw, param: str) -> list[Text]:
    """The system's instruction; its role says nothing, and only text is one."""
    fields = object_in(raw, param)
    texts: list[Text] = []
    for at, item in enumerate(take_list(fields, "parts", param)):
        where = f"{param}.parts[{at}]"
        part = object_in(item, where)
        if "text" not in part:
            raise untranslatable(where, "must be text")
        texts.append(Text(take_text(part, "text", where)))
    return texts


def _turn(raw: Raw, param: str, calls: _Calls) -> Turn:
    fields = object_in(raw, param)
    said = take_text(fields, "role", param)
    role = _ROLES.get(said)
    if role is None:
        raise wrong_value(f"{param}.role", "must be 'user' or 'model'")
    blocks: list[Block] = []
    for at, item in enumerate(take_list(fields, "parts", param)):
        for block in _part(item, f"{param}.parts[{at}]", calls):
            _add(blocks, block)
    blocks += [Foreign(NAME, OF_TURN + name, value) for name, value in fields.items()]
    return Turn(role, blocks)


def _add(blocks: list[Block], block: Block) -> None:
    """One more block. A thought another model signed came to the caller in pieces, the last with its signature."""
    if isinstance(block, Thinking) and block.signature and block.origin != NAME:
        while blocks and isinstance(last := blocks[-1], Thinking) and not last.origin:
            block.text = last.text + block.text
            blocks.pop()
    blocks.append(block)


def _part(raw: Raw, param: str, calls: _Calls) -> list[Block]:
    fields = object_in(raw, param)
    thought = take_flag(fields, "thought", param) is True
    signed = take_text(fields, "thoughtSignature", param)
    blocks: list[Block]
    if "text" in fields:
        text = take_text(fields, "text", param)
        if thought:
            return [signature.read(signed, text), *_rest(fields)]
        blocks = [Text(text)] if text or not signed else []
    elif "functionCall" in fields:
        call = _call(take_object(fields, "functionCall", param) or {}, f"{param}.functionCall", calls)
        kept = signature.read(signed)
        call.signature, call.origin = kept.signature, kept.origin
        return [call, *_rest(fields)]
    elif "functionResponse" in fields:
        response = take_object(fields, "functionResponse", param) or {}
        blocks = [_result(response, f"{param}.functionResponse", calls)]
    elif not thought and (found := _media(fields, param)) is not None:
        blocks = [found]
    elif fields or thought:
        return [Foreign(NAME, next(iter(fields), "thought"), raw)]
    else:
        blocks = []
    blocks += _rest(fields)
    mark = signature.read(signed)
    return [*blocks, mark] if mark.signature or mark.redacted else blocks


def _rest(fields: Fields) -> list[Block]:
    return [Foreign(NAME, OF_PART + name, value) for name, value in fields.items()]


def _media(fields: Fields, param: str) -> Media | None:
    inline = take_object(fields, "inlineData", param)
    if inline is not None:
        return media.read_inline(inline, f"{param}.inlineData")
    file = take_object(fields, "fileData", param)
    return media.read_file(file, f"{param}.fileData") if file is not None else None


def _call(fields: Fields, param: str, calls: _Calls) -> ToolCall:
    raw = fields.pop("args", None)
    if raw is not None and bytes(raw)[:1] != b"{":
        raise wrong_type(f"{param}.args", "an object")
    arguments = NO_ARGUMENTS if raw is None else bytes(raw).decode()
    call = ToolCall(take_text(fields, "id", param), need_text(fields, "name", param), arguments)
    calls.called(call, param)
    return call


def _result(fields: Fields, param: str, calls: _Calls) -> ToolResult:
    name = need_text(fields, "name", param)
    result = ToolResult(calls.answered(take_text(fields, "id", param), name, param), [], name)
    response = fields.pop("response", None)
    parts = take_list(fields, "parts", param)
    if response is not None:
        try:
            text, result.is_error = read_response(response)
        except DecodeError as error:
            raise wrong_type(f"{param}.response", "an object") from error
        if text is not None:
            result.content.append(Text(text))
    for at, item in enumerate(parts):
        where = f"{param}.parts[{at}]"
        part = object_in(item, where)
        found = _media(part, where)
        if found is not None:
            result.content += [found, *_rest(part)]
        elif part:
            result.content.append(Foreign(NAME, next(iter(part)), item))
    result.content += [Foreign(NAME, OF_RESULT + extra, value) for extra, value in fields.items()]
    return result
