"""Where a text has its words from (platform.claude.com, Citations). Each kind of place is a type of its own."""

from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from gateway.wire.ir import Citation
from gateway.wire.losses import Losses

_WEB: Final = ("http://", "https://")


class _Place(Struct):
    """What the five kinds have in common; pages, characters and blocks are those of the document, not of the answer."""

    cited_text: str | None = None
    document_title: str | None = None
    title: str | None = None
    url: str | None = None
    source: str | None = None


class _WebResult(Struct, tag="web_search_result_location"):
    """`encrypted_index` is Anthropic's proof that it searched; official clients need the field."""

    url: str
    title: str | None
    cited_text: str
    encrypted_index: str = ""


_place: Final = Decoder(_Place).decode
_encode: Final = Encoder().encode


def read(raw: Raw, origin: str) -> Citation:
    try:
        said = _place(raw)
    except ValidationError:
        return Citation(origin, raw)
    source = said.source or ""
    return Citation(
        origin,
        raw,
        url=said.url or (source if source.startswith(_WEB) else ""),
        title=said.title or said.document_title or "",
        quote=said.cited_text or "",
    )


def write(citation: Citation, origin: str, losses: Losses) -> Raw | None:
    """As an answer says it. Of another's, what has an address is said as a result of a search; the rest is lost."""
    if citation.origin == origin:
        return citation.raw
    if not citation.url:
        losses.dropped("citations")
        return None
    losses.mapped("citations")
    return Raw(_encode(_WebResult(citation.url, citation.title or None, citation.quote)))
