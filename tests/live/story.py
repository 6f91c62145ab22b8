"""What happens in the world, in its order, and what callers saw of it: kept in a file, from which it is drawn.

nearest ─► a server in Singapore is slower ─► France asks too much ─► Frankfurt's servers are killed ─► and come back
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from msgspec import Struct
from msgspec.json import decode, encode

from gateway.clock import RealClock
from tests.live.callers import Answer, Callers
from tests.live.places import HOMES, REGIONS, SERVERS
from tests.live.world import World

RATE: Final = 15.0  # requests a second from each country
OVERLOAD_RATE: Final = 75.0
TIMES_SLOWER: Final = 5
KILLED: Final = REGIONS["fra"].servers
SLOWED: Final = "sin-1"
# For so long everybody has to be answered from nearby before anything happens. A machine that is busy with something
# else makes servers look slow, which are then avoided for some seconds.
NEAREST_S: Final = 10.0
NEARBY: Final = 0.95
NEAREST_CEILING_S: Final = 100.0
SLOW_S: Final = 20.5
HEALED_S: Final = 8.0
OVERLOAD_S: Final = 18.0
CALM_S: Final = 7.0
DEAD_S: Final = 11.0
BACK_S: Final = 62.0  # slow start takes a minute
CEILING_TIMES: Final = 10
# An ejection lasts half a minute, and up to a fifth longer by chance. Ten times that.
RETURN_CEILING_S: Final = 360.0


class Record(Struct):
    """A run. All times are seconds since it began; `at` are its moments, in their order."""

    at: dict[str, float]
    pops: dict[str, list[str]]
    answers: list[Answer]

    def sent(self, country: str, begins: float, ends: float) -> list[Answer]:
        """The answers to what callers of a country sent from then to then."""
        return [one for one in self.answers if one.country == country and begins <= one.sent < ends]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        return decode(path.read_bytes(), type=cls)


def share(answers: Iterable[Answer], *names: str) -> float:
    """How much of these was answered by these servers, or by a region's; 0.0 of none."""
    found = [one.backend in names or SERVERS.get(one.backend) in names for one in answers]
    return sum(found) / max(1, len(found))


async def tell(world: World) -> Record:
    """Let it all happen; some two and a half minutes."""
    told = _Story(world)
    await told.run()
    return told.record()


class _Story:
    def __init__(self, world: World) -> None:
        self._world = world
        self._callers = {country: Callers(country, RATE, self._heard) for country in HOMES}
        self._at: dict[str, float] = {}
        self._nearby = asyncio.Event()
        self._back = asyncio.Event()
        self._until = float("inf")
        self._reached = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for callers in self._callers.values():
                group.create_task(callers.call(self._world))
            await self._happen()
            for callers in self._callers.values():
                callers.stop()

    async def _happen(self) -> None:
        world = self._world
        self._now("nearest")
        async with asyncio.timeout(NEAREST_CEILING_S):
            await self._nearby.wait()

        await asyncio.to_thread(world.slow, SLOWED, TIMES_SLOWER)
        self._now("slowed")
        await self._answered_for(SLOW_S)
        await asyncio.to_thread(world.slow, SLOWED, 1)
        self._now("healed")
        await self._answered_for(HEALED_S)

        self._callers["FR"].rate = OVERLOAD_RATE
        self._now("overload")
        await self._answered_for(OVERLOAD_S)
        self._callers["FR"].rate = RATE
        self._now("calm")
        await self._answered_for(CALM_S)

        for name in KILLED:
            world.kill(name)
        self._now("killed")
        await self._answered_for(DEAD_S)
        for name in KILLED:
            world.start(name)
        for name in KILLED:
            await asyncio.to_thread(world.ready, name)
        self._now("restarted")
        async with asyncio.timeout(RETURN_CEILING_S):
            await self._back.wait()
        self._now("returned")
        await self._answered_for(BACK_S)
        self._now("end")

    async def _answered_for(self, seconds: float) -> None:
        """Wait until somebody was answered who asked so much later than now."""
        self._until = RealClock.monotonic() + seconds
        self._reached.clear()
        async with asyncio.timeout(CEILING_TIMES * seconds):
            await self._reached.wait()

    def _heard(self, answer: Answer) -> None:
        if answer.sent >= self._until:
            self._reached.set()
        if "slowed" not in self._at:
            if self._all_nearby(answer.ended - NEAREST_S):
                self._nearby.set()
        elif "restarted" in self._at and answer.country == "FR" and answer.backend in KILLED:
            self._back.set()

    def _all_nearby(self, since: float) -> bool:
        if since < self._at["nearest"]:
            return False
        for country, callers in self._callers.items():
            answers = [one for one in callers.answers if one.sent >= since and one.ended]
            if share(answers, HOMES[country].nearest) < NEARBY:
                return False
        return True

    def _now(self, moment: str) -> None:
        self._at[moment] = RealClock.monotonic()

    def record(self) -> Record:
        began = self._at["nearest"]
        answers = sorted((one for callers in self._callers.values() for one in callers.answers), key=_sent)
        for one in answers:
            one.sent, one.ended = one.sent - began, one.ended - began
            one.first = one.first - began if one.first else 0.0
        return Record(
            at={name: at - began for name, at in self._at.items()},
            pops={country: [pop.name for pop in callers.pops] for country, callers in self._callers.items()},
            answers=answers,
        )


def _sent(answer: Answer) -> float:
    return answer.sent
