"""The kernel's round trips to backends, on real sockets."""

import asyncio
from collections import Counter

from gateway.clock import HandClock
from gateway.settings.shape import Backend, Provider
from gateway.sweep import Sweeper
from gateway.upstream.dial import Addresses
from gateway.upstream.distances import EVERY_S, Distances
from gateway.upstream.pool import Origin, Pool, origin_of
from tests.doubles.outgoing import at_once
from tests.upstream.scripted import CEILING_S, Upstream

PROVIDER = Provider(name="p", speaks="openai_chat")


def backend(name: str, *urls: str) -> Backend:
    return Backend(name=name, provider=PROVIDER, base_urls=urls)


class Bench:
    """Backends, the pools to them, and what was told of each."""

    def __init__(self, *backends: Backend) -> None:
        self.clock = HandClock()
        self.told: Counter[str] = Counter()
        self.rtts_s: set[float] = set()
        self._addresses = Addresses(self.clock, Sweeper(), ())
        self._pools: dict[Origin, Pool] = {}
        self._distances = Distances({one.name: one for one in backends}, self, self)

    def pool(self, origin: Origin) -> Pool:
        if origin not in self._pools:
            self._pools[origin] = Pool(origin, self._addresses, self.clock, Sweeper(), outbox=at_once())
        return self._pools[origin]

    def reached(self, backend: str, rtt_s: float) -> None:
        self.told[backend] += 1
        self.rtts_s.add(rtt_s)

    async def uses(self, url: str) -> None:
        """A connection there is used and free again."""
        pool = self.pool(origin_of(url))
        async with asyncio.timeout(CEILING_S):
            pool.freed(pool.take() or await pool.connect(CEILING_S))

    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._distances.tick(self.clock.monotonic())


async def test_a_connection_that_was_used_tells_how_far_its_backends_are() -> None:
    async with Upstream() as upstream:
        bench = Bench(
            backend("a", upstream.url), backend("b", upstream.url + "/v1"), backend("c", "http://127.0.0.1:1")
        )
        await bench.uses(upstream.url)
        bench.passes(EVERY_S)
    assert bench.told == {"a": 1, "b": 1}
    assert all(0.0 < rtt_s < 1.0 for rtt_s in bench.rtts_s)


async def test_one_that_lies_idle_tells_it_once() -> None:
    async with Upstream() as upstream:
        bench = Bench(backend("a", upstream.url))
        await bench.uses(upstream.url)
        for _ in range(3):
            bench.passes(EVERY_S)
        assert bench.told == {"a": 1}
        await bench.uses(upstream.url)
        bench.passes(EVERY_S)
        assert bench.told == {"a": 2}


async def test_it_is_asked_once_a_second() -> None:
    async with Upstream() as upstream:
        bench = Bench(backend("a", upstream.url))
        for _ in range(9):
            await bench.uses(upstream.url)
            bench.passes(EVERY_S / 4)
    assert bench.told == {"a": 3}


async def test_a_connection_that_is_busy_or_gone_is_not_asked() -> None:
    async with Upstream() as upstream:
        bench = Bench(backend("a", upstream.url))
        await bench.uses(upstream.url)
        pool = bench.pool(origin_of(upstream.url))
        taken = pool.take()
        assert taken is not None
        bench.passes(EVERY_S)
        assert not bench.told
        taken.abort()
        assert taken.rtt_ms() is None
