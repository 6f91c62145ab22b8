"""The parts of a message's content and of a tool's output, both ways (OpenAI, Responses API: input and output content).

A part that isn't known is Foreign as a whole; a field that isn't known, of one that is, is Foreign behind its block
(`beside`), and its kind has a dot in it.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, MediaKind, Refusal, Text
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.fields import (
    NAME,
    Fields,
    is_list,
    is_text,
    items_in,
    missing,
    need_text,
    object_in,
    raw_of,
    says_nothing,
    take_items,
    take_object,
    take_text,
    text_in,
    wrong_type,
)

Written = dict[str, object]

_PART: Final = "content."
# How a part's type begins, where it isn't an item of its own.
_PARTS_OF: Final = ("input_", "output_", _PART)

_KINDS: Final[Mapping[str, MediaKind]] = {"image": "image", "audio": "audio", "video": "video"}
_SOUNDS: Final[Mapping[str, str]] = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_FORMATS: Final[Mapping[str, str]] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
}
_WORDS: Final[Mapping[MediaKind, str]] = {
    "image": "images",
    "document": "documents",
    "audio": "audio",
    "video": "video",
}
_PDF: Final = "application/pdf"


class _Annotation(Struct, gc=False):
    url: str = ""
    title: str = ""
    filename: str = ""
    start_index: int = -1
    end_index: int = -1


_read_annotation: Final = Decoder(_Annotation).decode


def beside(fields: Fields, where: str) -> list[Block]:
    """What is left of an object once it was read: each field that says something, behind the block it belongs to."""
    return [Foreign(NAME, where + name, raw) for name, raw in fields.items() if not says_nothing(raw)]


def is_part(block: Foreign) -> bool:
    """Whether it is a part of a message, or belongs to one, and is not an item of its own."""
    return block.origin == NAME and block.kind.startswith(_PARTS_OF)


def read_content(raw: Raw, param: str) -> list[Block]:
    """A content, a string or a list of parts. `param` is its path."""
    if is_text(raw):
        return [Text(text_in(raw, param))]
    if not is_list(raw):
        raise wrong_type(param, "a string or a list")
    blocks: list[Block] = []
    for at, item in enumerate(items_in(raw, param)):
        blocks += _part(item, f"{param}[{at}]")
    return blocks


def read_citation(raw: Raw) -> Citation:
    """An annotation of a text; one that isn't known keeps only its own form."""
    try:
        said = _read_annotation(raw)
    except ValidationError:
        return Citation(NAME, raw)
    return Citation(
        NAME, raw, url=said.url, title=said.title or said.filename, start=said.start_index, end=said.end_index
    )


def write_citation(cited: Citation, characters: int, losses: Losses) -> Raw | None:
    """A citation as this language says it, of a text that long; None where it can't: it knows addresses alone."""
    if cited.origin == NAME:
        return cited.raw
    if not cited.url:
        losses.dropped("citations")
        return None
    if cited.quote:
        losses.mapped("citations")
    return raw_of(
        {
            "type": "url_citation",
            "url": cited.url,
            "title": cited.title,
            "start_index": max(cited.start, 0),
            "end_index": characters if cited.end < 0 else cited.end,
        }
    )


def _part(raw: Raw, param: str) -> list[Block]:
    fields = object_in(raw, param)
    kind = need_text(fields, "type", f"{param}.")
    known = _PARTS.get(kind)
    if known is None:
        return [Foreign(NAME, kind, raw)]
    block = known(fields, f"{param}.")
    if isinstance(block, Text | Media) and "prompt_cache_breakpoint" in fields:
        mark = take_object(fields, "prompt_cache_breakpoint", f"{param}.")
        block.cache = Cache(take_text(mark, "ttl", f"{param}.prompt_cache_breakpoint.")) if mark else None
    return [block, *beside(fields, _PART)]


def _text(fields: Fields, param: str) -> Block:
    if "text" not in fields:
        raise missing(f"{param}text")
    fields.pop("logprobs", None)  # an answer's, said again with it
    return Text(
        take_text(fields, "text", param),
        citations=[read_citation(raw) for raw in take_items(fields, "annotations", param)],
    )


def _refusal(fields: Fields, param: str) -> Block:
    return Refusal(take_text(fields, "refusal", param))


def _image(fields: Fields, param: str) -> Block:
    url, file = take_text(fields, "image_url", param), take_text(fields, "file_id", param)
    if not url and not file:
        raise missing(f"{param}image_url")
    media_type, data = _inline(url)
    detail = take_text(fields, "detail", param)
    return Media("image", media_type, data=data, url="" if data else url, file=file, detail=detail)


def _file(fields: Fields, param: str) -> Block:
    """`file_data` is a data URL; bare base64, which others write, is taken too."""
    told, url = take_text(fields, "file_data", param), take_text(fields, "file_url", param)
    file = take_text(fields, "file_id", param)
    if not told and not url and not file:
        raise missing(f"{param}file_data")
    media_type, data = _inline(told)
    return Media(
        _KINDS.get(media_type.partition("/")[0], "document"),
        media_type or (_PDF if told else ""),
        data=data or told,
        url=url,
        file=file,
        name=take_text(fields, "filename", param),
        detail=take_text(fields, "detail", param),
    )


def _audio(fields: Fields, param: str) -> Block:
    inner, inside = take_object(fields, "input_audio", param), f"{param}input_audio."
    form = take_text(inner, "format", inside)
    return Media("audio", _SOUNDS.get(form, f"audio/{form}"), data=need_text(inner, "data", inside))


def _inline(url: str) -> tuple[str, str]:
    """The media type and the data of a base64 data URL (RFC 2397); nothing where it is another address."""
    if url[:5].lower() != "data:":
        return "", ""
    head, _, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    return (media_type, data) if encoding.endswith("base64") else ("", "")


_PARTS: Final[Mapping[str, Callable[[Fields, str], Block]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


class PartWriter:
    """Blocks to parts. `own`: they were read from this language. `needed`: nothing of the turn may be missing."""

    __slots__ = ("_losses", "needed", "own")

    def __init__(self, losses: Losses, *, own: bool) -> None:
        self._losses = losses
        self.own = own
        self.needed = False

    def parts(self, blocks: list[Block], text: str) -> list[Written]:
        """`text` is the type that texts have here: `input_text`, or `output_text` where the model said them."""
        parts: list[Written] = []
        for block in blocks:
            match block:
                case Text():
                    parts.append(self._text(block, text))
                case Refusal() if text == "output_text":
                    parts.append({"type": "refusal", "refusal": block.text})
                case Refusal():
                    self._losses.mapped("refusal")
                    parts.append({"type": text, "text": block.text})
                case Media() if text == "output_text":
                    self._unsaid(_WORDS[block.kind])
                case Media():
                    parts += self._media(block)
                case Foreign() if block.origin == NAME and "." not in block.kind:
                    parts.append(dict(object_in(block.raw, "content")))
                case Foreign() if is_part(block):
                    if parts:
                        parts[-1][block.kind.removeprefix(_PART)] = block.raw
                case Foreign():
                    self._losses.dropped(block.kind)
                case _:
                    self._losses.dropped("thinking.blocks")
        return parts

    def mark(self, target: Written, cache: Cache | None) -> None:
        """OpenAI caches by itself; marks are for its newest models alone, and the older ones refuse them."""
        if cache is None:
            return
        if self.own:
            target["prompt_cache_breakpoint"] = {"mode": "explicit"} | ({"ttl": cache.ttl} if cache.ttl else {})
        else:
            self._losses.mapped("cache")

    def _text(self, block: Text, kind: str) -> Written:
        part: Written = {"type": kind, "text": block.text}
        self.mark(part, block.cache)
        if block.citations:
            said = [write_citation(cited, len(block.text), self._losses) for cited in block.citations]
            part["annotations"] = [raw for raw in said if raw is not None]
        return part

    def _media(self, media: Media) -> list[Written]:
        part: Written | None
        if media.file and not self.own:
            self._unsaid("files")
            return []
        if media.kind == "image":
            part = self._image(media)
        elif media.kind == "document" or (self.own and media.kind != "audio"):
            part = self._file(media)
        elif media.kind == "audio":
            part = self._audio(media)
        else:
            part = None
        if part is None:
            self._unsaid(_WORDS[media.kind])
            return []
        self.mark(part, media.cache)
        return [part]

    def _unsaid(self, word: str) -> None:
        """What the caller asks about can't be left out; what was shown earlier can."""
        if self.needed:
            self._losses.refused(word)
        self._losses.dropped(word)

    def _image(self, media: Media) -> Written | None:
        if media.file:
            part: Written = {"type": "input_image", "file_id": media.file}
        elif media.data or media.url:
            url = f"data:{media.media_type or 'image/png'};base64,{media.data}" if media.data else media.url
            part = {"type": "input_image", "image_url": url}
        else:
            return None
        part["detail"] = media.detail or "auto"
        return part

    def _file(self, media: Media) -> Written | None:
        part: Written = {"type": "input_file"}
        if media.file:
            part["file_id"] = media.file
        elif media.data:
            part["file_data"] = f"data:{media.media_type or _PDF};base64,{media.data}"
        elif media.text:
            part["file_data"] = f"data:text/plain;base64,{b64encode(media.text.encode()).decode()}"
        elif media.url:
            part["file_url"] = media.url
        else:
            return None
        if media.name or media.title:
            part["filename"] = media.name or media.title
        elif "file_data" in part and not self.own:
            part["filename"] = "document.txt" if media.text else "document.pdf"  # data without a name are refused
        if media.detail and self.own:
            part["detail"] = media.detail
        if media.title and media.name:
            self._losses.dropped("documents.title")
        elif media.title:
            self._losses.mapped("documents.title")
        if media.context:
            self._losses.dropped("documents.context")
        if media.cites:
            self._losses.dropped("documents.citations")
        return part

    def _audio(self, media: Media) -> Written | None:
        form = _FORMATS.get(media.media_type) or (media.media_type.removeprefix("audio/") if self.own else "")
        if not form or not media.data:
            return None
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}
