"""One caller's connection: requests in, one at a time and in order; answers out.

A connection is in exactly one state, and everything that may happen in it is in the method of that state. Reading is
never paused while an attempt waits, since a caller who leaves would not be noticed: what he sends ahead is kept up to a
cap.
"""

import asyncio
import contextlib
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
from gateway.outbox import Outgoing
from gateway.server import bytes_out
from gateway.server.chunked import ChunkedBody
from gateway.server.head import Head, HeadReader, SameHead, given_id, path_of
from gateway.server.pieces import Pieces
from gateway.server.reply import CallerReply, Host
from gateway.server.routes import Route
from gateway.server.unread import Unread
from gateway.settings.shape import Caps, Deadlines
from gateway.tcp_info import rtt_ms

NEVER = float("inf")
LINGER_BYTES = 64 * 1024 * 1024
FRESH_S = 1.0  # for a connection without a request yet, once no more are wanted


class State(IntEnum):
    HEAD = 0  # waiting for a head, or in the middle of one
    BODY = 1  # a declared or chunked body is coming
    BUSY = 2  # a request is being served; what comes is kept for later
    LINGER = 3  # an answer was given that ends the connection; what comes is thrown away
    CLOSED = 4


class Desk(Host, Protocol):
    """What a connection asks of the door behind it."""

    heads: HeadReader
    caps: Caps
    deadlines: Deadlines
    wall: Callable[[], float]

    def new_id(self) -> str: ...

    def greet(self, call: Call, head: Head) -> Route:
        """Accept a head, or raise."""

    def welcome(self, connection: "CallerConnection") -> None:
        """Let a connection in that wasn't counted before, or turn it away."""

    def hand_over(self, connection: "CallerConnection", call: Call, head: Head, raw: bytes, rest: bytes) -> None:
        """Give the connection to another application. `raw` is the head as it came, `rest` what followed it."""

    def serve(self, connection: "CallerConnection", call: Call, route: Route) -> "asyncio.Task[None] | None":
        """Serve a whole request; None where it was answered at once."""

    def turned_away(self, call: Call, error: GatewayError) -> bytes:
        """The error body for a request that ends before it is served; also settles it."""

    def lingers(self, connection: "CallerConnection") -> None:
        """The last answer of this connection is on its way."""

    def gone(self, connection: "CallerConnection") -> None: ...


class CallerConnection(CallerReply):
    """A connection, and at the same time the reply to the request it is serving."""

    __slots__ = (
        "_ahead",
        "_below",
        "_body",
        "_body_left",
        "_chunked",
        "_deadline",
        "_desk",
        "_kept",
        "_lingered",
        "_owed",
        "_same",
        "_sending",
        "_served",
        "_state",
        "_task",
        "_wire",
        "address",
        "route",
        "secure",
    )

    def __init__(self, desk: Desk, wire: asyncio.Transport | None = None) -> None:
        """`wire` is the transport below, where this connection speaks TLS."""
        super().__init__(desk)
        self._desk = desk
        self._wire = wire
        self._below: asyncio.BaseTransport
        self.route: Route
        self._state = State.HEAD
        self._kept = bytearray()
        self._same = SameHead()
        self._task: asyncio.Task[None] | None = None
        self._chunked: ChunkedBody | None = None
        self._body: Pieces | None = None
        self._body_left = 0
        self._deadline = NEVER
        self._lingered = 0
        self._owed = NEVER  # bytes of a refused body that are still to come, where that is known
        self._ahead = 0
        self._served = self._sending = False
        self.address = ""
        self.secure = wire is not None

    # --- the transport's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = transport if self._wire is None else self._wire
        self._transport = Outgoing(transport, self._desk.outbox)  # type: ignore[arg-type]  # a stream's: reads and writes
        self.unread = Unread(self._transport) if self._wire is None else Unread(self._transport, self._wire)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline = self._desk.now() + self._desk.deadlines.headers_s
        if self._wire is None:
            self._desk.welcome(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == State.HEAD:
            if self._ahead and not self._kept:
                self._ahead = 0
            self._read_head(data)
        elif state == State.BODY:
            self._read_body(data)
        elif state == State.BUSY:
            self._keep(data)
        elif state == State.LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.abort()
            elif self._sending and self._lingered >= self._owed and self.secure:
                self._part(self._desk.now())

    def eof_received(self) -> bool:
        """A caller's FIN means he has left: `close()` and `shutdown(SHUT_WR)` look the same from here."""
        if self._state != State.LINGER:
            self.abort()
        else:
            self._transport.flush()
        return False  # the transport closes itself, once what is written is out

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._state, self._gone = State.CLOSED, True
        self._leave()
        self._desk.gone(self)

    def _leave(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            # In the next turn of the loop: a task that was cancelled before its first step would settle nothing.
            asyncio.get_running_loop().call_soon(task.cancel)

    def abort(self) -> None:
        """End the connection now; `close()` never ends against a stuck reader."""
        if self._state != State.CLOSED:
            self._state, self._gone = State.CLOSED, True
            self._transport.abort()
        self._leave()

    def sweep(self, now: float) -> None:
        """Act on the deadline that has passed: for a head, a body, an idle connection, a reader who doesn't read."""
        overdue = now >= self._deadline
        if not overdue and not self.paused:
            return
        lingers = self._state == State.LINGER
        his_turn = not lingers and not self.idle
        if not his_turn and self.unread.taken():
            # Only now has he read the last answer, so his time begins.
            self._deadline = now + (self._desk.deadlines.linger_s if lingers else self._desk.deadlines.idle_s)
        elif (overdue and his_turn) or not self.unread.size:
            if overdue:
                self._overdue(now)
        elif self.unread.stalled(now, self._desk.deadlines.write_stall_s):
            self.abort()

    def _overdue(self, now: float) -> None:
        if self._state == State.LINGER:
            if self._sending and self.secure:
                self._part(now)
            else:
                self.abort()
        elif self.idle and (self._served or self._desk.draining):
            self.abort()
        elif self._state in (State.HEAD, State.BODY):
            if self.call is None:
                self.call = self._unnamed(self._kept)
            self._turn_away(ReceiveTimeout("The request did not arrive in time."))

    # --- reading ------------------------------------------------------------------------------------------------------

    def _keep(self, data: bytes) -> None:
        """Keep what was sent ahead of its turn; where that is too much, this answer is the last."""
        if len(self._kept) + len(data) > self._desk.caps.pipelined_bytes:
            self._close = self._sending = True
        else:
            self._kept += data

    def _read_head(self, data: bytes) -> None:
        kept = self._kept
        heads = self._desk.heads
        try:
            if kept:
                start = len(kept)
                kept += data
                end = heads.find_end(kept, start)
                if end == 0:
                    return
                raw, rest = bytes(kept[:end]), bytes(kept[end:])
                kept.clear()
            else:
                end = heads.find_end(data, 0)
                if end == 0:
                    if self._served:
                        self._deadline = self._desk.now() + self._desk.deadlines.headers_s
                    kept += data
                    return
                raw, rest = data[:end], data[end:]
            head = self._same.read(raw, heads)
        except CallerError as error:
            self.call = self._unnamed(kept or data)
            self._close = self._sending = True  # where the next request would begin is anybody's guess
            self._turn_away(error)
            return
        self._accept(head, raw, rest)

    def _accept(self, head: Head, raw: bytes, rest: bytes) -> None:
        desk = self._desk
        now = desk.now()
        self._served = True
        self._old = head.http_1_0
        self._close = not head.keep_alive or desk.draining or self._ahead >= desk.caps.pipelined_requests
        self._head_only = head.method == "HEAD"
        self.started = False
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
            route = desk.greet(call, head)
        except GatewayError as error:
            # A body that is already here can be stepped over; one that isn't ends the connection.
            if head.chunked or length > len(rest):
                self._close = self._sending = True
                self._owed = NEVER if head.chunked else length - len(rest)
            self._turn_away(error, rest[length:])
            return
        self.route = route
        if route.slow:
            desk.hand_over(self, call, head, raw, rest)
            return
        if head.expects_continue and not rest and (length or head.chunked):
            self._transport.write(bytes_out.CONTINUE)
        if head.chunked:
            most_bytes = route.most_bytes(desk.caps)
            self._chunked = ChunkedBody(most_bytes)
            self._expect_body(now, most_bytes)
            self._read_body(rest)
        elif length > len(rest):
            self._body = Pieces()
            if rest:
                self._body.add(rest)
            self._body_left = length - len(rest)
            self._expect_body(now, length)
        elif length == len(rest):
            call.body = rest
            self._complete(b"")
        else:
            call.body = rest[:length]
            self._complete(rest[length:])

    def _expect_body(self, now: float, size: int) -> None:
        self._state = State.BODY
        self._deadline = now + body_s(self._desk.deadlines, size)

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
        assert self._body is not None
        left = self._body_left
        if len(data) < left:
            self._body.add(data)
            self._body_left = left - len(data)
            return
        self._body.add(data[:left])
        self.call.body = self._body.whole()
        self._body = None
        self._complete(data[left:])

    def _complete(self, rest: bytes) -> None:
        """A whole request is here: serve it."""
        assert self.call is not None
        self._state = State.BUSY
        self._deadline = NEVER
        if rest:
            self._keep(rest)
        self._task = self._desk.serve(self, self.call, self.route)

    def _unnamed(self, data: bytes | bytearray) -> Call:
        """A request whose head can't be believed: only the language of its answer is guessed from it."""
        desk = self._desk
        self._head_only = data.startswith(b"HEAD ")
        self._old = False
        return Call(
            method="",
            path=path_of(data),
            query="",
            headers={},
            address=self.address,
            request_id=desk.new_id(),
            arrived=desk.now(),
            arrived_wall=desk.wall(),
            secure=self.secure,
        )

    # --- the end of an answer -----------------------------------------------------------------------------------------

    def turn_away(self, error: GatewayError) -> None:
        """Say no to a connection that has just come."""
        self.call = self._unnamed(b"")
        self._close = self._sending = True
        self._turn_away(error)

    def _turn_away(self, error: GatewayError, rest: bytes = b"") -> None:
        """Answer a request that isn't served; its body, where it is still coming, is not waited for."""
        assert self.call is not None
        if self._state == State.BODY:
            self._close = self._sending = True
        self._chunked = self._body = None
        self._kept.clear()
        self._state = State.BUSY
        if rest:
            self._keep(rest)
        self.refuse(error, self._desk.turned_away(self.call, error))

    def _next(self) -> None:
        """The answer is out: the next request, or the end."""
        self._task = None
        self.call = None
        if self._close or self._desk.draining:
            self._linger()
            return
        if self._kept:
            # Not from within this call: a thousand pipelined requests would be a thousand frames deep.
            asyncio.get_running_loop().call_soon(self._read_kept)
            return
        self._state = State.HEAD
        self._deadline = self._desk.now() + self._desk.deadlines.idle_s

    def _read_kept(self) -> None:
        """Until then the connection stays busy, so that what comes meanwhile is kept behind what is here."""
        if self._state == State.BUSY:
            self._state = State.HEAD
            self._ahead += 1
            data = bytes(self._kept)
            self._kept.clear()
            self._read_head(data)

    def _linger(self) -> None:
        """End so that the answer arrives: a close while the caller still sends would reset what he has not yet read."""
        self._state = State.LINGER
        self._sending = self._sending or bool(self._kept)
        self._kept.clear()
        now = self._desk.now()
        self._deadline = now + self._desk.deadlines.linger_s
        if not self.secure:
            if not self._transport.is_closing():
                with contextlib.suppress(OSError):  # he has reset it meanwhile
                    self._transport.write_eof()
        elif not self._sending:
            self._part(now)
        self._desk.lingers(self)

    def _part(self, now: float) -> None:
        """TLS says its own goodbye, after which nothing can be read, so what was still coming is read first."""
        self._sending = False
        self._deadline = now + self._desk.deadlines.linger_s
        self._transport.close()

    # --- for the door -------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, not even half a head."""
        return self._state == State.HEAD and not self._kept

    @property
    def under_way(self) -> bool:
        """Whether somebody waits for an answer, or is about to ask for one."""
        return self._state < State.LINGER

    @property
    def served(self) -> bool:
        """Whether it has brought a request."""
        return self._served

    def rtt_ms(self) -> float | None:
        """The round trip to whoever is at its other end, in milliseconds, where the kernel has measured it."""
        return rtt_ms(self._below.get_extra_info("socket"))

    def finish(self) -> None:
        """No more requests are wanted: an idle connection ends, one that has just come is given a moment."""
        if not self.idle:
            return
        if self._served:
            self.abort()
        else:
            self._deadline = min(self._deadline, self._desk.now() + FRESH_S)

    def release(self) -> asyncio.Transport:
        """Give the transport away; this object is done with it, and tells nobody."""
        self._state, self._gone = State.CLOSED, True
        return self._transport.release()


def body_s(deadlines: Deadlines, size: int) -> float:
    """Seconds a body of this size may take to arrive."""
    return min(deadlines.body_most_s, deadlines.body_s + size / deadlines.body_bytes_per_s)
