"""The blocks and tools of a request, as the Messages API types them (platform.claude.com, Messages API).

They forbid unknown fields, so that one is noticed and kept (kept.py). Marks for the cache stay raw: see content.py.
"""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.wire.anthropic_messages.kept import UNSAID

NAME: Final = "anthropic_messages"
MESSAGE: Final = "msg"  # what a message's id begins with
EMPTY: Final = Raw(b"{}")


class Text(Struct, tag="text", forbid_unknown_fields=True):
    text: str
    citations: list[Raw] | None = None
    cache_control: Raw = UNSAID


class Image(Struct, tag="image", forbid_unknown_fields=True):
    source: Raw
    cache_control: Raw = UNSAID


class Cites(Struct):
    enabled: bool | None = None


class Document(Struct, tag="document", forbid_unknown_fields=True):
    source: Raw
    title: str | None = None
    context: str | None = None
    citations: Cites | None = None
    cache_control: Raw = UNSAID


class Passage(Struct):
    text: str = ""


class SearchResult(Struct, tag="search_result"):
    """What a caller's own search found; its text blocks are what may be cited."""

    source: str
    title: str
    content: list[Passage]
    citations: Cites | None = None
    cache_control: Raw = UNSAID


class ToolUse(Struct, tag="tool_use", forbid_unknown_fields=True):
    id: str
    name: str
    input: Raw = EMPTY
    caller: Raw = UNSAID
    cache_control: Raw = UNSAID


class ToolResult(Struct, tag="tool_result", forbid_unknown_fields=True):
    tool_use_id: str
    content: Raw = UNSAID
    is_error: bool | None = None
    cache_control: Raw = UNSAID


class Thinking(Struct, tag="thinking", forbid_unknown_fields=True):
    thinking: str
    signature: str | None = None


class Redacted(Struct, tag="redacted_thinking", forbid_unknown_fields=True):
    data: str


Block = Text | Image | Document | SearchResult | ToolUse | ToolResult | Thinking | Redacted

read_block: Final = Decoder(Block).decode
# Each kind's own reader, and its word for what is kept of it.
BLOCKS: Final[dict[str, tuple[Decoder[Block], str]]] = {
    "text": (Decoder(Text), "text"),
    "image": (Decoder(Image), "images"),
    "document": (Decoder(Document), "documents"),
    "search_result": (Decoder(SearchResult), "search_results"),
    "tool_use": (Decoder(ToolUse), "tool_calls"),
    "tool_result": (Decoder(ToolResult), "tool_results"),
    "thinking": (Decoder(Thinking), "thinking"),
    "redacted_thinking": (Decoder(Redacted), "thinking"),
}


class Base64Source(Struct, tag="base64", forbid_unknown_fields=True):
    data: str
    media_type: str


class UrlSource(Struct, tag="url", forbid_unknown_fields=True):
    url: str


class FileSource(Struct, tag="file", forbid_unknown_fields=True):
    file_id: str


class TextSource(Struct, tag="text", forbid_unknown_fields=True):
    data: str
    media_type: str | None = None


class ContentSource(Struct, tag="content", forbid_unknown_fields=True):
    content: Raw


Source = Base64Source | UrlSource | FileSource | TextSource | ContentSource

SOURCES: Final[dict[str, Decoder[Source]]] = {
    "base64": Decoder(Base64Source),
    "url": Decoder(UrlSource),
    "file": Decoder(FileSource),
    "text": Decoder(TextSource),
    "content": Decoder(ContentSource),
}


class Mark(Struct, forbid_unknown_fields=True):
    """A `cache_control`."""

    type: str = "ephemeral"
    ttl: str | None = None


read_mark: Final = Decoder(Mark)


class Message(Struct, forbid_unknown_fields=True):
    role: str
    content: Raw


read_message: Final = Decoder(Message)


class Tool(Struct, forbid_unknown_fields=True):
    name: str
    description: str | None = None
    input_schema: Raw = UNSAID
    strict: bool | None = None
    type: str | None = None
    cache_control: Raw = UNSAID


read_tool: Final = Decoder(Tool)
