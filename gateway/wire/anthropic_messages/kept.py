"""What Anthropic alone says inside something that others say too: a tool's `defer_loading`, a call's `caller`.

Such a field stands in `Ask.other` under its feature's name (`tools.defer_loading`), with the places it was said at, so
that it goes back where it was in this language and is a loss in any other.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, Encoder

from gateway.errors import BadRequest

NULL: Final = b"null"
UNSAID: Final = Raw(NULL)

_Read = TypeVar("_Read")
_encode: Final = Encoder().encode
_fields: Final = Decoder(dict[str, Raw]).decode
_items: Final = Decoder(list[Raw]).decode
_string: Final = Decoder(str).decode
_missing: Final = re.compile(r"missing required field `(\w+)`").search
_where: Final = re.compile(r"at `\$([^`]*)`").search


class Kept:
    """Collects, while a request is read, what has no other place in the inner form."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Raw]] = {}

    def keep(self, feature: str, name: str, place: str, value: Raw) -> None:
        self._found.setdefault(f"{feature}.{name}", {})[place] = value

    def fields(self) -> dict[str, Raw]:
        """For `Ask.other`."""
        return {name: Raw(_encode(places)) for name, places in self._found.items()}

    def read(self, decoder: Decoder[_Read], feature: str, place: str, value: Raw, *, inside: str = "") -> _Read:
        """An object of a type that forbids unknown fields. Those that are there nevertheless are kept.

        Where `inside` names the field of `place` that the object is, it is kept whole.
        """
        try:
            return decoder.decode(value)
        except ValidationError:
            return self._read_odd(decoder, feature, place, read_object(value, _path(place, inside)), inside)

    def _read_odd(
        self, decoder: Decoder[_Read], feature: str, place: str, fields: dict[str, Raw], inside: str
    ) -> _Read:
        known = {*getattr(decoder.type, "__struct_encode_fields__", ()), "type"}
        extra = {name: value for name, value in fields.items() if name not in known and bytes(value) != NULL}
        if inside and extra:
            self.keep(feature, inside, place, Raw(_encode(fields)))
        else:
            for name, value in extra.items():
                self.keep(feature, name, place, value)
        try:
            return decoder.decode(_encode({name: value for name, value in fields.items() if name in known}))
        except ValidationError as error:
            raise misfit(error, _path(place, inside)) from error


def misfit(error: ValidationError, place: str) -> BadRequest:
    """What a caller is told of a value that isn't what its place asks for; no word of it is his own."""
    missing, where = _missing(str(error)), _where(str(error))
    path = place + (where[1] if where else "")
    if missing:
        return BadRequest("A field is missing.", code="missing_field", param=_path(path, missing[1]))
    return BadRequest("A field has a value of the wrong type.", code="invalid_type", param=path)


def _path(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name


def unreadable(place: str) -> BadRequest:
    """JSON that can't be read at all, such as half a surrogate pair."""
    return BadRequest("A field is not valid JSON.", code="invalid_json", param=place)


def read_object(value: Raw, place: str) -> dict[str, Raw]:
    try:
        return _fields(value)
    except ValidationError as error:
        raise BadRequest("A field must be an object.", code="invalid_type", param=place) from error
    except DecodeError as error:
        raise unreadable(place) from error


def read_items(value: Raw, place: str) -> list[Raw]:
    try:
        return _items(value)
    except ValidationError as error:
        raise BadRequest("A field must be a list.", code="invalid_type", param=place) from error
    except DecodeError as error:
        raise unreadable(place) from error


def read_kind(fields: Mapping[str, Raw], place: str) -> str:
    """The `type` of an object."""
    if "type" not in fields:
        raise BadRequest("A field is missing.", code="missing_field", param=f"{place}.type")
    try:
        return _string(fields["type"])
    except DecodeError as error:
        raise BadRequest("A type must be a string.", code="invalid_type", param=f"{place}.type") from error


def sort(other: Mapping[str, Raw]) -> tuple[dict[str, Raw], dict[str, dict[str, Raw]]]:
    """What was kept, as fields of the request itself, and as fields by the place they belong to."""
    plain: dict[str, Raw] = {}
    placed: dict[str, dict[str, Raw]] = {}
    for name, value in other.items():
        _, dot, inner = name.rpartition(".")
        try:
            places = _fields(value) if dot else {}
        except DecodeError:
            places = {}
        if not places:
            plain[name] = value
        for place, said in places.items():
            placed.setdefault(place, {})[inner] = said
    return plain, placed
