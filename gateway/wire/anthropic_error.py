"""Anthropic's error shape, as we say it (reliability 0.1 and 5.3). What a backend says is read as everybody's is."""

from collections.abc import Mapping
from typing import Final

from msgspec.json import Encoder

from gateway.errors import (
    Bug,
    CallerError,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    GatewayFault,
    LoopDetected,
    RateLimited,
    TooLarge,
    Unauthorized,
    UnknownModel,
    UnknownRoute,
    UpstreamBusy,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
)

# A kind that isn't here is its nearest ancestor. The list is closed: official clients know no others.
TYPES: Final[Mapping[type[GatewayError], str]] = {
    CallerError: "invalid_request_error",
    Unauthorized: "authentication_error",
    Forbidden: "permission_error",
    UnknownModel: "not_found_error",
    UnknownRoute: "not_found_error",
    TooLarge: "request_too_large",
    RateLimited: "rate_limit_error",
    LoopDetected: "api_error",
    UpstreamError: "api_error",
    UpstreamRefused: "invalid_request_error",
    UpstreamBusy: "rate_limit_error",
    UpstreamOverloaded: "overloaded_error",
    UpstreamSlow: "timeout_error",
    GatewayFault: "overloaded_error",
    DeadlineExceeded: "timeout_error",
    Bug: "api_error",
    GatewayError: "api_error",
}
# A backend's refusal of the caller's own request, by its status.
_REFUSED: Final = {404: "not_found_error", 413: "request_too_large"}

_encode: Final = Encoder().encode


def type_of(error: GatewayError) -> str:
    """Anthropic's `type` for an error: the nearest ancestor's that has one."""
    if isinstance(error, UpstreamRefused) and error.answer_status in _REFUSED:
        return _REFUSED[error.answer_status]
    return next(TYPES[kind] for kind in type(error).__mro__ if kind in TYPES)


def write_error(error: GatewayError, request_id: str) -> bytes:
    """A whole error body."""
    said = {"type": type_of(error), "message": error.message}
    return _encode({"type": "error", "error": said, "request_id": request_id})


def error_frame(error: GatewayError) -> bytes:
    """The last frame of a stream that broke. Without its `event:` line official clients would pass over it."""
    said = {"type": type_of(error), "message": error.message}
    return b"event: error\ndata: %b\n\n" % _encode({"type": "error", "error": said})
