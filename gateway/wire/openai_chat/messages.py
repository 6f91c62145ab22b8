"""The messages of a request, read into turns.

What is said of tools' calls must be whole here, since other languages refuse it otherwise (reliability row D12): each
call has an id of its own, and each result a call before it.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, encode

from gateway.errors import BadRequest
from gateway.wire.ir import Block, Foreign, Media, Refusal, Role, Text, Thinking, ToolCall, ToolResult, Turn
from gateway.wire.openai_chat.annotations import read_annotation
from gateway.wire.openai_chat.content import CALL, CALL_KIND, MESSAGE, RESULT_KIND, beside, read_content, take_cache
from gateway.wire.openai_chat.fields import (
    NAME,
    Fields,
    is_list,
    is_text,
    missing,
    need_object,
    need_text,
    objects_in,
    take,
    take_object,
    take_objects,
    take_text,
    wrong_type,
    wrong_value,
)
from gateway.wire.openai_chat.thinking import SIGNER, Detail, read_details
from gateway.wire.signing import unpack

_ROLES: Final[Mapping[str, Role]] = {"system": "system", "developer": "system", "user": "user"}

_details: Final = Decoder(list[Detail]).decode
_notes: Final = Decoder(list[Raw]).decode
_NONE: Final = Raw(b"[]")


def read_messages(raw: Raw) -> tuple[list[Text], list[Turn]]:
    """What stands at the head for the model to obey, and the conversation."""
    messages = objects_in(raw, "messages")
    if not messages:
        raise wrong_value("messages", "is empty")
    reading = _Reading()
    for at, message in enumerate(messages):
        reading.take(message, f"messages[{at}].")
    return reading.system, reading.turns


class _Reading:
    """The messages so far, and the calls in them: of each the kind of its tool, "" where it is a function."""

    __slots__ = ("_calls", "_functions", "_open", "_results", "system", "turns")

    def __init__(self) -> None:
        self.system: list[Text] = []
        self.turns: list[Turn] = []
        self._calls: dict[str, str] = {}
        self._open: set[str] = set()
        self._functions: list[tuple[str, str]] = []  # calls of the old form, by name and the id we gave
        self._results: Turn | None = None  # a turn of results that the next one belongs to

    def take(self, message: Fields, param: str) -> None:
        role = need_text(message, "role", param)
        if role in ("tool", "function"):
            self._take_result(role, message, param)
            return
        self._results = None
        if role == "assistant":
            self._take_assistant(message, param)
        elif role in _ROLES:
            self._take_said(_ROLES[role], message, param)
        else:
            raise wrong_value(f"{param}role", "is no role")

    def _take_said(self, role: Role, message: Fields, param: str) -> None:
        name = take_text(message, "name", param)
        raw = take(message, "content")
        if raw is None:
            raise missing(f"{param}content")
        blocks = read_content(raw, f"{param}content")
        if message:
            _mark(message, blocks, param)
            blocks += beside(message, MESSAGE)
        texts = [block for block in blocks if isinstance(block, Text)]
        if role == "system" and not self.turns and not name and len(texts) == len(blocks):
            self.system += texts
        else:
            self.turns.append(Turn(role, blocks, name))

    def _take_assistant(self, message: Fields, param: str) -> None:
        content = _content(message, param)
        calls = take_objects(message, "tool_calls", param)
        blocks, rest = _beyond(message, content, param) if message else ([], [])
        blocks += content + rest
        for at, call in enumerate(calls):
            blocks += self._call(call, f"{param}tool_calls[{at}].")
        name = ""
        if message:
            name = take_text(message, "name", param)
            function = take_object(message, "function_call", param)
            if function is not None:
                blocks += self._function_call(function, f"{param}function_call.")
            _mark(message, blocks, param)
            blocks += beside(message, MESSAGE)
        self.turns.append(Turn("assistant", blocks, name))

    def _call(self, call: Fields, param: str) -> list[Block]:
        id_ = need_text(call, "id", param)
        kind = take_text(call, "type", param).removesuffix("function")
        self._know(id_, param, kind)
        if kind:
            return [Foreign(NAME, kind + CALL_KIND, Raw(encode({"id": id_, "type": kind, **call})))]
        call.pop("index", None)  # Mistral counts calls as in answers
        function = need_object(call, "function", param)
        inside = f"{param}function."
        block = ToolCall(id_, need_text(function, "name", inside), take_text(function, "arguments", inside))
        if function:
            call["function"] = Raw(encode(function))
        if not call:
            return [block]
        _take_signature(call, block, param)
        block.cache = take_cache(call, param)
        return [block, *beside(call, CALL)]

    def _function_call(self, function: Fields, param: str) -> list[Block]:
        """The form before tools had ids: its result is the next message of a function of that name."""
        name = need_text(function, "name", param)
        id_ = f"call_{len(self._calls)}"
        self._know(id_, param, "")
        self._functions.append((name, id_))
        return [ToolCall(id_, name, take_text(function, "arguments", param))]

    def _know(self, id_: str, param: str, kind: str) -> None:
        # Once it was answered, an id may stand for another call: who counts anew in each turn writes such.
        if id_ in self._open:
            raise _untranslatable(f"{param}id", "Two tool calls have the same id.")
        self._open.add(id_)
        self._calls[id_] = kind

    def _take_result(self, role: str, message: Fields, param: str) -> None:
        if role == "function":
            name = need_text(message, "name", param)
            id_ = self._answered(name, f"{param}name")
        else:
            id_ = need_text(message, "tool_call_id", param)
            name = take_text(message, "name", param)
        if id_ not in self._calls:
            raise _untranslatable(f"{param}tool_call_id", "A tool's result has no call before it.")
        self._open.discard(id_)
        if self._calls[id_]:
            whole = {"role": role, "tool_call_id": id_, **message} | ({"name": name} if name else {})
            self._add([Foreign(NAME, self._calls[id_] + RESULT_KIND, Raw(encode(whole)))])
            return
        result = ToolResult(id_, _content(message, param), name, cache=take_cache(message, param))
        self._add([result, *beside(message, MESSAGE)])

    def _answered(self, name: str, param: str) -> str:
        for function in self._functions:
            if function[0] == name:
                self._functions.remove(function)
                return function[1]
        raise _untranslatable(param, "A function's result has no call before it.")

    def _add(self, blocks: list[Block]) -> None:
        """Results in a row are one turn."""
        if self._results is None:
            self._results = Turn("user", [])
            self.turns.append(self._results)
        self._results.content += blocks


def _content(message: Fields, param: str) -> list[Block]:
    raw = take(message, "content")
    return [] if raw is None else read_content(raw, f"{param}content")


def _beyond(message: Fields, content: list[Block], param: str) -> tuple[list[Block], list[Block]]:
    """What an assistant's message says beside words and calls: before its words, and behind them."""
    thoughts = _thoughts(message, param)
    _cite(message, content)
    refusal = take_text(message, "refusal", param)
    return thoughts, [Refusal(refusal)] if refusal else []


def _mark(message: Fields, blocks: list[Block], param: str) -> None:
    """A mark on a message is one on its last block that can have one (LiteLLM)."""
    if "cache_control" not in message:
        return
    last = next((block for block in reversed(blocks) if isinstance(block, Text | Media | ToolCall)), None)
    if last is not None:
        last.cache = take_cache(message, param) or last.cache


def _cite(message: Fields, content: list[Block]) -> None:
    """Annotations that a caller says again; where there is more than one text, whose they are isn't known."""
    raw = take(message, "annotations")
    if raw is None or raw == _NONE:
        return
    if is_list(raw) and len(content) == 1 and isinstance(content[0], Text):
        content[0].citations = [read_annotation(note) for note in _notes(raw)]
    else:
        message["annotations"] = raw


def _take_signature(call: Fields, block: ToolCall, param: str) -> None:
    extra = take_object(call, "extra_content", param)
    if extra is None:
        return
    google = take_object(extra, "google", f"{param}extra_content.")
    if google is not None:
        signature = take_text(google, "thought_signature", f"{param}extra_content.google.")
        if signature:
            block.signature, block.origin = unpack(signature, SIGNER)
        if google:
            extra["google"] = Raw(encode(google))
    if extra:
        call["extra_content"] = Raw(encode(extra))


def _thoughts(message: Fields, param: str) -> list[Block]:
    """What an earlier answer thought, said in the fullest of the ways it is said in."""
    said = take_text(message, "reasoning_content", param)
    said = _plain(message, "reasoning", param) or said
    details = take(message, "reasoning_details")
    blocks = take(message, "thinking_blocks")
    if details is not None:
        try:
            return [*read_details(_details(details), said)]
        except DecodeError as error:
            raise wrong_type(f"{param}reasoning_details", "a list of details") from error
    if blocks is not None:
        if is_text(blocks):
            raise wrong_type(f"{param}thinking_blocks", "a list of blocks")
        return read_content(blocks, f"{param}thinking_blocks")
    return [Thinking(said)] if said else []


def _plain(message: Fields, name: str, param: str) -> str:
    """Text, where it is one: what else stands there is nobody's known form, and left."""
    raw = message.get(name)
    return take_text(message, name, param) if raw is not None and is_text(raw) else ""


def _untranslatable(param: str, message: str) -> BadRequest:
    return BadRequest(message, code="untranslatable", param=param)
