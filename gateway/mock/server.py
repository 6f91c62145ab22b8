"""The stand-in model server itself.

Tests use it so:

async with MockServer(MockOptions(models=("m",), tpot_s=0.01)) as server:
    ...                                     # server.url
    await server.until(lambda ledger: ledger.last.left_at is not None)
"""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from gateway.clock import Clock, RealClock
from gateway.mock.connection import Connection
from gateway.mock.faults import Standing
from gateway.mock.ledger import Ledger
from gateway.mock.metrics import Meters
from gateway.mock.options import MockOptions
from gateway.mock.playing import Stage
from gateway.mock.routes import Desk
from gateway.mock.slots import Slots

_BACKLOG = 4096
_CLOSING_CEILING_S = 5.0


class MockServer:
    """A model server that is none, on one port, in the running loop."""

    stage: Stage
    desk: Desk

    def __init__(self, options: MockOptions | None = None, *, clock: Clock | None = None) -> None:
        """ValueError if a fault in the options is misspelt."""
        self.options = options or MockOptions()
        self.clock: Clock = clock or RealClock()
        self.ledger = Ledger(self.options.keep_entries)
        self.slots = Slots(self.options.slots)
        self.meters = Meters(self.options)
        self.standing = Standing(self.options.faults)
        self.connections: set[Connection] = set()
        self.port = self.options.port
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self.stage = Stage(loop, self.clock, self.ledger, self.meters, self.slots)
        self.desk = Desk(self.options, self.stage, self.standing)
        await self.listen()

    async def stop(self) -> None:
        """Close the listener and every connection, and wait until they are gone."""
        self.kill()
        await self.until(lambda ledger: ledger.open_connections == 0, _CLOSING_CEILING_S)

    async def listen(self) -> None:
        """Listen, again on the same port after `kill` or `close_listener`."""
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                lambda: Connection(self), self.options.host, self.port, backlog=_BACKLOG
            )
            self.port = self._listener.sockets[0].getsockname()[1]

    def close_listener(self) -> None:
        """Refuse new connections; those that are open go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def kill(self) -> None:
        """Vanish as a killed process does: nobody listens, every connection is reset. `listen` brings it back."""
        self.close_listener()
        for connection in tuple(self.connections):
            connection.drop()

    @property
    def url(self) -> str:
        """Address without a path, such as `http://127.0.0.1:40123`."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"http://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        return self.ledger.open_connections

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return self.slots.running

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        return self.slots.waiting

    def set_faults(self, specs: Iterable[str] = ()) -> None:
        """Replace the standing faults: `set_faults(["500*2"])`, and `set_faults()` heals. ValueError if misspelt."""
        self.standing.set(specs)

    async def until(self, predicate: Callable[[Ledger], bool], ceiling_s: float = 10.0) -> None:
        """Return as soon as the ledger shows it. TimeoutError after the ceiling, with what the ledger shows."""
        await self.ledger.until(predicate, ceiling_s)
