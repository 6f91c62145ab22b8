"""The data plane of one worker inside the test's own process: real sockets, no supervisor."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Self

from gateway.clock import Clock, RealClock
from gateway.errors import Draining
from gateway.exchange import Exchange
from gateway.outbox import Outbox
from gateway.pipeline import Runtime
from gateway.routing.estimate import Lengths
from gateway.routing.policy import Policy
from gateway.server.door import Door
from gateway.server.guests import Guest
from gateway.server.listen import listen
from gateway.server.protocol import CallerConnection
from gateway.settings.keys import digest_of
from gateway.settings.shape import (
    Backend,
    Caller,
    Caps,
    Deadlines,
    Listen,
    May,
    Pop,
    Provider,
    Secret,
    Settings,
    Target,
    Timeouts,
)
from gateway.stages.attempt import Attempter
from gateway.stages.authenticate import Keys
from gateway.stages.choose import Chooser
from gateway.stages.find import Finder
from gateway.stages.settle import Settler
from gateway.stages.waiting import Room
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Catalogue
from gateway.upstream.client import UpstreamClient
from gateway.upstream.health import Health
from gateway.upstream.prices import Prices

KEY = "sk-gw-test-0123456789abcdef"
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "moderations": "/v1/moderations",
}
PROVIDER = Provider(name="mock", speaks="openai_chat", paths=PATHS)
CALLER = Caller(name="tester", team="tests", digest=digest_of(KEY, ""), may=May(plan=True))


def backend(name: str, url: str, provider: Provider = PROVIDER, key: str = "") -> Backend:
    return Backend(
        name=name, provider=provider, base_urls=(url,), api_key=Secret(key), country="DE", region="eu-central"
    )


def settings_for(
    models: Mapping[str, list[Backend]],
    *,
    timeouts: Timeouts | None = None,
    caps: Caps | None = None,
    deadlines: Deadlines | None = None,
    listen: Listen | None = None,
    callers: tuple[Caller, ...] = (CALLER,),
    policies: tuple[Policy, ...] = (),
    pops: Mapping[str, Pop] | None = None,
    pop: str = "",
) -> Settings:
    """Settings in which each model is served by these backends, in order."""
    times = timeouts or Timeouts()
    return Settings(
        models={
            name: tuple(Target(b, "mock-model", timeouts=times, order=at) for at, b in enumerate(backends))
            for name, backends in models.items()
        },
        backends={b.name: b for backends in models.values() for b in backends},
        callers=callers,
        state="memory",
        caps=caps or Caps(),
        deadlines=deadlines or Deadlines(),
        listen=listen or Listen(),
        policies=policies,
        pops=dict(pops or {}),
        pop=pop,
    )


class _Connection(CallerConnection):
    """Tells what it was given, after it has dealt with it."""

    def __init__(self, door: Door, hear: Callable[[int], None]) -> None:
        super().__init__(door)
        self._hear = hear

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._hear(0)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._hear(len(data))


class _Door(Door):
    def __init__(self, runtime: Runtime, sweeper: Sweeper, outbox: Outbox, hear: Callable[[int], None]) -> None:
        super().__init__(runtime, sweeper, outbox)
        self._hear = hear

    def gone(self, guest: Guest) -> None:
        super().gone(guest)
        self._hear(0)

    def connection(self, context: ssl.SSLContext | None = None) -> asyncio.Protocol:
        return _Connection(self, self._hear) if context is None else super().connection(context)


class Inside:
    """A gateway on a free port of loopback; `settled` is every exchange that came to its end.

    With `context` it speaks TLS there, with `unix` it listens on that path too.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        sweeps: bool = True,
        context: ssl.SSLContext | None = None,
        unix: str = "",
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or RealClock()
        self.sweeper = Sweeper()
        self.settled: list[Exchange] = []
        self.bugs: list[BaseException] = []
        self.port = 0
        self.heard_bytes = 0
        self._sweeps = sweeps
        self._context = context
        self._unix = unix
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        outbox = Outbox(self.clock.monotonic, self._loop.call_soon)
        self.client = UpstreamClient(self.settings, self.clock, self.sweeper, outbox)
        self.health = Health(self.settings.backends, self.settings.models)
        self.room = Room(self.clock, self.sweeper)
        prices = self._prices = Prices()
        self.runtime = Runtime(
            settings=self.settings,
            clock=self.clock,
            keys=Keys(self.settings.callers, ""),
            catalogue=Catalogue(self.settings),
            finder=self.finder(self.settings),
            attempter=Attempter(
                self.client, self.health, self.clock, self.settings.pop, self.settings.caps.event_bytes
            ),
            settler=Settler(prices, (self,)),
            faults=self,
            room=self.room,
            draining=lambda: self.door.draining,
        )
        self.door = _Door(self.runtime, self.sweeper, outbox, self._hear)
        self.server = await listen(self.door, socket.create_server(("127.0.0.1", 0)), self._context)
        self.port = self.server.sockets[0].getsockname()[1]
        self._local: asyncio.Server | None = None
        if self._unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(self._unix)
            self._local = await listen(self.door, sock, self._context)
        self._timer = self._loop.call_soon(self._tick)
        return self

    def finder(self, settings: Settings, instance: str = "inside-0001") -> Finder:
        """Who finds ways by these settings, for a gateway of this name."""
        chooser = Chooser(settings, self.health.snapshot, self.clock)
        return Finder(instance, Catalogue(settings), chooser, self._prices.usd_per_mtok, Lengths())

    async def __aexit__(self, *exc: object) -> None:
        self._timer.cancel()
        self.server.close()
        if self._local is not None:
            self._local.close()
        self.door.abort()
        await self.door.done()
        self.client.close()
        self.client.break_off(Draining("The test is over."))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _tick(self) -> None:
        if self._sweeps:
            self.sweeper.sweep(self.clock.monotonic())
        self._changed.set()
        self._timer = self._loop.call_later(0.02, self._tick)

    def settle(self, exchange: Exchange) -> None:
        self.settled.append(exchange)
        self._changed.set()

    def bug(self, error: BaseException, request_id: str) -> None:
        del request_id
        self.bugs.append(error)

    def _hear(self, size: int) -> None:
        self.heard_bytes += size
        self._changed.set()

    async def until_so(self, true: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for anything that may become true with a byte, an end, a settlement or time."""
        async with asyncio.timeout(within_s):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def until_heard(self, size: int) -> None:
        """Wait until callers' connections have been given so many bytes in all, one that has just come at least."""
        await self.until_so(lambda: self.heard_bytes >= size and self.door.open > 0)

    async def until_alone(self) -> None:
        """Wait until no connection is left."""
        await self.until_so(lambda: self.door.open == 0)

    async def until(self, true: Callable[[list[Exchange]], bool], within_s: float = 10.0) -> None:
        """Wait for what `true` says of the settled exchanges."""
        async with asyncio.timeout(within_s):
            while not true(self.settled):
                self._changed.clear()
                await self._changed.wait()


async def raw(port: int, data: bytes, within_s: float = 10.0) -> bytes:
    """Send bytes on a new connection and read until the other side ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(within_s):
            return await reader.read()
    finally:
        writer.close()
