"""Answers as bytes: status lines, header blocks, chunks."""

from http import HTTPStatus
from math import ceil
from typing import Final

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    GatewayFault,
    RateLimited,
    Unauthorized,
    UpstreamBusy,
    UpstreamError,
)

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
} | {529: b"HTTP/1.1 529 Overloaded\r\n"}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
RETRY_AFTER_MOST_S: Final = 60
RETRY_AFTER_SHED_S: Final = 2
_NOT_AGAIN: Final = (b"x-should-retry", b"false")


# Languages whose clients read a request's id under another name too (platform.claude.com/docs/en/api/errors).
_ANTHROPICS: Final = frozenset(("anthropic_messages", "anthropic_count"))


def id_lines(request_id: str, language: str) -> bytes:
    """The header lines that name a request, in every answer and every error."""
    named = request_id.encode()
    if language in _ANTHROPICS:
        return b"x-request-id: %b\r\nrequest-id: %b\r\n" % (named, named)
    return b"x-request-id: %b\r\n" % named


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def error_lines(error: GatewayError) -> bytes:
    """The header lines of an error's answer."""
    return b"".join([b"%b: %b\r\n" % header for header in error_headers(error)])


def error_headers(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """What official clients act on: whether and when to try again (reliability 0.1, finding 7)."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers += [(name.encode(), value.encode()) for name, value in error.headers]
    is_shed = isinstance(error, GatewayFault) and error.status == HTTPStatus.SERVICE_UNAVAILABLE
    if is_shed or isinstance(error, UpstreamBusy | RateLimited):
        wait_s = error.retry_after_s if error.retry_after_s is not None else RETRY_AFTER_SHED_S
        headers += _wait(wait_s)
    elif isinstance(error, UpstreamError | DeadlineExceeded) or error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Our attempts are spent, and some of them may have been billed: the client's own three would triple that.
        headers.append(_NOT_AGAIN)
    elif isinstance(error, Unauthorized):
        # No client of a vendor's asks again after a 401, but Claude Code does, ten times within minutes.
        headers.append(_NOT_AGAIN)
    return headers


def _wait(wait_s: float) -> list[tuple[bytes, bytes]]:
    """How long to wait, in both units: whole seconds rounded up, since too early is refused again; at most a minute."""
    wait_s = min(float(RETRY_AFTER_MOST_S), max(wait_s, 0.001))
    return [(b"retry-after", b"%d" % ceil(wait_s)), (b"retry-after-ms", b"%d" % ceil(wait_s * 1000))]
