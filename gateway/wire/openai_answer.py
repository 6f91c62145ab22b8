"""A whole answer that is not a chat: embeddings, moderations, rerankings, images. Read for its errors and its usage."""

from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.errors import UpstreamBroken
from gateway.features import Usage
from gateway.wire import openai_error, raw
from gateway.wire.openai_event import UNSAID, tells_error
from gateway.wire.openai_usage import Spent, read_usage, spent_in


class Answer(Struct, gc=False):
    """`data` is the raw slice of OpenAI's list, UNSAID where there is none."""

    object: Raw = UNSAID
    data: Raw = UNSAID
    error: Raw = UNSAID
    usage: Spent | None = None


_answer: Final = Decoder(Answer).decode
_anything: Final = Decoder(object).decode


def read_answer(body: bytes) -> tuple[Raw, Usage | None]:
    """Its `data` and its usage. Raises an UpstreamError for an error told in it, and where it is no JSON object."""
    try:
        try:
            answer = _answer(body)
        except ValidationError:
            answer = _loosely(raw.read_object(Raw(body)))
    except (DecodeError, RecursionError) as error:
        raise UpstreamBroken("The upstream's answer is no valid JSON object.") from error
    if tells_error(answer.error):
        raise openai_error.read_inside(bytes(answer.error))
    if bytes(answer.object) == b'"error"':
        raise openai_error.read_inside(body)
    return answer.data, read_usage(answer.usage) if answer.usage is not None else None


def _loosely(fields: dict[str, Raw]) -> Answer:
    return Answer(
        object=fields.get("object", UNSAID),
        data=fields.get("data", UNSAID),
        error=fields.get("error", UNSAID),
        usage=spent_in(_anything(fields["usage"])) if "usage" in fields else None,
    )
