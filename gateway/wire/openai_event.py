"""One event of a chat or completion stream, or one whole answer, as far as it must be known.

Typed decoding skips what it has no field for, validating it on the way; that is the fastest look there is (decision
0002). What doesn't fit the types (a float for an index, `choices: {}`) is read loosely: official clients check no
types, so a strange one breaks no answer. Only what is no JSON object breaks one.
"""

import re
from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder, encode

from gateway.features import Usage
from gateway.wire.openai_usage import Spent, read_usage, spent_in

UNSAID: Final = Raw(b"null")
_NOTHING: Final = frozenset((b"null", b"{}", b"[]", b'""', b"false", b"0"))

# A lone half of a surrogate pair: gateways in JavaScript cut text between the two, and JavaScript joins them again.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

# What a delta says; the role and whatever describes it say nothing (HTTP.md, First content).
_CONTENT: Final = (
    "content",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "images",
    "annotations",
    "executed_tools",
)
# Words of an error that is told without the word.
_COMPLAINTS: Final = ("message", "detail", "msg")


class Choice(Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None
    usage: Spent | None = None  # Moonshot says it here


class GroqPart(Struct, gc=False):
    usage: Spent | None = None
    error: str | None = None


class Event(Struct, gc=False):
    """`error` is UNSAID, and that very object, where there is no such field."""

    choices: list[Choice] | None = None
    usage: Spent | None = None
    error: Raw = UNSAID
    x_groq: GroqPart | None = None


class _FirstChoice(Struct, gc=False):
    finish_reason: object = None
    delta: object = None
    text: object = None
    logprobs: object = None


class _First(Struct, gc=False):
    choices: list[_FirstChoice] | None = None


decode: Final = Decoder(Event).decode
_first: Final = Decoder(_First).decode
_anything: Final = Decoder(object).decode


def read(payload: bytes) -> Event:
    """An event of whatever types. ValueError or RecursionError where it is no JSON object."""
    try:
        return decode(payload)
    except ValidationError:
        return _loosely(_mapping(payload))
    except DecodeError:
        whole = _SURROGATE.sub(rb"\\ufffd", payload)
        if whole == payload:
            raise
        return read(whole)


def says_something(payload: bytes) -> bool:
    """Whether an event that can be read is the first content (HTTP.md), or one more."""
    try:
        return any(map(_has_content, _first(payload).choices or ()))
    except (ValueError, RecursionError):
        return False  # it can be read, and yet not in full: whatever it is, the next event will tell


def identity(payload: bytes) -> tuple[str, int, str]:
    """The id, the time and the model that an event says, for an error frame to repeat."""
    try:
        fields = _mapping(payload)
    except (ValueError, RecursionError):
        fields = {}
    id_, created, model = fields.get("id"), fields.get("created"), fields.get("model")
    return (
        id_ if isinstance(id_, str) else "",
        created if isinstance(created, int) else 0,
        model if isinstance(model, str) else "",
    )


def tells_error(error: Raw) -> bool:
    """Whether a field `error` holds one: official clients ask whether it is true in their language's sense."""
    return error is not UNSAID and bytes(error) not in _NOTHING


def complains(event: Event, payload: bytes) -> bytes:
    """The JSON text of the error that an event or an answer tells, b"" where it tells none.

    `{"error": …}`, vLLM's `{"object": "error"}`, and what has neither choices nor usage but a message.
    """
    if tells_error(event.error):
        return bytes(event.error)
    if event.x_groq is not None and event.x_groq.error:
        return encode(event.x_groq.error)
    if event.choices is None and event.usage is None:
        fields = _mapping(payload)
        if fields.get("object") == "error" or fields.get("type") == "error" or any(map(fields.get, _COMPLAINTS)):
            return payload
    return b""


def usage_of(event: Event) -> Usage | None:
    """The usage an event tells, wherever it stands."""
    spent = event.usage
    if spent is None and event.x_groq is not None:
        spent = event.x_groq.usage
    if spent is None and event.choices:
        spent = event.choices[0].usage
    return read_usage(spent) if spent is not None else None


def _mapping(payload: bytes) -> dict[str, object]:
    """A JSON object as it stands. ValueError or RecursionError where it is none."""
    try:
        value = _anything(payload)
    except DecodeError:
        value = _anything(_SURROGATE.sub(rb"\\ufffd", payload))
    if not isinstance(value, dict):
        raise ValidationError("Expected an object")
    return value


def _loosely(fields: dict[str, object]) -> Event:
    choices = fields.get("choices")
    error = fields.get("error")
    groq = fields.get("x_groq")
    return Event(
        choices=[_choice(choice) for choice in choices if isinstance(choice, dict)]
        if isinstance(choices, list)
        else None,
        usage=spent_in(fields.get("usage")),
        error=Raw(encode(error)) if error is not None else UNSAID,
        x_groq=GroqPart(usage=spent_in(groq.get("usage")), error=_word(groq.get("error")))
        if isinstance(groq, dict)
        else None,
    )


def _choice(fields: dict[str, object]) -> Choice:
    index = fields.get("index")
    return Choice(
        index=index if isinstance(index, int) else 0,
        finish_reason=_word(fields.get("finish_reason")),
        usage=spent_in(fields.get("usage")),
    )


def _word(value: object) -> str | None:
    return str(value) if value else None


def _has_content(choice: _FirstChoice) -> bool:
    if choice.finish_reason or _holds(choice.text) or _holds(choice.logprobs):
        return True
    delta = choice.delta
    return isinstance(delta, dict) and any(_holds(delta.get(name)) for name in _CONTENT)


def _holds(value: object) -> bool:
    """Whether there is anything in it: OpenAI's first chunk has `{"content": [], "refusal": null}` for logprobs."""
    if isinstance(value, dict):
        return any(map(_holds, value.values()))
    return bool(value)
