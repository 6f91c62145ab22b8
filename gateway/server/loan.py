"""A caller's connection while another application answers him.

Everything he sends passes through here first, so the caps, the framing and the deadlines of a body are the same as at
our own door, his leaving is noticed at once, and what follows the one exchange is never read as another request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import GatewayError, MalformedHttp, ReceiveTimeout, TooLarge
from gateway.exchange import Call
from gateway.server.chunked import ChunkedBody
from gateway.server.head import Head
from gateway.server.protocol import LINGER_BYTES, NEVER, CallerConnection, body_s
from gateway.server.routes import Route

if TYPE_CHECKING:
    from gateway.server.door import Door

T = TypeVar("T")


class Loan(asyncio.Protocol):
    """Stands between a transport and the protocol it is lent to.

    The application notes that the caller has a status line (`started`), and that he has been told everything (`done`).
    """

    def __init__(
        self, door: "Door", lender: CallerConnection, transport: asyncio.Transport, call: Call, route: Route, head: Head
    ) -> None:
        self._door = door
        self._transport = transport
        self._unread = lender.unread
        self._paused = lender.paused
        self._inner: asyncio.Protocol | None = None
        self._waiting = bytearray()
        self._reader: asyncio.Task[object] | None = None
        self._error: GatewayError | None = None
        self._refused_bytes = 0
        self._ended = False
        self.address = lender.address
        self.call = call
        self.route = route
        self.runtime = door.runtime
        self.sweeper = door.sweeper
        self.linger_s = door.deadlines.linger_s
        self.most_bytes = route.most_bytes(door.caps)
        self.started = self.done = False
        self._chunked = ChunkedBody(self.most_bytes, keeps=False) if head.chunked else None
        self._left = head.length or 0
        self._endless = route.slow == "realtime"
        size = self.most_bytes if head.chunked else self._left
        self._deadline = door.now() + (door.deadlines.idle_s if self._endless else body_s(door.deadlines, size))

    def begin(self, inner: asyncio.Protocol, raw: bytes) -> None:
        """Lend the connection to this protocol, and tell it of the head and of what has come since."""
        if self._ended:
            return
        self._inner = inner
        inner.connection_made(self._transport)
        if self._paused:
            inner.pause_writing()
        inner.data_received(raw)
        if self._waiting:
            inner.data_received(bytes(self._waiting))
            self._waiting.clear()

    # --- the transport's side -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._error is not None:
            self._refused_bytes += len(data)
            if self._refused_bytes > LINGER_BYTES:
                self.abort()
            return
        if self._endless:
            self.touch()
        else:
            data = self._of_body(data)
        if not data:
            return
        if self._inner is not None:
            self._inner.data_received(data)
        else:
            self._waiting += data

    def _of_body(self, data: bytes) -> bytes:
        """As much of it as belongs to this request."""
        if self._chunked is not None:
            try:
                rest = self._chunked.feed(data)
            except (MalformedHttp, TooLarge) as error:
                self._fail(error)
                return b""
            data = data[: len(data) - len(rest)]
            complete = self._chunked.done
        else:
            data = data[: self._left]
            self._left -= len(data)
            complete = self._left == 0
        if complete:
            self._deadline = NEVER
        return data

    def eof_received(self) -> bool:
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._inner is not None:
            self._inner.connection_lost(exc)
        self._door.handed_back(self)

    def pause_writing(self) -> None:
        self._paused = True
        self._unread.begin(self._door.now())
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        if self._inner is not None:
            self._inner.resume_writing()

    # --- the application's side ---------------------------------------------------------------------------------------

    async def reading(self, read: Callable[[], Awaitable[T]]) -> T:
        """What comes of reading the body; raises what was wrong with it on its way here."""
        self._check()
        self._reader = asyncio.current_task()
        assert self._reader is not None
        try:
            return await read()
        except asyncio.CancelledError:
            if self._error is not None and not self._reader.uncancel():
                self._check()
            raise
        finally:
            self._reader = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _fail(self, error: GatewayError) -> None:
        """Nothing more of this body is believed; whoever reads it is told."""
        self._error = error
        self._deadline = NEVER
        if self._reader is not None:
            self._reader.cancel()

    def touch(self) -> None:
        """Something was said on a connection without an end: it isn't idle."""
        self._deadline = self._door.now() + self._door.deadlines.idle_s

    def hang_up(self) -> None:
        """End an answer that broke: what was written arrives, and its end is missing."""
        self._transport.close()

    # --- for the door -------------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        return not self._ended

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed: of the body, of silence, of a reader who stands still."""
        if now >= self._deadline:
            if self._endless:
                self.abort()
            else:
                self._fail(ReceiveTimeout("The request did not arrive in time."))
        elif (self._paused or self._transport.is_closing()) and self._unread.stalled(
            now, self._door.deadlines.write_stall_s
        ):
            self.abort()

    def finish(self) -> None:
        """Its one exchange is its last anyway."""

    def resume(self) -> None:
        """Read on, now that there is somebody to read for."""
        if not self._ended and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()
