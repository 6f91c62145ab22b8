"""One gateway that looks at servers, on real sockets and a clock that is moved by hand."""

import asyncio

import pytest

from gateway.upstream.health import Health
from gateway.upstream.prober import AFTER_BUG_S, EVERY_S, JITTER, TRUSTED_S, WITHIN_S, Company, Own, Told
from gateway.upstream.probes.reading import DEAD, UNKNOWN, Ask, Look, Reading
from gateway.upstream.watched import AGREED
from tests.upstream.probing import TICK_S, probing, server
from tests.upstream.scripted import FIN, OK, Blackhole, Step, Upstream, sized

HEALTHY = sized(b"")
METRICS = sized(
    b'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_waiting{engine="0"} 1\nvllm:kv_cache_usage_perc 0.5\n'
)
RENAMED = sized(b"vllm:num_requests_running 2\nvllm:num_requests_waiting 1\nvllm:kv_pool 0.5\n")
MODELS = sized(b'{"data":[{"id":"m"}]}')
ALL = (HEALTHY, METRICS, MODELS)
SOME = (HEALTHY, METRICS)


def paths(upstream: Upstream) -> list[str]:
    return [request.split(b" ")[1].decode() for request in upstream.requests]


async def test_what_a_server_shows_is_told() -> None:
    async with Upstream(*ALL) as upstream, probing(server("b", upstream.url)) as fleet:
        reading = await fleet["one"].look()
        assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, 2.0, 1.0, 0.5)
        assert reading.models == frozenset({"m"})
        assert fleet["one"].ears.readings == [("b", reading, fleet.clock.monotonic())]
        assert fleet["one"].ears.looks == [("b", True, 0.0)]
        assert paths(upstream) == ["/health", "/metrics", "/v1/models"]


async def test_it_looks_once_a_second_give_or_take_a_tenth() -> None:
    async with Upstream(*[OK] * 100) as upstream, probing(server("b", upstream.url, probe="openai_models")) as fleet:
        one = fleet["one"]
        await one.look()
        before = EVERY_S * (1.0 - JITTER) - 0.01
        fleet.clock.advance(before)
        await one.tick()
        assert len(one.ears.readings) == 1
        fleet.clock.advance(EVERY_S * (1.0 + JITTER) - before)
        await one.look()
        assert len(one.ears.readings) == 2


async def test_one_connection_serves_every_look_and_tells_the_round_trip() -> None:
    async with Upstream(*ALL, *SOME) as upstream, probing(server("b", upstream.url)) as fleet:
        assert (await fleet["one"].look()).rtt_ms is None
        fleet.clock.advance(1.25)
        assert (await fleet["one"].look()).rtt_ms == 0.0  # nobody moved the clock meanwhile
        assert len(upstream.peers) == 1


async def test_a_server_that_is_gone_is_dead_and_one_that_is_back_is_not() -> None:
    async with Upstream(*ALL, *ALL) as upstream, probing(server("b", upstream.url)) as fleet:
        await fleet["one"].look()
        upstream.stop_listening()
        upstream.last.transport.abort()
        await upstream.until_left()
        fleet.clock.advance(1.25)
        assert await fleet["one"].look() == DEAD
        assert fleet["one"].ears.looks[-1][:2] == ("b", False)
        async with Upstream(*ALL, port=upstream.port):
            fleet.clock.advance(1.25)
            assert (await fleet["one"].look()).alive


async def test_a_server_that_says_nothing_is_dead_when_the_second_is_over() -> None:
    async with Upstream([]) as upstream, probing(server("b", upstream.url)) as fleet:
        await fleet["one"].tick()
        await upstream.until_asked()
        await fleet.pass_time(WITHIN_S - TICK_S)
        assert fleet["one"].ears.readings == []
        fleet.clock.advance(2 * TICK_S)
        assert await fleet["one"].look() == DEAD


async def test_a_server_whose_metrics_hang_is_alive_and_its_load_unknown() -> None:
    async with Upstream(HEALTHY, []) as upstream, probing(server("b", upstream.url)) as fleet:
        await fleet["one"].tick()
        await upstream.until_asked(2)
        fleet.clock.advance(WITHIN_S + TICK_S)
        reading = await fleet["one"].look()
        assert (reading.alive, reading.running, reading.models) == (True, None, None)
        assert reading.missing == frozenset({"/metrics silent"})


async def test_a_look_that_is_still_under_way_is_not_begun_again() -> None:
    async with Upstream([]) as upstream, probing(server("b", upstream.url)) as fleet:
        await fleet["one"].tick()
        await upstream.until_asked()
        fleet.clock.advance(EVERY_S * (1.0 - JITTER))
        await fleet["one"].tick()
        assert len(upstream.requests) == 1


async def test_several_servers_are_looked_at_at_once() -> None:
    async with (
        Upstream([]) as slow,
        Upstream(*ALL) as fast,
        probing(server("slow", slow.url), server("fast", fast.url)) as fleet,
    ):
        assert (await fleet["one"].look()).running == 2.0
        assert fleet["one"].ears.of("slow") == []


async def test_who_is_no_server_of_ones_own_is_asked_nothing() -> None:
    async with Upstream() as upstream:
        theirs = server("theirs", upstream.url, tier="external")
        unknown = server("unknown", upstream.url, probe="")
        async with probing(theirs, unknown) as fleet:
            await fleet.pass_time(3.0)
            assert upstream.requests == []
            assert not fleet["one"].prober.leads


async def test_a_stale_connection_is_no_dead_server() -> None:
    closed: list[Step] = [FIN]
    async with Upstream(*ALL, closed, *SOME) as upstream, probing(server("b", upstream.url)) as fleet:
        await fleet["one"].look()
        fleet.clock.advance(1.25)
        assert (await fleet["one"].look()).alive


# --- several ways -----------------------------------------------------------------------------------------------------


async def test_a_way_that_is_shut_leads_to_the_next_one_which_is_kept() -> None:
    async with Upstream() as shut, Upstream(*ALL, *SOME) as upstream:
        shut.stop_listening()
        async with probing(server("b", shut.url, upstream.url)) as fleet:
            assert (await fleet["one"].look()).alive
            async with Upstream(port=shut.port) as again:
                fleet.clock.advance(1.25)
                assert (await fleet["one"].look()).running == 2.0
                assert again.requests == []


async def test_a_way_that_says_nothing_leaves_the_next_one_its_share_of_the_time() -> None:
    with Blackhole() as hole:
        async with Upstream(*ALL) as upstream:
            silent = f"http://{hole.host}:{hole.port}"
            async with probing(server("b", silent, upstream.url)) as fleet:
                await fleet["one"].tick()
                fleet.clock.advance(WITHIN_S / 2 + 0.01)
                assert (await fleet["one"].look()).alive


# --- what is not told -------------------------------------------------------------------------------------------------


async def test_a_signal_nobody_knows_is_noted_once_it_is_sure_and_once_only() -> None:
    scripts = [HEALTHY, RENAMED, MODELS, *[HEALTHY, RENAMED] * (AGREED + 1)]
    async with Upstream(*scripts) as upstream, probing(server("b", upstream.url)) as fleet:
        one = fleet["one"]
        for look in range(AGREED + 2):
            await one.look()
            fleet.clock.advance(1.25)
            assert len(one.ears.notes) == (look + 1 >= AGREED)
        assert one.ears.notes == [("b", frozenset({"kv"}), frozenset())]
        assert one.ears.last.kv is None


async def test_of_a_dead_server_it_is_not_noted_that_it_tells_nothing() -> None:
    async with Upstream() as upstream, probing(server("b", upstream.url)) as fleet:
        upstream.stop_listening()
        for _ in range(AGREED + 1):
            assert await fleet["one"].look() == DEAD
            fleet.clock.advance(1.25)
        assert fleet["one"].ears.notes == []


# --- a reader that is wrong -------------------------------------------------------------------------------------------


class Wrong:
    """A reader that fails on the first answer."""

    orca = False

    def look(self, now: float) -> Look:
        yield Ask("/health")
        raise ZeroDivisionError


async def test_a_probe_that_is_wrong_is_a_bug_that_ends_nothing_else() -> None:
    async with (
        Upstream(*[OK] * 50) as upstream,
        probing(
            server("bad", upstream.url, probe="openai_models"), server("good", upstream.url, probe="openai_models")
        ) as fleet,
    ):
        one = fleet["one"]
        one.prober._servers["bad"].reader = Wrong()
        await one.look()
        await one.ears.until(lambda: bool(one.ears.bugs))
        fleet.clock.advance(1.25)
        await one.look()
        assert [type(bug) for bug in one.ears.bugs] == [ZeroDivisionError]
        assert one.ears.of("bad") == []
        fleet.clock.advance(AFTER_BUG_S)
        await one.tick()
        await one.ears.until(lambda: len(one.ears.bugs) == 2)


# --- ages and ends ----------------------------------------------------------------------------------------------------


async def test_what_is_old_is_no_longer_trusted_and_keeps_its_time() -> None:
    async with Upstream(*ALL, []) as upstream, probing(server("b", upstream.url)) as fleet:
        one = fleet["one"]
        reading = await one.look()
        told_at = fleet.clock.monotonic()
        one.prober._servers["b"].busy = True  # as while the machine stands still
        await fleet.pass_time(TRUSTED_S)
        assert one.ears.last == reading
        await fleet.pass_time(2 * TICK_S)
        assert one.ears.readings[1:] == [("b", UNKNOWN, told_at)]


async def test_closing_ends_it_and_whoever_looks_at_its_gauges_sees_nothing() -> None:
    async with Upstream(*ALL) as upstream:
        async with probing(server("b", upstream.url)) as fleet:
            one = fleet["one"]
            await one.look()
            assert one.ears.lefts == 0
        assert one.ears.lefts == 1


async def test_a_tick_that_nobody_waits_for_is_left_out() -> None:
    async with Upstream(*ALL) as upstream, probing(server("b", upstream.url)) as fleet:
        prober = fleet["one"].prober
        prober.tick(fleet.clock.monotonic())
        prober.tick(fleet.clock.monotonic())
        await upstream.until_asked()
        await fleet["one"].ears.until(lambda: bool(fleet["one"].ears.readings))
        assert len(fleet["one"].ears.readings) == 1


async def test_it_can_be_cancelled_like_any_task() -> None:
    async with Upstream([]) as upstream, probing(server("b", upstream.url)) as fleet, asyncio.TaskGroup() as group:
        another = fleet["one"].prober
        running = group.create_task(another.run())
        await fleet["one"].tick()
        await upstream.until_asked()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def test_the_health_of_a_worker_takes_what_is_told() -> None:
    def hear(told: Told, company: Company) -> Own:
        told.told("b", Reading(alive=True, running=3.0, waiting=1.0), 1.0)
        return company.own("b")

    health = Health({"b": server("b", "http://127.0.0.1:1")})
    assert hear(health, health).in_flight == 0
    assert health.snapshot.loads["b"].reported == 4.0
