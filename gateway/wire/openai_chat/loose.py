"""An answer of whatever types, made to fit.

There are calls' arguments as objects (text-generation-inference), one call where a list belongs, numbers with a point.
What can't be understood is left out; text and arguments never are.
"""

from collections.abc import Callable
from typing import Final

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder, encode

from gateway.wire.openai_chat.shapes import Chunk, decode, mend
from gateway.wire.openai_usage import spent_in

Shape = dict[str, object]

_anything: Final = Decoder(object).decode


def read(payload: bytes) -> Chunk:
    """A whole answer or a chunk. ValueError or RecursionError where it is no JSON object."""
    try:
        return decode(payload)
    except ValidationError:
        return _loosely(payload)
    except DecodeError:
        mended = mend(payload)
        if mended == payload:
            raise
        return read(mended)


def _loosely(payload: bytes) -> Chunk:
    fields = _anything(payload)
    if not isinstance(fields, dict):
        raise ValidationError("Expected an object")
    choices = fields.get("choices")
    choices = _objects(choices, _choice) if isinstance(choices, list) else None
    groq = _object(fields.get("x_groq"))
    said: Shape = {
        **_texts(fields, "id", "model", "service_tier"),
        "created": _count(fields.get("created")),
        "choices": choices,
        "x_groq": _texts(groq, "error"),
        "citations": fields.get("citations"),
    }
    if fields.get("error") is not None:
        said["error"] = fields["error"]
    chunk = decode(encode(said))
    chunk.usage = spent_in(fields.get("usage")) or spent_in(groq.get("usage"))
    return chunk


def _choice(fields: Shape) -> Shape:
    said: Shape = {**_texts(fields, "finish_reason", "stop_reason"), "index": _count(fields.get("index")) or 0}
    for name in ("message", "delta"):
        if isinstance(fields.get(name), dict):
            said[name] = _message(_object(fields[name]))
    if isinstance(fields.get("logprobs"), dict):
        said["logprobs"] = {"content": _object(fields["logprobs"]).get("content")}
    return said


def _message(fields: Shape) -> Shape:
    content = fields.get("content")
    if isinstance(content, list):
        content = _objects(content, _piece)
    elif content is not None and not isinstance(content, str):
        content = encode(content).decode()  # a model asked for JSON, and a host that parsed it
    return {
        **_texts(fields, "reasoning_content", "reasoning", "refusal"),
        "content": content,
        "reasoning_details": _objects(fields.get("reasoning_details"), _detail),
        "thinking_blocks": _objects(fields.get("thinking_blocks"), _piece),
        "tool_calls": _objects(fields.get("tool_calls"), _call),
        "function_call": _function(_object(fields.get("function_call"))),
        "annotations": _objects(fields.get("annotations"), dict),
        "images": _objects(fields.get("images"), _picture),
        "audio": fields.get("audio"),
        "executed_tools": fields.get("executed_tools"),
    }


def _piece(fields: Shape) -> Shape:
    thinking = fields.get("thinking")
    known = {**fields, **dict.fromkeys(("type", "text", "signature", "data", "thinking")), "type": ""}
    if isinstance(thinking, list):
        known["thinking"] = _objects(thinking, _piece)
    return known | _texts(fields, "type", "text", "signature", "data", "thinking")


def _detail(fields: Shape) -> Shape:
    return {
        **_texts(fields, "type", "text", "summary", "data", "signature", "id", "format"),
        "index": _count(fields.get("index")),
    }


def _call(fields: Shape) -> Shape:
    return {
        **_texts(fields, "id", "type"),
        "index": _count(fields.get("index")),
        "function": _function(_object(fields.get("function"))),
        "custom": fields.get("custom"),
        "extra_content": {"google": _texts(_object(_object(fields.get("extra_content")).get("google")), _SIGNED)},
    }


_SIGNED: Final = "thought_signature"


def _function(fields: Shape) -> Shape | None:
    if not fields:
        return None
    arguments = fields.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = encode(arguments).decode()
    return {**_texts(fields, "name"), "arguments": arguments}


def _picture(fields: Shape) -> Shape:
    return {"image_url": _texts(_object(fields.get("image_url")), "url")}


def _object(value: object) -> Shape:
    return value if isinstance(value, dict) else {}


def _objects(value: object, read_one: Callable[[Shape], Shape]) -> list[Shape]:
    """A list of objects; one alone is a list of one."""
    values = value if isinstance(value, list) else [value]
    return [read_one(one) for one in values if isinstance(one, dict)]


def _texts(fields: Shape, *names: str) -> Shape:
    """What is text; a number where text belongs is written as one."""
    said: Shape = {}
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            said[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            said[name] = str(value)
    return said


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None
