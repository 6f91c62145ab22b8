"""A streamed answer on its way from an upstream to the caller, in callbacks: no task is woken for a piece of it."""

import asyncio
from collections.abc import Callable

from gateway.clock import Clock
from gateway.errors import Bug, GatewayError, UpstreamError
from gateway.exchange import Attempt, Exchange, Reply
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.health import Health
from gateway.wire import StreamMeter


class Relay:
    """Pours one upstream answer into the caller's reply, through a meter.

    Until the first content nothing is written, and a failure is all there is: the next place may be tried. After it a
    failure is the caller's to see, as an error frame. `finished` is set to the failure, or to None where all went well;
    it never raises, so that nobody has to be there to hear it. `opening` is called at the first content and gives the
    header lines; without it they are `lines`.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_connection",
        "_exchange",
        "_health",
        "_idle_s",
        "_lines",
        "_meter",
        "_opening",
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
        lines: bytes,
        clock: Clock,
        health: Health,
        opening: Callable[[], bytes] | None = None,
    ) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._connection = connection
        self._meter = meter
        self._reply = reply
        self._lines = lines
        self._clock = clock
        self._health = health
        self._opening = opening
        self._idle_s = attempt.target.timeouts.idle_s
        self.finished: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def received(self, data: bytes) -> None:
        meter = self._meter
        try:
            out = meter.feed(data)
            if out:
                self._exchange.bytes_out += len(out)
                if self._reply.started:
                    self._reply.write(out)
                else:
                    self._commit(out)
                if self._reply.paused:
                    self._connection.pause()
                    self._reply.on_writable(self._resume)
            if meter.error is not None:
                self._break(meter.error)
            elif meter.done:
                self._finish(meter.finish_up())
        except Exception as error:  # noqa: BLE001  (in a callback of the transport it would be nobody's)
            self._give_up(error)

    def ended(self) -> None:
        try:
            out = self._meter.finish_up()
            if self._meter.error is not None:
                self._break(self._meter.error)
            else:
                self._finish(out)
        except Exception as error:  # noqa: BLE001  (as above)
            self._give_up(error)

    def broke(self, error: GatewayError) -> None:
        try:
            # [DONE] may be missing and the connection torn, and still every choice has its finish.
            out = self._meter.finish_up()
            if self._meter.done:
                self._finish(out)
            else:
                self._break(error)
        except Exception as bug:  # noqa: BLE001  (as above)
            self._give_up(bug)

    def _resume(self) -> None:
        """The caller has caught up. The connection may be another request's by then."""
        if not self.finished.done():
            self._connection.resume()

    def _commit(self, first: bytes) -> None:
        if self._opening is not None:
            self._lines = self._opening()
        self._attempt.first_content = self._exchange.first_content = self._clock.monotonic()
        self._connection.touch_as_content(self._idle_s)
        self._reply.stream(self._lines, first)
        self._health.first(self._attempt)

    def _finish(self, last: bytes) -> None:
        if last:
            self._exchange.bytes_out += len(last)
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
            self._fail(error)
        self._resolve(error)

    def _give_up(self, bug: Exception) -> None:
        """A failure of ours: told like any other, and handed on as it is to whoever writes it down."""
        self._connection.abort()
        self._resolve(bug)
        if self._reply.started and not self._exchange.complete:
            self._fail(Bug("The gateway failed to handle this request."))

    def _fail(self, error: GatewayError) -> None:
        frame = self._meter.failure(error)
        self._exchange.bytes_out += len(frame)
        self._reply.fail(frame)

    def _resolve(self, failure: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_result(failure)
