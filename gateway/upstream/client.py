"""One request to one place: a connection from its pool, the bytes, and the wait for the answer."""

import asyncio
import ssl

from gateway.clock import Clock
from gateway.errors import DeadlineExceeded, GatewayError, UpstreamDisconnected
from gateway.exchange import Attempt
from gateway.settings.shape import Settings
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Place
from gateway.upstream.connection import NEVER, UpstreamConnection
from gateway.upstream.dial import Addresses
from gateway.upstream.pool import Origin, Pool


class UpstreamClient:
    """All pools of one worker. Redirects are never followed, nothing is decompressed, cookies aren't kept."""

    def __init__(self, settings: Settings, clock: Clock, sweeper: Sweeper) -> None:
        self._clock = clock
        self._sweeper = sweeper
        self._answer_bytes = settings.caps.answer_bytes
        self._addresses = Addresses(clock, settings.private_networks)
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[Origin, Pool] = {}

    def pool(self, origin: Origin) -> Pool:
        pool = self._pools.get(origin)
        if pool is None:
            if origin.secure and self._tls is None:
                self._tls = ssl.create_default_context()
                self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            pool = self._pools[origin] = Pool(origin, self._addresses, self._sweeper, self._tls)
        return pool

    def trust(self, context: ssl.SSLContext) -> None:
        """Use another set of certificate authorities; before the first secure origin is called."""
        self._tls = context

    async def send(
        self, place: Place, attempt: Attempt, head: bytes, body: bytes, *, stream: bool, total: float
    ) -> UpstreamConnection:
        """The connection on which a place has answered: with its head where `stream`, whole otherwise.

        `total` is when the whole request must be over, in monotonic seconds. A kept connection that turns out to have
        been closed is replaced once, and only where not one byte was received. Raises UpstreamError or
        DeadlineExceeded; the connection is then closed, as it is when this call is cancelled.
        """
        timeouts = place.target.timeouts
        pool = self._pools.get(place.origin) or self.pool(place.origin)
        connection = pool.take()
        while True:
            if connection is None:
                began = self._clock.monotonic()
                if began >= total:
                    raise DeadlineExceeded("The request ran out of time.")
                connection = await pool.connect(min(timeouts.connect_s, total - began))
                attempt.dialled_s += self._clock.monotonic() - began
            attempt.reused = connection.reused
            attempt.sent = now = self._clock.monotonic()
            connection.total = total
            connection.idle_s = timeouts.idle_s
            connection.deadline = now + timeouts.first_token_s if stream else NEVER
            try:
                await connection.send(_pieces(place, head, body), most_bytes=self._answer_bytes, stream=stream)
            except UpstreamDisconnected:
                if not (connection.reused and connection.untouched):
                    raise
                connection = None
                continue
            except asyncio.CancelledError:
                connection.abort()
                raise
            attempt.headers = self._clock.monotonic()
            attempt.status = connection.status
            return connection

    async def warm(self, origins: list[Origin], within_s: float) -> None:
        """Have a connection ready to each origin before the first caller comes."""
        async with asyncio.TaskGroup() as group:
            for origin in origins:
                group.create_task(self.pool(origin).warm(1, within_s))

    def evict(self, now: float) -> None:
        for pool in self._pools.values():
            pool.evict(now)

    def idle(self, origin: Origin) -> int:
        pool = self._pools.get(origin)
        return pool.idle if pool else 0

    @property
    def open(self) -> int:
        """Connections there are, idle or busy."""
        return sum(pool.open for pool in self._pools.values())

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def break_off(self, error: GatewayError) -> None:
        """End everything under way with an error of ours."""
        for pool in self._pools.values():
            pool.break_off(error)


def _pieces(place: Place, head: bytes, body: bytes) -> list[bytes]:
    # A small body travels in the head's packet; a large one isn't copied for it.
    start = b"%b%bcontent-length: %d\r\n\r\n" % (place.head, head, len(body))
    return [start + body] if len(body) < 16384 else [start, body]
