"""Reading a request's fields: what a caller got wrong is told by its place."""

from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Raw
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.wire.bedrock_converse.reading import NULL, read_block
from gateway.wire.ir import Block

T = TypeVar("T")

fields_of: Final = Decoder(dict[str, Raw]).decode
_blocks: Final = Decoder(list[dict[str, Raw]]).decode


def said(fields: dict[str, Raw], name: str) -> Raw | None:
    """A field; null is absent, as Amazon's kits have it."""
    value = fields.get(name)
    return None if value is None or bytes(value) == NULL else value


def understood(read: Callable[[Raw], T], value: Raw, param: str) -> T:
    """What `read` makes of a slice. BadRequest where it can't."""
    try:
        return read(value)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The field '{param}' can't be understood.", code="invalid_type", param=param) from error


def wanted(value: Raw | None, param: str) -> Raw:
    """A field that must be there."""
    if value is None:
        raise BadRequest(f"The field '{param}' is missing.", code="missing_field", param=param)
    return value


def wrong(param: str, why: str, code: str = "invalid_value") -> BadRequest:
    return BadRequest(f"The field '{param}' {why}.", code=code, param=param)


def content_of(value: Raw, param: str, *, asked: bool) -> tuple[list[Block], list[str]]:
    """The blocks of a list, and the place of each."""
    content: list[Block] = []
    places: list[str] = []
    for n, block in enumerate(understood(_blocks, value, param)):
        where = f"{param}[{n}]"
        try:
            read_block(content, block, asked=asked)
        except (ValueError, RecursionError) as error:
            raise wrong(where, "can't be understood") from error
        places += [where] * (len(content) - len(places))
    return content, places
