"""Walk the plan until one place answers; never after the first content has gone to the caller.

The caller sees content of at most one attempt. What failed before that is recorded and shown in metrics and logs.
Where a policy names a hedge, a second attempt may run beside a slow one (hedge.py); where it names copies, others are
asked too once the answer has begun (shadow.py); where it says so, a stream that broke goes on elsewhere (resume.py).
Whoever names none of them pays for none.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import NoReturn

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.errors import RESIDENCY, BadRequest, Bug, GatewayError, NoRoute, UnsupportedFeature, UpstreamError
from gateway.exchange import Attempt, Exchange, Reply
from gateway.features import Request
from gateway.routing.rooms import is_shut
from gateway.stages.answer import fixed_lines, lines_of
from gateway.stages.choose import REASONS, may_compute
from gateway.stages.hedge import SILENT, Hedged, Race, Racer, can_help, delay_s, suits
from gateway.stages.relay import Relay
from gateway.stages.resume import Resumer, hold
from gateway.stages.shadow import Shadows
from gateway.stages.trial import Trial, Way, refusal
from gateway.upstream.catalogue import Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.health import Health
from gateway.upstream.orca import Reports
from gateway.wire.losses import MAPPED

# How long the words of a streaming call's refusal may be behind its status.
REFUSAL_S = 1.0
OK = 200


class Attempter:
    """Everything attempts need that outlives a request. Without `shadows` nobody is sent a copy."""

    def __init__(
        self,
        client: UpstreamClient,
        health: Health,
        clock: Clock,
        pop: str,
        event_bytes: int,
        shadows: Shadows | None = None,
        told: Hedged = SILENT,
    ) -> None:
        self._client = client
        self.health = health
        self._clock = clock
        self._pop = pop
        self._event_bytes = event_bytes
        self.shadows = shadows
        self.told = told
        self._reports = Reports(health)
        self._resumer = Resumer(client, health, clock, event_bytes)
        self._fixed: dict[tuple[str, bytes, str], bytes] = {}

    def attempt(self, exchange: Exchange, request: Request, way: Way, reply: Reply) -> Coroutine[object, object, None]:
        """Answer the caller from the first place of the plan that can. Raises what the last one failed with."""
        held = hold(exchange, request, way, reply) if way.rules.resume else None
        if held is None:
            return self._attempt(exchange, request, way, reply)
        return self._resumer.attempt(self._attempt, exchange, request, way, held)

    async def _attempt(self, exchange: Exchange, request: Request, way: Way, reply: Reply) -> None:
        failure: UpstreamError | None = None
        unsayable: BadRequest | None = None
        rules = way.rules
        asked = exchange.model
        self.health.retries.fresh += 1
        begun = partial(self._copy, exchange, request, way) if way.copies else None
        if rules.hedge is not None and self._may_hedge(exchange, request, way):
            await self._walk(Race(exchange, request, way, reply, self._clock.monotonic, begun))
            return
        places = list(way.places)
        for at, place in enumerate(places, 1):
            try:
                body, lost = written(request, place, way)
            except BadRequest as error:
                if _is_final(error, place):
                    raise
                unsayable = unsayable or error  # in that place's language; the next one may speak the caller's own
                continue
            trial = Trial(exchange, place, self.health, self._clock.monotonic, way.work)
            with trial as attempt:
                connection = await self._client.send(
                    place,
                    attempt,
                    _head(place, way),
                    body,
                    stream=request.stream,
                    total=way.total,
                    jurisdictions=rules.require.jurisdictions,
                )
                exchange.changed = lost
                exchange.model = place.instead or asked
                if attempt.status != OK and not 200 <= attempt.status < 300:
                    await self._refused(place, connection)
                if len(exchange.attempts) > 1:
                    exchange.reason = "fallback"
                lines = self._lines(place, way, exchange.reason)
                try:
                    if request.stream:
                        await self._stream(exchange, request, place, attempt, connection, reply, lines, begun)
                    else:
                        self._whole(exchange, request, place, connection, reply, lines, begun)
                finally:
                    if not exchange.complete:
                        connection.abort()
            failure = trial.failure
            if failure is None:
                return
            if reply.started or not self._may_retry(exchange, way, failure, attempt.ended):
                break
            places[at:] = self._open_first(places[at:], attempt.ended)
        raise failure or unsayable or NoRoute("No backend serves this model now.")

    def _may_retry(self, exchange: Exchange, way: Way, failure: GatewayError, now: float) -> bool:
        """Whether the next place may be asked: it could help, there are attempts left, and the budget has one."""
        retry = way.rules.retry
        return (
            failure.try_elsewhere
            and len(exchange.attempts) < retry.attempts
            and self.health.retries.spend(now, retry.budget)
        )

    def _open_first(self, places: Sequence[Place], now: float) -> list[Place]:
        """These places, those behind that have been shut since it was decided."""
        snapshot = self.health.snapshot
        return sorted(places, key=lambda place: is_shut(place.candidate, snapshot, now))

    # --- two beside each other ----------------------------------------------------------------------------------------

    def _may_hedge(self, exchange: Exchange, request: Request, way: Way) -> bool:
        self.health.hedges.asked(exchange.started)
        return suits(exchange.operation, request, way.work)

    async def _walk(self, race: Race) -> None:
        """The same walk, where for once a second place may be asked before the first has failed."""
        exchange, way = race.exchange, race.way
        failure: GatewayError | None = None
        while (racer := self._next(race)) is not None:
            try:
                await self._race(race, racer)
            finally:
                if len(race.racers) > 1:
                    self.told.raced(race.racers[1].place.name, race.outcome(), race.loser)
            failure = race.failure()
            if failure is None:
                return
            now = self._clock.monotonic()
            if race.winner is not None or not self._may_retry(exchange, way, failure, now):
                break
            places = race.way.places
            race.way = replace(race.way, places=(*places[: race.at], *self._open_first(places[race.at :], now)))
        raise failure or race.unsayable or NoRoute("No backend serves this model now.")

    def _next(self, race: Race) -> Racer | None:
        """The next place of the plan that this can be said to."""
        places = race.way.places
        while race.at < len(places):
            place = places[race.at]
            race.at += 1
            try:
                body, lost = written(race.request, place, race.way)
            except BadRequest as error:
                if _is_final(error, place):
                    raise
                race.unsayable = race.unsayable or error
                continue
            return Racer(race, place, body, lost, "fallback" if race.exchange.attempts else race.exchange.reason)
        return None

    async def _race(self, race: Race, first: Racer) -> None:
        """An attempt, with another beside it where its content is late. What is no failure of a place is raised."""
        hedge = race.way.rules.hedge
        wait_s = None
        if hedge is not None and race.may_hedge():
            wait_s = delay_s(hedge, first.place, race.way.work, self.health.snapshot)
        race.racers = [first]
        if wait_s is None:
            await self._run(first)
            return
        try:
            async with asyncio.TaskGroup() as group:
                first.task = group.create_task(self._run(first))
                await asyncio.wait((first.task,), timeout=wait_s)
                second = None if first.task.done() or race.winner is not None else self._second(race)
                if second is not None:
                    race.hedge(second)
                    second.task = group.create_task(self._run(second))
        except ExceptionGroup as bugs:
            raise bugs.exceptions[0] from None

    def _second(self, race: Race) -> Racer | None:
        """The next place as an attempt beside one that is late, where that is likely to help and is paid for."""
        places, hedge = race.way.places, race.way.rules.hedge
        now = self._clock.monotonic()
        if hedge is None or race.at == len(places) or not can_help(places[race.at], self.health.snapshot, now):
            return None
        place = places[race.at]
        try:
            body, lost = written(race.request, place, race.way)
        except BadRequest:
            return None  # if it comes to that, its own turn says so
        if not self.health.hedges.spend(now, hedge.budget):
            return None
        return Racer(race, place, body, lost, "hedge")

    async def _run(self, racer: Racer) -> None:
        """One attempt of a race; nobody sees of it what it doesn't win with."""
        race, place = racer.race, racer.place
        exchange, request, way, reply = race.exchange, race.request, race.way, race.reply
        trial = Trial(exchange, place, self.health, self._clock.monotonic, way.work)
        try:
            with trial as attempt:
                racer.attempt = attempt
                connection = racer.connection = await self._client.send(
                    place,
                    attempt,
                    _head(place, way),
                    racer.body,
                    stream=request.stream,
                    total=way.total,
                    jurisdictions=way.rules.require.jurisdictions,
                )
                if not 200 <= attempt.status < 300:
                    await self._refused(place, connection)
                lines = self._lines(place, way, racer.reason)
                try:
                    if request.stream:
                        await self._stream(exchange, request, place, attempt, connection, reply, lines, racer.claim)
                    else:
                        self._whole(exchange, request, place, connection, reply, lines, racer.claim)
                finally:
                    if not (racer.won and exchange.complete):
                        connection.abort()
        except GatewayError as error:
            racer.failure = error
        racer.failure = racer.failure or trial.failure

    # --- answers ------------------------------------------------------------------------------------------------------

    async def _refused(self, place: Place, connection: UpstreamConnection) -> NoReturn:
        """Raise what an answer outside 2xx means."""
        words = await _rest(connection, self._clock.monotonic() + REFUSAL_S)
        raise refusal(place, connection.status, connection.headers, words)

    def _whole(
        self,
        exchange: Exchange,
        request: Request,
        place: Place,
        connection: UpstreamConnection,
        reply: Reply,
        fixed: bytes,
        begun: Callable[[], None] | None,
    ) -> None:
        content_type = connection.content_type
        answer = connection.body()
        whole = place.wire.read_whole(request, content_type.decode("latin-1"), answer)
        if begun is not None:
            begun()
        exchange.status = connection.status
        exchange.usage = whole.usage
        exchange.finish = whole.finish
        if whole.body is not None:
            answer = whole.body
            exchange.changed += whole.lost
        exchange.bytes_out = len(answer)
        now = self._clock.monotonic()
        lines = lines_of(exchange, content_type, fixed, now)
        reply.whole(connection.status, lines, answer)
        exchange.complete = True
        connection.settle_down()
        if place.reports:
            self._reports.answered(place.target.backend.name, connection, now)

    async def _stream(
        self,
        exchange: Exchange,
        request: Request,
        place: Place,
        attempt: Attempt,
        connection: UpstreamConnection,
        reply: Reply,
        fixed: bytes,
        begun: Callable[[], None] | None,
    ) -> None:
        content_type = connection.content_type
        place.wire.check_stream(content_type.decode("latin-1"))
        meter = place.wire.meter(request, self._event_bytes)
        media_type, now = meter.media_type or content_type, self._clock.monotonic()
        if begun is None:
            lines, opening = lines_of(exchange, media_type, fixed, now), None
        else:
            lines, opening = b"", partial(_opened, begun, exchange, media_type, fixed, now)
        relay = Relay(exchange, attempt, connection, meter, reply, lines, self._clock, self.health, opening)
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

    def _copy(self, exchange: Exchange, request: Request, way: Way) -> None:
        if self.shadows is not None:
            self.shadows.cast(self, exchange, request, way)

    def _lines(self, place: Place, way: Way, reason: str) -> bytes:
        """The header lines all answers of a backend share that were sent there under one policy, for one reason."""
        key = (place.target.backend.name, way.lines, reason)
        lines = self._fixed.get(key)
        if lines is None:
            lines = self._fixed[key] = fixed_lines(place.target, self._pop) + way.lines + REASONS[reason]
        return lines


def written(request: Request, place: Place, way: Way) -> tuple[bytes, tuple[str, ...]]:
    """The body in a place's words, and the names of what it can't carry as it was.

    BadRequest where it can't be said there at all, UnsupportedFeature where it can, but not as faithfully as wanted.
    Bug where the place may not see it: no decision is trusted with that.
    """
    if way.rules.require.jurisdictions is not None and not may_compute(place, way.rules.require):
        raise Bug("A place was planned that may not see this request.", code=RESIDENCY)
    body, changed = place.wire.write_request(
        request, place.model_json, place.target.backend.provider.dialect, ask_usage=place.ask_usage
    )
    if not changed and not way.dropped and (place.native or not way.flags):
        return body, ()
    lost = (*way.dropped, *changed, *(() if place.native else way.flags))
    if way.rules.strict and (gone := [name for name in lost if not name.endswith(MAPPED)]):
        raise UnsupportedFeature(
            "No backend of this model can carry all of this request, and its policy allows no loss.",
            param=gone[0],
            headers=(("x-gateway-dropped", ", ".join(gone)),),
        )
    return body, lost


def _head(place: Place, way: Way) -> bytes:
    """The header lines that a request takes along to this place."""
    return way.head + place.passed(way.passed) if way.passed or place.assumes else way.head


def _is_final(error: BadRequest, place: Place) -> bool:
    """Whether nobody else need be asked: the request makes no sense in its own language."""
    return place.native and not isinstance(error, UnsupportedFeature)


def _opened(begun: Callable[[], None], exchange: Exchange, content_type: bytes, fixed: bytes, now: float) -> bytes:
    """The header lines of a stream whose first content is there, its head having come at `now`."""
    begun()
    return lines_of(exchange, content_type, fixed, now)


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
