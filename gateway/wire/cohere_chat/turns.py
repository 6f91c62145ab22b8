"""Messages as callers write them, as turns (docs.cohere.com, Chat, `messages`)."""

import re
from typing import Final

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.wire.anthropic_event import UNSAID
from gateway.wire.cohere_chat.citations import read_citation
from gateway.wire.cohere_chat.documents import read_document
from gateway.wire.cohere_chat.reading import missing, read, there, wrong
from gateway.wire.cohere_chat.words import CITATION, NAME, PLAN
from gateway.wire.ir import Ask, Block, Foreign, Media, Text, Thinking, ToolCall, ToolResult, Turn

_ROLES: Final = frozenset(("system", "user", "assistant", "tool"))
_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,", re.IGNORECASE)


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    id: str
    function: _Function


class _Message(Struct):
    role: str
    content: Raw = UNSAID
    tool_calls: list[_Call] | None = None
    tool_plan: str | None = None
    citations: list[Raw] | None = None
    tool_call_id: str | None = None


class _Image(Struct):
    url: str
    detail: str | None = None


class _Part(Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    image_url: _Image | str | None = None
    document: Raw = UNSAID


_messages: Final = Decoder(list[_Message])
_items: Final = Decoder(list[Raw])
_string: Final = Decoder(str)
_part: Final = Decoder(_Part)


class Conversation:
    """Reads messages into turns; knows which calls were made, and which of them wait for their result."""

    __slots__ = ("_ask", "_known", "_waiting")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: set[str] = set()
        self._waiting: set[str] = set()

    def read(self, raw: Raw) -> None:
        turns = self._ask.messages
        results = False
        messages: list[_Message] = read(_messages, raw, "messages")
        for at, message in enumerate(messages):
            param = f"messages[{at}]"
            if message.role not in _ROLES:
                raise BadRequest("There is no such role.", code="invalid_value", param=f"{param}.role")
            if message.role == "tool":
                result = self._result(message, param)
                if results:
                    turns[-1].content.append(result)
                else:
                    turns.append(Turn("user", [result]))
                results = True
                continue
            results = False
            if message.role == "assistant":
                turns.append(Turn("assistant", self._said(message, param)))
                continue
            content = _content(message, param)
            if message.role == "user":
                turns.append(Turn("user", content))
            elif turns or not all(isinstance(block, Text) for block in content):
                turns.append(Turn("system", content))
            else:
                self._ask.system += [block for block in content if isinstance(block, Text)]

    def _result(self, message: _Message, param: str) -> ToolResult:
        call_id = message.tool_call_id
        if call_id is None:
            raise missing(f"{param}.tool_call_id")
        if call_id not in self._known:
            raise BadRequest("This result belongs to no call.", code="untranslatable", param=f"{param}.tool_call_id")
        self._waiting.discard(call_id)
        return ToolResult(call_id, _content(message, param))

    def _said(self, message: _Message, param: str) -> list[Block]:
        """What a model said: its content and citations, then its plan, then its calls."""
        blocks: list[Block] = [] if message.content == UNSAID else _blocks(message.content, f"{param}.content")
        blocks += cite(blocks, message.citations or [])
        if message.tool_plan:
            blocks.append(Thinking(message.tool_plan, origin=NAME, id=PLAN))
        for at, call in enumerate(message.tool_calls or ()):
            spot = f"{param}.tool_calls[{at}]"
            if call.id in self._waiting:
                raise BadRequest("Two calls have this id.", code="untranslatable", param=f"{spot}.id")
            if not call.function.name:
                raise missing(f"{spot}.function.name")
            self._known.add(call.id)
            self._waiting.add(call.id)
            blocks.append(ToolCall(call.id, call.function.name, call.function.arguments or ""))
        return blocks


def cite(blocks: list[Block], citations: list[Raw]) -> list[Block]:
    """Put each citation to the text it belongs to; what cites none of them is given back."""
    strays: list[Block] = []
    first = next((at for at, block in enumerate(blocks) if isinstance(block, Text)), -1)
    for raw in citations:
        citation, index = read_citation(raw)
        at = first if index is None else index
        block = blocks[at] if 0 <= at < len(blocks) else None
        if citation is not None and isinstance(block, Text):
            block.citations.append(citation)
        else:
            strays.append(Foreign(NAME, CITATION, raw))
    return strays


def _content(message: _Message, param: str) -> list[Block]:
    if message.content == UNSAID:
        raise missing(f"{param}.content")
    return _blocks(message.content, f"{param}.content")


def _blocks(raw: Raw, param: str) -> list[Block]:
    if bytes(raw)[:1] == b'"':
        return [Text(read(_string, raw, param))]
    parts: list[Raw] = read(_items, raw, param)
    return [_block(part, f"{param}[{at}]") for at, part in enumerate(parts)]


def _block(raw: Raw, param: str) -> Block:
    part = read(_part, raw, param)
    match part.type:
        case "text":
            return Text(there(part.text, f"{param}.text"))
        case "thinking":
            return Thinking(there(part.thinking, f"{param}.thinking"))
        case "image_url":
            if part.image_url is None:
                raise missing(f"{param}.image_url")
            image = part.image_url if isinstance(part.image_url, _Image) else _Image(part.image_url)
            return _media(image)
        case "document":
            if part.document == UNSAID:
                raise missing(f"{param}.document")
            return document(part.document, f"{param}.document", cites=True)
        case _:
            return Foreign(NAME, part.type, raw)


def _media(image: _Image) -> Media:
    data = _DATA_URL.match(image.url)
    if data is None:
        return Media("image", url=image.url, detail=image.detail or "")
    return Media("image", data[1], data=image.url[data.end() :], detail=image.detail or "")


def document(raw: Raw, param: str, *, cites: bool) -> Media:
    try:
        return read_document(raw, cites=cites)
    except DecodeError as error:
        raise wrong(param, "a text or an object with data") from error
