"""Images, documents, sound and film in Converse: bytes in base64, or a place in S3 (botocore, bedrock-runtime model).

Converse names a form by its format ("png"), everybody else by its media type. It fetches nothing but what lies in S3.
"""

import re
from binascii import b2a_base64
from itertools import count
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.wire.ir import Block, Foreign, Media, MediaKind
from gateway.wire.losses import Losses

NAME: Final = "bedrock_converse"
KINDS: Final[dict[str, MediaKind]] = {"image": "image", "document": "document", "video": "video", "audio": "audio"}
WORDS: Final[dict[MediaKind, str]] = {"image": "images", "document": "documents", "video": "video", "audio": "audio"}
# What only Converse says of a file: whose bucket it lies in, in which pieces its text comes.
OWNED: Final = "bucketOwner"
PIECES: Final = "documents.content"

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
# Where two formats are one media type, the first is written.
_TYPES: Final[dict[MediaKind, dict[str, str]]] = {
    "image": {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"},
    "document": {
        "pdf": "application/pdf",
        "csv": "text/csv",
        "doc": "application/msword",
        "docx": _OFFICE + "wordprocessingml.document",
        "xls": "application/vnd.ms-excel",
        "xlsx": _OFFICE + "spreadsheetml.sheet",
        "html": "text/html",
        "txt": "text/plain",
        "md": "text/markdown",
    },
    "video": {
        "mkv": "video/x-matroska",
        "mov": "video/quicktime",
        "mp4": "video/mp4",
        "webm": "video/webm",
        "flv": "video/x-flv",
        "mpeg": "video/mpeg",
        "mpg": "video/mpeg",
        "wmv": "video/x-ms-wmv",
        "three_gp": "video/3gpp",
    },
    "audio": {
        "mp3": "audio/mpeg",
        "mpeg": "audio/mpeg",
        "mpga": "audio/mpeg",
        "opus": "audio/opus",
        "wav": "audio/wav",
        "aac": "audio/aac",
        "x-aac": "audio/x-aac",
        "flac": "audio/flac",
        "mp4": "audio/mp4",
        "m4a": "audio/mp4",
        "ogg": "audio/ogg",
        "mka": "audio/x-matroska",
        "mkv": "audio/x-matroska",
        "pcm": "audio/pcm",
        "webm": "audio/webm",
    },
}
_FORMATS: Final = {
    kind: {media_type: name for name, media_type in reversed(types.items())} for kind, types in _TYPES.items()
}
_ALIASES: Final = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav"}
# Other kinds of text are text; a model reads them as well.
_TEXT: Final = re.compile(r"text/|application/(?:json|xml|x-yaml|yaml|javascript|toml)\Z")

_S3: Final = "s3://"
# What a document's name may hold; two spaces in a row may not be (API reference, DocumentBlock).
_UNFIT: Final = re.compile(r"[^A-Za-z0-9 \-()\[\]]+")
_SPACES: Final = re.compile(r" {2,}")
_LONGEST_NAME: Final = 200


class _S3Location(Struct, rename="camel"):
    uri: str
    bucket_owner: str | None = None


class _Piece(Struct):
    text: str = ""


class _Source(Struct, rename="camel"):
    bytes: str | None = None
    s3_location: _S3Location | None = None
    text: str | None = None
    content: list[_Piece] | None = None


class _Cites(Struct):
    enabled: bool = False


class _File(Struct):
    source: _Source
    format: str | None = None
    name: str | None = None
    context: str | None = None
    citations: _Cites | None = None


_read: Final = Decoder(_File).decode
_encode: Final = Encoder().encode


def read_media(kind: str, value: Raw) -> list[Block]:
    """The file, and before it what only Converse can say of it. ValueError where it is none."""
    said = _read(value)
    source = said.source
    of = KINDS[kind]
    media = Media(of, _type_of(of, said.format or ""), name=said.name or "", context=said.context or "")
    media.cites = said.citations is not None and said.citations.enabled
    given = (source.bytes, source.s3_location, source.text, source.content)
    if sum(one is not None for one in given) != 1:
        raise ValueError("A file has one source.")
    if source.bytes is not None:
        media.data = source.bytes
    elif source.s3_location is not None:
        media.url = source.s3_location.uri
        if source.s3_location.bucket_owner is not None:
            return [Foreign(NAME, OWNED, Raw(_encode({kind: value}))), media]
    elif source.text is not None:
        media.text = source.text
    else:
        media.text = "\n".join(piece.text for piece in source.content or ())
        return [Foreign(NAME, PIECES, Raw(_encode({kind: value}))), media]
    return [media]


def _type_of(kind: MediaKind, name: str) -> str:
    return _TYPES[kind].get(name) or (f"{kind}/{name}" if name else "")


class Names:
    """The names of a request's documents, of which each may be given once (API reference, DocumentBlock)."""

    __slots__ = ("_losses", "_taken")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._taken: set[str] = set()

    def name(self, media: Media, ending: str) -> str:
        wanted = media.name or media.title
        if media.name and media.title not in ("", media.name):
            self._losses.dropped("documents.title")
        plain = wanted.removesuffix("." + ending) if ending else wanted
        fit = _SPACES.sub(" ", _UNFIT.sub(" ", plain)).strip()[:_LONGEST_NAME]
        if fit != plain:
            self._losses.mapped("documents.title")
        name = stem = fit or "Document"
        if not fit or name in self._taken:
            numbered = (f"{stem} {n}" for n in count(len(self._taken) + 1))
            name = next(one for one in numbered if one not in self._taken)
        self._taken.add(name)
        return name


def write_media(media: Media, names: Names, losses: Losses) -> dict[str, dict[str, object]] | None:
    """The block, or None where Converse can't say it."""
    kind = media.kind
    media_type = media.media_type.partition(";")[0].strip().lower()
    ending = _FORMATS[kind].get(_ALIASES.get(media_type, media_type), "")
    if kind == "document" and not ending and _TEXT.match(media_type):
        losses.mapped("documents")
        ending = "txt"
    source = _source(media)
    if source is None or not (ending or (kind == "document" and not media_type)):
        return None
    block: dict[str, object] = {"source": source}
    if kind == "document":
        block["name"] = names.name(media, ending)
        if media.context:
            block["context"] = media.context
        if media.cites:
            block["citations"] = {"enabled": True}
    if ending:
        block["format"] = ending
    elif "bytes" in source and media.text:
        block["format"] = "txt"
    if media.detail not in ("", "auto"):
        losses.dropped("images.detail")
    return {kind: block}


def _source(media: Media) -> dict[str, object] | None:
    if media.data:
        return {"bytes": media.data}
    if media.url:
        return {"s3Location": {"uri": media.url}} if media.url.startswith(_S3) else None
    if not media.text:
        return None
    if media.cites:
        # Models that cite read text as such; bytes are what every model reads.
        return {"text": media.text}
    return {"bytes": b2a_base64(media.text.encode(), newline=False).decode()}
