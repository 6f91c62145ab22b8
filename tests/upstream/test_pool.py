"""Connections of one origin: kept, counted, bounded, and let go. On real sockets."""

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.clock import HandClock
from gateway.errors import Draining, GatewayError, UpstreamOverloaded, UpstreamSlow, UpstreamUnreachable
from gateway.sweep import Sweeper
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.dial import FAILED_S, Addresses
from gateway.upstream.pool import AVOIDED_S, IDLE_MOST, IDLE_S, OPEN_MOST, Origin, Pool, origin_of
from tests.doubles.outgoing import at_once
from tests.upstream.scripted import CEILING_S, FIN, OK, Blackhole, Names, Upstream, turn


class Bench:
    """A pool for an origin, on a clock moved by hand."""

    def __init__(
        self, origin: Origin, names: Names | None = None, *, open_most: int = OPEN_MOST, idle_most: int = IDLE_MOST
    ) -> None:
        self.clock = HandClock()
        self.sweeper = Sweeper()
        addresses = Addresses(self.clock, self.sweeper, (), *([names] if names else ()))
        self.pool = Pool(
            origin, addresses, self.clock, self.sweeper, outbox=at_once(), open_most=open_most, idle_most=idle_most
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sweeper.sweep(self.clock.monotonic())

    async def connect(self, within_s: float = 1.0) -> UpstreamConnection:
        async with asyncio.timeout(CEILING_S):
            return await self.pool.connect(within_s)

    async def until_gone(self) -> None:
        async with asyncio.timeout(CEILING_S):
            while self.pool.open:
                await turn()


async def failure_of(connecting: Awaitable[object]) -> GatewayError:
    try:
        await connecting
    except GatewayError as error:
        return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://127.0.0.1:8000", Origin(secure=False, host="127.0.0.1", port=8000), "127.0.0.1:8000"),
        ("https://api.example/v1", Origin(secure=True, host="api.example", port=443), "api.example"),
        ("http://api.example", Origin(secure=False, host="api.example", port=80), "api.example"),
        ("https://api.example:80", Origin(secure=True, host="api.example", port=80), "api.example:80"),
        ("http://[::1]:8000", Origin(secure=False, host="::1", port=8000), "[::1]:8000"),
        ("https://[2606:4700::1]", Origin(secure=True, host="2606:4700::1", port=443), "[2606:4700::1]"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: Origin, authority: str) -> None:
    assert origin_of(url) == origin
    assert origin_of(url).authority == authority


async def test_a_connection_that_is_free_again_is_taken_again_the_most_recent_first() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        first, second = await bench.connect(), await bench.connect()
        assert not first.reused
        bench.pool.freed(first)
        bench.pool.freed(second)
        assert (bench.pool.idle, bench.pool.open) == (2, 2)
        assert bench.pool.take() is second
        assert bench.pool.take() is first
        assert bench.pool.take() is None
        assert first.reused


async def test_an_idle_connection_that_ended_is_not_taken() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        bench.pool.freed(await bench.connect())
        upstream.last.play([FIN])
        await bench.until_gone()
        assert (bench.pool.idle, bench.pool.take()) == (0, None)


async def test_a_connection_that_is_ending_is_not_taken_either() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        connection = await bench.connect()
        bench.pool.freed(connection)
        connection.abort()
        assert (bench.pool.open, bench.pool.take()) == (1, None)
        await bench.until_gone()


async def test_what_is_idle_too_long_is_closed_the_rest_is_kept() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        old, young = await bench.connect(), await bench.connect()
        bench.pool.freed(old)
        bench.pass_time(30.0)
        bench.pool.freed(young)
        bench.pass_time(30.0)
        bench.pool.evict(bench.clock.monotonic())
        assert bench.pool.idle == 2
        bench.pass_time(0.1)
        bench.pool.evict(bench.clock.monotonic())
        assert (old.closed, young.closed, bench.pool.idle) == (True, False, 1)
        assert IDLE_S == 60.0


async def test_no_more_than_so_many_are_kept_idle() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url), idle_most=1)
        first, second = await bench.connect(), await bench.connect()
        bench.pool.freed(first)
        bench.pool.freed(second)
        assert (bench.pool.idle, first.closed, second.closed) == (1, False, True)


async def test_beyond_its_limit_an_origin_says_no_at_once_and_it_is_nobodys_fault() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url), open_most=2)
        held = [await bench.connect(), await bench.connect()]
        error = await failure_of(bench.connect())
        assert type(error) is UpstreamOverloaded
        assert error.try_elsewhere
        assert not error.hurts_health
        assert not bench.pool.avoided(bench.clock.monotonic())
        held[0].abort()
        while bench.pool.open > 1:
            await turn()
        await bench.connect()
        assert len(upstream.peers) == 3
        assert OPEN_MOST == 1024


async def test_what_is_being_dialled_counts_towards_the_limit() -> None:
    with Blackhole() as blackhole:
        bench = Bench(Origin(secure=False, host=blackhole.host, port=blackhole.port), open_most=1)
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(failure_of(bench.connect()))
            await turn()
            assert bench.pool.dialling == 1
            assert type(await failure_of(bench.connect())) is UpstreamOverloaded
            bench.pass_time(1.0)
        assert type(dialling.result()) is UpstreamSlow
        assert (bench.pool.dialling, bench.pool.open, len(bench.sweeper)) == (0, 0, 0)


async def test_nobody_listening_is_unreachable() -> None:  # F1
    async with Upstream() as upstream:
        pass
    bench = Bench(origin_of(upstream.url))
    assert type(await failure_of(bench.connect())) is UpstreamUnreachable
    assert (bench.pool.dialling, bench.pool.open) == (0, 0)
    assert bench.pool.avoided(bench.clock.monotonic())
    bench.pass_time(AVOIDED_S)
    assert not bench.pool.avoided(bench.clock.monotonic())


async def test_a_connection_that_is_not_taken_in_time_is_slow() -> None:  # F2
    with Blackhole() as blackhole:
        bench = Bench(Origin(secure=False, host=blackhole.host, port=blackhole.port))
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(failure_of(bench.connect(1.0)))
            await turn()
            bench.pass_time(0.99)
            await turn()
            assert not dialling.done()
            bench.pass_time(0.01)
        assert type(dialling.result()) is UpstreamSlow


async def test_a_dial_that_is_given_up_leaves_nothing_behind() -> None:
    with Blackhole() as blackhole:
        bench = Bench(Origin(secure=False, host=blackhole.host, port=blackhole.port))
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(bench.pool.connect(1.0))
            await turn()
            dialling.cancel()
        assert dialling.cancelled()
        assert (bench.pool.dialling, bench.pool.open, len(bench.sweeper)) == (0, 0, 0)


@pytest.mark.parametrize("turns", range(8))
async def test_a_dial_that_is_given_up_at_any_moment_leaves_nothing_behind(turns: int) -> None:
    loop = asyncio.get_running_loop()
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(bench.pool.connect(1.0))
            for _ in range(turns):
                turned = loop.create_future()
                loop.call_soon(turned.set_result, None)
                await turned
            dialling.cancel()
        if not dialling.cancelled():
            dialling.result().give_up()
        await upstream.until_left()
        assert (bench.pool.dialling, bench.pool.open, len(bench.sweeper)) == (0, 0, 0)


async def test_a_connection_that_is_given_up_ends_and_is_counted_no_more() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        connection = await bench.connect()
        connection.give_up()
        assert (connection.closed, bench.pool.open, len(bench.sweeper)) == (True, 0, 0)
        await upstream.until(lambda: len(upstream.peers) == 1)
        await upstream.until_left()


async def test_a_server_that_closes_at_once_leaves_nothing_behind() -> None:
    async with Upstream(greeting=[FIN]) as upstream:
        bench = Bench(origin_of(upstream.url))
        await bench.pool.warm(3, 1.0)
        await bench.until_gone()
        assert (bench.pool.idle, len(bench.sweeper)) == (0, 0)
        assert len(upstream.peers) <= 3


async def test_addresses_are_tried_in_order_and_the_one_that_worked_comes_first_from_then_on() -> None:
    async with Upstream() as upstream:
        names = Names("127.0.0.2", "127.0.0.1")
        bench = Bench(Origin(secure=False, host="localhost", port=upstream.port), names)
        await bench.connect()
        found = await bench.pool._addresses.resolve("localhost", upstream.port)
        assert found == ["127.0.0.1", "127.0.0.2"]


async def test_an_address_that_says_nothing_has_its_share_of_the_time_and_no_more() -> None:
    async with Upstream() as upstream:
        with Blackhole("127.0.0.2", upstream.port):
            names = Names("127.0.0.2", "127.0.0.1")
            bench = Bench(Origin(secure=False, host="localhost", port=upstream.port), names)
            async with asyncio.TaskGroup() as group:
                dialling = group.create_task(bench.connect(1.0))
                await turn()
                bench.pass_time(0.49)
                await turn()
                assert not dialling.done()
                bench.pass_time(0.01)
            assert not dialling.result().closed


async def test_of_addresses_that_all_fail_one_that_said_nothing_is_what_is_told() -> None:
    with Blackhole("127.0.0.2") as blackhole:
        bench = Bench(Origin(secure=False, host="localhost", port=blackhole.port), Names("127.0.0.2", "127.0.0.1"))
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(failure_of(bench.connect(1.0)))
            await turn()
            bench.pass_time(0.5)
        assert type(dialling.result()) is UpstreamSlow


async def test_a_name_is_asked_for_again_after_its_addresses_failed() -> None:
    async with Upstream() as upstream:
        names = Names("127.0.0.2")
        bench = Bench(Origin(secure=False, host="localhost", port=upstream.port), names)
        assert type(await failure_of(bench.connect())) is UpstreamUnreachable
        names.addresses = ["127.0.0.1"]
        bench.pass_time(FAILED_S)
        await bench.connect()
        assert names.asked == ["localhost"] * 2


async def test_warming_makes_connections_ready_and_says_nothing_where_it_fails() -> None:
    async with Upstream() as upstream:
        bench = Bench(origin_of(upstream.url))
        await bench.pool.warm(2, 1.0)
        assert (bench.pool.idle, bench.pool.open) == (2, 2)
        await bench.pool.warm(2, 1.0)
        assert bench.pool.open == 2
    await bench.until_gone()
    await bench.pool.warm(2, 1.0)
    assert bench.pool.open == 0


async def test_a_closing_pool_ends_what_is_idle_now_and_what_is_busy_when_it_is_free() -> None:
    async with Upstream(OK) as upstream:
        bench = Bench(origin_of(upstream.url))
        busy, idle = await bench.connect(), await bench.connect()
        bench.pool.freed(idle)
        bench.pool.close()
        assert (idle.closed, busy.closed, bench.pool.idle) == (True, False, 0)
        await busy.send([b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"], most_bytes=100, stream=False)
        assert busy.body() == b'{"ok":true}'
        busy.settle_down()
        assert busy.closed
        await bench.until_gone()


async def test_an_ipv6_address_is_dialled_as_it_is_written() -> None:
    try:
        upstream = await Upstream(host="::1").__aenter__()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    try:
        bench = Bench(origin_of(upstream.url))
        await bench.connect()
        await upstream.until(lambda: len(upstream.open) == 1)
        bench.pool.close()
    finally:
        await upstream.__aexit__()


async def test_what_is_being_dialled_is_broken_off_with_the_same_word_and_nobodys_fault() -> None:
    with Blackhole() as blackhole:
        bench = Bench(Origin(secure=False, host=blackhole.host, port=blackhole.port))
        async with asyncio.TaskGroup() as group:
            dialling = group.create_task(failure_of(bench.connect(30.0)))
            await turn()
            assert bench.pool.dialling == 1
            bench.pool.break_off(Draining("This gateway is shutting down."))
        assert type(dialling.result()) is Draining
        assert bench.pool.dialling == 0
        assert not bench.pool.avoided(bench.clock.monotonic())
