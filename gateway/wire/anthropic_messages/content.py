"""The turns of a request, read into the inner form. Places are named as callers find them: `messages[2].content[0]`."""

from typing import Final, cast

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.wire import ir
from gateway.wire.anthropic_messages import citation, shapes
from gateway.wire.anthropic_messages.kept import (
    NULL,
    Kept,
    read_items,
    read_kind,
    read_object,
    unreadable,
)
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.thought import open_seal

_MARK: Final = b'{"type":"ephemeral"}'
# A call the model makes itself, rather than code it wrote: what is so of every call in other languages.
_DIRECT: Final = b'{"type":"direct"}'
# Sources that documents alone have.
_WORDS: Final = ("text", "content")
_BRACE: Final = b"{"
_QUOTE: Final = ord('"')

_string: Final = Decoder(str).decode


class Content:
    """Reads the blocks of one request, and remembers its tool calls: a result must have one before it.

    An id may come again once it has been answered: Anthropic takes that, and clients of several providers send it.
    """

    __slots__ = ("_unanswered", "kept")

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self._unanswered: dict[str, str] = {}

    def turns(self, raw: Raw) -> list[ir.Turn]:
        return [self._turn(item, f"messages[{at}]") for at, item in enumerate(read_items(raw, "messages"))]

    def texts(self, raw: Raw) -> list[ir.Text]:
        """The system prompt: a string, or blocks of text."""
        texts: list[ir.Text] = []
        for at, block in enumerate(self._blocks(raw, "system", "")):
            if not isinstance(block, ir.Text):
                raise BadRequest("A system prompt has text only.", code="invalid_value", param=f"system[{at}].type")
            texts.append(block)
        return texts

    def mark(self, raw: Raw, place: str) -> ir.Cache | None:
        """A `cache_control`, which may be null; the object itself is kept where it says more than its time."""
        said = bytes(raw)
        if said == _MARK:
            return ir.Cache()
        if said == NULL:
            return None
        mark = self.kept.read(shapes.read_mark, "cache", place, raw, inside="cache_control")
        if mark.type != "ephemeral":
            self.kept.keep("cache", "cache_control", place, raw)
        return ir.Cache(mark.ttl or "")

    def _turn(self, raw: Raw, place: str) -> ir.Turn:
        message = self.kept.read(shapes.read_message, "messages", place, raw)
        role = message.role
        if role not in ("user", "assistant", "system"):
            raise BadRequest("This role isn't known.", code="invalid_value", param=f"{place}.role")
        return ir.Turn(cast("ir.Role", role), self._blocks(message.content, f"{place}.content", role))

    def _blocks(self, raw: Raw, place: str, role: str) -> list[ir.Block]:
        """Content: a string, which stands for one block of text, or a list. An empty string is no block."""
        if memoryview(raw)[0] == _QUOTE:
            try:
                text = _string(raw)
            except DecodeError as error:
                raise unreadable(place) from error
            return [ir.Text(text)] if text else []
        return [self._block(item, f"{place}[{at}]", role) for at, item in enumerate(read_items(raw, place))]

    def _block(self, raw: Raw, place: str, role: str) -> ir.Block:
        try:
            block = shapes.read_block(raw)
        except DecodeError:
            kind = read_kind(read_object(raw, place), place)
            if kind not in shapes.BLOCKS:
                return ir.Foreign(NAME, kind, raw)
            decoder, feature = shapes.BLOCKS[kind]
            block = self.kept.read(decoder, feature, place, raw)
        match block:
            case shapes.Text():
                cited = [citation.read(one, NAME) for one in block.citations or ()]
                return ir.Text(block.text, self.mark(block.cache_control, place), cited)
            case shapes.ToolUse():
                return self._call(block, place, role)
            case shapes.ToolResult():
                return self._result(block, place, role)
            case shapes.Thinking():
                return open_seal(block.thinking, block.signature or "", NAME, hidden=False)
            case shapes.Redacted():
                return open_seal("", block.data, NAME, hidden=True)
            case _:
                return self._media(block, raw, place)

    def _call(self, block: shapes.ToolUse, place: str, role: str) -> ir.ToolCall:
        arguments = bytes(block.input)
        if not arguments.startswith(_BRACE):
            raise BadRequest("A tool's input must be an object.", code="invalid_type", param=f"{place}.input")
        if role != "assistant":
            raise _untranslatable("Only an assistant's turn can call tools.", place)
        if block.id in self._unanswered:
            raise _untranslatable("Two tool calls have the same id.", f"{place}.id")
        self._unanswered[block.id] = block.name
        caller = bytes(block.caller)
        if caller not in (NULL, _DIRECT) and not _is_direct(caller):
            self.kept.keep("tool_calls", "caller", place, block.caller)
        return ir.ToolCall(block.id, block.name, arguments.decode(), cache=self.mark(block.cache_control, place))

    def _result(self, block: shapes.ToolResult, place: str, role: str) -> ir.ToolResult:
        if role != "user":
            raise _untranslatable("Only a user's turn can hold the result of a tool.", place)
        name = self._unanswered.pop(block.tool_use_id, None)
        if name is None:
            raise _untranslatable("No call of a tool waits for this result.", f"{place}.tool_use_id")
        said = bytes(block.content) != NULL
        return ir.ToolResult(
            block.tool_use_id,
            self._blocks(block.content, f"{place}.content", "tool") if said else [],
            name=name,
            is_error=block.is_error is True,
            cache=self.mark(block.cache_control, place),
        )

    def _media(
        self, block: shapes.Image | shapes.Document | shapes.SearchResult, raw: Raw, place: str
    ) -> ir.Media | ir.Foreign:
        cache = self.mark(block.cache_control, place)
        if isinstance(block, shapes.Image):
            return self._sourced(ir.Media("image", cache=cache), block.source, raw, place)
        cites = block.citations is not None and block.citations.enabled is True
        if isinstance(block, shapes.SearchResult):
            # A document elsewhere; here it goes back as it was.
            self.kept.keep("search_results", "whole", place, raw)
            text = "\n".join(part.text for part in block.content)
            return ir.Media(
                "document", "text/plain", text=text, title=block.title, context=block.source, cites=cites, cache=cache
            )
        document = ir.Media("document", title=block.title or "", context=block.context or "", cites=cites, cache=cache)
        return self._sourced(document, block.source, raw, place)

    def _sourced(self, media: ir.Media, source: Raw, raw: Raw, place: str) -> ir.Media | ir.Foreign:
        """What an image or a document consists of; one from a source that isn't known is Anthropic's own."""
        path = f"{place}.source"
        kind = read_kind(read_object(source, path), path)
        if kind not in shapes.SOURCES or (media.kind == "image" and kind in _WORDS):
            return ir.Foreign(NAME, media.kind, raw)
        said = self.kept.read(shapes.SOURCES[kind], f"{media.kind}s", place, source, inside="source")
        match said:
            case shapes.Base64Source():
                media.data, media.media_type = said.data, said.media_type
            case shapes.UrlSource():
                media.url = said.url
            case shapes.FileSource():
                media.file = said.file_id
            case shapes.TextSource():
                media.text, media.media_type = said.data, said.media_type or "text/plain"
            case _:
                blocks = self._blocks(said.content, f"{path}.content", "document")
                self.kept.keep("documents", "source", place, source)
                media.text = "\n".join(block.text for block in blocks if isinstance(block, ir.Text))
                media.media_type = "text/plain"
        return media


def _is_direct(caller: bytes) -> bool:
    return read_object(Raw(caller), "caller") == {"type": Raw(b'"direct"')}


def _untranslatable(message: str, place: str) -> BadRequest:
    return BadRequest(message, code="untranslatable", param=place)
