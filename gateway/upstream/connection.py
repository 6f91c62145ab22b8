"""One HTTP/1.1 connection to an upstream, on llhttp (HTTP.md, Outbound, has the rules that llhttp leaves to us).

At most one request is under way. Its answer either gathers here (`whole`) or, once its head is known, pours into a
sink as it comes (`pour`). Deadlines are fields: `deadline` for the next thing awaited, `total` for all of it.

A head is found and counted before llhttp sees it, so informational answers never reach the parser, and the parser calls
back for nothing but the body and the end: a call per header field was half the cost of an answer.
"""

import asyncio
from typing import Protocol

import httptools

from gateway.clock import Clock
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamSlow,
    UpstreamTruncated,
)
from gateway.outbox import Outbox, Outgoing
from gateway.tcp_info import rtt_ms
from gateway.upstream.head import (
    END,
    HEAD_BYTES,
    SMALL_BYTES,
    STATUSES,
    check_size,
    could_begin,
    ends_chunks,
    field,
    fields,
    is_chunked,
    is_informational,
)

# What may come beside a body: the head, and of chunk sizes, extensions and trailers this much and so much a byte.
# A chunk of one byte has five of framing.
FRAMING_BYTES = HEAD_BYTES + 64 * 1024
FRAMING_SHARE = 8
INFORMATIONAL_MOST = 16
# A refusal is read for its few words.
REFUSAL_BYTES = 1024 * 1024
REFUSED = 300  # the least status that is no answer
# How long the last chunk may be behind the last event.
ENDING_S = 1.0
NEVER = float("inf")


class Sink(Protocol):
    """Where a streamed body goes."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def broke(self, error: GatewayError) -> None: ...


class Owner(Protocol):
    """Who keeps idle connections; told when one is there, free again, or gone."""

    outbox: Outbox

    def opened(self, connection: "UpstreamConnection") -> None: ...

    def freed(self, connection: "UpstreamConnection") -> None: ...

    def lost(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """A connection of one origin; `reused` tells whether it waited in the pool before."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_body_bytes",
        "_chunked",
        "_clock",
        "_complete",
        "_ending",
        "_eof",
        "_error",
        "_fed",
        "_flowing",
        "_head",
        "_head_bytes",
        "_heavy",
        "_idle",
        "_informational",
        "_keep",
        "_loop",
        "_low",
        "_most_bytes",
        "_owner",
        "_parser",
        "_partial",
        "_paused",
        "_pieces",
        "_sink",
        "_touched",
        "_transport",
        "_waiter",
        "_wants_head",
        "closed",
        "deadline",
        "idle_s",
        "idle_since",
        "on_body",
        "pooled",
        "reused",
        "status",
        "total",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._owner = owner
        self._loop = loop
        self._clock = clock
        self._transport: Outgoing
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._error: GatewayError | None = None
        self._idle = True
        self._complete = self._ending = self._keep = self._eof = False
        self._paused = self._touched = self._flowing = self._chunked = self._wants_head = self._heavy = False
        self._partial: bytearray | None = None
        self._head = self._low = b""
        self._fed = self._head_bytes = self._body_bytes = self._most_bytes = self._informational = 0
        self._body: list[bytes] = []
        self._pieces: list[bytes] = []
        # llhttp calls this straight: no frame of ours for a piece of a body.
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.closed = self.reused = self.pooled = False
        self.idle_since = 0.0
        self.idle_s = self.deadline = self.total = NEVER

    # --- the caller's side --------------------------------------------------------------------------------------------

    @property
    def untouched(self) -> bool:
        """Whether not one byte of an answer has come."""
        return self._fed == 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Every header field; names are lower case. Made anew each time: `content_type` is cheaper."""
        return fields(self._head)

    @property
    def content_type(self) -> bytes:
        """The answer's content type in lower case, nothing where it has none."""
        return field(self._low, b"\r\ncontent-type:") or b""

    def rtt_ms(self) -> float | None:
        """The round trip to its other end in milliseconds, where the kernel has measured it."""
        return None if self.closed else rtt_ms(self._transport.sock())

    def send(self, data: list[bytes], *, most_bytes: int, stream: bool) -> asyncio.Future[None]:
        """Write a request; the future is the arrival of its answer: its head where `stream`, all of it otherwise.

        It raises UpstreamError where the answer broke, DeadlineExceeded where `total` passed. The connection is then
        gone.
        """
        self._idle = self._complete = self._flowing = False
        self._wants_head = stream
        self._most_bytes = most_bytes
        self._fed = self._body_bytes = self.status = self._informational = 0
        waiter = self._waiter = self._loop.create_future()
        if self.closed:
            self._fail(UpstreamDisconnected("The upstream connection was lost."))
        elif len(data) == 1:
            self._heavy = False
            self._transport.write(data[0])
        else:
            self._heavy = True
            self._transport.writelines(data)
        return waiter

    async def rest(self) -> bytes:
        """The whole body of a refusal, after its head came. UpstreamError where it breaks or is above 1 MiB."""
        self._wants_head = False
        self._most_bytes = min(self._most_bytes, REFUSAL_BYTES)
        if not self._complete and self._error is None:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._error is not None:
            raise self._error
        return self.body()

    def body(self) -> bytes:
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    def pour(self, sink: Sink) -> None:
        """From now on hand the body to `sink` as it comes, what has gathered first."""
        self._sink = sink
        gathered = self.body()
        self._body.clear()
        if gathered:
            sink.received(gathered)
        if self._sink is sink and (self._complete or self._error is not None):
            self._tell_sink()

    def settle_down(self) -> None:
        """The answer is all we need: back to the pool once its framing has ended, or away if it doesn't end soon."""
        self._sink = None
        if self._complete:
            self._rest()
        elif self.closed or self._close_delimited:
            self.abort()
        else:
            # [DONE] came, the last chunk hasn't: usually it is in the next packet.
            self._ending = True
            self.resume()
            self.deadline = self._clock.monotonic() + ENDING_S
            self.total = NEVER

    def abort(self) -> None:
        """End the connection at once; the upstream notices and stops working."""
        self._sink = None
        self._body.clear()
        if not self.closed:
            self.closed = True
            self._transport.abort()

    def break_off(self, error: GatewayError) -> None:
        """End what is under way with an error of ours, which its caller is told."""
        if self._idle or self._ending:
            self.abort()
        else:
            self._fail(error)

    def let_go(self, error: GatewayError) -> None:
        """End a stream of which nothing has come yet, with this error; leave all else."""
        if self._wants_head and not (self._idle or self._flowing or self._ending):
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

    def touch_as_content(self, idle_s: float) -> None:
        """From the first content on only silence counts: all that comes gives `idle_s` anew. Before it nothing does."""
        self._flowing = True
        self.idle_s = idle_s
        self.deadline = self._clock.monotonic() + idle_s

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. While the caller reads slower than we do, the idle clock stands still."""
        if self._flowing and (self._touched or self._paused) and not self._ending:
            self._touched = False
            self.deadline = now + self.idle_s
        if now < self.total and now < self.deadline:
            return
        if self._idle or self._ending:
            self.abort()
        elif now >= self.total:
            self._fail(DeadlineExceeded("The request ran out of time."))
        else:
            self._fail(UpstreamSlow("The upstream took too long."))

    # --- the end of an answer -----------------------------------------------------------------------------------------

    @property
    def _close_delimited(self) -> bool:
        """Whether the end of the connection is the end of the body: neither length nor chunks were given."""
        return (
            self.status not in (0, 204, 304) and not self._chunked and field(self._low, b"\r\ncontent-length:") is None
        )

    def _fail(self, error: GatewayError) -> None:
        if not self.closed:
            self.closed = True
            self._transport.abort()
        if self._complete or self._error is not None:
            return
        self._error = error
        self._body.clear()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self._tell_sink()

    def _tell_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        if self._error is not None:
            sink.broke(self._error)
        else:
            sink.ended()

    def _rest(self) -> None:
        """Back to the pool. Not where bytes of the request are still on their way: the upstream may never read them."""
        if not self._keep or self.closed or (self._heavy and self._transport.get_write_buffer_size()):
            self.abort()
            return
        self._idle = True
        self._ending = False
        self._body.clear()
        self.deadline = self.total = NEVER
        if self._paused:
            self.resume()
        self._owner.freed(self)

    # --- the transport's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = Outgoing(transport, self._owner.outbox)  # type: ignore[arg-type]  # a stream's transport
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self.abort()  # a byte nobody asked for: whatever follows can't be trusted
            return
        fed = self._fed = self._fed + len(data)
        try:
            if not self.status:
                data = self._read_head(data)
                if not data:
                    return
            self._parser.feed_data(data)
        except (UpstreamError, httptools.HttpParserError) as error:
            if not self._complete:
                self._refuse(error)
                return
            self._keep = False  # the answer itself was good; what follows it isn't ours
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        size = self._body_bytes = self._body_bytes + len(body)
        if self._complete:
            # A line break after the end, which llhttp steps over, costs the connection as well.
            if fed != self._head_bytes + size and not (self._chunked and ends_chunks(data)):
                self._keep = False
        elif fed - size > FRAMING_BYTES and fed - size > FRAMING_BYTES + FRAMING_SHARE * size:
            self._fail(UpstreamBroken("The upstream's framing is above the limit."))
            return
        sink = self._sink
        if sink is None:
            self._gather(body)
            return
        self._touched = True
        if body:
            sink.received(body)
        if self._complete and self._sink is sink:
            self._tell_sink()

    def _gather(self, body: bytes) -> None:
        """A piece of a body that nothing takes yet, or that nobody wants any more."""
        if self._ending:
            if body:
                self.abort()  # more after the end of the answer
            elif self._complete:
                self._rest()
            return
        if self._body_bytes > self._most_bytes:
            self._complete = False
            self._fail(UpstreamBroken("The upstream's answer is above the limit."))
            return
        if body:
            self._body.append(body)
        if self._complete or self._wants_head:
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _refuse(self, error: Exception) -> None:
        told = error
        if not isinstance(told, UpstreamError):
            told = UpstreamBroken("The upstream's answer is not valid HTTP.")
            told.__cause__ = error
        error.with_traceback(None)  # its frames would keep this connection
        self._fail(told)

    def _read_head(self, data: bytes) -> bytes:
        """The bytes for llhttp once the head is whole, nothing until then. UpstreamBroken where it isn't acceptable."""
        if self._partial is not None:
            data = self._whole_head(data)
            if not data:
                return data
        while True:
            end = data.find(END)
            if end < 0:
                return self._hold(data)
            status = STATUSES.get(data[:12])
            if status is not None:
                break
            if not is_informational(data) or self._informational == INFORMATIONAL_MOST:
                raise UpstreamBroken("The upstream's answer is not valid HTTP.")
            self._informational += 1
            data = data[end + 4 :]
        self._head = head = data[: end + 2]
        self._low = low = head.lower()
        if end > SMALL_BYTES:
            check_size(head)
        self._chunked = is_chunked(low, status)
        self._head_bytes = self._fed - len(data) + end + 4
        self.status = status
        if status >= REFUSED:
            self._wants_head = True  # a refusal's status says what matters, whether its words come or not
        return data

    def _hold(self, data: bytes) -> bytes:
        if not could_begin(data):
            raise UpstreamBroken("The upstream's answer is not valid HTTP.")
        if len(data) > HEAD_BYTES:
            raise UpstreamBroken("The upstream's header is above the limit.")
        self._partial = bytearray(data) if data else None
        return b""

    def _whole_head(self, data: bytes) -> bytes:
        """What was held and what came, once the end of the head is in it; nothing else is looked at twice."""
        held = self._partial
        assert held is not None
        start = max(0, len(held) - 3)
        held += data
        if held.find(END, start) < 0 and len(held) <= HEAD_BYTES:
            return b""
        self._partial = None
        return bytes(held)

    def eof_received(self) -> bool:
        self._eof = True
        if self._idle:
            self.abort()
        return False

    def give_up(self) -> None:
        """Nobody waits for this connection any more, whether it had come about or not."""
        self.closed = True
        transport: Outgoing | None = getattr(self, "_transport", None)
        if transport is not None:
            transport.abort()
        self._owner.lost(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        del self._parser  # it holds this object, and waiting for a garbage collection would be waiting long
        self._owner.lost(self)
        if self._idle or self._ending or self._complete or self._error is not None:
            return
        if self._eof and self._close_delimited:
            self._complete = True
            self._keep = False
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            self._tell_sink()
        elif self.status and exc is None:
            self._fail(UpstreamTruncated("The upstream ended before its answer was complete."))
        else:
            self._fail(UpstreamDisconnected("The upstream connection was lost."))

    # --- llhttp's side ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise _NotOurs

    def on_message_complete(self) -> None:
        self._complete = True
        self._keep = self._parser.should_keep_alive()


class _NotOurs(Exception):
    """Stops the parser before a second answer."""
