"""One small request over the pools: whole answers, one replacement of a stale connection, and an end in time."""

import asyncio

import pytest

from gateway.errors import DeadlineExceeded, UpstreamBroken, UpstreamDisconnected, UpstreamUnreachable
from gateway.upstream.fetch import Fetched, fetch
from tests.upstream.scripted import CEILING_S, FIN, RST, Rig, Step, Upstream, chunk, rigged, sized, turn

REQUEST = b"GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n"
PAGE = b"vllm:num_requests_running 1\n"


async def ask(rig: Rig, *, within_s: float = 1.0, most_bytes: int = 1000) -> Fetched:
    async with asyncio.timeout(CEILING_S):
        return await fetch(
            rig.client.pool(rig.place.origin),
            REQUEST,
            deadline=rig.clock.monotonic() + within_s,
            clock=rig.clock,
            most_bytes=most_bytes,
        )


async def test_an_answer_comes_whole_and_its_connection_is_kept() -> None:
    async with rigged(upstream := Upstream(sized(PAGE))) as rig:
        assert await ask(rig) == Fetched(200, PAGE, None)
        assert upstream.requests == [REQUEST]
        assert rig.idle == 1


async def test_an_answer_in_chunks_is_whole_too() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with rigged(Upstream(head + chunk(PAGE) + chunk(PAGE) + b"0\r\n\r\n")) as rig:
        assert (await ask(rig)).body == PAGE + PAGE


async def test_on_a_connection_that_was_there_the_time_is_a_round_trip() -> None:
    async with rigged(Upstream(sized(PAGE), sized(PAGE))) as rig:
        await ask(rig)
        assert (await ask(rig)).rtt_s == 0.0  # nobody moves the clock


async def test_a_refusal_is_an_answer() -> None:
    async with rigged(Upstream(sized(b"loading", status=b"503 Service Unavailable"))) as rig:
        assert await ask(rig) == Fetched(503, b"loading", None)
        assert rig.idle == 1


@pytest.mark.parametrize("end", [FIN, RST])
async def test_a_kept_connection_that_was_closed_is_replaced_once(end: Step) -> None:
    async with rigged(upstream := Upstream(sized(PAGE), [end], sized(PAGE))) as rig:
        await ask(rig)
        assert (await ask(rig)).rtt_s is None
        assert len(upstream.peers) == 2


async def test_a_fresh_connection_that_ends_is_not_tried_again() -> None:
    async with rigged(upstream := Upstream([FIN])) as rig:
        with pytest.raises(UpstreamDisconnected):
            await ask(rig)
        assert len(upstream.requests) == 1


async def test_a_server_that_says_nothing_is_left_in_time() -> None:
    async with rigged(upstream := Upstream([])) as rig, asyncio.TaskGroup() as group:
        asking = group.create_task(failing(rig))
        await upstream.until_asked()
        rig.pass_time(1.5)
        assert isinstance(await asking, DeadlineExceeded)
        await upstream.until_left()


async def failing(rig: Rig) -> Exception:
    try:
        await ask(rig)
    except (DeadlineExceeded, UpstreamUnreachable) as error:
        return error
    raise AssertionError("it did not fail")


async def test_nobody_is_dialled_when_the_time_is_over() -> None:
    async with rigged(upstream := Upstream()) as rig:
        with pytest.raises(DeadlineExceeded):
            await ask(rig, within_s=0.0)
        assert upstream.peers == []


async def test_an_answer_above_the_limit_is_no_answer() -> None:
    async with rigged(Upstream(sized(b"x" * 2000))) as rig:
        with pytest.raises(UpstreamBroken):
            await ask(rig)


async def test_who_stops_waiting_takes_the_connection_along() -> None:
    async with rigged(upstream := Upstream([])) as rig, asyncio.TaskGroup() as group:
        asking = group.create_task(ask(rig))
        await upstream.until_asked()
        asking.cancel()
        await upstream.until_left()
        while rig.client.open:
            await turn()
