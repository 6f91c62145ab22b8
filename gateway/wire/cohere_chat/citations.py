"""Where an answer's words come from (docs.cohere.com, Documents and Citations).

Cohere keeps citations beside the message's content; `start` and `end` count characters of the text cited there, and
`text` is what stands between them.
"""

from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder, encode

from gateway.wire.cohere_chat.words import NAME
from gateway.wire.ir import Citation, Text
from gateway.wire.losses import Losses

_OF_TEXT: Final = "TEXT_CONTENT"


class _Source(Struct):
    document: dict[str, object] | None = None


class _Said(Struct):
    start: int | None = None
    end: int | None = None
    sources: list[_Source] | None = None
    content_index: int | None = None
    type: str | None = None


_said: Final = Decoder(_Said).decode


def read_citation(raw: Raw) -> tuple[Citation | None, int | None]:
    """A citation and the content block it names; no citation where it cites something else than the answer's text."""
    try:
        said = _said(raw)
    except ValidationError:
        return None, None
    if (said.type or _OF_TEXT) != _OF_TEXT:
        return None, None
    document = next((source.document for source in said.sources or () if source.document), {})
    citation = Citation(
        NAME,
        raw,
        _word(document.get("url")),
        _word(document.get("title")),
        _word(document.get("text")) or _word(document.get("snippet")),
        said.start if said.start is not None else -1,
        said.end if said.end is not None else -1,
    )
    return citation, said.content_index


def write_citations(text: Text, index: int, losses: Losses) -> list[Raw]:
    """The citations of a text that is the content block `index`."""
    return [write_citation(citation, text.text, index, losses) for citation in text.citations]


def write_citation(citation: Citation, text: str, index: int, losses: Losses) -> Raw:
    """One citation of a text, which is all of it or as much as there is yet."""
    if citation.origin == NAME:
        return citation.raw
    losses.mapped("citations")
    whole = citation.start < 0 or citation.end < citation.start
    start, end = (0, len(text)) if whole else (citation.start, citation.end)
    source = {"url": citation.url, "title": citation.title, "text": citation.quote}
    document: dict[str, object] = {name: value for name, value in source.items() if value}
    said = {
        "start": start,
        "end": end,
        "text": text[start:end],
        "sources": [{"type": "document", "id": citation.url or citation.title, "document": document}],
        "content_index": index,
        "type": _OF_TEXT,
    }
    return Raw(encode(said))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
