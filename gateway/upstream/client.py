"""One request to one place: a connection from its pool, the bytes, and the wait for the answer."""

import asyncio
import ssl

from gateway.clock import Clock
from gateway.errors import (
    RESIDENCY,
    Bug,
    DeadlineExceeded,
    GatewayError,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamSlow,
)
from gateway.exchange import Attempt
from gateway.outbox import Outbox
from gateway.routing.filters import within
from gateway.settings.shape import Backend, Settings
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Place
from gateway.upstream.connection import NEVER, UpstreamConnection
from gateway.upstream.dial import Addresses, Resolver, ask_system
from gateway.upstream.pool import Origin, Pool, origin_of

# A body below this travels in its head's packet; a larger one isn't copied for it.
JOINED_BYTES = 16 * 1024


class UpstreamClient:
    """All pools of one worker. Redirects are never followed, nothing is decompressed, cookies aren't kept."""

    def __init__(
        self, settings: Settings, clock: Clock, sweeper: Sweeper, outbox: Outbox, *, resolver: Resolver = ask_system
    ) -> None:
        self._clock = clock
        self._sweeper = sweeper
        self._answer_bytes = settings.caps.answer_bytes
        self._open_most = settings.caps.connections
        self._addresses = Addresses(clock, sweeper, settings.private_networks, resolver)
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[Origin, Pool] = {}
        self._outbox = outbox
        self._closing = False

    def pool(self, origin: Origin) -> Pool:
        pool = self._pools.get(origin)
        if pool is None:
            if origin.secure and self._tls is None:
                self._tls = ssl.create_default_context()
                self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
                self._tls.set_alpn_protocols(["http/1.1"])
            # Every caller may be served by the same upstream, so it may have as many connections as they.
            pool = self._pools[origin] = Pool(
                origin,
                self._addresses,
                self._clock,
                self._sweeper,
                self._tls,
                outbox=self._outbox,
                open_most=self._open_most,
            )
            pool.closing = self._closing
        return pool

    def trust(self, context: ssl.SSLContext) -> None:
        """Use another set of certificate authorities; before the first secure origin is called."""
        self._tls = context

    async def send(
        self,
        place: Place,
        attempt: Attempt,
        head: bytes,
        body: bytes,
        *,
        stream: bool,
        total: float,
        jurisdictions: frozenset[str] | None = None,
    ) -> UpstreamConnection:
        """The connection on which a place has answered: with its head where `stream`, whole otherwise.

        `total` is when the whole request must be over, in monotonic seconds. A kept connection that turns out to have
        been closed is replaced once, by a fresh one, and only where not one byte was received. Raises UpstreamError or
        DeadlineExceeded; the connection is then closed, as it is when this call is cancelled. Bug, before anything is
        dialled, where a path to the place leads out of the `jurisdictions` (None: there are none).
        """
        if jurisdictions is not None:
            for path in (place, *place.others):
                assert_within(path, jurisdictions)
        monotonic = self._clock.monotonic
        timeouts = place.target.timeouts
        connection = (self._pools.get(place.origin) or self.pool(place.origin)).take()
        if connection is None:
            place, connection = self._kept_elsewhere(place) or await self._dial(place, attempt, total)
        while True:
            attempt.reused = connection.reused
            attempt.sent = now = monotonic()
            connection.total = total
            connection.deadline = now + timeouts.first_token_s if stream else NEVER
            try:
                await connection.send(
                    _pieces(place, head, body, stream=stream), most_bytes=self._answer_bytes, stream=stream
                )
            except UpstreamDisconnected:
                if not (connection.reused and connection.untouched):
                    raise
                # Others in the pool are as old: a walk through them would be a walk through a graveyard.
                place, connection = await self._dial(place, attempt, total)
                continue
            except asyncio.CancelledError:
                connection.abort()
                raise
            attempt.headers = monotonic()
            attempt.status = connection.status
            return connection

    def _kept_elsewhere(self, place: Place) -> tuple[Place, UpstreamConnection] | None:
        """An idle connection by another path to the same server."""
        for path in place.others:
            connection = self.pool(path.origin).take()
            if connection is not None:
                return path, connection
        return None

    async def _dial(self, place: Place, attempt: Attempt, total: float) -> tuple[Place, UpstreamConnection]:
        """A fresh connection by the first path that gives one; a path that just failed is tried last."""
        began = self._clock.monotonic()
        failure: UpstreamError | None = None
        for path in sorted((place, *place.others), key=lambda path: self.pool(path.origin).avoided(began)):
            left_s = total - self._clock.monotonic()
            if left_s <= 0:
                break
            try:
                connection = await self.pool(path.origin).connect(min(place.target.timeouts.connect_s, left_s))
            except UpstreamError as error:
                failure = error
                continue
            attempt.dialled_s += self._clock.monotonic() - began
            return path, connection
        if failure is None or self._clock.monotonic() >= total:
            raise DeadlineExceeded("The request ran out of time.") from failure
        raise failure

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
        """Connections there are, idle, busy, or being made."""
        return sum(pool.open + pool.dialling for pool in self._pools.values())

    def close(self) -> None:
        """Idle connections end now, busy ones when their answer is done."""
        self._closing = True
        for pool in self._pools.values():
            pool.close()

    def let_go(self, backend: Backend) -> None:
        """Wait no longer for first tokens of a server that has died: another one may have them sooner."""
        for origin in {origin_of(url) for url in backend.base_urls}:
            pool = self._pools.get(origin)
            if pool is not None:
                pool.let_go(UpstreamSlow("The upstream has stopped answering."))

    def break_off(self, error: GatewayError) -> None:
        """End everything under way with an error of ours."""
        for pool in self._pools.values():
            pool.break_off(error)


def assert_within(place: Place, jurisdictions: frozenset[str]) -> None:
    """Bug where a place computes or stores anywhere else, or nobody knows where: the last look before bytes leave."""
    if not within(place.candidate.processes_in, jurisdictions):
        raise Bug("A place was to be asked that may not see this request.", code=RESIDENCY)


def _pieces(place: Place, head: bytes, body: bytes, *, stream: bool) -> list[bytes]:
    size = len(body)
    start = place.stream_head if stream else place.head
    if size < JOINED_BYTES:
        return [b"%b%bcontent-length: %d\r\n\r\n%b" % (start, head, size, body)]
    return [b"%b%bcontent-length: %d\r\n\r\n" % (start, head, size), body]
