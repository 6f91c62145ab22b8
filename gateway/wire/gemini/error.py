"""Google's error shape: what a backend's refusal means, and how we say ours (google.rpc.Status)."""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, Encoder

from gateway.errors import (
    Bug,
    CallerError,
    CallerLeft,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    GatewayFault,
    LoopDetected,
    RateLimited,
    ReceiveTimeout,
    Unauthorized,
    UnknownModel,
    UnknownRoute,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
)
from gateway.wire import openai_error

# A kind that isn't here is its nearest ancestor. The words are google.rpc.Code's.
STATUSES: Final[Mapping[type[GatewayError], str]] = {
    CallerError: "INVALID_ARGUMENT",
    Unauthorized: "UNAUTHENTICATED",
    Forbidden: "PERMISSION_DENIED",
    UnknownModel: "NOT_FOUND",
    UnknownRoute: "NOT_FOUND",
    ReceiveTimeout: "DEADLINE_EXCEEDED",
    RateLimited: "RESOURCE_EXHAUSTED",
    LoopDetected: "FAILED_PRECONDITION",
    CallerLeft: "CANCELLED",
    UpstreamError: "UNAVAILABLE",
    UpstreamRefused: "INVALID_ARGUMENT",
    UpstreamBusy: "RESOURCE_EXHAUSTED",
    UpstreamOverloaded: "UNAVAILABLE",
    UpstreamSlow: "DEADLINE_EXCEEDED",
    UpstreamBroken: "INTERNAL",
    GatewayFault: "UNAVAILABLE",
    DeadlineExceeded: "DEADLINE_EXCEEDED",
    Bug: "INTERNAL",
    GatewayError: "INTERNAL",
}
# A backend's refusal of the caller's own request, by its status.
_REFUSED: Final = {404: "NOT_FOUND", 409: "ABORTED"}

_TYPE: Final = "type.googleapis.com/google.rpc."
_DOMAIN: Final = "gateway"
# Our account, not the request: billing that is off, say. That our place isn't served, its words tell (openai_error).
_OURS: Final = "FAILED_PRECONDITION"
_MOST_SECONDS: Final = 86_400.0

_encode: Final = Encoder().encode


class _Detail(Struct, rename="camel"):
    retry_delay: str | None = None


class _Told(Struct):
    status: str | None = None
    details: list[_Detail] = []


class _Body(Struct):
    error: _Told


_read: Final = Decoder(_Body).decode
_read_many: Final = Decoder(list[_Body]).decode


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """What an answer outside 2xx means. Google says when to come back in the body, not in a header."""
    error = openai_error.read_error(status, headers, body)
    told = _told(body)
    if told is None:
        return error
    if isinstance(error, UpstreamRefused) and told.status == _OURS:
        return UpstreamDenied("The upstream refused our account.", upstream_status=status)
    if isinstance(error, UpstreamBusy) and error.retry_after_s is None:
        error.retry_after_s = next(filter(None, (_seconds(detail.retry_delay) for detail in told.details)), None)
    return error


def _told(body: bytes) -> _Told | None:
    """The Status in a body; a stream's is the only element of a list."""
    try:
        return _read_many(body)[0].error if body.lstrip()[:1] == b"[" else _read(body).error
    except (DecodeError, RecursionError, IndexError):
        return None


def _seconds(duration: str | None) -> float | None:
    """A Duration of protobuf: "34.07s"."""
    if duration is None or not duration.endswith("s"):
        return None
    try:
        seconds = float(duration[:-1])
    except ValueError:
        return None
    return seconds if 0 < seconds <= _MOST_SECONDS else None


def status_of(error: GatewayError) -> str:
    """Google's word for an error: the nearest ancestor's that has one."""
    if isinstance(error, UpstreamRefused) and error.answer_status in _REFUSED:
        return _REFUSED[error.answer_status]
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def error_body(error: GatewayError, request_id: str = "") -> bytes:
    """An error as a body or as an element of a stream; official clients look for `error` at its very beginning."""
    details: list[dict[str, object]] = [
        {"@type": f"{_TYPE}ErrorInfo", "reason": error.reason.upper(), "domain": _DOMAIN}
    ]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"})
    if request_id:
        details.append({"@type": f"{_TYPE}RequestInfo", "requestId": request_id})
    said = {"code": error.answer_status, "message": error.message, "status": status_of(error), "details": details}
    return _encode({"error": said})


def write_error(error: GatewayError, request_id: str) -> bytes:
    """A whole error body."""
    return error_body(error, request_id)
