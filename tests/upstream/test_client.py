"""One request to one place: which connection it takes, what it retries, and how it ends. On real sockets."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import (
    RESIDENCY,
    Bug,
    DeadlineExceeded,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamSlow,
    UpstreamUnreachable,
)
from gateway.settings.shape import Caps, Timeouts
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Place
from gateway.upstream.client import JOINED_BYTES, UpstreamClient
from gateway.upstream.pool import AVOIDED_S, IDLE_S, origin_of
from tests.doubles.inside import backend
from tests.doubles.inside import settings_for as inside_settings
from tests.doubles.outgoing import at_once
from tests.upstream.scripted import (
    FIN,
    OK,
    RST,
    STREAM_HEAD,
    Blackhole,
    Hearing,
    Rig,
    Step,
    Upstream,
    rigged,
    settings_for,
    sized,
    turn,
)

TIMES = Timeouts(connect_s=1.0, first_token_s=10.0, idle_s=5.0, total_s=100.0)


async def failure_of(rig: Rig, *, total_s: float = 590.0) -> Exception:
    try:
        await rig.send(total_s=total_s)
    except (UpstreamError, DeadlineExceeded) as error:
        return error
    raise AssertionError("it did not fail")


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2, JOINED_BYTES - 1, JOINED_BYTES, 3 * 1024 * 1024])
async def test_a_request_arrives_as_it_was_given(size: int) -> None:
    async with rigged(upstream := Upstream()) as rig:
        await rig.send(body=b"x" * size)
        head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
        assert lines[1:] == [
            b"host: 127.0.0.1:%d" % upstream.port,
            b"user-agent: meridian-gateway",
            b"accept-encoding: identity",
            b"content-type: application/json",
            b"x-request-id: r",
            b"content-length: %d" % size,
        ]
        assert body == b"x" * size


async def test_an_attempt_is_told_when_things_happened() -> None:
    async with rigged(upstream := Upstream(OK, [])) as rig:
        await rig.ask()
        assert (rig.attempt.status, rig.attempt.reused, rig.attempt.sent, rig.attempt.headers) == (
            200,
            False,
            1000,
            1000,
        )
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(rig.ask())
            await upstream.until_asked(2)
            rig.pass_time(3.0)
            upstream.last.transport.write(OK)
        assert asking.result() == (200, b'{"ok":true}')
        assert (rig.attempt.reused, rig.attempt.sent, rig.attempt.headers) == (True, 1000, 1003)
        assert rig.attempt.dialled_s == 0.0


# --- F40: connections that went stale while they were kept ------------------------------------------------------------


@pytest.mark.parametrize("end", [FIN, RST])
async def test_a_kept_connection_that_ends_without_a_byte_is_replaced_by_a_fresh_one(end: Step) -> None:
    async with rigged(upstream := Upstream(OK, [end], sized(b"second"))) as rig:
        await rig.ask()
        assert await rig.ask() == (200, b"second")
        assert len(upstream.requests) == 3
        assert (len(upstream.peers), rig.attempt.reused) == (2, False)


async def test_several_stale_connections_cost_one_retry_not_a_walk_through_them() -> None:
    scripts: list[list[Step]] = [[], [], [], [FIN]]
    async with rigged(upstream := Upstream(*scripts)) as rig:
        async with asyncio.TaskGroup() as group:
            for asked in range(1, 4):
                group.create_task(rig.ask())
                await upstream.until_asked(asked)
            for peer in upstream.peers:
                peer.transport.write(OK)
        assert rig.idle == 3
        assert await rig.ask() == (200, b'{"ok":true}')
        assert len(upstream.requests) == 5  # three, the stale one, and the one on the fresh connection
        assert (len(upstream.peers), rig.idle) == (4, 3)


async def test_it_is_replaced_once() -> None:
    async with rigged(upstream := Upstream(OK, [FIN], [FIN])) as rig:
        await rig.ask()
        assert type(await failure_of(rig)) is UpstreamDisconnected
        assert len(upstream.requests) == 3


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", sized(b"hi")[:-1]])
async def test_it_is_not_replaced_once_a_byte_has_come(start: bytes) -> None:
    async with rigged(upstream := Upstream(OK, [start, FIN])) as rig:
        await rig.ask()
        assert isinstance(await failure_of(rig), UpstreamError)
        assert len(upstream.requests) == 2


async def test_a_fresh_connection_that_ends_without_a_byte_is_not_replaced() -> None:
    async with rigged(upstream := Upstream([FIN])) as rig:
        assert type(await failure_of(rig)) is UpstreamDisconnected
        assert len(upstream.requests) == 1


async def test_a_warm_connection_that_went_stale_is_replaced_as_well() -> None:
    async with rigged(upstream := Upstream([FIN])) as rig:
        await rig.client.warm([rig.place.origin], 1.0)
        assert await rig.ask() == (200, b'{"ok":true}')
        assert len(upstream.requests) == 2


async def test_where_the_fresh_one_can_not_be_had_the_place_is_unreachable() -> None:
    async with rigged(upstream := Upstream(OK, [FIN])) as rig:
        await rig.ask()
        upstream.stop_listening()
        assert type(await failure_of(rig)) is UpstreamUnreachable


# --- time -------------------------------------------------------------------------------------------------------------


async def test_dialling_has_its_own_deadline_and_is_told_apart_from_waiting() -> None:
    with Blackhole() as blackhole:
        async with Rig(settings_for(f"http://{blackhole.host}:{blackhole.port}", timeouts=TIMES)) as rig:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(failure_of(rig))
                await turn()
                rig.pass_time(1.0)
            assert type(sending.result()) is UpstreamSlow
            assert rig.client.open == 0


async def test_a_request_that_runs_out_of_time_while_dialling_says_so_and_blames_nobody() -> None:
    with Blackhole() as blackhole:
        async with Rig(settings_for(f"http://{blackhole.host}:{blackhole.port}", timeouts=TIMES)) as rig:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(failure_of(rig, total_s=0.5))
                await turn()
                rig.pass_time(0.5)
            assert type(sending.result()) is DeadlineExceeded


async def test_a_request_whose_time_is_up_is_not_sent() -> None:
    async with rigged(upstream := Upstream()) as rig:
        assert type(await failure_of(rig, total_s=0.0)) is DeadlineExceeded
        assert upstream.peers == []


async def test_the_time_dialling_took_is_the_upstreams() -> None:
    async with Upstream() as upstream:
        with Blackhole("127.0.0.2", upstream.port) as blackhole:
            urls = (f"http://{blackhole.host}:{blackhole.port}", upstream.url)
            async with Rig(settings_for(*urls, timeouts=TIMES)) as rig:
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(rig.send())
                    await turn()
                    rig.pass_time(1.0)
                assert rig.attempt.dialled_s == 1.0
                sending.result().abort()


# --- whoever leaves ---------------------------------------------------------------------------------------------------


async def test_a_cancelled_request_ends_its_connection_at_once() -> None:
    async with rigged(upstream := Upstream(OK, [])) as rig:
        await rig.ask()
        for stream in (False, True):
            async with asyncio.TaskGroup() as group:
                asked = len(upstream.requests)
                sending = group.create_task(rig.send(stream=stream))
                await upstream.until_asked(asked + 1)
                sending.cancel()
            await upstream.until_left()
            while rig.client.open:
                await turn()
            upstream.scripts += [[]]
        assert len(rig.sweeper) == 0


async def test_an_aborted_stream_ends_its_connection_at_once() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD])) as rig:
        connection = await rig.send(stream=True)
        connection.pour(hearing := Hearing())
        connection.abort()
        await upstream.until_left()
        assert not hearing.over


# --- several paths to one server --------------------------------------------------------------------------------------


async def test_the_first_path_that_connects_is_used() -> None:
    async with Upstream() as gone:
        pass
    async with Upstream() as upstream, Rig(settings_for(gone.url, upstream.url + "/v9")) as rig:
        assert await rig.ask() == (200, b'{"ok":true}')
        assert upstream.requests[0].startswith(
            b"POST /v9/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d" % upstream.port
        )
        await rig.ask()
        assert rig.attempt.reused
        assert len(upstream.peers) == 1


async def test_the_first_path_is_used_while_it_is_there() -> None:
    async with Upstream() as first, Upstream() as second, Rig(settings_for(first.url, second.url)) as rig:
        await rig.ask()
        await rig.ask()
        assert (len(first.requests), len(second.requests)) == (2, 0)


async def test_a_path_that_just_failed_is_tried_last_for_a_while() -> None:
    async with Upstream() as second:
        with Blackhole() as blackhole:
            urls = (f"http://{blackhole.host}:{blackhole.port}", second.url)
            async with Rig(settings_for(*urls, timeouts=TIMES)) as rig:
                async with asyncio.TaskGroup() as group:
                    first_one = group.create_task(rig.send())
                    await turn()
                    rig.pass_time(1.0)
                another = await rig.send()  # no connection is free, and nobody waits for the blackhole again
                assert rig.attempt.dialled_s == 0.0
                rig.pass_time(AVOIDED_S)
                async with asyncio.TaskGroup() as group:
                    third = group.create_task(rig.send())
                    await turn()
                    assert not third.done()
                    rig.pass_time(1.0)
                for connection in (first_one.result(), another, third.result()):
                    connection.abort()


async def test_where_no_path_connects_the_place_is_unreachable() -> None:
    async with Upstream() as one, Upstream() as other:
        pass
    async with Rig(settings_for(one.url, other.url)) as rig:
        assert type(await failure_of(rig)) is UpstreamUnreachable


# --- the pools together -----------------------------------------------------------------------------------------------


async def test_idle_connections_are_let_go_and_counts_return_to_nothing() -> None:
    async with rigged(upstream := Upstream()) as rig:
        await rig.ask()
        assert (rig.client.open, rig.idle) == (1, 1)
        rig.pass_time(IDLE_S + 0.1)
        rig.client.evict(rig.clock.monotonic())
        assert rig.idle == 0
        await upstream.until_left()
        while rig.client.open:
            await turn()
        assert len(rig.sweeper) == 0


async def test_a_warm_origin_serves_its_first_request_on_a_kept_connection() -> None:
    async with Upstream() as gone:
        pass
    async with rigged(upstream := Upstream()) as rig:
        await rig.client.warm([rig.place.origin, origin_of(gone.url)], 1.0)
        assert rig.idle == 1
        await rig.ask()
        assert rig.attempt.reused
        assert len(upstream.peers) == 1


async def test_a_closed_client_finishes_and_keeps_nothing() -> None:
    async with rigged(upstream := Upstream([], OK)) as rig:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(rig.ask())
            await upstream.until_asked()
            rig.client.close()
            upstream.last.transport.write(OK)
        assert asking.result() == (200, b'{"ok":true}')
        await upstream.until_left()
        other = origin_of(upstream.url.replace("127.0.0.1", "localhost"))
        await rig.client.warm([other], 1.0)
        assert rig.client.idle(other) == 0


async def test_an_origin_nobody_called_has_no_connections() -> None:
    client = UpstreamClient(settings_for("http://127.0.0.1:1"), HandClock(), Sweeper(), at_once())
    assert (client.idle(origin_of("http://127.0.0.1:1")), client.open) == (0, 0)


async def test_a_thousand_requests_come_and_go_without_a_trace() -> None:
    async with rigged(upstream := Upstream()) as rig:
        for _ in range(1000):
            await rig.ask()
        assert (rig.client.open, rig.idle, len(rig.sweeper), len(upstream.peers)) == (1, 1, 1, 1)


async def test_timeouts_are_the_targets_own() -> None:
    async with rigged(upstream := Upstream([]), timeouts=TIMES) as rig:
        slow = replace(rig.place, target=replace(rig.place.target, timeouts=replace(TIMES, first_token_s=60.0)))
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(rig.send(stream=True, place=slow))
            await upstream.until_asked()
            rig.pass_time(59.9)
            upstream.last.transport.write(STREAM_HEAD)
        assert sending.result().status == 200


async def test_one_upstream_may_have_as_many_connections_as_there_may_be_callers() -> None:
    """With a cap of its own, below theirs, thousands of slow streams to one server were refused as overload."""
    settings = inside_settings({"m": [backend("a", "http://127.0.0.1:9")]}, caps=Caps(connections=3))
    clock = HandClock()
    pool = UpstreamClient(settings, clock, Sweeper(), at_once()).pool(origin_of("http://127.0.0.1:9"))
    assert pool.open_most == 3


# --- places that may not see a request --------------------------------------------------------------------------------

EU = frozenset({"DE", "FR"})


def standing_in(place: Place, *countries: str) -> Place:
    return replace(place, candidate=replace(place.candidate, processes_in=frozenset(countries)))


@pytest.mark.parametrize(
    ("countries", "is_asked"),
    [(["DE"], True), (["DE", "FR"], True), (["US"], False), (["DE", "US"], False), ([], False)],
)
async def test_what_must_stay_is_sent_where_everything_is_inside_and_nothing_else_is_dialled(
    countries: list[str], *, is_asked: bool
) -> None:
    async with rigged(upstream := Upstream()) as rig:
        place = standing_in(rig.place, *countries)
        if is_asked:
            await rig.send(place=place, jurisdictions=EU)
        else:
            with pytest.raises(Bug) as told:
                await rig.send(place=place, jurisdictions=EU)
            assert told.value.reason == RESIDENCY
            assert (rig.attempt.sent, rig.attempt.dialled_s, rig.client.open) == (0.0, 0.0, 0)
        assert (len(upstream.requests), len(upstream.peers)) == ((1, 1) if is_asked else (0, 0))


async def test_a_kept_connection_to_a_place_outside_is_not_used_either() -> None:
    async with rigged(upstream := Upstream()) as rig:
        await rig.ask()
        with pytest.raises(Bug):
            await rig.send(place=standing_in(rig.place, "US"), jurisdictions=EU)
        assert (len(upstream.requests), rig.idle) == (1, 1)


async def test_no_path_to_a_place_may_lead_outside() -> None:
    async with Upstream() as other, rigged(upstream := Upstream()) as rig:
        elsewhere = replace(rig.place, origin=origin_of(other.url))
        place = replace(standing_in(rig.place, "DE"), others=(standing_in(elsewhere, "US"),))
        with pytest.raises(Bug):
            await rig.send(place=place, jurisdictions=EU)
        assert upstream.peers == other.peers == []
        await rig.send(place=place)
        assert len(upstream.requests) == 1
