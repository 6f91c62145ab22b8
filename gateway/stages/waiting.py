"""The waiting room: who found all places taken is called when one comes free, in the order of routing/fair.py.

    Full ─► turn: in line ─► called, a place held for him ─► decides anew ─► served, or in line again where he was
                      └─► time is up, or it would be in vain: Overloaded, with when to come back

A backend that somebody waits for tells when a request of ours ends there, and that wakes one; the others pay nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.clock import Clock
from gateway.errors import Bug, CallerLeft, GatewayError, Overloaded
from gateway.exchange import Exchange
from gateway.routing.facts import Work
from gateway.routing.fair import Line, Ticket
from gateway.routing.plan import Plan, Route
from gateway.routing.policy import PRIORITIES, Priority
from gateway.routing.snapshot import IDLE, Snapshot
from gateway.stages.trial import Way
from gateway.sweep import Sweeper
from gateway.telemetry.families import QUEUE_LENGTH, QUEUE_WAIT
from gateway.telemetry.slots import SlotWriter

# In one worker; each holds a connection and a body.
MOST: Final = 10_000
RETRY_LEAST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0  # CONTRACT.md, response headers


class Full(Overloaded):
    """Every place that may serve a request is taken, and its policy lets it wait until one isn't."""

    def __init__(self, found: Plan, route: Route, work: Work, total: float) -> None:
        """`total` is when the request must be over, in monotonic seconds."""
        super().__init__("Every backend of this model is busy.", retry_after_s=RETRY_LEAST_S)
        self.backends = frozenset(left.candidate.backend for left in found.out if left.why == "full")
        self.route = route
        self.priority: Priority = route.rules.priority or "normal"
        self.tokens = work.tokens_in + work.tokens_out
        self.total = total


class Places(Protocol):
    """Where requests are under way; upstream/health.py."""

    @property
    def snapshot(self) -> Snapshot: ...

    def watch(self, backend: str, freed: Callable[[str], None] | None) -> None:
        """Whom to tell of each request that ends there; None: nobody any more."""

    def hold(self, backend: str, count: int) -> None:
        """Count a request there that hasn't begun (1), or no longer (-1)."""


class Waiter(Ticket):
    """One request in the room. `called` is true where a place at `held` is his, false where his time is up."""

    since: float
    places: Places
    route: Route
    called: asyncio.Future[bool]
    is_inside: bool = False
    held: str = ""


class Room:
    """Everybody who waits in one worker; it outlives reloads."""

    def __init__(self, clock: Clock, sweeper: Sweeper, slots: SlotWriter | None = None) -> None:
        self._clock = clock
        self._sweeper = sweeper
        self._slots = slots
        self._length = slots.gauge(QUEUE_LENGTH) if slots is not None else None
        self._line: Line[Waiter] = Line()
        self._came = 0

    def __len__(self) -> int:
        return len(self._line)

    async def turn(self, full: Full, exchange: Exchange, places: Places, decide: Callable[[], Way]) -> Way:
        """The way as it is decided once there is room; its first attempt must begin before anything is awaited.

        Overloaded where there is no room in time, and whatever `decide` raises but Full.
        """
        outcome = Bug.code
        waiter = self._waiter(full, exchange, places)
        try:
            self._admit(waiter)
            while await waiter.called:
                exchange.waited_s = self._clock.monotonic() - waiter.since
                way = self._decided(waiter, decide)
                if way is not None:
                    outcome = "served"
                    return way
            raise self._refusal(waiter)
        except GatewayError as error:
            outcome = error.reason
            raise
        except asyncio.CancelledError:
            outcome = CallerLeft.code
            raise
        finally:
            exchange.waited_s = self._clock.monotonic() - waiter.since
            self._forget(waiter)
            self._tell(full, outcome, exchange.waited_s)

    def sweep(self, now: float) -> None:
        """Let go whose time is up. Where a limit has risen, no end of a request tells of it: this does."""
        for waiter in self._line.late(now):
            self._out(waiter)
            if not waiter.called.cancelled():
                waiter.called.set_result(False)
        for backend in self._line.backends:
            self._call(backend, now)

    # --- coming and going ---------------------------------------------------------------------------------------------

    def _waiter(self, full: Full, exchange: Exchange, places: Places) -> Waiter:
        now = self._clock.monotonic()
        caller = exchange.call.caller
        self._came += 1
        return Waiter(
            caller=caller.name if caller is not None else "",
            priority=PRIORITIES[full.priority],
            until=min(now + full.route.rules.queue_s, full.total),
            number=self._came,
            tokens=full.tokens,
            backends=full.backends,
            since=now,
            places=places,
            route=full.route,
            called=asyncio.get_running_loop().create_future(),
        )

    def _admit(self, waiter: Waiter) -> None:
        """Let him in where it isn't in vain."""
        now = waiter.since
        if len(self._line) >= MOST or now + self._line.wait_s(waiter, now) >= waiter.until:
            raise self._refusal(waiter)
        self._in(waiter, now)

    def _in(self, waiter: Waiter, now: float) -> None:
        waiter.is_inside = True
        self._line.join(waiter, now)
        for backend in waiter.backends:
            waiter.places.watch(backend, self._freed)
        self._sweeper.add(self)
        self._counted()

    def _out(self, waiter: Waiter) -> None:
        waiter.is_inside = False
        self._line.leave(waiter)
        for backend in waiter.backends:
            if not self._line.is_for(backend):
                waiter.places.watch(backend, None)
        if not self._line:
            self._sweeper.discard(self)
        self._counted()

    def _forget(self, waiter: Waiter) -> None:
        """Nothing is left of him; what was held for him is the next one's."""
        if waiter.is_inside:
            self._out(waiter)
        if waiter.held:
            backend = self._let_go(waiter)
            self._line.give_back(waiter, backend)
            self._call(backend, self._clock.monotonic())

    # --- a place comes free -------------------------------------------------------------------------------------------

    def _freed(self, backend: str) -> None:
        """A request has ended there."""
        now = self._clock.monotonic()
        self._line.ended(backend, now)
        self._call(backend, now)

    def _call(self, backend: str, now: float) -> None:
        """Hold each place that is free there for the next one, and call him; mostly it is one."""
        while (waiter := self._line.first(backend, now)) is not None:
            load = waiter.places.snapshot.loads.get(backend, IDLE)
            if waiter.route.bounds.reached(backend, load):
                return
            self._line.pay(waiter, backend)
            self._out(waiter)
            if waiter.called.cancelled():
                # He has left, and is about to see it.
                self._line.give_back(waiter, backend)
                continue
            waiter.places.hold(backend, 1)
            waiter.held = backend
            waiter.called.set_result(True)

    def _let_go(self, waiter: Waiter) -> str:
        backend, waiter.held = waiter.held, ""
        waiter.places.hold(backend, -1)
        return backend

    def _decided(self, waiter: Waiter, decide: Callable[[], Way]) -> Way | None:
        """The way of who was called; None where he is in line again, because everything is taken after all.

        Unless he goes where a place was held for him, that place is the next one's.
        """
        backend = self._let_go(waiter)
        is_used = False
        try:
            way = decide()
            first = way.places[0].name
            is_used = first == backend
            if not is_used:
                self._line.pay(waiter, first)
        except Full as still:
            # Where it is full there as well, somebody else was quicker, and there is nothing to pass on.
            is_used = backend in still.backends
            self._line.give_back(waiter, backend)
            waiter.backends, waiter.route = still.backends, still.route
            waiter.called = asyncio.get_running_loop().create_future()
            self._in(waiter, self._clock.monotonic())
            return None
        else:
            return way
        finally:
            if not is_used:
                self._call(backend, self._clock.monotonic())

    # --- what is told -------------------------------------------------------------------------------------------------

    def _refusal(self, waiter: Waiter) -> Overloaded:
        wait_s = self._line.wait_s(waiter, self._clock.monotonic())
        retry_after_s = min(max(wait_s, RETRY_LEAST_S), RETRY_MOST_S)
        return Overloaded("Every backend of this model is busy.", retry_after_s=retry_after_s)

    def _counted(self) -> None:
        if self._length is not None:
            self._length.set(float(len(self._line)))

    def _tell(self, full: Full, outcome: str, waited_s: float) -> None:
        if self._slots is not None:
            self._slots.histogram(QUEUE_WAIT, full.priority, outcome).observe(waited_s)
