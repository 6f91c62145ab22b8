"""The parts of a message's content, as callers write them.

Beside what OpenAI documents stand the habits of others that speak its language: `cache_control` marks (OpenRouter,
LiteLLM), `video_url` and `audio_url` (vLLM, OpenRouter), `document_url` and `thinking` (Mistral). A part that isn't
known is Foreign as a whole; a field that isn't known, of one that is, is Foreign behind its block (`beside`).
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Raw
from msgspec.json import encode

from gateway.wire.ir import Block, Cache, Foreign, Media, MediaKind, Refusal, Text, Thinking
from gateway.wire.openai_chat.fields import (
    NAME,
    NULL,
    Fields,
    is_object,
    is_text,
    missing,
    need_object,
    need_text,
    object_in,
    objects_in,
    take,
    take_object,
    take_text,
    text_in,
    wrong_value,
)
from gateway.wire.signing import unpack

# Where a field of another's stands: in a part, in a tool call, in the message itself.
PART: Final = "content."
CALL: Final = "tool_calls."
MESSAGE: Final = "message."
# A call of a tool that is no function, and its result: the kind of Foreign begins with the tool's own.
CALL_KIND: Final = "_tool_call"
RESULT_KIND: Final = "_tool_call_output"

_KINDS: Final[Mapping[str, MediaKind]] = {"image": "image", "audio": "audio", "video": "video"}
_SOUNDS: Final[Mapping[str, str]] = {"mp3": "audio/mpeg"}
_ANTHROPIC: Final = "anthropic_messages"


def beside(fields: Fields, where: str) -> list[Block]:
    """What is left of an object once it was read: each field a Foreign that belongs to the block before it."""
    return [Foreign(NAME, where + name, raw) for name, raw in fields.items() if raw != NULL]


def read_content(raw: Raw, param: str) -> list[Block]:
    """A message's content, a string or a list of parts; an empty string is nothing. `param` is its path."""
    if is_text(raw):
        text = text_in(raw, param)
        return [Text(text)] if text else []
    blocks: list[Block] = []
    for at, fields in enumerate(objects_in(raw, param)):
        blocks += _part(fields, f"{param}[{at}].")
    return blocks


def take_cache(fields: Fields, param: str) -> Cache | None:
    """A mark as Anthropic has it; what else it says is left where it was."""
    mark = take_object(fields, "cache_control", param)
    if mark is None:
        return None
    mark.pop("type", None)
    cache = Cache(take_text(mark, "ttl", f"{param}cache_control."))
    if mark:
        fields["cache_control"] = Raw(encode(mark))
    return cache


def _part(fields: Fields, param: str) -> list[Block]:
    kind = need_text(fields, "type", param)
    known = _PARTS.get(kind)
    if known is None:
        return [Foreign(NAME, kind, Raw(encode({"type": kind, **fields})))]
    block = known(fields, param)
    if isinstance(block, Text | Media):
        block.cache = take_cache(fields, param)
    return [block, *beside(fields, PART)]


def _text(fields: Fields, param: str) -> Block:
    return Text(take_text(fields, "text", param))


def _refusal(fields: Fields, param: str) -> Block:
    return Refusal(take_text(fields, "refusal", param))


def _addressed(kind: MediaKind, field: str) -> Callable[[Fields, str], Block]:
    """A reader of `{"type": field, field: {"url": …}}`; Mistral has the address itself there."""

    def read(fields: Fields, param: str) -> Block:
        raw = take(fields, field)
        if raw is None:
            raise missing(param + field)
        if not is_object(raw):
            return _media(kind, text_in(raw, param + field), param + field)
        inner = object_in(raw, param + field)
        inside = f"{param}{field}."
        media = _media(kind, need_text(inner, "url", inside), f"{inside}url")
        media.detail = take_text(inner, "detail", inside)
        media.media_type = media.media_type or take_text(inner, "format", inside)  # LiteLLM
        if inner:
            fields[field] = Raw(encode(inner))
        return media

    return read


def _document_url(fields: Fields, param: str) -> Block:
    media = _media("document", need_text(fields, "document_url", param), f"{param}document_url")
    media.name = take_text(fields, "document_name", param)
    return media


def _input_audio(fields: Fields, param: str) -> Block:
    inner = need_object(fields, "input_audio", param)
    inside = f"{param}input_audio."
    data = need_text(inner, "data", inside)
    form = need_text(inner, "format", inside)
    if inner:
        fields["input_audio"] = Raw(encode(inner))
    return Media("audio", _SOUNDS.get(form, f"audio/{form}"), data=data)


def _file(fields: Fields, param: str) -> Block:
    """`file_data` is a data URL, bare base64, or an address (OpenRouter)."""
    inner = need_object(fields, "file", param)
    inside = f"{param}file."
    data, file = take_text(inner, "file_data", inside), take_text(inner, "file_id", inside)
    if not data and not file:
        raise missing(f"{inside}file_data")
    if not data:
        media = Media("document", file=file)
    elif data.startswith(("data:", "http://", "https://")):
        media = _media("document", data, f"{inside}file_data")
    else:
        media = Media("document", data=data)
    media.name = take_text(inner, "filename", inside)
    media.media_type = media.media_type or take_text(inner, "format", inside)  # LiteLLM
    media.kind = _KINDS.get(media.media_type.partition("/")[0], "document")
    if inner:
        fields["file"] = Raw(encode(inner))
    return media


def _thinking(fields: Fields, param: str) -> Block:
    """A list of texts (Mistral), or a text with its signature (Anthropic's block, as LiteLLM's callers send it)."""
    raw = take(fields, "thinking")
    fields.pop("closed", None)
    if raw is None or is_text(raw):
        text = "" if raw is None else text_in(raw, f"{param}thinking")
    else:
        pieces = objects_in(raw, f"{param}thinking")
        text = "".join(take_text(piece, "text", f"{param}thinking[{at}].") for at, piece in enumerate(pieces))
    signature, origin = unpack(take_text(fields, "signature", param), _ANTHROPIC)
    return Thinking(text, signature=signature, origin=origin if signature else "")


def _redacted(fields: Fields, param: str) -> Block:
    redacted, origin = unpack(need_text(fields, "data", param), _ANTHROPIC)
    return Thinking(redacted=redacted, origin=origin)


def _media(kind: MediaKind, url: str, param: str) -> Media:
    media = media_of(kind, url)
    if media is None:
        raise wrong_value(param, "is no data URL")
    return media


def media_of(kind: MediaKind, url: str) -> Media | None:
    """What an address names, or the data in it (RFC 2397); None where it is neither."""
    if url[:5].lower() != "data:":
        return Media(kind, url=url)
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type, *said = head.split(";")
    if "base64" not in said:
        data = b64encode(unquote_to_bytes(data)).decode()
    return Media(kind, media_type, data=data)


_PARTS: Final[Mapping[str, Callable[[Fields, str], Block]]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _addressed("image", "image_url"),
    "video_url": _addressed("video", "video_url"),
    "audio_url": _addressed("audio", "audio_url"),
    "document_url": _document_url,
    "input_audio": _input_audio,
    "file": _file,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
