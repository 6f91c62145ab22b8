"""One caller's connection: requests in, one at a time and in order; answers out.

A connection is in exactly one state, and everything that may happen in it is in the method of that state. Reading is
never paused while an attempt waits, since a caller who leaves would not be noticed: what he sends ahead is kept up to a
cap.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from gateway.errors import (
    CallerError,
    GatewayError,
    MalformedHttp,
    ReceiveTimeout,
    TooLarge,
)
from gateway.exchange import Call
from gateway.server import bytes_out
from gateway.server.chunked import ChunkedBody
from gateway.server.head import Head, HeadReader, check_size, given_id
from gateway.settings.shape import Caps, Deadlines

NEVER = float("inf")
LINGER_BYTES = 64 * 1024 * 1024


class State(IntEnum):
    HEAD = 0  # waiting for a head, or in the middle of one
    BODY = 1  # a declared or chunked body is coming
    BUSY = 2  # a request is being served; what comes is kept for later
    LINGER = 3  # an answer was given that ends the connection; what comes is thrown away
    CLOSED = 4


class Desk(Protocol):
    """What a connection asks of the door behind it."""

    heads: HeadReader
    caps: Caps
    deadlines: Deadlines
    draining: bool

    def now(self) -> float: ...

    def wall(self) -> float: ...

    def new_id(self) -> str: ...

    def greet(self, call: Call, head: Head) -> int:
        """Accept a head, or raise; gives the cap of its body in bytes."""

    def takes_over(self, connection: "CallerConnection", call: Call, head: Head, raw: bytes) -> bool:
        """Hand the connection to another application, where this request is for that."""

    def serve(self, connection: "CallerConnection", call: Call) -> "asyncio.Task[None] | None":
        """Serve a whole request; None where it was answered at once."""

    def turned_away(self, call: Call | None, error: GatewayError) -> bytes:
        """The error body for a request that ends before it is served; also settles it."""

    def gone(self, connection: "CallerConnection") -> None: ...


class CallerConnection(asyncio.Protocol):
    """A connection, and at the same time the reply to the request it is serving."""

    __slots__ = (
        "_body_left",
        "_chunked",
        "_close",
        "_deadline",
        "_desk",
        "_head_only",
        "_kept",
        "_lingered",
        "_old",
        "_parts",
        "_paused_since",
        "_requests",
        "_resume",
        "_state",
        "_streaming",
        "_task",
        "_transport",
        "address",
        "call",
        "paused",
        "secure",
        "started",
    )

    def __init__(self, desk: Desk, *, secure: bool) -> None:
        self._desk = desk
        self._transport: asyncio.Transport
        self._state = State.HEAD
        self._kept = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._chunked: ChunkedBody | None = None
        self._parts: list[bytes] = []
        self._body_left = 0
        self._deadline = NEVER
        self._paused_since = NEVER
        self._lingered = 0
        self._requests = 0
        self._resume: Callable[[], None] | None = None
        self._close = self._old = self._head_only = self._streaming = False
        self.address = ""
        self.secure = secure
        self.call: Call | None = None
        self.paused = False
        self.started = False

    # --- the transport's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport reads and writes
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline = self._desk.now() + self._desk.deadlines.headers_s

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == State.HEAD:
            self._read_head(data)
        elif state == State.BODY:
            self._read_body(data)
        elif state == State.BUSY:
            if len(self._kept) + len(data) > self._desk.caps.pipelined_bytes:
                self._close = True  # too much sent ahead: answer this one, then end
            else:
                self._kept += data
        elif state == State.LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.abort()

    def eof_received(self) -> bool:
        """A caller's FIN means he has left: `close()` and `shutdown(SHUT_WR)` look the same from here."""
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._state = State.CLOSED
        self._leave()
        self._desk.gone(self)

    def pause_writing(self) -> None:
        self.paused = True
        self._paused_since = self._desk.now()

    def resume_writing(self) -> None:
        self.paused = False
        self._paused_since = NEVER
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def _leave(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        if self._state != State.CLOSED:
            self.abort()

    def abort(self) -> None:
        """End the connection now; `close()` never ends against a stuck reader."""
        self._state = State.CLOSED
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Act on the deadline that has passed: for a head, a body, an idle connection, a reader who doesn't read."""
        if now - self._paused_since > self._desk.deadlines.write_stall_s:
            self._leave()
            self.abort()
        elif now >= self._deadline:
            if self._state == State.LINGER or (self._state == State.HEAD and self._requests and not self._kept):
                self.abort()
            elif self._state in (State.HEAD, State.BODY):
                self._turn_away(ReceiveTimeout("The request did not arrive in time."))

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read_head(self, data: bytes) -> None:
        kept = self._kept
        try:
            if kept:
                start = len(kept)
                kept += data
                end = self._desk.heads.find_end(kept, start)
                if end == 0:
                    return
                raw, rest = bytes(kept[:end]), bytes(kept[end:])
                kept.clear()
            else:
                end = self._desk.heads.find_end(data, 0)
                if end == 0:
                    if self._requests:
                        self._deadline = self._desk.now() + self._desk.deadlines.headers_s
                    kept += data
                    return
                raw, rest = data[:end], data[end:]
            head = self._desk.heads.read(raw)
        except CallerError as error:
            self._kept.clear()
            self._close = True  # where the next request would begin is anybody's guess
            self._turn_away(error)
            return
        self._accept(head, raw, rest)

    def _accept(self, head: Head, raw: bytes, rest: bytes) -> None:
        desk = self._desk
        now = desk.now()
        self._requests += 1
        self._old = head.http_1_0
        self._close = not head.keep_alive or desk.draining
        self._head_only = head.method == "HEAD"
        self.started = self._streaming = False
        call = self.call = Call(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            address=self.address,
            request_id=given_id(head.headers) or desk.new_id(),
            arrived=now,
            arrived_wall=desk.wall(),
            secure=self.secure,
        )
        length = head.length or 0
        try:
            most_bytes = desk.greet(call, head)
            check_size(head, most_bytes)
        except GatewayError as error:
            # A body that is already here can be stepped over; one that isn't ends the connection.
            if head.chunked or length > len(rest):
                self._close = True
            else:
                rest = rest[length:]
            self._turn_away(error, rest)
            return
        if desk.takes_over(self, call, head, raw + rest):
            return
        if head.expects_continue and not rest and not self._old:
            self._transport.write(bytes_out.CONTINUE)
        if head.chunked:
            self._chunked = ChunkedBody(most_bytes)
            self._expect_body(now, most_bytes)
            self._read_body(rest)
        elif length > len(rest):
            self._body_left = length - len(rest)
            if rest:
                self._parts.append(rest)
            self._expect_body(now, length)
        else:
            call.body = rest[:length] if length != len(rest) else rest
            self._complete(rest[length:] if length != len(rest) else b"")

    def _expect_body(self, now: float, size: int) -> None:
        deadlines = self._desk.deadlines
        self._state = State.BODY
        self._deadline = now + min(deadlines.body_most_s, deadlines.body_s + size / deadlines.body_bytes_per_s)

    def _read_body(self, data: bytes) -> None:
        assert self.call is not None
        if self._chunked is not None:
            try:
                rest = self._chunked.feed(data)
            except (MalformedHttp, TooLarge) as error:
                self._turn_away(error)
                return
            if self._chunked.done:
                self.call.body = self._chunked.body()
                self._chunked = None
                self._complete(rest)
            return
        if len(data) < self._body_left:
            self._body_left -= len(data)
            self._parts.append(data)
            return
        self._parts.append(data[: self._body_left])
        self.call.body = b"".join(self._parts)
        self._parts.clear()
        self._complete(data[self._body_left :])

    def _complete(self, rest: bytes) -> None:
        """A whole request is here: serve it."""
        assert self.call is not None
        self._state = State.BUSY
        self._deadline = NEVER
        if rest:
            if len(rest) > self._desk.caps.pipelined_bytes:
                self._close = True
            else:
                self._kept += rest
        self._task = self._desk.serve(self, self.call)

    # --- answering ----------------------------------------------------------------------------------------------------

    def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._start(headers)
        if self._state == State.CLOSED:
            return
        self._announce_drain()
        head = bytes_out.head(status, headers, b"content-length: %d\r\n" % len(body), close=self._close)
        if self._head_only:
            self._transport.write(head)
        elif len(body) < 16384:
            self._transport.write(head + body)
        else:
            self._transport.writelines([head, body])
        self._next()

    def stream(self, headers: list[tuple[bytes, bytes]], first: bytes) -> None:
        self._start(headers)
        self._streaming = True
        if self._state == State.CLOSED:
            return
        if self._old:
            self._close = True
            head = bytes_out.head(200, headers, b"", close=True)
            self._transport.write(head + first)
            return
        self._announce_drain()
        head = bytes_out.head(200, headers, b"transfer-encoding: chunked\r\n", close=self._close)
        self._transport.write(b"%b%x\r\n%b\r\n" % (head, len(first), first))

    def write(self, data: bytes) -> None:
        if self._state == State.CLOSED:
            return
        if self._old:
            self._transport.write(data)
        else:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self._streaming = False
        if self._state == State.CLOSED:
            return
        if not self._old:
            self._transport.write(bytes_out.LAST_CHUNK)
        self._next()

    def fail(self, frame: bytes) -> None:
        self._streaming = False
        if self._state == State.CLOSED:
            return
        self._close = True
        if frame:
            self.write(frame)
            if not self._old:
                self._transport.write(bytes_out.LAST_CHUNK)
        # With nothing to say in the caller's language, the missing last chunk says it: clients raise on that.
        self._next()

    def refuse(self, error: GatewayError, body: bytes) -> None:
        """Answer with an error instead."""
        self._close = self._close or error.closes
        self.whole(error.answer_status, bytes_out.error_headers(error), body)

    def on_writable(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        if not self.paused:
            self.resume_writing()

    def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        if self.call is not None:
            headers.append((b"x-request-id", self.call.request_id.encode()))

    def _announce_drain(self) -> None:
        if self._desk.draining:
            self._close = True

    def _turn_away(self, error: GatewayError, rest: bytes = b"") -> None:
        """Answer a request that isn't served; its body, where it is still coming, is not waited for."""
        self._chunked = None
        self._parts.clear()
        if error.closes or self._state == State.BODY:
            self._close = True
        self._kept[:] = rest
        self._state = State.BUSY
        self.refuse(error, self._desk.turned_away(self.call, error))

    def _next(self) -> None:
        """The answer is out: the next request, or the end."""
        self._task = None
        self.call = None
        if self._close:
            self._linger()
            return
        self._state = State.HEAD
        self._deadline = self._desk.now() + self._desk.deadlines.idle_s
        if self._kept:
            # Not from within this call: a thousand pipelined requests would be a thousand frames deep.
            self._deadline = self._desk.now() + self._desk.deadlines.headers_s
            asyncio.get_running_loop().call_soon(self._read_kept)

    def _read_kept(self) -> None:
        if self._state == State.HEAD and self._kept:
            data = bytes(self._kept)
            self._kept.clear()
            self._read_head(data)

    def _linger(self) -> None:
        """End so that the answer arrives: a close while the caller still sends would reset what he has not yet read."""
        self._state = State.LINGER
        self._kept.clear()
        now = self._desk.now()
        self._deadline = now + self._desk.deadlines.linger_s
        if self._paused_since != NEVER:
            self._deadline = now + self._desk.deadlines.write_stall_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()  # TLS says its goodbye itself

    # --- for the door -------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, not even half a head."""
        return self._state == State.HEAD and not self._kept

    def release(self) -> asyncio.Transport:
        """Give the transport away; this object is done with it."""
        self._state = State.CLOSED
        self._desk.gone(self)
        return self._transport
