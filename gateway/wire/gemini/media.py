"""Images, documents, sound and film: `inlineData` in base64, `fileData` with an address (ai.google.dev, Content)."""

import re
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Final

from gateway.wire.gemini.fields import Fields, need_text, take_text
from gateway.wire.gemini.signature import standard
from gateway.wire.ir import Media, MediaKind
from gateway.wire.losses import Losses

WORDS: Final[Mapping[MediaKind, str]] = {
    "image": "images",
    "document": "documents",
    "audio": "audio",
    "video": "video",
}
# Where neither the type nor the address says it: a wrong picture format is read all the same, none is refused.
_LIKELY: Final[Mapping[MediaKind, str]] = {
    "image": "image/jpeg",
    "document": "application/pdf",
    "audio": "audio/wav",
    "video": "video/mp4",
}
_SUFFIXES: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
}
_SUFFIX: Final = re.compile(r"\.([A-Za-z0-9]{2,5})(?:[?#]|\Z)")
_FILM: Final = re.compile(r"https?://(?:[\w-]{1,32}\.)?(?:youtube\.com|youtu\.be)/", re.IGNORECASE)
# What lies at Google under our account's key: whoever knows the name could have it read to him.
_BUCKET: Final = "gs://"
_STORED: Final = re.compile(r"(?:https?://)?generativelanguage\.|/?(?:[\w.-]{1,16}/)?files/", re.IGNORECASE)


def kind_of(media_type: str) -> MediaKind:
    """What a media type is of; all that is no picture, sound or film is a document."""
    family = media_type.partition("/")[0].lower()
    if family == "image":
        return "image"
    if family == "audio":
        return "audio"
    return "video" if family == "video" else "document"


def is_stored(uri: str) -> bool:
    """Whether an address is that of an upload (ai.google.dev, Files API), or lies in a bucket our account can read."""
    return _STORED.match(uri) is not None or uri.lower().startswith(_BUCKET)


def guess(uri: str) -> str:
    """The media type an address seems to have, "" where it tells nothing."""
    if _FILM.match(uri):
        return "video/mp4"
    found = _SUFFIX.search(uri)
    return _SUFFIXES.get(found[1].lower(), "") if found is not None else ""


def read_inline(fields: Fields, param: str) -> Media:
    media_type = take_text(fields, "mimeType", param)
    data = need_text(fields, "data", param)
    return Media(kind_of(media_type), media_type, standard(data), name=take_text(fields, "displayName", param))


def read_file(fields: Fields, param: str) -> Media:
    uri = need_text(fields, "fileUri", param)
    media_type = take_text(fields, "mimeType", param)
    media = Media(kind_of(media_type or guess(uri)), media_type, name=take_text(fields, "displayName", param))
    if is_stored(uri):
        media.file = uri
    else:
        media.url = uri
    return media


def write(media: Media, losses: Losses, *, own: bool, asked: bool = False) -> dict[str, object] | None:
    """A part; None where this language can't say it. `own`: it came in this language; `asked`: it is what is asked."""
    if media.detail:
        losses.dropped("images.detail")
    if media.context:
        losses.dropped("documents.context")
    if media.cites:
        losses.dropped("documents.citations")
    if media.cache is not None:
        losses.dropped("cache")
    more: dict[str, object] = {}
    if media.name and own:
        more["displayName"] = media.name
    elif media.name or media.title:
        # The Gemini API refuses `displayName`, which Vertex alone knows (google-genai, Blob.display_name).
        losses.dropped("documents.title")
    if media.data:
        return {"inlineData": {"mimeType": media.media_type or _LIKELY[media.kind], "data": media.data, **more}}
    uri = media.url or (media.file if own else "")
    if uri:
        media_type = media.media_type or guess(uri) or _LIKELY[media.kind]
        return {"fileData": {"mimeType": media_type, "fileUri": uri, **more}}
    if media.text:
        data = b2a_base64(media.text.encode(), newline=False).decode()
        return {"inlineData": {"mimeType": "text/plain", "data": data, **more}}
    word = "files" if media.file else WORDS[media.kind]
    if asked:
        losses.refused(word)
    losses.dropped(word)
    return None
