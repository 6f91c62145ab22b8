"""Converse's blocks of content to ours, the same in requests and answers (botocore, bedrock-runtime model).

A block is an object with one field, its kind. Where Converse says more of a block than we can, a Foreign with all of it
stands before the block that the others understand; the writer takes the Foreign and passes over that block.
"""

from binascii import Error as BadBase64
from binascii import a2b_base64
from typing import Final

from msgspec import UNSET, Raw, Struct, UnsetType, field
from msgspec.json import Decoder, Encoder

from gateway.wire.anthropic_messages.thought import open_seal
from gateway.wire.bedrock_converse.media import KINDS, NAME, OWNED, PIECES, read_media
from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, Text, Thinking, ToolCall, ToolResult

# Who signs the thoughts that come through Bedrock (platform.claude.com, Claude on Amazon Bedrock).
SIGNER: Final = "anthropic_messages"
GUARDED: Final = "guardContent"
FOUND: Final = "searchResult"
# Foreign blocks that stand for themselves and the block after them.
DOUBLES: Final = frozenset((GUARDED, FOUND, OWNED, PIECES))
POINT: Final = "cachePoint"
# A call that Amazon answers itself: Nova's own tools (API reference, ToolUseBlock, type).
SERVED: Final = "server_tool_use"
RESULT: Final = "toolResult"
# What a tool's input holds instead where the arguments are no JSON object, which Converse refuses.
UNPARSED: Final = "unparsed_arguments"
NULL: Final = b"null"

_string: Final = Decoder(str).decode
_encode: Final = Encoder().encode


class Called(Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: Raw | UnsetType = UNSET
    type: str | None = None


class _Result(Struct, rename="camel"):
    tool_use_id: str
    content: list[dict[str, Raw]]
    status: str | None = None


class _Reasoned(Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(Struct, rename="camel"):
    reasoning_text: _Reasoned | None = None
    redacted_content: str | None = None


class _Piece(Struct):
    text: str = ""


class _Web(Struct):
    url: str | None = None


class _Location(Struct):
    web: _Web | None = None


class _Citation(Struct, rename="camel"):
    title: str | None = None
    source_content: list[_Piece] | None = None
    location: _Location | None = None


class _Cited(Struct):
    content: list[_Piece] | None = None
    citations: list[Raw] | None = None


class _Guarded(Struct):
    text: _Piece | None = None
    image: Raw | UnsetType = UNSET


class _Cites(Struct):
    enabled: bool = False


class _Found(Struct):
    source: str
    title: str
    content: list[_Piece]
    citations: _Cites | None = None


class _Point(Struct, forbid_unknown_fields=True):
    type: str
    ttl: str | None = None


class _Wrapped(Struct, forbid_unknown_fields=True):
    text: str = field(name=UNPARSED)


_called: Final = Decoder(Called).decode
_result: Final = Decoder(_Result).decode
_reasoning: Final = Decoder(_Reasoning).decode
_citation: Final = Decoder(_Citation).decode
_cited: Final = Decoder(_Cited).decode
_guarded: Final = Decoder(_Guarded).decode
_found: Final = Decoder(_Found).decode
_point: Final = Decoder(_Point).decode
_wrapped: Final = Decoder(_Wrapped).decode


def read_block(content: list[Block], block: dict[str, Raw], *, asked: bool) -> None:
    """Put what a block says at the end of `content`. `asked`: it is the user's, where a tool's result is his as well.

    ValueError or RecursionError where it can't be understood; a kind that isn't known is Foreign.
    """
    said = [(kind, value) for kind, value in block.items() if bytes(value) != NULL]
    if len(said) != 1:
        raise ValueError("A block of content has one field.")
    kind, value = said[0]
    if kind == "text":
        content.append(Text(_string(value)))
    elif kind == POINT:
        if not mark(content, value):
            content.append(foreign(POINT, kind, value))
    elif kind == "toolUse":
        content.append(_read_call(value))
    elif kind == RESULT and asked:
        content.append(_read_result(value))
    elif kind == "reasoningContent":
        content += _read_thought(value)
    elif kind == "citationsContent":
        content.append(_read_cited(value))
    elif kind in KINDS:
        content += read_media(kind, value)
    elif kind == GUARDED:
        content += _read_guarded(value)
    elif kind == FOUND:
        content += _read_found(value)
    else:
        content.append(foreign(kind, kind, value))


def foreign(kind: str, name: str, value: Raw) -> Foreign:
    return Foreign(NAME, kind, Raw(_encode({name: value})))


def mark(content: list[Block], value: Raw) -> bool:
    """Put a cache point on the block before it, where that can have one."""
    cache = point_of(value)
    last = content[-1] if content else None
    if cache is None or not isinstance(last, Text | Media | ToolCall | ToolResult) or last.cache is not None:
        return False
    last.cache = cache
    return True


def point_of(value: Raw) -> Cache | None:
    """A cache point as a mark; None where it says more than a mark can."""
    try:
        point = _point(value)
    except ValueError:
        return None
    return Cache(point.ttl or "") if point.type == "default" else None


def arguments_of(value: Raw | UnsetType) -> str:
    """The JSON text of a tool's input. What the writer had to wrap, for it was no object, is unwrapped."""
    if value is UNSET:
        return ""
    text = bytes(value)
    if text == NULL:
        return ""
    if UNPARSED.encode() in text:
        try:
            return _wrapped(text).text
        except ValueError:
            pass
    return text.decode()


def _read_call(value: Raw) -> Block:
    said = _called(value)
    if said.type == SERVED:
        return foreign(SERVED, "toolUse", value)
    return ToolCall(said.tool_use_id, said.name, arguments_of(said.input))


def _read_result(value: Raw) -> ToolResult:
    said = _result(value)
    content: list[Block] = []
    for block in said.content:
        if block.keys() == {"json"}:
            content.append(Text(bytes(block["json"]).decode()))
        else:
            read_block(content, block, asked=False)
    return ToolResult(said.tool_use_id, content, is_error=said.status == "error")


def _read_thought(value: Raw) -> list[Block]:
    said = _reasoning(value)
    thoughts: list[Block] = []
    if said.reasoning_text is not None:
        thought = open_seal(said.reasoning_text.text, said.reasoning_text.signature or "", SIGNER, hidden=False)
        thought.origin = thought.origin or NAME  # nobody signed it, so it goes back where it was said alone
        thoughts.append(thought)
    if said.redacted_content is not None:
        thoughts.append(redacted(said.redacted_content))
    return thoughts or [foreign("reasoningContent", "reasoningContent", value)]


def redacted(blob: str) -> Thinking:
    """A thought nobody may read. Claude's is text already, and stands here as the base64 of that text (recorded)."""
    try:
        text = a2b_base64(blob, strict_mode=True).decode("ascii")
    except (BadBase64, UnicodeDecodeError):
        text = ""
    return open_seal("", text, SIGNER, hidden=True) if text else Thinking(redacted=blob, origin=NAME)


def _read_cited(value: Raw) -> Text:
    said = _cited(value)
    text = "".join(piece.text for piece in said.content or ())
    return Text(text, citations=[read_citation(one) for one in said.citations or ()])


def read_citation(value: Raw) -> Citation:
    said = _citation(value)
    web = said.location.web if said.location is not None else None
    return Citation(
        NAME,
        value,
        url=(web.url if web is not None else None) or "",
        title=said.title or "",
        quote="".join(piece.text for piece in said.source_content or ()),
    )


def _read_guarded(value: Raw) -> list[Block]:
    said = _guarded(value)
    whole = foreign(GUARDED, GUARDED, value)
    if said.text is not None:
        return [whole, Text(said.text.text)]
    if said.image is UNSET:
        raise ValueError("Guarded content is a text or an image.")
    return [whole, *read_media("image", said.image)]


def _read_found(value: Raw) -> list[Block]:
    said = _found(value)
    text = "\n".join(piece.text for piece in said.content)
    found = Media("document", "text/plain", text=text, name=said.title, title=said.title, context=said.source)
    found.cites = said.citations is not None and said.citations.enabled
    return [foreign(FOUND, FOUND, value), found]
