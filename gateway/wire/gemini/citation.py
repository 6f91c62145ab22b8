"""Where words come from: `groundingMetadata` and `citationMetadata` (ai.google.dev, "Grounding with Google Search").

Their positions count bytes of all the answer's text, thoughts left out; ours count characters of one block.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.wire.gemini.chunk import UNSAID
from gateway.wire.gemini.fields import NAME, raw_of
from gateway.wire.ir import Citation
from gateway.wire.losses import Losses


class _Source(Struct, rename="camel"):
    uri: str | None = None
    title: str | None = None
    text: str | None = None


class _Chunk(Struct, rename="camel"):
    """A source: a page, a stored document, a place."""

    web: _Source | None = None
    retrieved_context: _Source | None = None
    maps: _Source | None = None


class Segment(Struct, rename="camel"):
    """A part of an answer's text; `part_index` counts the parts of the content it stands in."""

    part_index: int | None = None
    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class _Support(Struct, rename="camel"):
    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(Struct, rename="camel"):
    grounding_chunks: list[Raw] | None = None
    grounding_supports: list[Raw] | None = None
    search_entry_point: Raw = UNSAID


class _Cited(Segment):
    uri: str | None = None
    title: str | None = None


class _Citations(Struct, rename="camel"):
    """`citationSources` is their name in the Gemini API's first versions."""

    citations: list[Raw] | None = None
    citation_sources: list[Raw] | None = None


_NO_PARTS: Final[Mapping[int, int]] = MappingProxyType({})

_read_grounding: Final = Decoder(_Grounding).decode
_read_chunk: Final = Decoder(_Chunk).decode
_read_support: Final = Decoder(_Support).decode
_read_citations: Final = Decoder(_Citations).decode
_read_cited: Final = Decoder(_Cited).decode


class Found(Struct):
    """A citation whose place isn't known yet: bytes of the whole text, and the words there where they are told."""

    citation: Citation
    segment: Segment | None = None


def read_grounding(raw: Raw, losses: Losses) -> list[Found]:
    """One citation for each source of each supported segment; sources without a segment are of the whole text."""
    grounding = _read_grounding(raw)
    if grounding.search_entry_point is not UNSAID:
        losses.dropped("groundingMetadata.searchEntryPoint")
    chunks = grounding.grounding_chunks or []
    found: list[Found] = []
    used: set[int] = set()
    for told in grounding.grounding_supports or ():
        support = _read_support(told)
        for index in support.grounding_chunk_indices or ():
            if 0 <= index < len(chunks):
                used.add(index)
                found.append(Found(_citation(chunks[index], told), support.segment))
    found += [Found(_citation(chunk, None)) for index, chunk in enumerate(chunks) if index not in used]
    return found


def _citation(raw: Raw, support: Raw | None) -> Citation:
    chunk = _read_chunk(raw)
    source = chunk.web or chunk.retrieved_context or chunk.maps or _Source()
    whole = raw_of({"groundingChunk": raw, "groundingSupport": support})
    return Citation(NAME, whole, source.uri or "", source.title or "", source.text or "")


def read_citations(raw: Raw) -> list[Found]:
    """Recitations: words that stand elsewhere, too."""
    told = _read_citations(raw)
    found: list[Found] = []
    for one in told.citations or told.citation_sources or ():
        cited = _read_cited(one)
        found.append(Found(Citation(NAME, one, cited.uri or "", cited.title or ""), cited))
    return found


def place(segment: Segment | None, text: str, parts: Mapping[int, int] = _NO_PARTS) -> tuple[int, int]:
    """The characters of the text a segment is of; -1 where they aren't to be found.

    `parts`: how many characters of it stand before each of the parts it was told in.
    """
    if segment is None:
        return -1, -1
    start, end = segment.start_index or 0, segment.end_index or 0
    part = parts.get(segment.part_index or 0, 0)
    # Counted from the part's beginning by its documentation, from the text's as it is seen.
    for before in (part, 0) if part else (0,):
        data = text[before:].encode()
        words = data[start:end].decode(errors="replace") if 0 <= start < end <= len(data) else ""
        if words and (not segment.text or words == segment.text):
            first = before + len(data[:start].decode(errors="replace"))
            return first, first + len(words)
    # Some hosts count otherwise; the words themselves tell.
    first = text.find(segment.text) if segment.text else -1
    return (first, first + len(segment.text or "")) if first >= 0 else (-1, -1)


class Grounding:
    """Citations on their way to a caller of this language, gathered until the answer's end."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._chunks: list[dict[str, object]] = []
        self._supports: list[dict[str, object]] = []
        self._segments: dict[tuple[int, int], list[int]] = {}
        self._before = 0

    def passed(self, text: str, citations: list[Citation]) -> None:
        """A block of text has ended, and so much was cited in it."""
        for citation in citations:
            self._add(citation, text)
        self._before += len(text.encode())

    def _add(self, citation: Citation, text: str) -> None:
        """A citation of a part of this text, or of all of it where it names none."""
        if citation.origin != NAME:
            self._losses.mapped("citations")
        if not (citation.url or citation.title or citation.quote):
            self._losses.dropped("citations")
            return
        index = self._index(citation)
        start, end = (citation.start, citation.end) if citation.start >= 0 else (0, len(text))
        if start >= min(end, len(text)):
            return
        words = text[start:end]
        first = self._before + len(text[:start].encode())
        last = first + len(words.encode())
        indices = self._segments.get((first, last))
        if indices is None:
            indices = self._segments[first, last] = []
            segment = {"startIndex": first, "endIndex": last, "text": words}
            self._supports.append({"segment": segment, "groundingChunkIndices": indices})
        if index not in indices:
            indices.append(index)

    def _index(self, citation: Citation) -> int:
        source: dict[str, object] = {
            name: value for name, value in (("uri", citation.url), ("title", citation.title)) if value
        }
        chunk: dict[str, object] = {"web": source}
        if citation.quote:
            # A page's words have no place in `web`.
            chunk = {"retrievedContext": {**source, "text": citation.quote}}
        if chunk not in self._chunks:
            self._chunks.append(chunk)
        return self._chunks.index(chunk)

    def written(self) -> dict[str, object] | None:
        """`groundingMetadata`; None where nothing was cited."""
        if not self._chunks:
            return None
        written: dict[str, object] = {"groundingChunks": self._chunks}
        if self._supports:
            written["groundingSupports"] = self._supports
        return written
