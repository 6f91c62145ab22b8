"""AWS's error shapes: a message in the body, its kind in a header; in a stream, an exception with a name.

Smithy, AWS restJson1, Operation error serialization; Bedrock API reference, Converse and ConverseStream, Errors.
"""

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
from gateway.wire.eventstream import FAILED, head, message

# A kind that isn't here is its nearest ancestor. Converse's own exceptions alone, so that kits know each of them.
KINDS: Final[Mapping[type[GatewayError], str]] = {
    CallerError: "ValidationException",
    Unauthorized: "AccessDeniedException",
    Forbidden: "AccessDeniedException",
    UnknownModel: "ResourceNotFoundException",
    UnknownRoute: "ResourceNotFoundException",
    RateLimited: "ThrottlingException",
    LoopDetected: "InternalServerException",
    UpstreamError: "ModelErrorException",
    UpstreamRefused: "ValidationException",
    UpstreamBusy: "ThrottlingException",
    UpstreamOverloaded: "ServiceUnavailableException",
    UpstreamSlow: "ModelTimeoutException",
    GatewayFault: "ServiceUnavailableException",
    DeadlineExceeded: "ModelTimeoutException",
    Bug: "InternalServerException",
    GatewayError: "InternalServerException",
}
# A stream has five of them; whatever else goes wrong with a model is a broken stream.
STREAM_KINDS: Final[Mapping[str, str]] = {
    "ValidationException": "validationException",
    "AccessDeniedException": "validationException",
    "ResourceNotFoundException": "validationException",
    "ThrottlingException": "throttlingException",
    "ModelErrorException": "modelStreamErrorException",
    "ModelTimeoutException": "modelStreamErrorException",
    "ServiceUnavailableException": "serviceUnavailableException",
    "InternalServerException": "internalServerException",
}
_HEADER: Final = "x-amzn-ErrorType"
_HEADS: Final = {name: head("exception", name) for name in set(STREAM_KINDS.values())}

# What is said with a status of 400, though it isn't the caller's: our quota, our credentials.
_OURS: Final[Mapping[str, int]] = {
    "ServiceQuotaExceededException": 429,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "UnrecognizedClientException": 403,
}
_encode: Final = Encoder().encode


def kind_of(error: GatewayError) -> str:
    """Amazon's name for an error: the nearest ancestor's that has one."""
    if isinstance(error, UpstreamRefused) and error.answer_status == 404:
        return "ResourceNotFoundException"
    return next(KINDS[kind] for kind in type(error).__mro__ if kind in KINDS)


def error_headers(error: GatewayError) -> tuple[tuple[str, str], ...]:
    """The header line that names the kind; kits read it nowhere else."""
    return ((_HEADER, kind_of(error)),)


def write_error(error: GatewayError, request_id: str) -> bytes:
    """A whole error body. The request id goes in a header, as Amazon has it."""
    del request_id
    return _encode({"message": error.message})


def error_message(error: GatewayError) -> bytes:
    """The exception that tells the caller his stream broke."""
    return message(_HEADS[STREAM_KINDS[kind_of(error)]], _encode({"message": error.message}))


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """What an answer outside 2xx means; the header names the kind, before a colon (botocore, RestJSONParser)."""
    kind = headers.get(b"x-amzn-errortype", b"").partition(b":")[0].decode("latin-1")
    return openai_error.read_error(_OURS.get(kind, status) if status == 400 else status, headers, body)


def read_exception(name: str, payload: bytes) -> UpstreamError:
    """What an exception in a stream means, by its name as eventstream.py gives it."""
    match name.removeprefix(FAILED):
        case "throttlingException":
            return UpstreamBusy("The upstream is rate limited.", upstream_status=429)
        case "serviceUnavailableException":
            return UpstreamOverloaded("The upstream is overloaded.", upstream_status=503)
        case "modelTimeoutException":
            return UpstreamSlow("The upstream took too long.", upstream_status=408)
        case "validationException":
            # The caller's own mistake, found late: no other place would have it otherwise.
            return openai_error.read_error(400, {}, payload)
        case "accessDeniedException" | "expiredTokenException" | "unrecognizedClientException":
            return UpstreamDenied("The upstream refused our account.", upstream_status=403)
    return UpstreamBroken("The upstream failed.", code="upstream_error")
