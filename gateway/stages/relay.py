"""A streamed answer on its way from an upstream to the caller, in callbacks: no task is woken for a piece of it."""

import asyncio

from gateway.clock import Clock
from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Attempt, Exchange, Reply
from gateway.upstream.connection import UpstreamConnection
from gateway.wire import StreamMeter


class Relay:
    """Pours one upstream answer into the caller's reply, through a meter.

    Until the first content nothing is written, and a failure is `finished`'s exception: the next place may be tried.
    After it a failure is the caller's to see, as an error frame.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_connection",
        "_exchange",
        "_headers",
        "_idle_s",
        "_meter",
        "_reply",
        "finished",
    )

    def __init__(
        self,
        exchange: Exchange,
        attempt: Attempt,
        connection: UpstreamConnection,
        meter: StreamMeter,
        reply: Reply,
        headers: list[tuple[bytes, bytes]],
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._connection = connection
        self._meter = meter
        self._reply = reply
        self._headers = headers
        self._clock = clock
        self._idle_s = attempt.target.timeouts.idle_s
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes) -> None:
        meter = self._meter
        out = meter.feed(data)
        if out:
            self._exchange.bytes_out += len(out)
            if self._reply.started:
                self._reply.write(out)
            else:
                self._commit(out)
            if self._reply.paused:
                self._connection.pause()
                self._reply.on_writable(self._connection.resume)
        if meter.error is not None:
            self._break(meter.error)
        elif meter.done:
            self._end()

    def ended(self) -> None:
        out = self._meter.finish_up()
        if self._meter.error is not None:
            self._break(self._meter.error)
            return
        self._finish(out)

    def broke(self, error: GatewayError) -> None:
        # [DONE] may be missing and the connection torn, and still every choice has its finish.
        out = self._meter.finish_up()
        if self._meter.done:
            self._finish(out)
        else:
            self._break(error)

    def _commit(self, first: bytes) -> None:
        self._attempt.first_content = self._exchange.first_content = self._clock.monotonic()
        self._connection.touch_as_content(self._idle_s)
        self._reply.stream(self._headers, first)

    def _end(self) -> None:
        self._finish(self._meter.finish_up())

    def _finish(self, last: bytes) -> None:
        if last:
            self._reply.write(last)
        self._reply.end()
        self._exchange.complete = True
        self._connection.settle_down()
        self._resolve(None)

    def _break(self, error: GatewayError) -> None:
        self._connection.abort()
        if isinstance(error, UpstreamError):
            error.target = self._attempt.target.backend.name
        if self._reply.started:
            self._exchange.error = error
            self._reply.fail(self._meter.failure(error))
        self._resolve(error)

    def _resolve(self, error: GatewayError | None) -> None:
        if self.finished.done():
            return
        if error is not None:
            self.finished.set_exception(error)
        else:
            self.finished.set_result(None)
