"""Cohere's error shape: an id and a message (docs.cohere.com, Errors). Backends' are read as everybody's are."""

from collections.abc import Mapping
from typing import Final

from msgspec.json import Encoder

from gateway.errors import GatewayError, UpstreamError
from gateway.wire import openai_error

# A deny-listed token was in the request or the answer; elsewhere the number means a full tier.
_DENIED_WORD: Final = 498
_REFUSED: Final = 422

_encode: Final = Encoder().encode


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """What an answer outside 2xx means for this request."""
    return openai_error.read_error(_REFUSED if status == _DENIED_WORD else status, headers, body)


def write_error(error: GatewayError, request_id: str) -> bytes:
    """A whole error body."""
    return _encode({"id": request_id, "message": error.message})
