"""Answers as bytes: status lines, header blocks, chunks."""

from http import HTTPStatus
from typing import Final

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    GatewayFault,
    RateLimited,
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


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def head(status: int, headers: list[tuple[bytes, bytes]], framing: bytes, *, close: bool) -> bytes:
    """A whole header block. `framing` is a finished line saying how the body ends, or b"" for none."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b%b%b\r\n" % (status_line(status), lines, framing, b"connection: close\r\n" if close else b"")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def error_headers(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """What official clients act on: whether and when to try again (reliability 0.1, finding 7)."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers += [(name.encode(), value.encode()) for name, value in error.headers]
    if isinstance(error, UpstreamBusy | RateLimited):
        wait_s = error.retry_after_s if error.retry_after_s is not None else RETRY_AFTER_SHED_S
        headers.append((b"retry-after", b"%d" % max(1, min(RETRY_AFTER_MOST_S, round(wait_s)))))
    elif isinstance(error, GatewayFault) and error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SHED_S))
    elif isinstance(error, UpstreamError | DeadlineExceeded) or error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # Our attempts are spent, and some of them may have been billed: the client's own three would triple that.
        headers.append((b"x-should-retry", b"false"))
    return headers
