"""One try at one place: noted when it begins, judged when it ends. The rules of trying are here, whoever sends."""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType

from msgspec import Struct

from gateway.errors import (
    Bug,
    CallerLeft,
    DeadlineExceeded,
    GatewayError,
    LoopDetected,
    Unauthorized,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
)
from gateway.exchange import Attempt, Exchange
from gateway.routing.facts import Work
from gateway.routing.policy import Rules
from gateway.upstream.catalogue import Place
from gateway.upstream.health import Health

MOST_ATTEMPTS = 3
# A whole answer has no time of its own but the request's. A place that let nearly all that its row allows pass and said
# nothing has failed; one that was given less by the caller has not.
HUNG_SHARE = 0.9


class Way(Struct, frozen=True):
    """Where a request may go, and when it must be over (monotonic seconds).

    `head` are the header lines it takes along everywhere, `passed` those its language passes on where it is spoken;
    `flags` name what those say, which elsewhere is lost. `dropped` names what of the request has no effect here.
    `rules` are its policies', `work` is what was decided by, `lines` say to the caller which policy it was.
    """

    places: tuple[Place, ...]
    head: bytes
    total: float
    passed: bytes = b""
    flags: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    rules: Rules = Rules()
    work: Work = Work()
    lines: bytes = b""
    copies: tuple[Place, ...] = ()


class Trial:
    """Put around a try: what went wrong with the upstream is kept in `failure`, everything else is raised on.

    An attempt that says its own outcome keeps it, unless the upstream failed after that. `work` is what was decided by;
    without it the attempt is counted, and teaches nothing of times.
    """

    __slots__ = ("_exchange", "_health", "_lent", "_now", "attempt", "failure")

    def __init__(
        self,
        exchange: Exchange,
        place: Place,
        health: Health,
        now: Callable[[], float],
        work: Work | None = None,
    ) -> None:
        self._exchange = exchange
        self._health = health
        self._lent = place.lent
        self._now = now
        self.failure: UpstreamError | None = None
        attempt = self.attempt = Attempt(place.target, now())
        exchange.attempts.append(attempt)
        exchange.target = place.target
        health.began(attempt, place.candidate, work)

    def __enter__(self) -> Attempt:
        return self.attempt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        del trace
        attempt, exchange = self.attempt, self._exchange
        attempt.ended = self._now()
        tokens = exchange.usage.output_tokens if exchange.usage is not None else 0
        if kind is None:
            attempt.outcome = attempt.outcome or "answered"
            self._health.ended(
                attempt,
                output_tokens=tokens,
                stream=exchange.stream,
                operation=exchange.operation,
                size=exchange.bytes_in,
            )
            return False
        hurts = hung = False
        if isinstance(error, UpstreamError):
            self.failure = error
            error.target = attempt.target.backend.name
            attempt.outcome = error.reason
            hurts = error.hurts_health
        elif isinstance(error, asyncio.CancelledError):
            attempt.outcome = attempt.outcome or CallerLeft.code
        else:
            attempt.outcome = error.reason if isinstance(error, GatewayError) else Bug.code
            hung = isinstance(error, DeadlineExceeded) and _hung(attempt)
        # A limit of the caller's own key says nothing of what ours may.
        others = self._lent and isinstance(error, UpstreamBusy)
        self._health.ended(
            attempt,
            hurts=hurts,
            hung=hung,
            output_tokens=tokens,
            stream=exchange.stream and not others,
            error=None if others else self.failure,
            operation=exchange.operation,
            size=exchange.bytes_in,
        )
        return self.failure is not None


def _hung(attempt: Attempt) -> bool:
    """Whether the place had its whole time, and no content came."""
    return not attempt.first_content and attempt.ended - attempt.started >= HUNG_SHARE * attempt.target.timeouts.total_s


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
