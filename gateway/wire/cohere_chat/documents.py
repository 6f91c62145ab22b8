"""Documents a model may cite: Cohere's have an id and data, a text or an object of anything (docs.cohere.com, Chat).

As media they are texts whose media type says what the data was: none for a bare text, text/plain for an object of a
text, its title and its context, application/json for any other object, which is then the text.
"""

from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, encode

from gateway.wire.ir import Media

_PLAIN: Final = "text/plain"
_JSON: Final = "application/json"
_FIELDS: Final = frozenset(("text", "title", "context"))

_string: Final = Decoder(str).decode
_name: Final = Decoder(str | None).decode
_anything: Final = Decoder(dict[str, object]).decode
_fields: Final = Decoder(dict[str, Raw]).decode


def read_document(raw: Raw, *, cites: bool) -> Media:
    """A document. ValueError where it is none."""
    if bytes(raw)[:1] == b'"':
        return Media("document", text=_string(raw), cites=cites)
    fields = _fields(raw)
    name = (_name(fields["id"]) or "") if "id" in fields else ""
    data = fields.get("data", raw)  # without `data`, the object is the data, as it was in version 1
    if bytes(data)[:1] == b'"':
        return Media("document", text=_string(data), name=name, cites=cites)
    inside = _anything(data)
    if "text" in inside and inside.keys() <= _FIELDS and all(isinstance(value, str) for value in inside.values()):
        text, title, context = (str(inside.get(field, "")) for field in ("text", "title", "context"))
        return Media("document", _PLAIN, text=text, name=name, title=title, context=context, cites=cites)
    return Media("document", _JSON, text=bytes(data).decode(), name=name, cites=cites)


def write_document(media: Media) -> dict[str, object]:
    """A document that has a text."""
    said: dict[str, object] = {"id": media.name} if media.name else {}
    said["data"] = _data(media)
    return said


def write_bare_document(media: Media) -> dict[str, object] | str:
    """A document, only its text where there is nothing else to it."""
    said = write_document(media)
    data = said["data"]
    return data if isinstance(data, str) and len(said) == 1 else said


def _data(media: Media) -> object:
    if media.media_type == _JSON and _is_object(media.text):
        return Raw(media.text.encode())
    if not media.media_type and not media.title and not media.context:
        return media.text
    fields = {"title": media.title, "text": media.text, "context": media.context}
    return {name: value for name, value in fields.items() if value or name == "text"}


def _is_object(text: str) -> bool:
    try:
        _fields(text)
    except (DecodeError, RecursionError):
        return False
    return True


def encoded(documents: list[Media]) -> Raw:
    return Raw(encode([write_bare_document(media) for media in documents]))
