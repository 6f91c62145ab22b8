import json

import pytest

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
    UpstreamBroken,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
)
from gateway.wire.anthropic_error import TYPES, error_frame, type_of, write_error

# The closed list of the official client.
KNOWN = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "overloaded_error",
    "api_error",
    "billing_error",
}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (Unauthorized("x"), "authentication_error"),
        (Forbidden("x"), "permission_error"),
        (UnknownModel("x"), "not_found_error"),
        (TooLarge("x"), "request_too_large"),
        (RateLimited("x"), "rate_limit_error"),
        (LoopDetected("x"), "api_error"),
        (UpstreamRefused("x"), "invalid_request_error"),
        (UpstreamRefused("x", upstream_status=404), "not_found_error"),
        (UpstreamRefused("x", upstream_status=413), "request_too_large"),
        (UpstreamBusy("x"), "rate_limit_error"),
        (UpstreamOverloaded("x"), "overloaded_error"),
        (UpstreamSlow("x"), "timeout_error"),
        (UpstreamDenied("x"), "api_error"),
        (UpstreamBroken("x"), "api_error"),
        (NoRoute("x"), "overloaded_error"),
        (DeadlineExceeded("x"), "timeout_error"),
        (Bug("x"), "api_error"),
    ],
)
def test_each_kind_has_anthropics_word_for_it(error: GatewayError, kind: str) -> None:
    assert type_of(error) == kind


def test_only_words_the_official_client_knows_are_said() -> None:
    assert set(TYPES.values()) <= KNOWN


def test_an_error_body_has_the_shape_and_the_request_id() -> None:
    assert json.loads(write_error(BadRequest('No "x".'), "req_7")) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": 'No "x".'},
        "request_id": "req_7",
    }


def test_a_frame_names_its_event_or_clients_would_pass_over_it() -> None:
    frame = error_frame(UpstreamSlow("Too slow."))
    assert frame.startswith(b"event: error\ndata: ")
    assert frame.endswith(b"}\n\n")
    assert json.loads(frame.split(b"data: ")[1]) == {
        "type": "error",
        "error": {"type": "timeout_error", "message": "Too slow."},
    }
