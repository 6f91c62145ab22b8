"""Gateways that probe, on a clock that is moved by hand, and ears for what they tell."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from gateway.clock import HandClock
from gateway.errors import Draining
from gateway.outbox import Outbox
from gateway.routing.snapshot import Load
from gateway.settings.shape import Backend, Pop, Provider, Settings, Target
from gateway.sweep import Sweeper
from gateway.upstream.client import UpstreamClient
from gateway.upstream.prober import Prober
from gateway.upstream.probes.reading import Reading
from gateway.upstream.shared_health import MemoryHealth, SharedHealth
from tests.upstream.scripted import CEILING_S, turn

TICK_S = 0.25


def server(name: str, *urls: str, probe: str = "vllm", tier: str = "self_hosted") -> Backend:
    provider = Provider(name="p", speaks="openai_chat", probe=probe)
    return Backend(name=name, provider=provider, base_urls=urls, tier=tier)


def settings_of(*backends: Backend, region: str = "eu-central") -> Settings:
    pop = Pop("here", "https://gw.example", region, "DE", (50.1, 8.7))
    return Settings(
        models={"m": tuple(Target(backend, "m") for backend in backends)},
        backends={backend.name: backend for backend in backends},
        callers=(),
        state="memory",
        pop="here",
        pops={"here": pop},
    )


class Ears:
    """Everything a prober tells, of readings, of company and to the operator."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, Reading, float]] = []
        self.looks: list[tuple[str, bool, float]] = []
        self.notes: list[tuple[str, frozenset[str], frozenset[str]]] = []
        self.lefts = 0
        self.bugs: list[BaseException] = []
        self.others: dict[str, tuple[int, float]] = {}
        self.mine: dict[str, tuple[int, float]] = {}
        self.cooling: dict[str, float] = {}
        self.told_to_cool: list[tuple[str, float]] = []
        self._changed = asyncio.Event()

    def told(self, backend: str, reading: Reading, now: float) -> None:
        self.readings.append((backend, reading, now))
        self._changed.set()

    def looked(self, backend: str, *, up: bool, took_s: float) -> None:
        self.looks.append((backend, up, took_s))

    def noted(self, backend: str, unmatched: frozenset[str], missing: frozenset[str]) -> None:
        self.notes.append((backend, unmatched, missing))

    def left(self) -> None:
        self.lefts += 1

    def bug(self, error: BaseException, request_id: str) -> None:
        assert request_id == ""
        self.bugs.append(error)
        self._changed.set()

    def own(self, backend: str) -> Load:
        in_flight, waiting_tokens = self.mine.get(backend, (0, 0.0))
        return Load(in_flight=in_flight, waiting_tokens=waiting_tokens)

    def elsewhere(self, backend: str, in_flight: int, waiting_tokens: float) -> None:
        self.others[backend] = (in_flight, waiting_tokens)

    def cooled_until(self, backend: str) -> float:
        return self.cooling.get(backend, 0.0)

    def cooled(self, backend: str, until: float) -> None:
        self.cooling[backend] = until
        self.told_to_cool.append((backend, until))

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for what `true` says of what was heard."""
        async with asyncio.timeout(CEILING_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    @property
    def last(self) -> Reading:
        return self.readings[-1][1]

    def of(self, backend: str) -> list[Reading]:
        return [reading for name, reading, _ in self.readings if name == backend]


class Gateway:
    """One gateway's prober, with a client and a sweeper of its own."""

    def __init__(self, settings: Settings, clock: HandClock, shared: SharedHealth, who: str, *, lonely: bool) -> None:
        self.clock = clock
        self.sweeper = Sweeper()
        outbox = Outbox(clock.monotonic, asyncio.get_running_loop().call_soon)
        self.client = UpstreamClient(settings, clock, self.sweeper, outbox)
        self.ears = Ears()
        self.prober = Prober(
            settings,
            self.client,
            clock,
            self.ears,
            shared,
            self.ears,
            who=who,
            bug=self.ears.bug,
            company=None if lonely else self.ears,
        )

    async def tick(self) -> None:
        """What the worker's timer does, and the loop after it, until the prober waits for the next one."""
        self.sweeper.sweep(self.clock.monotonic())
        self.prober.tick(self.clock.monotonic())
        for _ in range(3):
            await turn()

    async def look(self, times: int = 1) -> Reading:
        """Ticks until it was told so many readings more."""
        wanted = len(self.ears.readings) + times
        async with asyncio.timeout(CEILING_S):
            while len(self.ears.readings) < wanted:
                await self.tick()
        return self.ears.last

    async def leave(self) -> None:
        self.client.close()
        self.client.break_off(Draining("The test is over."))
        async with asyncio.timeout(CEILING_S):
            while self.client.open:
                await turn()


class Fleet:
    """Gateways that share a memory and a clock, by name."""

    def __init__(self, gateways: Mapping[str, Gateway], clock: HandClock) -> None:
        self.gateways = gateways
        self.clock = clock

    def __getitem__(self, name: str) -> Gateway:
        return self.gateways[name]

    @property
    def leaders(self) -> list[str]:
        return [name for name, gateway in self.gateways.items() if gateway.prober.leads]

    async def tick(self, *names: str) -> None:
        for name in names or self.gateways:
            await self.gateways[name].tick()

    async def pass_time(self, seconds: float, *names: str) -> None:
        """Quarter by quarter of a second, with a tick of each gateway, or of those named."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            await self.tick(*names)


@asynccontextmanager
async def probing(
    *backends: Backend, who: tuple[str, ...] = ("one",), lonely: bool = False, regions: tuple[str, ...] = ()
) -> AsyncIterator[Fleet]:
    """These gateways at work, in one region or each in its own, until the end of the block."""
    clock = HandClock()
    shared = MemoryHealth()
    places = regions or ("eu-central",) * len(who)
    gateways = {
        name: Gateway(settings_of(*backends, region=region), clock, shared, name, lonely=lonely)
        for name, region in zip(who, places, strict=True)
    }
    async with asyncio.timeout(6 * CEILING_S), asyncio.TaskGroup() as group:
        running = [group.create_task(gateway.prober.run()) for gateway in gateways.values()]
        await turn()
        yield Fleet(gateways, clock)
        for gateway in gateways.values():
            gateway.prober.close()
            await gateway.leave()
        await asyncio.gather(*running)
