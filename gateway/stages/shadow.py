"""Copies of requests for places that policies want to see at work: nobody waits for their answers, or ever sees them.

A copy leaves once the caller's own answer has begun. It is an attempt like any other, with a record of its own, which
nobody is charged for and no budget counts; its answer is read to its end and thrown away.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from msgspec.structs import replace

from gateway.clock import Clock
from gateway.errors import Bug, GatewayError
from gateway.exchange import Call, Exchange, Reply, Telling
from gateway.features import Request
from gateway.routing.policy import Retry, Rules
from gateway.stages.hedge import acts
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Place

# A place that hangs must not gather the copies of a whole day.
MOST: Final = 64
_ONCE: Final = Retry(attempts=1)


class Attempts(Protocol):
    """Who makes attempts."""

    async def attempt(self, exchange: Exchange, request: Request, way: Way, reply: Reply) -> None: ...


class Shadowed(Protocol):
    """Who is told of copies."""

    def shadowed(self, copy: Exchange) -> None:
        """A copy was answered, or wasn't; this is its own record."""

    def dropped(self, backend: str) -> None:
        """A copy was not sent: too many are under way, or it can't be said there."""


class Nowhere:
    """A reply to nobody."""

    paused: Final = False

    def __init__(self) -> None:
        self.started = False

    def whole(self, status: int, lines: bytes, body: bytes) -> None:
        del status, lines, body
        self.started = True

    def stream(self, lines: bytes, first: bytes) -> None:
        del lines, first
        self.started = True

    def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, frame: bytes) -> None: ...

    def on_writable(self, resume: Callable[[], None]) -> None:
        del resume


class Shadows:
    """Every copy that one worker has under way, at most `most`; while `run` runs, in its group.

    `splits` is told of each as of a request of its split.
    """

    def __init__(
        self,
        clock: Clock,
        told: Shadowed,
        bug: Callable[[BaseException, str], None],
        splits: Telling | None = None,
        most: int = MOST,
    ) -> None:
        self._clock = clock
        self._told = told
        self._bug = bug
        self._splits = splits
        self._most = most
        self._group: asyncio.TaskGroup | None = None
        self.under_way = 0

    async def run(self) -> None:
        """Have room for copies until this is cancelled, which ends those under way."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def cast(self, attempts: Attempts, exchange: Exchange, request: Request, way: Way) -> None:
        """Send a request's copies, soon: what the caller waits for comes first."""
        if self._group is not None and not acts(request.fields):
            asyncio.get_running_loop().call_soon(self._send, attempts, exchange, request, way)

    def _send(self, attempts: Attempts, exchange: Exchange, request: Request, way: Way) -> None:
        for place in way.copies:
            if self._group is None or self.under_way >= self._most:
                self._told.dropped(place.name)
                continue
            self.under_way += 1
            copy = self._record(exchange, place)
            self._group.create_task(self._follow(attempts, copy, request, _own_way(way, place, exchange, copy)))

    def _record(self, exchange: Exchange, place: Place) -> Exchange:
        """A copy's own record: of its request it knows the id, and of its caller nothing."""
        call = exchange.call
        copy = Exchange(
            Call(call.method, call.path, "", {}, request_id=call.request_id, endpoint=call.endpoint),
            self._clock.monotonic(),
        )
        copy.operation, copy.model, copy.stream = exchange.operation, exchange.model, exchange.stream
        copy.bytes_in, copy.policies = exchange.bytes_in, exchange.policies
        copy.jurisdictions = exchange.jurisdictions
        copy.splits = tuple([split for split in exchange.splits if split.copy and split.backend == place.name])
        copy.split = copy.splits[0].name if copy.splits else ""
        return copy

    async def _follow(self, attempts: Attempts, copy: Exchange, request: Request, way: Way) -> None:
        try:
            await attempts.attempt(copy, request, way, Nowhere())
        except GatewayError as error:
            copy.error = error
            if isinstance(error, Bug):
                self._bug(error, copy.call.request_id)
        except Exception as error:  # noqa: BLE001  (a bug of ours costs one copy, and none of the others)
            copy.error = Bug("The gateway failed to handle this copy.")
            self._bug(error, copy.call.request_id)
        finally:
            self.under_way -= 1
            self._settle(copy, way.places[0])

    def _settle(self, copy: Exchange, place: Place) -> None:
        if not copy.attempts:
            self._told.dropped(place.name)
            return
        copy.settled = True
        copy.ended = self._clock.monotonic()
        usage, candidate = copy.usage, place.candidate
        if usage is not None and candidate.priced:
            copy.cost_usd = candidate.usd(usage.input_tokens, usage.output_tokens)
        self._told.shadowed(copy)
        if self._splits is not None:
            self._splits.settle(copy)


def _own_way(way: Way, place: Place, exchange: Exchange, copy: Exchange) -> Way:
    """The way of a copy: one place, tried once, with as much time as its original had.

    What the policies require holds for it too, and is asked again before it is sent. The conversation isn't at home
    where its copy is.
    """
    rules = Rules(require=way.rules.require, strict=way.rules.strict, retry=_ONCE)
    return replace(
        way,
        places=(place,),
        copies=(),
        total=copy.started + way.total - exchange.started,
        rules=rules,
        work=replace(way.work, session=0, prefix=0),
    )
