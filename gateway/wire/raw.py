"""A JSON body as a map of raw slices: read what we act on, replace what must change, leave the rest as it was written.

The upstream body is always written from the map, never the original bytes, and no top-level field is there twice: of
two, one couldn't be carried, and which of them counts is told differently from parser to parser (reliability row C6).
"""

import re
from typing import Final

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, Encoder

from gateway.errors import BadRequest, UpstreamBroken

# Fields by which a caller could choose where his request, or our key, goes (reliability row D15; CVE-2024-6587).
REFUSED: Final = frozenset(
    (
        "api_base",
        "api_key",
        "base_url",
        "callbacks",
        "custom_llm_provider",
        "extra_headers",
        "model_list",
        "proxy",
        "user_config",
    )
)
REFUSED_INSIDE: Final = {"metadata": "guardrails", "cache": "namespace"}
MODEL_CHARACTERS: Final = 256
MOST_FIELDS: Final = 10_000
MOST_KEYS: Final = 150_000  # of all objects together, however deep; a slice of each costs half a microsecond
MOST_DEPTH: Final = 64
MOST_ITEMS: Final = 10_000  # of a conversation, or of tools (row C10)
# What looking for depth may cost, in bytes looked at again; a value costs as much as this many. No chat comes near it.
_TIMES: Final = 8
_ANYWAY: Final = 8 * 1024 * 1024
_VALUE: Final = 256

# What lists are called that languages keep a conversation or its tools in, and how little ten thousand turns can be.
_LISTS: Final = ("messages", "input", "contents", "tools")
_LEAST_BYTES: Final = len(b'{"role":"user"},') * MOST_ITEMS
_LEAST_KEYS: Final = len(b'"":0,') * MOST_KEYS
# So many colons outside of strings; it goes through no more of the text than it needs for them, and never back.
_many_keys: Final = re.compile(
    rb'(?:[^":]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^":]*+)*+:){%d}+' % (MOST_KEYS + 1), re.DOTALL
).match
_name: Final = re.compile(rb'\s*[{,]\s*"((?:[^"\\]|\\.)*+)"\s*:\s*').match

_fields: Final = Decoder(dict[str, Raw]).decode
_items: Final = Decoder(list[Raw]).decode
_string: Final = Decoder(str).decode
_number: Final[Decoder[int | float]] = Decoder(int | float)
_encode: Final = Encoder().encode
# Names of models that were read before: a fleet serves few, and callers ask for them again and again.
_models: Final[dict[bytes, str]] = {}
_MODELS_MOST: Final = 1024
_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")
_BRACKETS: Final = (_BRACE, _BRACKET)


def read_fields(body: bytes) -> dict[str, Raw]:
    """The top-level fields of a JSON object. BadRequest where it isn't one, isn't UTF-8, nests too deep or is too much.

    What is too much is known before anything is read (row C10).
    """
    if len(body) > _LEAST_KEYS and _has_too_many_keys(body):
        raise BadRequest("The request body has too many fields.", code="too_many_fields")
    try:
        if not body.isascii():
            body.decode()
        fields = _fields(body)
    except UnicodeDecodeError as error:
        raise BadRequest("The request body is not valid UTF-8.", code="invalid_json") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValidationError as error:
        raise BadRequest("The request body must be a JSON object.", code="invalid_type") from error
    except DecodeError as error:
        raise BadRequest("The request body is not valid JSON.", code="invalid_json") from error
    if len(fields) > MOST_FIELDS:
        raise BadRequest("The request body has too many fields.", code="too_many_fields")
    if not REFUSED.isdisjoint(fields):
        raise _refused(min(REFUSED.intersection(fields)))
    check_once(body, fields)
    if "metadata" in fields or "cache" in fields:
        _check_inside(fields)
    if len(body) > _LEAST_BYTES:
        _check_lengths(fields)
    if not _is_flat(body, MOST_DEPTH):
        _check_depth(list(fields.values()), _TIMES * len(body) + _ANYWAY)
    return fields


def _has_too_many_keys(body: bytes) -> bool:
    # Each name begins with a quote that nothing escapes: most texts have too few, and to count is quickest.
    quotes = body.count(b'"')
    if quotes <= MOST_KEYS or quotes - body.count(b'\\"') <= MOST_KEYS:
        return False
    return _many_keys(body) is not None


def check_once(text: bytes, fields: dict[str, Raw], param: str = "") -> None:
    """BadRequest where an object's text has a field twice. `param` is the path of the object, with its dot."""
    # Beside these, written as most kits do, there is no room for another: at least `,"":0` around the shortest name.
    more = len(text) - 1 - 4 * len(fields) - sum(map(len, fields)) - sum(map(len, fields.values()))
    if more < 5 or more < 5 + min(map(len, fields), default=0):
        return
    at, name = 0, ""
    for expected, value in fields.items():
        found = _name(text, at)
        if found is None:
            raise _twice(param + name)
        name = _spelt(found[1])
        at = found.end() + len(value)
        if name != expected or text[found.end() : at] != bytes(value):
            raise _twice(param + name)
    if fields and text[at:].strip() != b"}":
        found = _name(text, at)
        raise _twice(param + (name if found is None else _spelt(found[1])))


def _spelt(name: bytes) -> str:
    return _string(b'"%b"' % name)


def _twice(name: str) -> BadRequest:
    return BadRequest("A field is in the request twice.", code="duplicate_field", param=name)


def _check_lengths(fields: dict[str, Raw]) -> None:
    for name in _LISTS:
        text = bytes(fields.get(name, b""))
        if text[:1] == b"[" and text.count(b"{") > MOST_ITEMS and len(_items(text)) > MOST_ITEMS:
            raise BadRequest(f"The field '{name}' is too long.", code="invalid_value", param=name)


def _check_inside(fields: dict[str, Raw]) -> None:
    for name, inner in REFUSED_INSIDE.items():
        if name in fields and bytes(fields[name])[:1] == b"{" and inner in _fields(fields[name]):
            raise _refused(f"{name}.{inner}")


def _refused(name: str) -> BadRequest:
    return BadRequest(f"The field '{name}' is not accepted by this gateway.", code="unsupported_field", param=name)


def _too_deep() -> BadRequest:
    return BadRequest("The request body is nested too deeply.", code="nesting_too_deep")


def _is_flat(text: bytes, depth: int) -> bool:
    """Whether there are too few brackets, those in strings included, to nest deeper than `depth`."""
    # Taking them out is how bytes are counted fastest: from one to the next by memchr, and never more than asked.
    rest = text.replace(b"{", b"", depth + 1).replace(b"[", b"", depth + 1)
    return len(text) - len(rest) <= depth


def _check_depth(values: list[Raw], budget: int) -> None:
    """Open what might nest too deep, level by level; strings are passed over at memory speed."""
    left = MOST_DEPTH - 1  # the body is one level itself
    while values:
        opened: list[Raw] = []
        for value in values:
            text = bytes(value)
            if text[0] not in _BRACKETS:
                continue
            inner = text[1:]
            # Most of what a conversation consists of: an object of strings. `in` with a number is one memchr.
            if left and _BRACE not in inner and _BRACKET not in inner:
                continue
            if _is_flat(text, left):
                continue
            if left == 0:
                raise _too_deep()
            budget -= len(text)
            opened += _fields(text).values() if text[0] == _BRACE else _items(text)
        budget -= _VALUE * len(opened)
        if budget < 0:
            raise _too_deep()
        values = opened
        left -= 1


def read_model(fields: dict[str, Raw]) -> str:
    """The model asked for: a short printable string."""
    raw = fields.get("model")
    if raw is None:
        raise BadRequest("The field 'model' is missing.", code="missing_field", param="model")
    text = bytes(raw)
    model = _models.get(text)
    if model is None:
        try:
            model = _string(raw)
        except DecodeError as error:
            raise BadRequest("The field 'model' must be a string.", code="invalid_type", param="model") from error
        check_model(model)
        if len(_models) >= _MODELS_MOST:
            _models.clear()
        _models[text] = model
    return model


def check_model(model: str) -> str:
    """A model's name, wherever it stood. BadRequest where it is none."""
    if not model or len(model) > MODEL_CHARACTERS or not model.isprintable():
        raise BadRequest("The field 'model' is not a model's name.", code="invalid_value", param="model")
    return model


def read_flag(fields: dict[str, Raw], name: str) -> bool:
    """A boolean field; absent and null are false, anything else is refused."""
    raw = fields.get(name)
    if raw is None:
        return False
    text = bytes(raw)
    if text == b"true":
        return True
    if text in (b"false", b"null"):
        return False
    raise BadRequest(f"The field '{name}' must be true or false.", code="invalid_type", param=name)


def read_number(text: Raw) -> int | float | None:
    """The number a slice is; None where it is something else, or a number no machine has (1e999, 5,000 digits)."""
    try:
        return _number.decode(text)
    except DecodeError:
        return None


def read_object(text: Raw) -> dict[str, Raw]:
    """The fields of a slice that is known to be an object."""
    return _fields(text)


def text_of(value: str) -> Raw:
    """A string as a raw JSON slice."""
    return Raw(_encode(value))


def write_fields(fields: dict[str, Raw]) -> bytes:
    return _encode(fields)


def check_answer(content_type: str, body: bytes) -> None:
    """UpstreamBroken where a whole answer isn't JSON in UTF-8 by its type and bytes; its syntax is for its reader."""
    if not content_type.lower().startswith("application/json"):
        raise UpstreamBroken("The upstream answered in another form than JSON.")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise UpstreamBroken("The upstream's answer is not valid UTF-8.") from error
