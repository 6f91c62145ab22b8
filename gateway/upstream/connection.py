"""One HTTP/1.1 connection to an upstream, on llhttp (HTTP.md, Outbound, has the rules that llhttp leaves to us).

At most one request is under way. Its answer either gathers here (`whole`) or, once its head is known, pours into a
sink as it comes (`pour`). Deadlines are fields: `deadline` for the next thing awaited, `total` for all of it.
"""

import asyncio
from typing import Protocol

import httptools

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamSlow,
    UpstreamTruncated,
)

HEAD_BYTES = 64 * 1024
HEADER_FIELDS = 128
HEADER_BYTES = 8 * 1024
FRAMING_BYTES = 64 * 1024
NEVER = float("inf")


class Sink(Protocol):
    """Where a streamed body goes."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def broke(self, error: GatewayError) -> None: ...


class Owner(Protocol):
    """Who keeps idle connections; told when one is free again or gone."""

    def freed(self, connection: "UpstreamConnection") -> None: ...

    def lost(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """A connection of one origin; `reused` tells whether it served before."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_body_bytes",
        "_close_delimited",
        "_complete",
        "_eof",
        "_error",
        "_fed",
        "_head_complete",
        "_keep",
        "_loop",
        "_most_bytes",
        "_owner",
        "_parser",
        "_paused",
        "_resting",
        "_sink",
        "_touched",
        "_transport",
        "_waiter",
        "_wants_head",
        "closed",
        "deadline",
        "headers",
        "idle_s",
        "idle_since",
        "reused",
        "status",
        "total",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._resting = True
        self._paused = False
        self._touched = False
        self.closed = False
        self.reused = False
        self.idle_since = 0.0
        self.idle_s = NEVER
        self.deadline = NEVER
        self.total = NEVER
        self._begin(0)

    def _begin(self, most_bytes: int) -> None:
        self._head_complete = self._complete = self._eof = False
        self._wants_head = self._close_delimited = self._keep = False
        self._error: GatewayError | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._fed = 0
        self._most_bytes = most_bytes
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    # --- the caller's side --------------------------------------------------------------------------------------------

    @property
    def untouched(self) -> bool:
        """Whether not one byte of an answer has come."""
        return self._fed == 0

    async def send(self, data: list[bytes], *, most_bytes: int, stream: bool) -> None:
        """Write a request and wait for its answer: its head where `stream`, all of it otherwise.

        Raises UpstreamError where the answer broke, DeadlineExceeded where `total` passed. The connection is then gone.
        """
        self._begin(most_bytes)
        self._resting = False
        self._wants_head = stream
        if len(data) == 1:
            self._transport.write(data[0])
        else:
            self._transport.writelines(data)
        await self._wait()

    async def rest(self) -> bytes:
        """The whole body, after its head came."""
        self._wants_head = False
        if not self._complete:
            await self._wait()
        return self.body()

    def body(self) -> bytes:
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    def pour(self, sink: Sink) -> None:
        """From now on hand the body to `sink` as it comes, what has gathered first."""
        self._sink = sink
        gathered = self.body()
        self._body = []
        if gathered:
            sink.received(gathered)
        if self._sink is sink and (self._complete or self._error is not None):
            self._tell_sink()

    def settle_down(self) -> None:
        """The answer is all we need: back to the pool once its framing has ended, or away if it doesn't end soon."""
        self._sink = None
        if self._complete and self._keep and not self.closed:
            self._rest()
        elif self._complete or self.closed or self._close_delimited:
            self.abort()
        else:
            # [DONE] came, the last chunk hasn't: usually it is in the next packet.
            self._resting = True
            self.deadline = self._loop.time() + 1.0
            self.total = NEVER

    def abort(self) -> None:
        """End the connection at once; the upstream notices and stops working."""
        self._sink = None
        if not self.closed:
            self.closed = True
            self._transport.abort()

    def break_off(self, error: GatewayError) -> None:
        """End what is under way with an error of ours, which its caller is told."""
        if self._resting:
            self.abort()
        else:
            self._fail(error)

    def pause(self) -> None:
        if not self._paused and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self._touched = True
            self._transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. While the caller reads slower than we do, the idle clock stands still."""
        if self._paused or self._touched:
            self._touched = False
            if self.deadline != NEVER:
                self.deadline = now + self.idle_s
        if now >= self.total and not self._resting:
            self._fail(DeadlineExceeded("The request ran out of time."))
        elif now >= self.deadline:
            if self._resting:
                self.abort()
            else:
                self._fail(UpstreamSlow("The upstream took too long."))

    def touch_as_content(self, idle_s: float) -> None:
        """From the first content on, only silence counts: each piece gives `idle_s` anew."""
        self.idle_s = idle_s
        self.deadline = self._loop.time() + idle_s

    async def _wait(self) -> None:
        if self._error is None and not self._complete and not (self._wants_head and self._head_complete):
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: GatewayError) -> None:
        if self._error is None and not self._complete:
            self._error = error
        if not self.closed:
            self.closed = True
            self._transport.abort()
        self._wake()
        self._tell_sink()

    def _tell_sink(self) -> None:
        sink = self._sink
        if sink is None:
            return
        if self._error is not None:
            self._sink = None
            sink.broke(self._error)
        elif self._complete:
            self._sink = None
            sink.ended()

    def _rest(self) -> None:
        self._resting = True
        self.reused = True
        self.deadline = self.total = NEVER
        self.resume()
        self._owner.freed(self)

    # --- the transport's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport reads and writes

    def data_received(self, data: bytes) -> None:
        if self._resting and self._complete:
            self.abort()  # a byte nobody asked for: whatever follows can't be trusted
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamBroken("The upstream switched protocols."))
            return
        except httptools.HttpParserError as error:
            self._refuse(error)
            return
        if self._error is not None:
            self._fail(self._error)
            return
        if not self._head_complete:
            if self._fed > HEAD_BYTES:
                self._fail(UpstreamBroken("The upstream's header is above the limit."))
            return
        if self._fed - self._body_bytes > HEAD_BYTES + FRAMING_BYTES + 2 * self._body_bytes:
            self._fail(UpstreamBroken("The upstream's framing is above the limit."))
            return
        sink = self._sink
        if sink is not None:
            self._touched = True
            if self._body:
                gathered = self.body()
                self._body = []
                sink.received(gathered)
            if self._complete and self._sink is sink:
                self._sink = None
                sink.ended()
        elif self._resting and self._complete:
            if self._keep and not self.closed:
                self._rest()
            else:
                self.abort()
        elif self._waiter is not None and (self._complete or self._wants_head):
            self._wake()

    def _refuse(self, error: Exception) -> None:
        # A callback of ours that refused the answer says more than llhttp's word for it.
        told = self._error
        if told is None:
            told = UpstreamBroken("The upstream's answer is not valid HTTP.")
            told.__cause__ = error
        if self._complete:
            self.abort()  # the answer itself was good; what follows it isn't ours
            self._wake()
            self._tell_sink()
        else:
            self._error = told
            self._fail(told)

    def eof_received(self) -> bool:
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._owner.lost(self)
        if self._resting or self._complete:
            return
        if self._error is None:
            if self._head_complete and self._close_delimited and self._eof and exc is None:
                self._complete = True
            elif self._head_complete:
                self._error = UpstreamTruncated("The upstream ended before its answer was complete.")
                if exc is not None:
                    self._error = UpstreamDisconnected("The upstream connection was lost.")
            else:
                self._error = UpstreamDisconnected("The upstream connection was lost.")
        self._wake()
        self._tell_sink()

    # --- llhttp's side ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete or self._resting:
            raise _NotOurs

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:
            return  # a trailer: ignored
        if len(self.headers) >= HEADER_FIELDS or len(name) + len(value) > HEADER_BYTES:
            self._error = UpstreamBroken("The upstream's header is above the limit.")
            raise _NotOurs
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        if status > 599:
            self._error = UpstreamBroken("The upstream's status is not valid.")
            raise _NotOurs
        self.status = status
        self._head_complete = True
        headers = self.headers
        self._close_delimited = (
            b"content-length" not in headers and b"transfer-encoding" not in headers and status not in (204, 304)
        )

    def on_body(self, data: bytes) -> None:
        self._body.append(data)
        self._body_bytes += len(data)
        if self._sink is None and self._body_bytes > self._most_bytes:
            self._error = UpstreamBroken("The upstream's answer is above the limit.")
            raise _NotOurs
        if self._resting:
            self._body.clear()

    def on_message_complete(self) -> None:
        if not self._head_complete:
            # 100 and 103 fire a whole message; 101 ends in HttpParserUpgrade.
            self.headers = {}
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive() and not self._close_delimited


class _NotOurs(Exception):  # noqa: N818  (leaves llhttp, never this file)
    """Stops the parser from inside a callback."""
