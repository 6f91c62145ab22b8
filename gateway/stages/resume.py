"""A stream that broke after its first content goes on elsewhere, seamless to its caller, where that can be exact.

    walk ─► broke ─► the next place that can ─► goes on ─► end
                └─► none, or not exactly ─► the error frame that was held back

Only where the policy says `resume: prefill`; docs/resuming.md says what is exact. A resumption is an attempt like any
other: it counts among the policy's, and against the retry budget. The answer is settled once, as of the place that
began it; what another one read again is ours.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.clock import Clock
from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Attempt, Exchange, Reply
from gateway.features import Request
from gateway.routing.filters import closed
from gateway.routing.snapshot import IDLE
from gateway.stages.choose import may_compute
from gateway.stages.relay import Relay
from gateway.stages.trial import Trial, Way, refusal
from gateway.upstream.catalogue import Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.health import Health
from gateway.wire.bridge import CONVERSATIONS
from gateway.wire.resuming import Hearer, Rest, load

MOST_RESUMED: Final = 2

Walk = Callable[[Exchange, Request, Way, Reply], Awaitable[None]]


class Held:
    """The caller's reply, which hears what he hears and keeps back how it breaks. One upstream after the other uses it.

    `started` is whether the present one has said something; `unsaid` counts the bytes of frames that he never gets.
    """

    __slots__ = ("_frame", "_reply", "hearer", "started", "unsaid")

    def __init__(self, reply: Reply, hearer: Hearer) -> None:
        self._reply = reply
        self._frame: bytes | None = None
        self.hearer = hearer
        self.started = False
        self.unsaid = 0

    @property
    def paused(self) -> bool:
        return self._reply.paused

    @property
    def is_broken(self) -> bool:
        """Whether the caller has heard a part of an answer, and waits."""
        return self._frame is not None

    def whole(self, status: int, lines: bytes, body: bytes) -> None:
        self._reply.whole(status, lines, body)

    def stream(self, lines: bytes, first: bytes) -> None:
        self.started = True
        if self._reply.started:
            self._reply.write(first)
        else:
            self._reply.stream(lines, first)
        self.hearer.heard(first)

    def write(self, data: bytes) -> None:
        self._reply.write(data)
        self.hearer.heard(data)

    def end(self) -> None:
        self._reply.end()

    def fail(self, frame: bytes) -> None:
        self.forget()
        self._frame = frame

    def on_writable(self, resume: Callable[[], None]) -> None:
        self._reply.on_writable(resume)

    def forget(self) -> None:
        """It goes on after all, or has broken in another way."""
        if self._frame is not None:
            self.unsaid += len(self._frame)
            self._frame = None

    def tell(self) -> None:
        """It doesn't go on, and the caller hears so."""
        if self._frame is not None:
            self._reply.fail(self._frame)


class Resumer:
    """Everything resumptions need that outlives a request."""

    def __init__(self, client: UpstreamClient, health: Health, clock: Clock, event_bytes: int) -> None:
        self._client = client
        self._health = health
        self._clock = clock
        self._event_bytes = event_bytes
        for language in CONVERSATIONS:
            load(language)  # imported now, not while the first caller waits

    async def attempt(self, walk: Walk, exchange: Exchange, request: Request, way: Way, held: Held) -> None:
        """Answer as `walk` does, and go on elsewhere with a stream that breaks. Raises what it broke with at last."""
        try:
            await self._attempt(walk, exchange, request, way, held)
        except asyncio.CancelledError:
            held.forget()
            raise
        except Exception:
            held.tell()
            raise
        finally:
            exchange.bytes_out -= held.unsaid

    async def _attempt(self, walk: Walk, exchange: Exchange, request: Request, way: Way, held: Held) -> None:
        try:
            await walk(exchange, request, way, held)
        except UpstreamError as error:
            if not held.is_broken:
                raise
            failure: GatewayError = error
        else:
            return
        began = exchange.attempts[-1]
        exchange.error = None  # nobody has been told of it
        try:
            left = await self._go_on(exchange, request, way, held, failure)
        finally:
            # It is one answer: the place that began it was named to the caller, and its price is the answer's.
            exchange.target, exchange.first_content = began.target, began.first_content
        if left is not None:
            raise left
        exchange.error = None
        held.forget()

    async def _go_on(
        self, exchange: Exchange, request: Request, way: Way, held: Held, failure: GatewayError
    ) -> GatewayError | None:
        """Have the rest said by another place: what the answer failed with at last, None where it came to its end."""
        most = min(way.rules.retry.attempts, len(exchange.attempts) + MOST_RESUMED)
        for place in _others(exchange.attempts, way):
            rest = held.hearer.rest(request, place.target.backend.provider.prefill)
            if rest is None or (body := _written(exchange, rest, place)) is None:
                continue
            if not (failure.try_elsewhere and self._is_open(place) and self._may(exchange, way, most)):
                continue
            held.started = False
            left = await self._try(exchange, rest, body, way, place, held)
            if left is None:
                return None
            if held.started:
                failure = left  # the caller has heard more, and this is how that ended
        return failure

    def _is_open(self, place: Place) -> bool:
        return not closed(self._health.snapshot.loads.get(place.name, IDLE), self._clock.monotonic())

    def _may(self, exchange: Exchange, way: Way, most: int) -> bool:
        """Whether there is one more attempt in it; where there is, it is spent."""
        now = self._clock.monotonic()
        if now >= way.total or len(exchange.attempts) >= most:
            return False
        return self._health.retries.spend(now, way.rules.retry.budget)

    async def _try(
        self, exchange: Exchange, rest: Rest, body: bytes, way: Way, place: Place, held: Held
    ) -> GatewayError | None:
        """One place says the rest; what it failed with, None where the answer came to its end."""
        inner = place.wire.meter(rest.request, self._event_bytes)
        meter = rest.meter(inner)
        before = exchange.usage
        trial = Trial(exchange, place, self._health, self._clock.monotonic, way.work)
        try:
            with trial as attempt:
                lines = way.head + place.passed(way.passed)
                connection = await self._client.send(
                    place,
                    attempt,
                    lines,
                    body,
                    stream=True,
                    total=way.total,
                    jurisdictions=way.rules.require.jurisdictions,
                )
                try:
                    if not 200 <= attempt.status < 300:
                        raise refusal(place, attempt.status, connection.headers, b"")
                    place.wire.check_stream(connection.content_type.decode("latin-1"))
                    relay = Relay(exchange, attempt, connection, meter, held, b"", self._clock, self._health)
                    connection.pour(relay)
                    failure = await relay.finished
                    if failure is not None:
                        raise failure
                finally:
                    if not exchange.complete:
                        connection.abort()
                    exchange.usage = inner.usage  # its own part is what this place is judged by
                    if place.candidate.priced:
                        read = inner.usage.input_tokens if inner.usage is not None else way.work.tokens_in
                        attempt.cost_usd = place.candidate.usd(read, 0.0)
        except GatewayError as error:
            return error
        finally:
            exchange.usage = before
            if meter.committed:
                exchange.usage = meter.usage
                exchange.finish = meter.finish
                exchange.pieces = meter.pieces
        return trial.failure


def hold(exchange: Exchange, request: Request, way: Way, reply: Reply) -> Held | None:
    """The caller's reply as one that can go on, None where this request's couldn't anyway."""
    endpoint = exchange.call.endpoint
    if endpoint is None or not request.stream or len(way.places) < 2:
        return None
    if not any(place.native and place.target.backend.provider.prefill for place in way.places):
        return None
    language = load(endpoint.wire)
    hearer = language.hearer(request) if language is not None else None
    return Held(reply, hearer) if hearer is not None else None


def _others(attempts: list[Attempt], way: Way) -> list[Place]:
    """Who else may see this request and has the very model that began its answer; none that was asked already."""
    first = next(place for place in way.places if place.target is attempts[-1].target)
    asked = {attempt.target.backend.name for attempt in attempts}
    return [
        place
        for place in way.places
        if place.native
        and place.name not in asked
        and is_same_model(place, first)
        and may_compute(place, way.rules.require)
    ]


def is_same_model(place: Place, other: Place) -> bool:
    """Whether two places say they serve the same: name and precision; and on whose account."""
    return (
        place.model == other.model
        and place.instead == other.instead
        and place.lent == other.lent
        and place.target.quantization == other.target.quantization
    )


def _written(exchange: Exchange, rest: Rest, place: Place) -> bytes | None:
    """The request for the rest in a place's words, None where it can't say all that the first place was told."""
    body, lost = place.wire.write_request(
        rest.request, place.model_json, place.target.backend.provider.dialect, ask_usage=place.ask_usage
    )
    return body if set(lost) <= set(exchange.changed) else None
