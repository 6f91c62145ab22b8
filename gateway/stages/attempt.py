"""Walk the plan until one place answers; never after the first content has gone to the caller.

The caller sees content of at most one attempt. What failed before that is recorded and shown in metrics and logs.
"""

import asyncio
from collections.abc import Iterable, Sequence

from gateway.clock import Clock
from gateway.errors import CallerLeft, GatewayError, NoRoute, UpstreamError
from gateway.exchange import Attempt, Exchange, Reply
from gateway.features import Request
from gateway.stages.answer import headers_of
from gateway.stages.relay import Relay
from gateway.upstream.catalogue import Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.health import Health

MOST_ATTEMPTS = 3
MOST_EVENT_BYTES = 1024 * 1024


class Attempter:
    """Everything attempts need that outlives a request."""

    def __init__(self, client: UpstreamClient, health: Health, clock: Clock, pop: str) -> None:
        self.client = client
        self._health = health
        self._clock = clock
        self._pop = pop

    async def attempt(
        self, exchange: Exchange, request: Request, plan: Sequence[Place], reply: Reply, head: bytes, total: float
    ) -> None:
        """Answer the caller from the first place of the plan that can. Raises what the last one failed with."""
        failure: GatewayError | None = None
        for place in plan[:MOST_ATTEMPTS]:
            attempt = Attempt(place.target, self._clock.monotonic())
            exchange.attempts.append(attempt)
            self._health.began(attempt)
            hurts = False
            try:
                await self._try(exchange, request, place, attempt, reply, head, total)
                attempt.outcome = "answered"
                return
            except UpstreamError as error:
                attempt.outcome = error.reason
                error.target = place.name
                hurts = error.hurts_health
                failure = error
                if reply.started or not error.try_elsewhere:
                    raise
            except asyncio.CancelledError:
                attempt.outcome = CallerLeft.code
                raise
            except GatewayError as error:
                attempt.outcome = error.reason
                raise
            finally:
                attempt.ended = self._clock.monotonic()
                self._health.ended(
                    attempt,
                    hurts=hurts,
                    output_tokens=exchange.usage.output_tokens if exchange.usage else 0,
                    stream=exchange.stream,
                )
        raise failure or NoRoute("No backend serves this model now.")

    async def _try(
        self,
        exchange: Exchange,
        request: Request,
        place: Place,
        attempt: Attempt,
        reply: Reply,
        head: bytes,
        total: float,
    ) -> None:
        wire = place.wire
        body, changed = wire.write_request(
            request, place.model, place.target.backend.provider.dialect, ask_usage=place.ask_usage
        )
        exchange.changed = tuple(changed)
        connection = await self.client.send(place, attempt, head, body, stream=request.stream, total=total)
        exchange.target = place.target
        if not 200 <= connection.status < 300:
            raise wire.read_error(connection.status, connection.headers, await _rest(connection))
        if request.stream:
            await self._stream(exchange, request, place, attempt, connection, reply)
        else:
            content_type = connection.headers.get(b"content-type", b"").decode("latin-1")
            try:
                answer = connection.body()
                whole = wire.read_whole(content_type, answer)
            except UpstreamError:
                connection.abort()
                raise
            connection.settle_down()
            exchange.usage = whole.usage
            exchange.finish = whole.finish
            exchange.complete = True
            exchange.status = connection.status
            attempt.first_content = 0.0
            reply.whole(
                connection.status, headers_of(exchange, content_type, self._pop, self._clock.monotonic()), answer
            )

    async def _stream(
        self,
        exchange: Exchange,
        request: Request,
        place: Place,
        attempt: Attempt,
        connection: UpstreamConnection,
        reply: Reply,
    ) -> None:
        wire = place.wire
        content_type = connection.headers.get(b"content-type", b"").decode("latin-1")
        try:
            wire.check_stream(content_type)
        except UpstreamError:
            connection.abort()
            raise
        meter = wire.meter(request, MOST_EVENT_BYTES)
        headers = headers_of(exchange, content_type, self._pop, self._clock.monotonic())
        relay = Relay(exchange, attempt, connection, meter, reply, headers, self._clock)
        connection.pour(relay)
        try:
            await relay.finished
        finally:
            exchange.usage = meter.usage
            exchange.finish = meter.finish
            exchange.pieces = meter.pieces if meter.committed else 0
            exchange.status = 200
            if not exchange.complete:
                connection.abort()


async def _rest(connection: UpstreamConnection) -> bytes:
    """The body of a refusal: as much of it as comes, since its status has already said what matters."""
    try:
        body = await connection.rest()
    except UpstreamError:
        return b""
    except asyncio.CancelledError:
        connection.abort()
        raise
    connection.settle_down()
    return body


def total_of(plan: Iterable[Place]) -> float:
    """Seconds the whole request may take: the most patient target's."""
    return max((place.target.timeouts.total_s for place in plan), default=0.0)
