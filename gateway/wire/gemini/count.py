"""`countTokens`, both ways (ai.google.dev, models.countTokens; Vertex AI, countTokens)."""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.features import Request
from gateway.wire import openai_error
from gateway.wire.gemini.asking import write_request
from gateway.wire.gemini.chunk import UNSAID
from gateway.wire.gemini.fields import members, object_in, raw_of
from gateway.wire.gemini.request import WITHIN, read_fields
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses

_MODELS: Final = "models/"
_CONTENTS: Final = "contents"
_SPELT: Final = "generate_content_request"


class _Count(Struct, rename="camel"):
    total_tokens: int | None = None
    error: Raw = UNSAID


_read: Final = Decoder(_Count).decode
_encode: Final = Encoder().encode


def read_count(request: Request) -> Ask:
    """What is to be counted: contents alone, or a whole request."""
    fields = members(request.fields, "")
    within = fields.get(WITHIN)
    return read_fields(fields if within is None else object_in(within, WITHIN), request.model)


def write_count(tokens: int) -> bytes:
    return _encode({"totalTokens": tokens})


def write_count_request(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    """A request for a count. The Gemini API takes more than contents only as a whole request with its model."""
    fields = write_request(ask, model, losses)
    if fields.keys() == {_CONTENTS}:
        return fields
    return {WITHIN: raw_of({"model": _named(model), **fields})}


def name_model(fields: dict[str, Raw], model: str) -> None:
    """Put the model into a whole request that is to be counted; elsewhere it is in the path alone."""
    for spelling in (WITHIN, _SPELT):
        within = fields.get(spelling)
        if within is not None:
            fields[spelling] = raw_of(object_in(within, spelling) | {"model": raw_of(_named(model))})


def _named(model: str) -> str:
    return model if model.startswith(_MODELS) else f"{_MODELS}{model}"


def read_count_answer(body: bytes) -> int:
    """The tokens counted. UpstreamError for an error told instead, ValueError where there is no count."""
    count = _read(body)
    if count.error is not UNSAID:
        raise openai_error.read_inside(body)
    if count.total_tokens is None or count.total_tokens < 0:
        raise ValueError("There is no count.")
    return count.total_tokens
