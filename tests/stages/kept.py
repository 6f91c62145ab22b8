"""What stages write to and read from, kept for a test to look at: a caller's reply, and an upstream's transport."""

import asyncio
from collections.abc import Callable

from gateway.errors import GatewayError
from gateway.exchange import Call, Exchange
from tests.doubles.inside import CALLER


class KeptReply:
    """A reply to nobody. `paused` is set by the test; `resume` is who wants to be told when it ends."""

    def __init__(self) -> None:
        self.started = False
        self.paused = False
        self.status = 0
        self.lines = b""
        self.body = b""
        self.ending = ""
        self.resume: Callable[[], None] | None = None

    def whole(self, status: int, lines: bytes, body: bytes) -> None:
        self.started = True
        self.status, self.lines, self.body, self.ending = status, lines, body, "whole"

    def stream(self, lines: bytes, first: bytes) -> None:
        assert not self.started
        self.started = True
        self.status, self.lines, self.body = 200, lines, first

    def write(self, data: bytes) -> None:
        assert self.started
        assert not self.ending
        self.body += data

    def end(self) -> None:
        assert not self.ending
        self.ending = "end"

    def fail(self, frame: bytes) -> None:
        assert not self.ending
        self.body += frame
        self.ending = "fail"

    def refuse(self, error: GatewayError, body: bytes) -> None:
        assert not self.started
        self.started = True
        self.status, self.body, self.ending = error.answer_status, body, "refused"

    def on_writable(self, resume: Callable[[], None]) -> None:
        self.resume = resume

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.partition(": ") for line in self.lines.decode().split("\r\n") if line)
        return {name: value for name, _, value in pairs}


class KeptTransport(asyncio.Transport):
    """The transport of an upstream connection that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def abort(self) -> None:
        self.aborted = True


def call(*, headers: dict[bytes, bytes] | None = None, body: bytes = b"") -> Call:
    """A chat as the front door read it."""
    return Call(
        method="POST",
        path="/v1/chat/completions",
        query="",
        headers=headers or {},
        body=body,
        request_id="req_stage",
        caller=CALLER,
    )


def exchange(started: float = 100.0) -> Exchange:
    """A chat's record at its beginning."""
    made = Exchange(call(), started)
    made.operation = "chat"
    made.model = "story"
    made.bytes_in = 80
    return made
