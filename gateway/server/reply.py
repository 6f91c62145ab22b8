"""The writing side of a caller's connection: the reply to the request it is serving."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.errors import GatewayError
from gateway.exchange import Call
from gateway.outbox import Outbox, Outgoing
from gateway.server import bytes_out
from gateway.server.routes import error_language
from gateway.server.unread import Unread

ONE_WRITE_BYTES: Final = 16384  # a body up to this size travels in its head's packet; a larger one isn't copied for it
_CLOSE: Final = b"connection: close\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"


class Host(Protocol):
    """What a reply asks of the door behind it."""

    draining: bool
    now: Callable[[], float]
    outbox: Outbox


class CallerReply(asyncio.Protocol):
    """Writes answers, each framed as its request's version of HTTP allows; to a connection that is gone, nothing."""

    __slots__ = (
        "_close",
        "_gone",
        "_head_only",
        "_host",
        "_old",
        "_resume",
        "_transport",
        "call",
        "paused",
        "started",
        "unread",
    )

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: Outgoing
        self.unread: Unread
        self._resume: Callable[[], None] | None = None
        self._close = self._old = self._head_only = self._gone = False
        self.call: Call | None = None
        self.paused = False
        self.started = False

    def _next(self) -> None:
        """An answer is out; the reading side goes on from here."""
        raise NotImplementedError

    # --- the transport's side -----------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self.paused = True
        self.unread.begin(self._host.now())

    def resume_writing(self) -> None:
        self.paused = False
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    # --- the request's side -------------------------------------------------------------------------------------------

    def whole(self, status: int, lines: bytes, body: bytes) -> None:
        self.started = True
        if self._gone:
            return
        head = b"%b%b%bcontent-length: %d\r\n%b\r\n" % (
            bytes_out.status_line(status),
            lines,
            self._id_line(),
            len(body),
            _CLOSE if self._closes() else b"",
        )
        if self._head_only:
            self._transport.write(head)
        elif len(body) < ONE_WRITE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines([head, body])
        self._next()

    def stream(self, lines: bytes, first: bytes) -> None:
        self.started = True
        if self._gone:
            return
        self._close = self._close or self._old
        self._transport.write(
            b"HTTP/1.1 200 OK\r\n%b%b%b%b\r\n%b"
            % (
                lines,
                self._id_line(),
                b"" if self._old else _CHUNKED,
                _CLOSE if self._closes() else b"",
                first if self._old else b"%x\r\n%b\r\n" % (len(first), first),
            )
        )

    def write(self, data: bytes) -> None:
        if self._gone:
            return
        if self._old:
            self._transport.write(data)
        else:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        if self._gone:
            return
        if not self._old:
            self._transport.write(bytes_out.LAST_CHUNK)
        self._next()

    def fail(self, frame: bytes) -> None:
        if self._gone:
            return
        if frame and not self._old:
            # The answer is whole as HTTP sees it, so its connection may be used again, and clients do at once.
            self.write(frame)
            self._transport.write(bytes_out.LAST_CHUNK)
        else:
            self._close = True
            # With nothing to say in the caller's language, the missing last chunk says it: clients raise on that.
            if frame:
                self.write(frame)
        self._next()

    def refuse(self, error: GatewayError, body: bytes) -> None:
        """Answer with an error instead."""
        self._close = self._close or error.closes
        self.whole(error.answer_status, bytes_out.error_lines(error), body)

    def on_writable(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        if not self.paused:
            self.resume_writing()

    def _id_line(self) -> bytes:
        call = self.call
        if call is None:
            return b""
        endpoint = call.endpoint
        language = endpoint.wire if endpoint is not None else error_language(call.path, call.headers)
        return bytes_out.id_lines(call.request_id, language)

    def _closes(self) -> bool:
        """Whether this answer is the connection's last, which it then says."""
        if self._host.draining:
            self._close = True
        return self._close
