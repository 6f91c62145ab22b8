"""A waiting room over backends that are counted by hand, and its guests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import NoRoute, Overloaded
from gateway.exchange import Exchange
from gateway.routing.facts import Now, Work
from gateway.routing.fair import Bounds, Limit, bounds_of
from gateway.routing.plan import plan, route
from gateway.routing.policy import Rules
from gateway.routing.snapshot import Load, Snapshot
from gateway.stages.trial import Way
from gateway.stages.waiting import Full, Room
from gateway.sweep import Sweeper
from gateway.telemetry.slots import SlotWriter
from gateway.upstream.catalogue import Catalogue
from tests.doubles.inside import CALLER, backend, settings_for
from tests.doubles.mock_transport import turn
from tests.stages.kept import exchange

NAMES = ("one", "two")
ALL = Catalogue(settings_for({"story": [backend(name, f"http://{name}.example") for name in NAMES]})).plan(
    "story", "chat", "openai_chat"
)


class Backends:
    """Where requests are under way, as health has it: a count of each, and who wants to hear of it."""

    def __init__(self, slots: int) -> None:
        self.loads = {name: Load() for name in NAMES}
        self._limits = {name: Limit(slots, slots) for name in NAMES}
        self.watching: dict[str, Callable[[str], None]] = {}

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(loads=self.loads)

    def bounds(self, rules: Rules) -> Bounds:
        """So many requests each, and no more."""
        return replace(bounds_of((), rules), limits=self._limits, idle=0.0)

    def watch(self, name: str, freed: Callable[[str], None] | None) -> None:
        if freed is None:
            del self.watching[name]
        else:
            self.watching[name] = freed

    def hold(self, name: str, count: int) -> None:
        self.loads[name].in_flight += count

    def ends(self, name: str = "one") -> None:
        """One request that was under way there ends."""
        self.loads[name].in_flight -= 1
        if name in self.watching:
            self.watching[name](name)


class Guest:
    """One request, from when it finds everything full until it has a place."""

    def __init__(self, on: "Ground", name: str, rules: Rules, total_s: float, to: tuple[str, ...]) -> None:
        self._on = on
        self._rules = rules
        self._to = to
        self.exchange: Exchange = exchange(on.clock.monotonic())
        self.exchange.call.caller = replace(CALLER, name=name)
        self.total = on.clock.monotonic() + total_s
        self.decided = 0
        self.place = ""
        self.refusal: Overloaded | NoRoute | None = None

    def decide(self) -> Way:
        """Straight to the plan, as gateway/stages/find.py does."""
        self.decided += 1
        on = self._on
        places = [place for place in ALL.places if place.name in self._to]
        way = replace(
            route([place.candidate for place in places], self._rules),
            bounds=on.backends.bounds(self._rules),
            alone=None,
        )
        work = Work(tokens_in=100, tokens_out=400.0)
        found = plan(work, way, on.backends.snapshot, Now(on.clock.monotonic()), 0)
        if found.refused == "full":
            raise Full(found, way, work, self.total)
        if not found.order:
            raise NoRoute("No backend serves this model now.")
        return Way(tuple(ALL.places[one.at] for one in found.order), b"", self.total)

    async def comes(self) -> None:
        """A request's whole life up to its first attempt, which begins where the way leads first."""
        on = self._on
        try:
            try:
                way = self.decide()
            except Full as full:
                way = await on.room.turn(full, self.exchange, on.backends, self.decide)
        except (Overloaded, NoRoute) as refusal:
            self.refusal = refusal
            return
        self.place = way.places[0].name
        on.backends.loads[self.place].in_flight += 1
        on.served.append(self)


class Ground:
    def __init__(self, group: asyncio.TaskGroup, slots: int, counts: SlotWriter | None) -> None:
        self._group = group
        self.clock = HandClock()
        self.sweeper = Sweeper()
        self.backends = Backends(slots)
        self.room = Room(self.clock, self.sweeper, counts)
        self.served: list[Guest] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.guests: list[tuple[Guest, float]] = []

    def busy(self, one: int = 1, two: int = 1) -> None:
        """So many requests are under way."""
        self.backends.loads["one"].in_flight, self.backends.loads["two"].in_flight = one, two

    async def comes(
        self,
        name: str = "a",
        *,
        rules: Rules | None = None,
        queue_s: float = 10.0,
        total_s: float = 600.0,
        to: str = "one",
    ) -> Guest:
        guest = Guest(self, name, rules or Rules(queue_s=queue_s), total_s, tuple(to.split()))
        self.tasks.append(self._group.create_task(guest.comes()))
        await turn()
        return guest

    async def leaves(self, which: int = -1) -> None:
        self.tasks[which].cancel()
        await turn()

    async def ends(self, name: str = "one") -> None:
        self.backends.ends(name)
        await turn()

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sweeper.sweep(self.clock.monotonic())
        await turn()

    @property
    def names(self) -> str:
        """Who was served, in their order."""
        return " ".join(who.name for guest in self.served if (who := guest.exchange.call.caller) is not None)

    def in_flight(self) -> tuple[int, int]:
        one, two = (self.backends.loads[name].in_flight for name in NAMES)
        return one, two

    def is_empty(self) -> bool:
        """Nobody is in the room, nobody is told of anything, and no timer looks."""
        return len(self.room) == len(self.backends.watching) == len(self.sweeper) == 0


@asynccontextmanager
async def ground(slots: int = 1, counts: SlotWriter | None = None) -> AsyncIterator[Ground]:
    async with asyncio.TaskGroup() as group:
        on = Ground(group, slots, counts)
        yield on
        for task in on.tasks:
            task.cancel()
    assert on.is_empty()
