import json

import pytest

import gateway.errors
from gateway.errors import (
    BadRequest,
    Bug,
    CallerLeft,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    LoopDetected,
    NoRoute,
    RateLimited,
    ReceiveTimeout,
    TooLarge,
    Unauthorized,
    UnknownModel,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
    UpstreamUnavailableHere,
)
from gateway.wire.gemini.error import STATUSES, error_body, read_error, status_of, write_error

# google.rpc.Code.
KNOWN = {
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}


def tree(kind: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    # What stages make of these for themselves is said as the kind it is.
    children = [child for child in kind.__subclasses__() if child.__module__ == kind.__module__]
    return [kind, *(below for child in children for below in tree(child))]


def body(code: int, status: str, *details: object, message: str = "x") -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": details}}).encode()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest("x"), "INVALID_ARGUMENT"),
        (Unauthorized("x"), "UNAUTHENTICATED"),
        (Forbidden("x"), "PERMISSION_DENIED"),
        (UnknownModel("x"), "NOT_FOUND"),
        (TooLarge("x"), "INVALID_ARGUMENT"),
        (ReceiveTimeout("x"), "DEADLINE_EXCEEDED"),
        (RateLimited("x"), "RESOURCE_EXHAUSTED"),
        (LoopDetected("x"), "FAILED_PRECONDITION"),
        (CallerLeft("x"), "CANCELLED"),
        (UpstreamRefused("x"), "INVALID_ARGUMENT"),
        (UpstreamRefused("x", upstream_status=404), "NOT_FOUND"),
        (UpstreamRefused("x", upstream_status=409), "ABORTED"),
        (UpstreamBusy("x"), "RESOURCE_EXHAUSTED"),
        (UpstreamOverloaded("x"), "UNAVAILABLE"),
        (UpstreamSlow("x"), "DEADLINE_EXCEEDED"),
        (UpstreamDenied("x"), "UNAVAILABLE"),
        (UpstreamBroken("x"), "INTERNAL"),
        (NoRoute("x"), "UNAVAILABLE"),
        (DeadlineExceeded("x"), "DEADLINE_EXCEEDED"),
        (Bug("x"), "INTERNAL"),
    ],
)
def test_each_kind_has_googles_word_for_it(error: GatewayError, status: str) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize("kind", tree())
def test_every_kind_can_be_said(kind: type[GatewayError]) -> None:
    said = json.loads(error_body(kind("x")))["error"]
    assert said["status"] in KNOWN
    assert said["code"] == kind("x").answer_status


def test_the_tree_is_all_there_is() -> None:
    named = {
        kind for kind in vars(gateway.errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)
    }
    assert named <= set(tree())
    assert set(STATUSES.values()) <= KNOWN


def test_an_error_body_has_googles_shape() -> None:
    error = RateLimited("Slow down.", param="contents[0]", retry_after_s=1.5)
    assert json.loads(write_error(error, "req_7")) == {
        "error": {
            "code": 429,
            "message": "Slow down.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "RATE_LIMIT_EXCEEDED",
                    "domain": "gateway",
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "contents[0]", "description": "Slow down."}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"},
                {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req_7"},
            ],
        }
    }


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, body(400, "INVALID_ARGUMENT"), UpstreamRefused),
        (404, body(404, "NOT_FOUND"), UpstreamRefused),
        (400, body(400, "INVALID_ARGUMENT", message="API key not valid. Please pass a valid API key."), UpstreamDenied),
        (400, body(400, "FAILED_PRECONDITION", message="Billing is disabled."), UpstreamDenied),
        (
            400,
            body(400, "FAILED_PRECONDITION", message="User location is not supported for the API use."),
            UpstreamUnavailableHere,
        ),
        (403, body(403, "PERMISSION_DENIED"), UpstreamDenied),
        (429, body(429, "RESOURCE_EXHAUSTED"), UpstreamBusy),
        (503, body(503, "UNAVAILABLE"), UpstreamOverloaded),
        (504, body(504, "DEADLINE_EXCEEDED"), UpstreamSlow),
        (500, b"<html>", UpstreamBroken),
        (400, b"[]", UpstreamRefused),
    ],
)
def test_a_backends_error_has_its_meaning(status: int, told: bytes, kind: type[GatewayError]) -> None:
    assert type(read_error(status, {}, told)) is kind


def test_the_body_says_when_to_come_back() -> None:
    assert read_error(429, {}, body(429, "RESOURCE_EXHAUSTED", {"@type": "x"}, RETRY)).retry_after_s == 34.5
    assert read_error(429, {}, b"[%b]" % body(429, "RESOURCE_EXHAUSTED", RETRY)).retry_after_s == 34.5
    assert read_error(429, {b"retry-after": b"2"}, body(429, "RESOURCE_EXHAUSTED", RETRY)).retry_after_s == 2.0


@pytest.mark.parametrize("delay", ["34", "xs", "-1s", "0s", "1e9s", "nans", None])
def test_a_delay_that_is_none_is_not_waited(delay: str | None) -> None:
    assert read_error(429, {}, body(429, "RESOURCE_EXHAUSTED", {"retryDelay": delay})).retry_after_s is None
