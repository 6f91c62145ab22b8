"""Values of a request; a BadRequest names the spot of one that isn't usable."""

import re
from typing import Final, TypeVar

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from gateway.errors import BadRequest

_T = TypeVar("_T")

_SPOT: Final = re.compile(r"at `\$(?P<spot>[^`]*)`$")


def read(decoder: "Decoder[_T]", raw: Raw, param: str) -> _T:
    """A value of the decoder's type; a BadRequest names the spot inside it that isn't."""
    try:
        return decoder.decode(raw)
    except DecodeError as error:
        said = str(error)
        spot = _SPOT.search(said)
        where = param + (spot["spot"] if spot else "")
        if "missing required field" in said:
            raise missing(f"{where}.{said.split('`')[1]}") from error
        raise wrong(where, "of another type") from error


def there(text: str | None, param: str) -> str:
    if text is None:
        raise missing(param)
    return text


def missing(param: str) -> BadRequest:
    return BadRequest(f"The field '{param}' is missing.", code="missing_field", param=param)


def wrong(param: str, wanted: str) -> BadRequest:
    return BadRequest(f"The field '{param}' must be {wanted}.", code="invalid_type", param=param)
