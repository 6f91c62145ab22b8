"""The upstream half of the fault catalogue (reliability, section 2), against the stand-in model server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import GatewayError, UpstreamBroken, UpstreamDisconnected, UpstreamSlow, UpstreamTruncated
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.settings.shape import Auth, Provider, Timeouts
from gateway.upstream.connection import UpstreamConnection
from tests.upstream.scripted import PROVIDER, Hearing, Rig, Upstream, settings_for, sized, turn

TIMES = Timeouts(connect_s=1.0, first_token_s=10.0, idle_s=5.0, total_s=100.0)
WHOLE = b'{"model":"mock-model","messages":[{"role":"user","content":"hi"}]}'
STREAM = WHOLE[:-1] + b',"stream":true}'
DONE = b"data: [DONE]\n\n"


class Caller(Rig):
    """A rig that sends what the stand-in understands."""

    async def whole(self) -> UpstreamConnection:
        return await self.send(body=WHOLE)

    async def stream(self) -> tuple[UpstreamConnection, Hearing]:
        connection = await self.send(stream=True, body=STREAM)
        connection.pour(hearing := Hearing())
        return connection, hearing


@asynccontextmanager
async def calling(*faults: str, options: MockOptions | None = None) -> AsyncIterator[tuple[Caller, MockServer]]:
    async with MockServer(options) as server, Caller(settings_for(server.url, timeouts=TIMES)) as rig:
        server.set_faults(faults)
        yield rig, server


async def failure_of(rig: Caller, *, stream: bool) -> GatewayError:
    try:
        if not stream:
            await rig.whole()
        else:
            _, hearing = await rig.stream()
            await hearing.ends()
            if hearing.error is not None:
                return hearing.error
    except GatewayError as error:
        return error
    raise AssertionError("it did not fail")


async def answers_well(rig: Caller) -> None:
    """The place serves again, on a connection of its own, and nothing of the fault is in the answer."""
    connection = await rig.whole()
    assert connection.status == 200
    assert connection.body().startswith(b'{"id":')
    assert connection.body().endswith(b"}")
    connection.settle_down()


@pytest.mark.parametrize(
    ("row", "fault", "stream", "kind"),
    [
        ("F1", "refuse*1", False, UpstreamDisconnected),
        ("F8", "reset=0*1", True, UpstreamDisconnected),
        ("F8", "reset_mid=3*1", True, UpstreamDisconnected),
        ("F8", "reset=100*1", False, UpstreamDisconnected),
        ("F9", "fin_mid=3*1", True, UpstreamTruncated),
        ("F10", "close_delimited_reset=400*1", True, UpstreamDisconnected),
        ("F10", "close_delimited_reset=200*1", False, UpstreamDisconnected),
        ("F32", "wrong_length=20*1", False, UpstreamTruncated),
        ("F32", "wrong_length=-20*1", True, UpstreamBroken),
        ("F32", "wrong_length=1*1", True, UpstreamBroken),
        ("F32", "both_lengths*1", False, UpstreamBroken),
        ("F32", "both_lengths*1", True, UpstreamBroken),
        ("F33", "header_bytes=9216*1", False, UpstreamBroken),
        ("F33", "header_bytes=9216*1", True, UpstreamBroken),
        ("F33", "headers=300*1", True, UpstreamBroken),
        ("F33", "status=999*1", False, UpstreamBroken),
        ("F33", "status=101*1", False, UpstreamBroken),
        ("F33", "status_line=HTTP/1.1 OK*1", False, UpstreamBroken),
        ("F33", "status_line=nonsense*1", True, UpstreamBroken),
    ],
)
async def test_a_fault_is_an_error_that_ends_its_connection(
    row: str, fault: str, stream: bool, kind: type[GatewayError]
) -> None:
    del row
    async with calling(fault) as (rig, server):
        error = await failure_of(rig, stream=stream)
        assert type(error) is kind
        assert error.try_elsewhere
        assert error.hurts_health
        await server.until(lambda ledger: ledger.open_connections == 0)
        await answers_well(rig)


async def test_f3_a_server_that_never_answers_is_left_at_the_first_token_deadline() -> None:
    async with calling("stall*1") as (rig, server), asyncio.TaskGroup() as group:
        failing = group.create_task(failure_of(rig, stream=True))
        await server.until(lambda ledger: ledger.request_count == 1)
        rig.pass_time(10.0)
        assert type(await failing) is UpstreamSlow
        await server.until(lambda ledger: ledger.left == 1)
        assert server.running == 0


async def test_f4_a_head_and_then_silence_is_left_at_the_same_deadline() -> None:
    async with calling("stall_mid=0*1") as (rig, server), asyncio.TaskGroup() as group:
        failing = group.create_task(failure_of(rig, stream=True))
        await server.until(lambda ledger: ledger.bytes_sent > 0)
        await turn()
        rig.pass_time(10.0)
        assert type(await failing) is UpstreamSlow
        await server.until(lambda ledger: ledger.left == 1)


async def test_f5_pings_are_no_answer() -> None:
    async with calling("pings=1ms*1;ttft=60s*1") as (rig, server):
        _, hearing = await rig.stream()
        for second in range(1, 10):
            await hearing.until(lambda seen=second * b": ping\n\n": seen in hearing.body)  # type: ignore[misc]  # bound
            rig.pass_time(1.0)
        assert not hearing.over
        rig.pass_time(1.0)
        assert type(hearing.error) is UpstreamSlow
        await server.until(lambda ledger: ledger.left == 1)


async def test_f7_silence_after_content_is_left_at_the_idle_deadline() -> None:
    async with calling("stall_mid=3*1") as (rig, server):
        connection, hearing = await rig.stream()
        connection.touch_as_content(TIMES.idle_s)
        await hearing.until(lambda: hearing.body.count(b"data: ") == 3)
        rig.pass_time(0.0)
        rig.pass_time(4.9)
        assert not hearing.over
        rig.pass_time(0.1)
        assert type(hearing.error) is UpstreamSlow
        await server.until(lambda ledger: ledger.left == 1)


@pytest.mark.parametrize("fault", ["cut=3", "no_finish", "no_done"])
async def test_f11_f12_a_clean_end_of_framing_is_an_end_and_its_meaning_the_languages(fault: str) -> None:
    async with calling(f"{fault}*1") as (rig, _):
        connection, hearing = await rig.stream()
        await hearing.ends()
        assert hearing.error is None
        assert DONE not in hearing.body
        connection.settle_down()
        assert rig.idle == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 529, 429, 401, 403, 400, 404])
@pytest.mark.parametrize("stream", [False, True])
async def test_f14_an_error_status_is_an_answer_whose_words_can_be_read(status: int, stream: bool) -> None:
    async with calling(f"{status}*1") as (rig, _):
        connection = await rig.send(stream=stream, body=STREAM if stream else WHOLE)
        assert (connection.status, rig.attempt.status) == (status, status)
        assert (await connection.rest()).startswith(b'{"error":')
        connection.settle_down()
        await answers_well(rig)
        assert rig.attempt.reused


async def test_f32_a_length_that_is_too_short_leaves_nothing_in_the_next_answer() -> None:
    async with calling("wrong_length=-20*1") as (rig, _):
        connection = await rig.whole()
        assert not connection.body().endswith(b"}")
        connection.settle_down()
        await answers_well(rig)
        assert not rig.attempt.reused


@pytest.mark.parametrize("fault", ["garbage_after", "garbage_after=1ms"])
async def test_f32_an_answer_nobody_asked_for_reaches_nobody(fault: str) -> None:
    async with calling(f"{fault}*1") as (rig, server):
        connection = await rig.whole()
        assert b"stray" not in connection.body()
        connection.settle_down()
        await server.until(lambda ledger: ledger.open_connections == 0)
        await answers_well(rig)


async def test_f33_early_hints_are_stepped_over() -> None:
    async with calling("early_hints*2") as (rig, _):
        await answers_well(rig)
        _, hearing = await rig.stream()
        await hearing.ends()
        assert hearing.error is None
        assert DONE in hearing.body


async def test_f34_a_redirect_is_not_followed_and_the_key_goes_nowhere() -> None:
    provider = Provider(name="keyed", speaks="openai_chat", paths=PROVIDER.paths, auth=Auth("bearer"))
    async with Upstream() as sink, MockServer() as server:
        server.set_faults([f"redirect={sink.url}/v1/chat/completions*1"])
        async with Caller(settings_for(server.url, provider=provider, key="sk-provider")) as rig:
            connection = await rig.whole()
            assert connection.status == 307
            connection.settle_down()
            await answers_well(rig)
        assert (sink.peers, sink.requests) == ([], [])


async def test_f35_a_compressed_answer_is_refused_by_its_head() -> None:
    bomb = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000000000\r\n\r\n\x1f\x8b"
    async with Upstream([bomb], sized(b"hi")) as upstream, Rig(settings_for(upstream.url)) as rig:
        with pytest.raises(UpstreamBroken, match="compressed"):
            await rig.send()
        await upstream.until_left()
        assert await rig.ask() == (200, b"hi")


async def test_f36_an_endless_line_is_handed_on_and_never_kept() -> None:
    async with calling("giant=3000000*1") as (rig, _):
        connection, hearing = await rig.stream()
        await hearing.until(lambda: len(hearing.body) > 1_000_000)
        assert connection.body() == b""
        connection.abort()


@pytest.mark.slow
async def test_f37_a_flood_of_events_leaves_room_for_others() -> None:
    options = MockOptions(events=400, event_bytes=250, slots=40)
    async with calling(options=options) as (rig, server):
        async with asyncio.TaskGroup() as group:
            floods = [group.create_task(rig.stream()) for _ in range(20)]
            await server.until(lambda ledger: ledger.request_count == 20)
            for _ in range(5):
                await answers_well(rig)
        for flood in floods:
            _, hearing = flood.result()
            await hearing.ends()
            assert hearing.error is None
            assert hearing.body.count(b"data: ") >= 400


@pytest.mark.parametrize("fault", ["stale*1", "stale_next*1"])
async def test_f40_a_connection_the_server_closed_between_requests_costs_nothing(fault: str) -> None:
    async with calling(fault) as (rig, server):
        await answers_well(rig)
        if fault == "stale*1":
            await server.until(lambda ledger: ledger.open_connections == 0)
        await answers_well(rig)
        assert len({entry.connection for entry in server.ledger.requests}) == 2


async def test_a_killed_server_is_gone_and_serves_again_when_it_is_back() -> None:
    async with calling() as (rig, server):
        await answers_well(rig)
        server.kill()
        assert isinstance(await failure_of(rig, stream=False), GatewayError)
        await server.listen()
        await answers_well(rig)
