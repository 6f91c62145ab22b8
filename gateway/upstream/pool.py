"""Kept-alive connections of one origin, the most recently used first."""

import asyncio
import ssl
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.clock import Clock
from gateway.errors import GatewayError, UpstreamOverloaded, UpstreamSlow, UpstreamUnreachable
from gateway.outbox import Outbox
from gateway.sweep import Sweeper
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.deadline import Watch, until
from gateway.upstream.dial import Addresses

IDLE_S = 60.0
IDLE_MOST = 512
# Beyond this a request is told no at once (reliability, section 1, row 6): waiting would only move the queue here.
OPEN_MOST = 1024
# How long an origin that couldn't be reached is asked after the other paths to the same server.
AVOIDED_S = 5.0


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
    """Connections to one origin. `open` counts those that stand, `dialling` those that are being made."""

    def __init__(
        self,
        origin: Origin,
        addresses: Addresses,
        clock: Clock,
        sweeper: Sweeper,
        tls: ssl.SSLContext | None = None,
        *,
        outbox: Outbox,
        open_most: int = OPEN_MOST,
        idle_most: int = IDLE_MOST,
    ) -> None:
        self.origin = origin
        self.open_most = open_most
        self._idle_most = idle_most
        self._addresses = addresses
        self._clock = clock
        self._sweeper = sweeper
        self._tls = tls if origin.secure else None
        self._loop = asyncio.get_running_loop()
        self.outbox = outbox
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._dials: set[Watch] = set()
        self._broken_off: GatewayError | None = None
        self._failed_at = -AVOIDED_S
        self._measured_at = float("-inf")
        self.dialling = 0
        self.closing = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def open(self) -> int:
        return len(self._all)

    def avoided(self, now: float) -> bool:
        """Whether the last dial failed a moment ago."""
        return now - self._failed_at < AVOIDED_S

    def take(self) -> UpstreamConnection | None:
        """An idle connection, if there is one that still stands."""
        while self._idle:
            connection = self._idle.pop()
            connection.pooled = False
            if not connection.closed:
                return connection
        return None

    def rtt_ms(self) -> float | None:
        """The kernel's word on the idle connection that was used last; None where none was since it was asked before.

        A connection that lies idle has nothing new to say. One that was busy at the time is asked another time.
        """
        if not self._idle or self._idle[-1].idle_since <= self._measured_at:
            return None
        newest = self._idle[-1]
        self._measured_at = newest.idle_since
        return newest.rtt_ms()

    async def connect(self, within_s: float) -> UpstreamConnection:
        """A new connection.

        UpstreamSlow after `within_s`, UpstreamUnreachable where nobody listens or TLS fails, UpstreamOverloaded where
        there are too many already: that one is ours, and says nothing about the upstream's health.
        """
        if len(self._all) + self.dialling >= self.open_most:
            raise UpstreamOverloaded("Too many requests to the upstream are under way.")
        self.dialling += 1
        deadline = self._clock.monotonic() + within_s
        try:
            async with until(deadline, self._sweeper) as watch:
                self._dials.add(watch)
                try:
                    connection = await self._connect(deadline)
                finally:
                    self._dials.discard(watch)
        except UpstreamUnreachable:
            self._note_failure()
            raise
        except TimeoutError as error:
            if self._broken_off is not None:
                raise self._broken_off from None
            self._note_failure()
            raise UpstreamSlow("The upstream did not accept the connection in time.") from error
        finally:
            self.dialling -= 1
        self._failed_at = -AVOIDED_S
        return connection

    async def _connect(self, deadline: float) -> UpstreamConnection:
        """A connection to the first address that takes one; each but the last has its share of the time."""
        origin = self.origin
        addresses = await self._addresses.resolve(origin.host, origin.port)
        failure: OSError | None = None
        for at, address in enumerate(addresses):
            now = self._clock.monotonic()
            left = len(addresses) - at
            connection = UpstreamConnection(self, self._loop, self._clock)
            try:
                async with until(now + (deadline - now) / left, self._sweeper):
                    await self._reach(connection, address)
            except OSError as error:  # refused, unreachable, timed out, and ssl.SSLError
                if not isinstance(failure, TimeoutError):
                    failure = error
                continue
            if at:
                self._addresses.prefer(origin.host, origin.port, address)
            return connection
        if isinstance(failure, TimeoutError):
            raise failure
        raise UpstreamUnreachable("The upstream can't be reached.") from failure

    async def _reach(self, connection: UpstreamConnection, address: str) -> None:
        try:
            await self._loop.create_connection(
                lambda: connection,
                address,
                self.origin.port,
                ssl=self._tls,
                server_hostname=self.origin.host if self._tls else None,
            )
        except asyncio.CancelledError:
            # uvloop closes a transport whose maker was cancelled without telling the protocol that it had made.
            connection.give_up()
            raise

    def _note_failure(self) -> None:
        self._failed_at = self._clock.monotonic()
        self._addresses.forget(self.origin.host, self.origin.port)

    async def warm(self, count: int, within_s: float) -> None:
        """Have `count` connections ready. Nothing is said where it fails: a request will find out."""
        for _ in range(count - len(self._all)):
            try:
                self.freed(await self.connect(within_s))
            except GatewayError:
                return

    def opened(self, connection: UpstreamConnection) -> None:
        self._all.add(connection)
        self._sweeper.add(connection)

    def freed(self, connection: UpstreamConnection) -> None:
        if self.closing or connection.closed or len(self._idle) >= self._idle_most:
            connection.abort()
            return
        connection.reused = connection.pooled = True
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        self._sweeper.discard(connection)
        if connection.pooled:
            connection.pooled = False
            self._idle.remove(connection)

    def evict(self, now: float) -> None:
        """Close what has been idle too long, the oldest first."""
        while self._idle and now - self._idle[0].idle_since > IDLE_S:
            connection = self._idle.pop(0)
            connection.pooled = False
            connection.abort()

    def close(self) -> None:
        """Idle connections end now, busy ones when their answer is done."""
        self.closing = True
        while self._idle:
            connection = self._idle.pop()
            connection.pooled = False
            connection.abort()

    def let_go(self, error: GatewayError) -> None:
        """End the streams of which nothing has come yet; whoever waits for one is told why."""
        for connection in tuple(self._all):
            connection.let_go(error)

    def break_off(self, error: GatewayError) -> None:
        """End every connection, those being made too; whoever waits on one is told why."""
        self._broken_off = error
        for watch in tuple(self._dials):
            watch.expire()
        for connection in tuple(self._all):
            connection.break_off(error)
