"""One try at one place: noted when it begins, judged when it ends. The rules of trying are here, whoever sends."""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType

from msgspec import Struct

from gateway.errors import Bug, CallerLeft, GatewayError, LoopDetected, Unauthorized, UpstreamDenied, UpstreamError
from gateway.exchange import Attempt, Exchange
from gateway.upstream.catalogue import Place
from gateway.upstream.health import Health

MOST_ATTEMPTS = 3


class Way(Struct, frozen=True):
    """Where a request may go, and when it must be over (monotonic seconds).

    `head` are the header lines it takes along everywhere, `passed` those its language passes on where it is spoken;
    `flags` name what those say, which elsewhere is lost. `choosy` and `fetching` are the plan's
    (upstream/catalogue.py), `dropped` names what of the request has no effect here.
    """

    places: tuple[Place, ...]
    head: bytes
    total: float
    passed: bytes = b""
    flags: tuple[str, ...] = ()
    choosy: bool = False
    dropped: tuple[str, ...] = ()
    fetching: bool = False


class Trial:
    """Put around a try: what went wrong with the upstream is kept in `failure`, everything else is raised on.

    An attempt that says its own outcome keeps it, unless the upstream failed after that.
    """

    __slots__ = ("_exchange", "_health", "_now", "attempt", "failure")

    def __init__(self, exchange: Exchange, place: Place, health: Health, now: Callable[[], float]) -> None:
        self._exchange = exchange
        self._health = health
        self._now = now
        self.failure: UpstreamError | None = None
        attempt = self.attempt = Attempt(place.target, now())
        exchange.attempts.append(attempt)
        exchange.target = place.target
        health.began(attempt)

    def __enter__(self) -> Attempt:
        return self.attempt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        del trace
        attempt = self.attempt
        attempt.ended = self._now()
        hurts = False
        if kind is None:
            attempt.outcome = attempt.outcome or "answered"
        elif isinstance(error, UpstreamError):
            self.failure = error
            error.target = attempt.target.backend.name
            attempt.outcome = error.reason
            hurts = error.hurts_health
        elif isinstance(error, asyncio.CancelledError):
            attempt.outcome = attempt.outcome or CallerLeft.code
        else:
            attempt.outcome = error.reason if isinstance(error, GatewayError) else Bug.code
        usage = self._exchange.usage
        self._health.ended(
            attempt,
            hurts=hurts,
            output_tokens=usage.output_tokens if usage is not None else 0,
            stream=self._exchange.stream,
        )
        return self.failure is not None


def refusal(place: Place, status: int, headers: Mapping[bytes, bytes], words: bytes) -> GatewayError:
    """What an answer outside 2xx means."""
    if status == LoopDetected.status:
        # Another gateway's word, and true here as well: it is no fault of that place, nor cured elsewhere.
        return LoopDetected("This request has passed through the same gateway before.")
    error = place.wire.read_error(status, headers, words)
    if place.lent and isinstance(error, UpstreamDenied):
        # The key was the caller's, so this is his to hear, and no fault of the place.
        return Unauthorized("The provider refused the key that was brought for it.", code="provider_key_refused")
    return error
