"""Answers as bytes."""

import pytest

from gateway.errors import (
    Bug,
    DeadlineExceeded,
    Draining,
    Forbidden,
    GatewayError,
    NoRoute,
    RateLimited,
    Unauthorized,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamOverloaded,
    WrongMethod,
)
from gateway.server.bytes_out import error_headers, error_lines, id_lines, status_line


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK\r\n"),
        (404, b"HTTP/1.1 404 Not Found\r\n"),
        (529, b"HTTP/1.1 529 Overloaded\r\n"),
        (299, b"HTTP/1.1 299 Unknown\r\n"),
    ],
)
def test_a_status_line_names_its_status(status: int, line: bytes) -> None:
    assert status_line(status) == line


def said(error: GatewayError) -> dict[bytes, bytes]:
    return dict(error_headers(error))


@pytest.mark.parametrize(
    ("error", "wait", "wait_ms"),
    [
        (RateLimited("slow", retry_after_s=7.4), b"8", b"7400"),
        (RateLimited("slow", retry_after_s=0.1), b"1", b"100"),
        (RateLimited("slow", retry_after_s=0.0), b"1", b"1"),
        (RateLimited("slow", retry_after_s=3600.0), b"60", b"60000"),
        (UpstreamBusy("busy"), b"2", b"2000"),
        (UpstreamOverloaded("full", retry_after_s=30.0), b"30", b"30000"),
        (Draining("bye"), b"2", b"2000"),
        (NoRoute("none"), b"2", b"2000"),
    ],
)
def test_who_should_come_again_is_told_when_and_never_after_a_minute(
    error: GatewayError, wait: bytes, wait_ms: bytes
) -> None:
    assert (said(error)[b"retry-after"], said(error)[b"retry-after-ms"]) == (wait, wait_ms)
    assert b"x-should-retry" not in said(error)


@pytest.mark.parametrize("error", [UpstreamBroken("broken"), DeadlineExceeded("late"), Bug("oops")])
def test_who_would_only_pay_again_is_told_not_to(error: GatewayError) -> None:
    assert said(error)[b"x-should-retry"] == b"false"
    assert b"retry-after" not in said(error)


def test_who_has_no_key_of_ours_is_told_not_to_come_again_with_it() -> None:
    """Claude Code 2.1 asks ten times more after a 401 that doesn't say so, for minutes."""
    assert said(Unauthorized("who"))[b"x-should-retry"] == b"false"


@pytest.mark.parametrize("error", [Forbidden("no"), WrongMethod("how")])
def test_callers_errors_say_nothing_of_trying_again(error: GatewayError) -> None:
    assert set(said(error)) == {b"content-type", b"cache-control"}


def test_an_errors_own_headers_are_said_too() -> None:
    error = WrongMethod("how", headers=(("allow", "GET"),))
    assert error_lines(error) == b"content-type: application/json\r\ncache-control: no-store\r\nallow: GET\r\n"


def test_the_wait_is_told_in_milliseconds_too_and_never_shorter_than_asked() -> None:
    headers = said(RateLimited("slow", retry_after_s=1.4))
    assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (b"2", b"1400")


@pytest.mark.parametrize("language", ["openai_chat", "gemini", "bedrock_converse", "opaque"])
def test_a_request_is_named_in_its_answer(language: str) -> None:
    assert id_lines("req_1", language) == b"x-request-id: req_1\r\n"


@pytest.mark.parametrize("language", ["anthropic_messages", "anthropic_count"])
def test_anthropics_callers_read_its_name_elsewhere_too(language: str) -> None:
    assert id_lines("req_1", language) == b"x-request-id: req_1\r\nrequest-id: req_1\r\n"
