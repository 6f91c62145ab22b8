"""The parts of a message's content, as they are written to a backend.

What only some hosts take is written nevertheless where nothing else says it (`video_url`, `audio_url`): a request that
holds it is only sent where it works, and the backend judges. Under `own` the request came in this language, and goes on
as it came.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.json import Decoder, encode

from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, Refusal, Text, Thinking
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.annotations import write_annotation
from gateway.wire.openai_chat.content import PART
from gateway.wire.openai_chat.fields import NAME, Fields

Part = dict[str, object]

# The formats of sound OpenAI knows by name.
_SOUNDS: Final[Mapping[str, str]] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
}
WORDS: Final[Mapping[str, str]] = {"image": "images", "document": "documents", "audio": "audio", "video": "video"}
_ENDS: Final[Mapping[str, str]] = {"application/pdf": ".pdf", "text/plain": ".txt", "text/csv": ".csv"}

_object: Final = Decoder(Fields).decode


def write_cache(cache: Cache) -> dict[str, str]:
    return {"type": "ephemeral"} | ({"ttl": cache.ttl} if cache.ttl else {})


def merge(into: Part, name: str, raw: Raw) -> None:
    """Put back a field that stood beside what was understood; inside of what is written, where that has the name."""
    there = into.get(name)
    into[name] = raw if there is None else {**_object(encode(there)), **_object(raw)}


class PartsWriter:
    """Blocks to parts. `last` says that they are the last of the user's: there a picture lost is another question."""

    __slots__ = ("_last", "_losses", "_own")

    def __init__(self, losses: Losses, *, own: bool, last: bool) -> None:
        self._losses = losses
        self._own = own
        self._last = last

    def write(self, blocks: list[Block]) -> str | list[Part]:
        """A message's content: a bare string where that says it all."""
        parts: list[Part] = []
        for block in blocks:
            self._write(block, parts)
        if not parts:
            return ""
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            return str(parts[0]["text"])
        return parts

    def _write(self, block: Block, parts: list[Part]) -> None:
        part: Part | None = None
        if isinstance(block, Text):
            part = self._text(block)
        elif isinstance(block, Media):
            part = self._media(block)
        elif isinstance(block, Foreign):
            self._foreign(block, parts)
        elif isinstance(block, Refusal):
            self._losses.mapped("refusal")
            part = {"type": "text", "text": block.text}
        else:
            self._losses.dropped("thinking.blocks" if isinstance(block, Thinking) else "tools")
        if part is not None:
            if isinstance(block, Text | Media) and block.cache is not None:
                self._cache(block.cache, part)
            parts.append(part)

    def _text(self, block: Text) -> Part:
        if block.citations and not self._own:
            self._losses.dropped("citations")
        return {"type": "text", "text": block.text}

    def _cache(self, cache: Cache, part: Part) -> None:
        if self._own:
            part["cache_control"] = write_cache(cache)
        else:
            self._losses.dropped("cache")

    def _foreign(self, block: Foreign, parts: list[Part]) -> None:
        if block.origin != NAME:
            self._losses.dropped(block.kind)
        elif not block.kind.startswith(PART):
            parts.append({**_object(block.raw)})
        elif parts:
            merge(parts[-1], block.kind.removeprefix(PART), block.raw)

    def _media(self, media: Media) -> Part | None:
        part: Part | None
        if media.text:
            part = self._plain(media)
        elif media.kind == "image":
            part = self._image(media)
        elif media.kind == "document":
            part = self._document(media)
        elif media.kind == "audio":
            part = self._audio(media)
        else:
            url = address_of(media)
            part = {"type": "video_url", "video_url": {"url": url}} if url else None
        if part is None:
            self._lost("files" if media.file else WORDS[media.kind])
        return part

    def _lost(self, word: str) -> None:
        if self._last:
            self._losses.refused(word)
        self._losses.dropped(word)

    def _image(self, media: Media) -> Part | None:
        url = address_of(media)
        if not url:
            return self._file(media) if self._own and media.file else None
        return {"type": "image_url", "image_url": {"url": url} | ({"detail": media.detail} if media.detail else {})}

    def _plain(self, media: Media) -> Part:
        """A document of plain text is text, with its title above it."""
        self._losses.mapped("documents")
        self._notice_document(media)
        title = media.title or media.name
        return {"type": "text", "text": f"{title}\n\n{media.text}" if title else media.text}

    def _document(self, media: Media) -> Part | None:
        if not media.data and not self._own:
            return None
        self._notice_document(media)
        if media.url:
            part: Part = {"type": "document_url", "document_url": media.url}
            return part | {"document_name": media.name} if media.name else part
        return self._file(media)

    def _notice_document(self, media: Media) -> None:
        if media.title and media.name:
            self._losses.dropped("documents.title")
        elif media.title:
            self._losses.mapped("documents.title")
        if media.context:
            self._losses.dropped("documents.context")
        if media.cites:
            self._losses.dropped("documents.citations")

    def _file(self, media: Media) -> Part:
        """A file has a name: OpenAI refuses data without one."""
        inner: Part = {}
        if media.file:
            inner["file_id"] = media.file
        else:
            inner["file_data"] = address_of(media) if media.media_type else media.data
        name = media.name or media.title
        if not name and media.data and not self._own:
            name = f"document{_ENDS.get(media.media_type, '')}"
        if name:
            inner["filename"] = name
        return {"type": "file", "file": inner}

    def _audio(self, media: Media) -> Part | None:
        if media.url:
            return {"type": "audio_url", "audio_url": {"url": media.url}}
        form = _SOUNDS.get(media.media_type) or (media.media_type.partition("/")[2] if self._own else "")
        if not media.data or not form:
            return None
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}


def write_annotations(texts: list[Text], losses: Losses) -> list[Raw]:
    """The citations of texts that are written one behind the other."""
    notes: list[Raw] = []
    offset = 0
    for text in texts:
        for citation in text.citations:
            notes += note_of(citation, offset, len(text.text), losses)
        offset += len(text.text)
    return notes


def note_of(citation: Citation, offset: int, length: int, losses: Losses) -> list[Raw]:
    """One annotation, or none."""
    note = write_annotation(citation, offset, length)
    if note is None:
        losses.dropped("citations")
        return []
    if citation.origin != NAME:
        losses.mapped("citations")
    return [note]


def address_of(media: Media) -> str:
    """Where it is, or all of it in a data URL."""
    return media.url or (f"data:{media.media_type};base64,{media.data}" if media.data else "")
