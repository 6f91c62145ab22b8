"""Where words come from: OpenAI's `annotations`, whose positions count characters of the whole message's content."""

from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder, encode

from gateway.wire.ir import Citation
from gateway.wire.openai_chat.fields import NAME

_URL: Final = "url_citation"


class _Source(Struct, gc=False):
    url: str = ""
    title: str | None = None
    content: str | None = None  # OpenRouter: what was read there
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(Struct, gc=False):
    type: str = ""
    url_citation: _Source | None = None


_read: Final = Decoder(_Annotation).decode


def read_annotation(raw: Raw) -> Citation:
    """A citation; only its raw form where it isn't one of an address."""
    try:
        annotation = _read(raw)
    except ValidationError:
        return Citation(NAME, raw)
    source = annotation.url_citation
    if annotation.type != _URL or source is None:
        return Citation(NAME, raw)
    return Citation(
        NAME,
        raw,
        source.url,
        source.title or "",
        source.content or "",
        -1 if source.start_index is None else source.start_index,
        -1 if source.end_index is None else source.end_index,
    )


def address(url: str) -> Citation:
    """A citation of which only the address is said: Perplexity and xAI list `citations` beside the choices."""
    return Citation(NAME, Raw(encode({"type": _URL, _URL: {"url": url}})), url)


def write_annotation(citation: Citation, offset: int, length: int) -> Raw | None:
    """A citation of a text that begins at `offset` of the content and has `length` characters; None where none fits.

    One that names no place is of the whole text.
    """
    if citation.origin == NAME and (not citation.url or (citation.start >= 0 and not offset)):
        return citation.raw
    if not citation.url:
        return None
    source: dict[str, object] = {
        "start_index": offset + max(citation.start, 0),
        "end_index": offset + (citation.end if citation.end >= 0 else length),
        "url": citation.url,
        "title": citation.title,
    }
    if citation.quote:
        source["content"] = citation.quote
    return Raw(encode({"type": _URL, _URL: source}))
