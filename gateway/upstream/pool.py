"""Kept-alive connections of one origin, the most recently used first."""

import asyncio
import ssl
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.errors import GatewayError, UpstreamSlow, UpstreamUnreachable
from gateway.sweep import Sweeper
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.dial import Addresses

IDLE_S = 60.0
IDLE_MOST = 512


class Origin(Struct, frozen=True):
    """Scheme, host and port: what may share a connection. The host is part of it, so TLS names never mix."""

    secure: bool
    host: str
    port: int

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The origin of a checked base URL."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return Origin(secure, parts.hostname or "", parts.port or (443 if secure else 80))


class Pool:
    """Connections to one origin."""

    def __init__(self, origin: Origin, addresses: Addresses, sweeper: Sweeper, tls: ssl.SSLContext | None) -> None:
        self.origin = origin
        self._addresses = addresses
        self._sweeper = sweeper
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self.closing = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def open(self) -> int:
        return len(self._all)

    def take(self) -> UpstreamConnection | None:
        """An idle connection, if there is one that still stands."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def connect(self, within_s: float) -> UpstreamConnection:
        """A new connection. UpstreamSlow after `within_s`, UpstreamUnreachable where nobody listens or TLS fails."""
        try:
            async with asyncio.timeout(within_s):
                return await self._connect()
        except TimeoutError as error:
            self._addresses.forget(self.origin.host, self.origin.port)
            raise UpstreamSlow("The upstream did not accept the connection in time.") from error

    async def _connect(self) -> UpstreamConnection:
        origin = self.origin
        failure: OSError | None = None
        for address in await self._addresses.resolve(origin.host, origin.port):
            try:
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self, self._loop),
                    address,
                    origin.port,
                    ssl=self._tls if origin.secure else None,
                    server_hostname=origin.host if origin.secure else None,
                )
            except OSError as error:  # refused, unreachable, and ssl.SSLError
                failure = error
            else:
                self._all.add(connection)
                self._sweeper.add(connection)
                return connection
        self._addresses.forget(origin.host, origin.port)
        raise UpstreamUnreachable("The upstream can't be reached.") from failure

    async def warm(self, count: int, within_s: float) -> None:
        """Have at least `count` connections ready. Nothing is said where it fails: a request will find out."""
        while len(self._all) < count and not self.closing:
            try:
                self.freed(await self.connect(within_s))
            except (UpstreamSlow, UpstreamUnreachable):
                return

    def freed(self, connection: UpstreamConnection) -> None:
        if self.closing or len(self._idle) >= IDLE_MOST:
            connection.abort()
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        self._sweeper.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def evict(self, now: float) -> None:
        """Close what has been idle too long, the oldest first."""
        while self._idle and now - self._idle[0].idle_since > IDLE_S:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Idle connections end now, busy ones when their answer is done."""
        self.closing = True
        while self._idle:
            self._idle.pop().abort()

    def break_off(self, error: GatewayError) -> None:
        """End every connection; whoever waits on one is told why."""
        for connection in tuple(self._all):
            connection.break_off(error)
