"""One value of a request at a time, out of an object of raw slices; a BadRequest names the spot where it isn't usable.

Whatever is taken is gone from the object: what is left over is what this language's readers don't know.
"""

from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from gateway.errors import BadRequest

NAME: Final = "openai_chat"
NULL: Final = Raw(b"null")
# The largest number of tokens that is one anywhere (reliability row D4).
MOST: Final = 2**31 - 1

Fields = dict[str, Raw]

_string: Final = Decoder(str).decode
_strings: Final = Decoder(list[str]).decode
_names: Final = Decoder(dict[str, str]).decode
_flag: Final = Decoder(bool).decode
_number: Final = Decoder(int, strict=True).decode
_object: Final = Decoder(Fields).decode
_objects: Final = Decoder(list[Fields]).decode
_items: Final = Decoder(list[Raw]).decode


def wrong_type(param: str, wanted: str) -> BadRequest:
    return BadRequest(f"The field '{param}' must be {wanted}.", code="invalid_type", param=param)


def wrong_value(param: str, why: str) -> BadRequest:
    return BadRequest(f"The field '{param}' {why}.", code="invalid_value", param=param)


def missing(param: str) -> BadRequest:
    return BadRequest(f"The field '{param}' is missing.", code="missing_field", param=param)


def take(fields: Fields, name: str) -> Raw | None:
    """The value of that name; null is as good as nothing."""
    raw = fields.pop(name, None)
    return None if raw is None or raw == NULL else raw


def is_text(raw: Raw) -> bool:
    return bytes(raw)[:1] == b'"'


def is_object(raw: Raw) -> bool:
    return bytes(raw)[:1] == b"{"


def is_list(raw: Raw) -> bool:
    return bytes(raw)[:1] == b"["


def text_in(raw: Raw, param: str) -> str:
    try:
        return _string(raw)
    except DecodeError as error:
        raise wrong_type(param, "a string") from error


def object_in(raw: Raw, param: str) -> Fields:
    try:
        return _object(raw)
    except DecodeError as error:
        raise wrong_type(param, "an object") from error


def objects_in(raw: Raw, param: str) -> list[Fields]:
    try:
        return _objects(raw)
    except DecodeError as error:
        if not is_list(raw):
            raise wrong_type(param, "a list") from error
        at = next(at for at, item in enumerate(_items(raw)) if not is_object(item))
        raise wrong_type(f"{param}[{at}]", "an object") from error


def take_text(fields: Fields, name: str, param: str) -> str:
    """A string, "" where there is none. `param` is the path of the object it stands in, with its dot."""
    raw = take(fields, name)
    return "" if raw is None else text_in(raw, param + name)


def need_text(fields: Fields, name: str, param: str) -> str:
    """A string that must be there and say something."""
    text = take_text(fields, name, param)
    if not text:
        raise missing(param + name)
    return text


def take_object(fields: Fields, name: str, param: str) -> Fields | None:
    raw = take(fields, name)
    return None if raw is None else object_in(raw, param + name)


def need_object(fields: Fields, name: str, param: str) -> Fields:
    inner = take_object(fields, name, param)
    if inner is None:
        raise missing(param + name)
    return inner


def take_objects(fields: Fields, name: str, param: str) -> list[Fields]:
    raw = take(fields, name)
    return [] if raw is None else objects_in(raw, param + name)


def take_flag(fields: Fields, name: str, param: str) -> bool | None:
    raw = take(fields, name)
    if raw is None:
        return None
    try:
        return _flag(raw)
    except DecodeError as error:
        raise wrong_type(param + name, "true or false") from error


def take_count(fields: Fields, name: str, param: str, *, least: int = 1, most: int = MOST) -> int | None:
    """A whole number within bounds."""
    raw = take(fields, name)
    if raw is None:
        return None
    try:
        count = _number(raw)
    except DecodeError as error:
        raise wrong_type(param + name, "a whole number") from error
    if not least <= count <= most:
        raise wrong_value(param + name, f"must be between {least} and {most}")
    return count


def take_strings(fields: Fields, name: str) -> list[str]:
    """A list of strings; one alone is a list of one."""
    raw = take(fields, name)
    if raw is None:
        return []
    try:
        return [_string(raw)] if is_text(raw) else _strings(raw)
    except DecodeError as error:
        raise wrong_type(name, "a string or a list of strings") from error


def names_in(raw: Raw) -> dict[str, str] | None:
    """An object of strings; None where it is anything else."""
    try:
        return _names(raw)
    except DecodeError:
        return None
