"""What a function gave back: text to most languages, an object to Google.

`output` in it is what came out, `error` what went wrong; where neither stands, all of it is the output
(ai.google.dev, FunctionResponse). Text that is itself a JSON object crosses as one.
"""

from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from gateway.wire.gemini.fields import raw_of

_OUTPUT: Final = "output"
_ERROR: Final = "error"
_ARGUMENTS: Final = "arguments"
_EMPTY: Final = Raw(b"{}")

_object: Final = Decoder(dict[str, Raw]).decode
_string: Final = Decoder(str).decode


def read_response(raw: Raw) -> tuple[str | None, bool]:
    """The text of a response, None for an empty one, and whether it tells of an error. DecodeError for no object."""
    fields = _object(raw)
    if not fields:
        return None, False
    if len(fields) == 1:
        ((name, value),) = fields.items()
        start = bytes(value)[:1]
        if name in (_OUTPUT, _ERROR) and start == b'"':
            return _string(value), name == _ERROR
        if name == _ERROR and start == b"{":
            return bytes(value).decode(), True
    return bytes(raw).decode(), False


def write_response(text: str | None, *, is_error: bool) -> Raw:
    if text is None:
        return raw_of({_ERROR: ""}) if is_error else _EMPTY
    told = _as_object(text)
    if is_error:
        return raw_of({_ERROR: text if told is None else told})
    if told is not None and read_response(told) == (text, False):
        return told
    return raw_of({_OUTPUT: text})


def write_arguments(text: str) -> tuple[Raw, bool]:
    """A call's arguments, and whether they are the object that they should be; else they are one inside it."""
    told = _as_object(text) if text else _EMPTY
    return (raw_of({_ARGUMENTS: text}), False) if told is None else (told, True)


def _as_object(text: str) -> Raw | None:
    if text[:1] != "{" or text[-1:] != "}":
        return None
    told = Raw(text.encode())
    try:
        _object(told)
    except (DecodeError, RecursionError):
        return None
    return told
