"""One value of a request at a time, out of an object of raw slices; a BadRequest names the spot where it isn't usable.

Requests are protobuf in JSON: a field's name is as good in lowerCamelCase as in snake_case, null is absent, and a
single object stands for a list of one (protobuf.dev, ProtoJSON; Google's own examples and clients use all three).
Whatever is taken is gone from the object: what is left over is what this language's readers don't know.
"""

import re
from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, Encoder

from gateway.errors import BadRequest

NAME: Final = "gemini"
# The largest number of tokens that is one anywhere (reliability row D4).
MOST: Final = 2**31 - 1

Fields = dict[str, Raw]

_NULL: Final = b"null"
_SNAKE: Final = re.compile(r"_([a-z0-9])")

_string: Final = Decoder(str).decode
_strings: Final = Decoder(list[str]).decode
_flag: Final = Decoder(bool).decode
_number: Final = Decoder(int, strict=True).decode
_object: Final = Decoder(Fields).decode
_items: Final = Decoder(list[Raw]).decode
_encode: Final = Encoder().encode


def wrong_type(param: str, wanted: str) -> BadRequest:
    return BadRequest(f"The field '{param}' must be {wanted}.", code="invalid_type", param=param)


def wrong_value(param: str, why: str) -> BadRequest:
    return BadRequest(f"The field '{param}' {why}.", code="invalid_value", param=param)


def missing(param: str) -> BadRequest:
    return BadRequest(f"The field '{param}' is missing.", code="missing_field", param=param)


def untranslatable(param: str, why: str) -> BadRequest:
    return BadRequest(f"The field '{param}' {why}.", code="untranslatable", param=param)


def raw_of(value: object) -> Raw:
    return Raw(_encode(value))


def camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name) if "_" in name else name


def members(fields: Fields, param: str) -> Fields:
    """The fields said, by their lowerCamelCase names. A field said in both spellings has no one value."""
    said: Fields = {}
    for name, raw in fields.items():
        if bytes(raw) == _NULL:
            continue
        known = camel(name)
        if known in said:
            raise wrong_value(_inside(param, known), "is there twice")
        said[known] = raw
    return said


def object_in(raw: Raw, param: str) -> Fields:
    try:
        return members(_object(raw), param)
    except DecodeError as error:
        raise wrong_type(param, "an object") from error


def text_in(raw: Raw, param: str) -> str:
    try:
        return _string(raw)
    except DecodeError as error:
        raise wrong_type(param, "a string") from error


def list_in(raw: Raw, param: str) -> list[Raw]:
    """The items of a list; an object is a list of one."""
    if bytes(raw)[:1] == b"{":
        return [raw]
    try:
        return _items(raw)
    except DecodeError as error:
        raise wrong_type(param, "a list") from error


def take_text(fields: Fields, name: str, param: str) -> str:
    """A string, "" where there is none. `param` is the path of the object it stands in."""
    raw = fields.pop(name, None)
    return "" if raw is None else text_in(raw, _inside(param, name))


def need_text(fields: Fields, name: str, param: str) -> str:
    """A string that must be there and say something."""
    text = take_text(fields, name, param)
    if not text:
        raise missing(_inside(param, name))
    return text


def take_object(fields: Fields, name: str, param: str) -> Fields | None:
    raw = fields.pop(name, None)
    return None if raw is None else object_in(raw, _inside(param, name))


def take_list(fields: Fields, name: str, param: str) -> list[Raw]:
    raw = fields.pop(name, None)
    return [] if raw is None else list_in(raw, _inside(param, name))


def take_flag(fields: Fields, name: str, param: str) -> bool | None:
    raw = fields.pop(name, None)
    if raw is None:
        return None
    try:
        return _flag(raw)
    except DecodeError as error:
        raise wrong_type(_inside(param, name), "true or false") from error


def take_count(fields: Fields, name: str, param: str, *, least: int = 1, most: int = MOST) -> int | None:
    """A whole number within bounds."""
    raw = fields.pop(name, None)
    if raw is None:
        return None
    try:
        count = _number(raw)
    except DecodeError as error:
        raise wrong_type(_inside(param, name), "a whole number") from error
    if not least <= count <= most:
        raise wrong_value(_inside(param, name), f"must be between {least} and {most}")
    return count


def take_strings(fields: Fields, name: str, param: str) -> list[str]:
    raw = fields.pop(name, None)
    if raw is None:
        return []
    try:
        return _strings(raw)
    except DecodeError as error:
        raise wrong_type(_inside(param, name), "a list of strings") from error


def _inside(param: str, name: str) -> str:
    return f"{param}.{name}" if param else name
