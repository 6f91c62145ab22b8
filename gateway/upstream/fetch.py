"""One small request that is nobody's: what a probe asks, over the pools that requests use."""

import asyncio

from msgspec import Struct

from gateway.clock import Clock
from gateway.errors import DeadlineExceeded, UpstreamDisconnected
from gateway.upstream.connection import NEVER, REFUSED, UpstreamConnection
from gateway.upstream.pool import Pool


class Fetched(Struct, frozen=True):
    """A whole answer. `rtt_s` is how long it took; None on a connection that had to be made first."""

    status: int
    body: bytes
    rtt_s: float | None


async def fetch(pool: Pool, request: bytes, *, deadline: float, clock: Clock, most_bytes: int) -> Fetched:
    """The answer to a request that may be sent twice. UpstreamError or DeadlineExceeded (monotonic seconds) if none.

    As for any request, a kept connection that turns out to have been closed is replaced once.
    """
    connection = pool.take() or await _dial(pool, deadline, clock)
    while True:
        reused = connection.reused
        connection.total, connection.deadline = deadline, NEVER
        sent = clock.monotonic()
        try:
            await connection.send([request], most_bytes=most_bytes, stream=False)
            status = connection.status
            body = await connection.rest() if status >= REFUSED else connection.body()
        except UpstreamDisconnected:
            if not (reused and connection.untouched):
                raise
            connection = await _dial(pool, deadline, clock)
            continue
        except asyncio.CancelledError:
            connection.abort()
            raise
        took_s = clock.monotonic() - sent
        connection.settle_down()
        return Fetched(status, body, took_s if reused else None)


async def _dial(pool: Pool, deadline: float, clock: Clock) -> UpstreamConnection:
    left_s = deadline - clock.monotonic()
    if left_s <= 0.0:
        raise DeadlineExceeded("The request ran out of time.")
    return await pool.connect(left_s)
