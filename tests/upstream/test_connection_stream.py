"""Streams: how they pour, how they end, and what the clock does to them. On real sockets, by a clock moved by hand."""

import asyncio
from collections.abc import Coroutine

import pytest

from gateway.errors import (
    DeadlineExceeded,
    Draining,
    GatewayError,
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamSlow,
    UpstreamTruncated,
)
from gateway.settings.shape import Timeouts
from gateway.upstream.connection import ENDING_S, FRAMING_BYTES, UpstreamConnection
from tests.upstream.scripted import (
    FIN,
    LAST_CHUNK,
    OK,
    RST,
    STREAM_HEAD,
    Hearing,
    Rig,
    Step,
    Upstream,
    chunk,
    rigged,
    turn,
)

TIMES = Timeouts(connect_s=1.0, first_token_s=10.0, idle_s=5.0, total_s=100.0)
EVENT = b'data: {"choices":[]}\n\n'
PING = b": ping\n\n"
CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


async def pouring(rig: Rig, *, content: bool = True, total_s: float = 590.0) -> tuple[UpstreamConnection, Hearing]:
    """A stream whose head has come, poured out; with its first content behind it, or still waiting for it."""
    connection = await rig.send(stream=True, total_s=total_s)
    hearing = Hearing()
    if content:
        connection.touch_as_content(TIMES.idle_s)
    connection.pour(hearing)
    return connection, hearing


# --- how it pours -----------------------------------------------------------------------------------------------------


async def test_a_stream_is_there_with_its_head_and_pours_as_it_comes() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD])) as rig:
        connection, hearing = await pouring(rig)
        assert connection.content_type == b"text/event-stream"
        for number in range(3):
            piece = b"data: %d\n\n" % number
            upstream.last.transport.write(chunk(piece))
            await hearing.hears(piece)
        upstream.last.transport.write(LAST_CHUNK)
        await hearing.ends()
        assert hearing.error is None
        assert hearing.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


async def test_what_came_with_the_head_pours_first_and_may_be_all() -> None:
    async with rigged(Upstream([STREAM_HEAD + chunk(EVENT) + LAST_CHUNK])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.ends()
        assert hearing.body == EVENT
        connection.settle_down()
        assert rig.idle == 1


async def test_the_first_head_is_waited_for_past_103() -> None:
    async with rigged(upstream := Upstream([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"])) as rig:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(rig.send(stream=True))
            peer = await upstream.until_asked()
            await turn()
            assert not sending.done()
            peer.transport.write(STREAM_HEAD)
        assert sending.result().status == 200


@pytest.mark.parametrize(
    ("start", "end", "kind"),
    [
        (STREAM_HEAD + chunk(EVENT), RST, UpstreamDisconnected),  # F8
        (STREAM_HEAD + chunk(EVENT), FIN, UpstreamTruncated),  # F9
        (STREAM_HEAD + b"30\r\n" + EVENT, FIN, UpstreamTruncated),
        (CLOSE_DELIMITED + EVENT, RST, UpstreamDisconnected),  # F10
        (STREAM_HEAD + chunk(EVENT), b"nonsense\r\n", UpstreamBroken),
    ],
)
async def test_a_stream_that_breaks_says_so_after_what_came(start: bytes, end: Step, kind: type[GatewayError]) -> None:
    async with rigged(upstream := Upstream([start])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        upstream.last.play([end])
        await hearing.ends()
        assert type(hearing.error) is kind
        assert connection.closed
        assert rig.idle == 0


async def test_a_stream_without_length_or_chunks_ends_with_its_connection() -> None:
    async with rigged(Upstream([CLOSE_DELIMITED + EVENT, FIN])) as rig:
        _, hearing = await pouring(rig)
        await hearing.ends()
        assert (hearing.body, hearing.error, rig.idle) == (EVENT, None, 0)


async def test_a_break_between_the_head_and_the_pouring_is_not_lost() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT), FIN])) as rig:
        connection = await rig.send(stream=True)
        await upstream.until_left()
        while not connection.closed:
            await turn()
        hearing = Hearing()
        connection.pour(hearing)
        assert type(hearing.error) is UpstreamTruncated


async def test_chunk_framing_in_a_stream_is_bounded() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)])) as rig:
        _, hearing = await pouring(rig)
        upstream.last.transport.write(b"2;" + b"e" * (FRAMING_BYTES + 1000))
        await hearing.ends()
        assert type(hearing.error) is UpstreamBroken


async def test_a_long_stream_of_small_events_is_not_taken_for_framing() -> None:
    async with rigged(Upstream([STREAM_HEAD + chunk(b"x") * 100_000 + LAST_CHUNK])) as rig:
        _, hearing = await pouring(rig)
        await hearing.ends()
        assert (hearing.error, len(hearing.body)) == (None, 100_000)


# --- what is left when it was enough ----------------------------------------------------------------------------------


async def test_a_last_chunk_behind_the_last_event_still_brings_the_connection_back() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.settle_down()
        upstream.last.transport.write(LAST_CHUNK[:2])
        for _ in range(5):
            await turn()
        assert (rig.idle, connection.closed) == (0, False)
        upstream.last.transport.write(LAST_CHUNK[2:])
        while not rig.idle:
            await turn()
        assert await rig.ask() == (200, b'{"ok":true}')
        assert rig.attempt.reused


async def test_a_last_chunk_that_does_not_come_soon_is_not_waited_for() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.settle_down()
        rig.pass_time(ENDING_S - 0.01)
        assert not connection.closed
        rig.pass_time(0.01)
        await upstream.until_left()
        assert rig.idle == 0


@pytest.mark.parametrize(
    "more", [chunk(b'data: {"stray":1}\n\n'), chunk(b"x") + LAST_CHUNK, b"nonsense", LAST_CHUNK + OK]
)
async def test_more_after_the_end_costs_the_connection(more: bytes) -> None:  # F13
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.settle_down()
        upstream.last.transport.write(more)
        await upstream.until_left()
        assert (rig.idle, hearing.body) == (0, EVENT)


async def test_a_stream_without_framing_is_ended_at_once_when_it_was_enough() -> None:
    async with rigged(upstream := Upstream([CLOSE_DELIMITED + EVENT])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.settle_down()
        await upstream.until_left()


async def test_an_end_that_comes_while_the_last_chunk_is_awaited_is_nobodys_error() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.settle_down()
        upstream.last.play([FIN])
        await upstream.until_left()
        while rig.client.open:
            await turn()
        assert (hearing.over, hearing.error) == (False, None)


class Full(Hearing):
    """A sink whose caller is slow, and for whom the first event is enough."""

    def __init__(self, connection: UpstreamConnection) -> None:
        super().__init__()
        self._connection = connection

    def received(self, data: bytes) -> None:
        super().received(data)
        self._connection.pause()
        self._connection.settle_down()


@pytest.mark.parametrize("end", [LAST_CHUNK, b""])
async def test_a_connection_whose_reader_was_slow_to_the_end_reads_again_for_the_next(end: bytes) -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD])) as rig:
        connection = await rig.send(stream=True)
        connection.pour(hearing := Full(connection))
        upstream.last.transport.write(chunk(EVENT) + end)
        await hearing.hears(EVENT)
        if not end:
            upstream.last.transport.write(LAST_CHUNK)
        while not rig.idle:
            await turn()
        assert not hearing.over
        assert await rig.ask() == (200, b'{"ok":true}')
        assert rig.attempt.reused


# --- the clock --------------------------------------------------------------------------------------------------------


async def until_slow(rig: Rig, hearing: Hearing, after_s: float) -> None:
    """The stream lives until just before `after_s` from now, and not longer."""
    rig.pass_time(after_s - 0.01)
    assert not hearing.over
    rig.pass_time(0.01)
    assert type(hearing.error) is UpstreamSlow


async def failure_of(sending: Coroutine[object, object, UpstreamConnection]) -> GatewayError:
    """What a request fails with; a task of it does not take its neighbours down."""
    try:
        await sending
    except GatewayError as error:
        return error
    raise AssertionError("it did not fail")


async def test_no_head_within_the_first_token_deadline_is_slow() -> None:  # F3
    async with rigged(upstream := Upstream([]), timeouts=TIMES) as rig, asyncio.TaskGroup() as group:
        sending = group.create_task(failure_of(rig.send(stream=True)))
        await upstream.until_asked()
        rig.pass_time(9.99)
        await turn()
        assert not sending.done()
        rig.pass_time(0.01)
        assert type(await sending) is UpstreamSlow
        await upstream.until_left()


async def test_a_head_without_content_is_slow_all_the_same() -> None:  # F4
    async with rigged(upstream := Upstream([STREAM_HEAD]), timeouts=TIMES) as rig:
        _, hearing = await pouring(rig, content=False)
        await until_slow(rig, hearing, 10.0)
        await upstream.until_left()


async def test_pings_do_not_move_the_deadline_of_the_first_content() -> None:  # F5
    async with rigged(upstream := Upstream([STREAM_HEAD]), timeouts=TIMES) as rig:
        _, hearing = await pouring(rig, content=False)
        for second in range(9):
            upstream.last.transport.write(chunk(PING))
            await hearing.until(lambda heard=(second + 1) * PING: hearing.body == heard)  # type: ignore[misc]  # bound
            rig.pass_time(1.0)
        await until_slow(rig, hearing, 1.0)


async def test_from_the_first_content_on_only_silence_counts() -> None:  # F7
    async with rigged(upstream := Upstream([STREAM_HEAD]), timeouts=TIMES) as rig:
        connection, hearing = await pouring(rig, content=False)
        rig.pass_time(8.0)
        upstream.last.transport.write(chunk(EVENT))
        await hearing.hears(EVENT)
        connection.touch_as_content(TIMES.idle_s)
        for times in range(2, 6):
            rig.pass_time(4.9)
            upstream.last.transport.write(chunk(EVENT))
            await hearing.hears(EVENT * times)
        rig.pass_time(0.0)
        await until_slow(rig, hearing, 5.0)


async def test_while_reading_is_paused_the_idle_clock_stands_still() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)]), timeouts=TIMES) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.pause()
        upstream.last.transport.write(chunk(b"late"))
        for _ in range(5):
            rig.pass_time(4.0)
            await turn()
        assert hearing.body == EVENT
        connection.resume()
        await hearing.hears(b"late")
        rig.pass_time(0.0)
        await until_slow(rig, hearing, 5.0)


async def test_pausing_twice_and_resuming_what_never_paused_is_nothing() -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD])) as rig:
        connection, hearing = await pouring(rig)
        connection.resume()
        connection.pause()
        connection.pause()
        connection.resume()
        upstream.last.transport.write(chunk(EVENT) + LAST_CHUNK)
        await hearing.ends()
        connection.settle_down()
        connection.pause()
        connection.resume()
        assert rig.idle == 1


@pytest.mark.parametrize("end", [FIN, RST])
async def test_an_end_while_paused_is_heard_on_resuming(end: Step) -> None:
    async with rigged(upstream := Upstream([STREAM_HEAD + chunk(EVENT)])) as rig:
        connection, hearing = await pouring(rig)
        await hearing.hears(EVENT)
        connection.pause()
        upstream.last.play([end])
        await upstream.until_left()
        connection.resume()
        await hearing.ends()
        assert hearing.error is not None
        connection.pause()
        connection.resume()


async def test_a_trickle_is_cut_when_the_whole_request_is_out_of_time() -> None:  # F6
    async with rigged(upstream := Upstream([STREAM_HEAD]), timeouts=TIMES) as rig:
        _, hearing = await pouring(rig, total_s=100.0)
        for second in range(24):
            upstream.last.transport.write(chunk(b"x"))
            await hearing.until(lambda heard=b"x" * (second + 1): hearing.body == heard)  # type: ignore[misc]  # bound
            rig.pass_time(4.0)
        rig.pass_time(3.99)
        assert not hearing.over
        rig.pass_time(0.01)
        assert type(hearing.error) is DeadlineExceeded
        await upstream.until_left()


async def test_the_total_cuts_a_stream_that_is_paused() -> None:
    async with rigged(Upstream([STREAM_HEAD + chunk(EVENT)]), timeouts=TIMES) as rig:
        connection = await rig.send(stream=True, total_s=100.0)
        connection.touch_as_content(TIMES.idle_s)
        connection.pour(hearing := Hearing())
        connection.pause()
        rig.pass_time(99.99)
        assert not hearing.over
        rig.pass_time(0.01)
        assert type(hearing.error) is DeadlineExceeded


async def test_a_whole_answer_has_its_total_and_no_other_deadline() -> None:
    async with rigged(upstream := Upstream([], []), timeouts=TIMES) as rig:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(rig.ask())
            peer = await upstream.until_asked()
            for _ in range(60):
                rig.pass_time(1.0)
            peer.transport.write(OK[:-5])
            await turn()
            for _ in range(30):
                rig.pass_time(1.0)
            peer.transport.write(OK[-5:])
        assert asking.result() == (200, b'{"ok":true}')
        assert len(upstream.requests) == 1
        assert rig.attempt.first_content == 0.0

        async with asyncio.TaskGroup() as group:
            failing = group.create_task(failure_of(rig.send(total_s=100.0)))
            await upstream.until_asked(2)
            rig.pass_time(100.0)
        assert type(failing.result()) is DeadlineExceeded
        await upstream.until_left()


async def test_an_idle_connection_has_no_deadline_left() -> None:
    async with rigged(Upstream()) as rig:
        await rig.ask()
        rig.pass_time(10_000.0)
        assert rig.idle == 1


async def test_breaking_off_tells_whoever_waits_and_just_ends_what_is_idle() -> None:
    async with rigged(upstream := Upstream(OK, [], [STREAM_HEAD])) as rig:
        await rig.ask()
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(failure_of(rig.send()))
            await upstream.until_asked(2)
            _, hearing = await pouring(rig)
            rig.client.break_off(Draining("We leave."))
        assert type(sending.result()) is Draining
        assert type(hearing.error) is Draining
        await upstream.until_left()


# --- a server that has died -------------------------------------------------------------------------------------------


async def test_a_stream_that_waits_is_let_go_and_all_else_is_left() -> None:
    async with rigged(upstream := Upstream([], [])) as rig:
        loop = asyncio.get_running_loop()
        waiting, whole = loop.create_task(rig.send(stream=True)), loop.create_task(rig.send())
        await upstream.until(lambda: len(upstream.requests) == 2)
        rig.client.let_go(rig.place.target.backend)
        with pytest.raises(UpstreamSlow):
            await waiting
        await turn()
        assert not whole.done()
        whole.cancel()
        with pytest.raises(asyncio.CancelledError):
            await whole


async def test_a_stream_is_let_go_before_its_first_content_and_not_after_it() -> None:
    for content in (False, True):
        async with rigged(Upstream([STREAM_HEAD])) as rig:
            connection, hearing = await pouring(rig, content=content)
            rig.client.let_go(rig.place.target.backend)
            await turn()
            assert isinstance(hearing.error, UpstreamSlow) is not content
            connection.abort()
