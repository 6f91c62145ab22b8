"""Walk the plan until one place answers; never after the first content has gone to the caller.

The caller sees content of at most one attempt. What failed before that is recorded and shown in metrics and logs.
"""

import asyncio
from typing import NoReturn

from gateway.clock import Clock
from gateway.errors import BadRequest, NoRoute, UpstreamError
from gateway.exchange import Attempt, Exchange, Reply
from gateway.features import Request
from gateway.stages.answer import fixed_lines, lines_of
from gateway.stages.relay import Relay
from gateway.stages.trial import MOST_ATTEMPTS, Trial, Way, refusal
from gateway.upstream.catalogue import Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.health import Health

# How long the words of a streaming call's refusal may be behind its status.
REFUSAL_S = 1.0


class Attempter:
    """Everything attempts need that outlives a request."""

    def __init__(self, client: UpstreamClient, health: Health, clock: Clock, pop: str, event_bytes: int) -> None:
        self._client = client
        self.health = health
        self._clock = clock
        self._pop = pop
        self._event_bytes = event_bytes
        self._fixed: dict[str, bytes] = {}

    async def attempt(self, exchange: Exchange, request: Request, way: Way, reply: Reply) -> None:
        """Answer the caller from the first place of the plan that can. Raises what the last one failed with."""
        failure: UpstreamError | None = None
        unsayable: BadRequest | None = None
        for place in way.places:
            try:
                body, changed = place.wire.write_request(
                    request, place.model_json, place.target.backend.provider.dialect, ask_usage=place.ask_usage
                )
            except BadRequest as error:
                if place.native:
                    raise
                unsayable = unsayable or error  # in that place's language; the next one may speak the caller's own
                continue
            trial = Trial(exchange, place, self.health, self._clock.monotonic)
            with trial as attempt:
                passed = place.passed(way.passed)
                connection = await self._client.send(
                    place, attempt, way.head + passed, body, stream=request.stream, total=way.total
                )
                exchange.changed = (*way.dropped, *changed, *(() if place.native else way.flags))
                exchange.model = place.instead or exchange.model
                if not 200 <= attempt.status < 300:
                    await self._refused(place, connection)
                try:
                    if request.stream:
                        await self._stream(exchange, request, place, attempt, connection, reply)
                    else:
                        self._whole(exchange, request, place, attempt, connection, reply)
                finally:
                    if not exchange.complete:
                        connection.abort()
            failure = trial.failure
            if failure is None:
                return
            if reply.started or not failure.try_elsewhere or len(exchange.attempts) == MOST_ATTEMPTS:
                break
        raise failure or unsayable or NoRoute("No backend serves this model now.")

    async def _refused(self, place: Place, connection: UpstreamConnection) -> NoReturn:
        """Raise what an answer outside 2xx means."""
        words = await _rest(connection, self._clock.monotonic() + REFUSAL_S)
        raise refusal(place, connection.status, connection.headers, words)

    def _whole(
        self,
        exchange: Exchange,
        request: Request,
        place: Place,
        attempt: Attempt,
        connection: UpstreamConnection,
        reply: Reply,
    ) -> None:
        content_type = connection.content_type
        answer = connection.body()
        whole = place.wire.read_whole(request, content_type.decode("latin-1"), answer)
        exchange.status = attempt.status
        exchange.usage = whole.usage
        exchange.finish = whole.finish
        if whole.body is not None:
            answer = whole.body
            exchange.changed += whole.lost
        exchange.bytes_out = len(answer)
        lines = lines_of(exchange, content_type, self._lines(place), self._clock.monotonic())
        reply.whole(attempt.status, lines, answer)
        exchange.complete = True
        connection.settle_down()

    async def _stream(
        self,
        exchange: Exchange,
        request: Request,
        place: Place,
        attempt: Attempt,
        connection: UpstreamConnection,
        reply: Reply,
    ) -> None:
        content_type = connection.content_type
        place.wire.check_stream(content_type.decode("latin-1"))
        meter = place.wire.meter(request, self._event_bytes)
        lines = lines_of(exchange, meter.media_type or content_type, self._lines(place), self._clock.monotonic())
        relay = Relay(exchange, attempt, connection, meter, reply, lines, self._clock)
        connection.pour(relay)
        try:
            failure = await relay.finished
        finally:
            # What was used before anybody saw content is ours to bear, not the caller's (reliability 5.6).
            if meter.committed:
                exchange.usage = meter.usage
                exchange.finish = meter.finish
                exchange.pieces = meter.pieces
                exchange.changed += meter.lost
                exchange.status = 200
        if failure is not None:
            raise failure

    def _lines(self, place: Place) -> bytes:
        """The header lines all answers of a backend share."""
        lines = self._fixed.get(place.name)
        if lines is None:
            lines = self._fixed[place.name] = fixed_lines(place.target, self._pop)
        return lines


async def _rest(connection: UpstreamConnection, deadline: float) -> bytes:
    """The body of a refusal, where it comes by `deadline`: its status has already said what matters."""
    connection.deadline = min(connection.deadline, deadline)
    try:
        body = await connection.rest()
    except UpstreamError:
        return b""
    except asyncio.CancelledError:
        connection.abort()
        raise
    connection.settle_down()
    return body
