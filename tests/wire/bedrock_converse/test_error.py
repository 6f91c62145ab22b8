import json

import pytest

from gateway import errors
from gateway.errors import (
    BadRequest,
    Bug,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    LoopDetected,
    NoRoute,
    RateLimited,
    TooLarge,
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
from gateway.wire.bedrock_converse.error import (
    KINDS,
    STREAM_KINDS,
    error_headers,
    error_message,
    kind_of,
    read_error,
    read_exception,
    write_error,
)
from tests.wire.bedrock_converse.said import frames

# The errors of Converse and of ConverseStreamOutput in Amazon's own description of Bedrock's runtime.
KNOWN = {
    "AccessDeniedException",
    "InternalServerException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelTimeoutException",
    "ResourceNotFoundException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ValidationException",
}
STREAMED = {
    "internalServerException",
    "modelStreamErrorException",
    "serviceUnavailableException",
    "throttlingException",
    "validationException",
}


def tree(kind: type[GatewayError]) -> list[type[GatewayError]]:
    # What stages make of these for themselves is said as the kind it is.
    children = [child for child in kind.__subclasses__() if child.__module__ == kind.__module__]
    return [kind, *(below for child in children for below in tree(child))]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "ValidationException"),
        (TooLarge("x"), "ValidationException"),
        (Unauthorized("x"), "AccessDeniedException"),
        (Forbidden("x"), "AccessDeniedException"),
        (UnknownModel("x"), "ResourceNotFoundException"),
        (UnknownRoute("x"), "ResourceNotFoundException"),
        (RateLimited("x"), "ThrottlingException"),
        (LoopDetected("x"), "InternalServerException"),
        (UpstreamRefused("x"), "ValidationException"),
        (UpstreamRefused("x", upstream_status=404), "ResourceNotFoundException"),
        (UpstreamBusy("x"), "ThrottlingException"),
        (UpstreamOverloaded("x"), "ServiceUnavailableException"),
        (UpstreamSlow("x"), "ModelTimeoutException"),
        (UpstreamDenied("x"), "ModelErrorException"),
        (UpstreamBroken("x"), "ModelErrorException"),
        (NoRoute("x"), "ServiceUnavailableException"),
        (DeadlineExceeded("x"), "ModelTimeoutException"),
        (Bug("x"), "InternalServerException"),
    ],
)
def test_each_kind_has_amazons_word_for_it(error: GatewayError, kind: str) -> None:
    assert kind_of(error) == kind


def test_every_error_there_is_has_a_name_that_kits_know() -> None:
    kinds = tree(errors.GatewayError)
    assert len(kinds) > 30
    assert {kind_of(kind("x")) for kind in kinds} <= KNOWN
    assert set(KINDS.values()) <= set(STREAM_KINDS)
    assert set(STREAM_KINDS.values()) == STREAMED


def test_the_body_has_the_message_and_the_header_the_kind() -> None:
    error = BadRequest('No "x".')
    assert json.loads(write_error(error, "req_7")) == {"message": 'No "x".'}
    assert error_headers(error) == (("x-amzn-ErrorType", "ValidationException"),)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (UpstreamSlow("Too slow."), "!modelStreamErrorException"),
        (UpstreamOverloaded("Too slow."), "!serviceUnavailableException"),
        (RateLimited("Too slow."), "!throttlingException"),
        (Forbidden("Too slow."), "!validationException"),
        (Bug("Too slow."), "!internalServerException"),
    ],
)
def test_a_stream_breaks_with_an_exception(error: GatewayError, name: str) -> None:
    assert frames(error_message(error)) == [(name, {"message": "Too slow."})]


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, b"ValidationException:http://internal.amazon.com/coral/", UpstreamRefused),
        (400, b"ServiceQuotaExceededException", UpstreamBusy),
        (400, b"ExpiredTokenException", UpstreamDenied),
        (400, b"", UpstreamRefused),
        (403, b"AccessDeniedException", UpstreamDenied),
        (404, b"ResourceNotFoundException", UpstreamRefused),
        (408, b"ModelTimeoutException", UpstreamSlow),
        (424, b"ModelErrorException", UpstreamBroken),
        (429, b"ThrottlingException", UpstreamBusy),
        (500, b"InternalServerException", UpstreamBroken),
        (503, b"ServiceUnavailableException", UpstreamOverloaded),
    ],
)
def test_what_amazon_refuses_is_understood(status: int, kind: bytes, error: type[UpstreamError]) -> None:
    read = read_error(status, {b"x-amzn-errortype": kind}, b'{"message":"The input is too long."}')
    assert type(read) is error
    if error is UpstreamRefused:
        assert (read.message, read.answer_status) == ("The input is too long.", status)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("!throttlingException", UpstreamBusy),
        ("!serviceUnavailableException", UpstreamOverloaded),
        ("!modelTimeoutException", UpstreamSlow),
        ("!validationException", UpstreamRefused),
        ("!accessDeniedException", UpstreamDenied),
        ("!modelStreamErrorException", UpstreamBroken),
        ("!internalServerException", UpstreamBroken),
        ("!InternalError", UpstreamBroken),
        ("!", UpstreamBroken),
    ],
)
def test_an_exception_in_a_stream_is_understood(name: str, error: type[UpstreamError]) -> None:
    read = read_exception(name, b'{"message":"Too long."}')
    assert type(read) is error
    assert (read.message == "Too long.") is (error is UpstreamRefused)
