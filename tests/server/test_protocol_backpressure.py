"""Callers who read slowly, or not at all."""

import asyncio

import pytest

from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.server.protocol import CallerConnection
from gateway.settings.shape import Deadlines, Timeouts
from tests.doubles.caller import Caller, chat, request
from tests.doubles.inside import Inside, backend, settings_for

TIMES = Timeouts(idle_s=0.3, first_token_s=5.0)
EVENTS = MockOptions(events=40_000, event_bytes=1000)
MOST_HELD_BYTES = 20 * 1024 * 1024  # the kernel's buffers of both connections, which grow as it likes, and our own
MOST_OURS_BYTES = 512 * 1024


@pytest.mark.slow
async def test_while_a_caller_doesnt_read_the_upstream_is_paused_and_memory_is_bounded() -> None:
    async with (
        MockServer(EVENTS) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]}, timeouts=TIMES)) as inside,
        Caller(inside.port, receive_bytes=8192) as caller,
    ):
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        caller.send(request(chat(stream=True), headers={"connection": "close"}))
        await upstream.until(lambda ledger: ledger.bytes_sent > 0)
        (connection,) = inside.door.guests
        assert isinstance(connection, CallerConnection)
        await inside.until_so(lambda: connection.paused and all(c._paused for c in upstream.connections))
        paused_at = inside.clock.monotonic()
        assert connection.unread.size < MOST_OURS_BYTES
        assert upstream.ledger.bytes_sent < MOST_HELD_BYTES
        # Longer than the idle deadline, and it is the caller who is slow: nobody is blamed.
        await inside.until_so(lambda: inside.clock.monotonic() > paused_at + 2 * TIMES.idle_s)
        assert inside.settled == []
        caller.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        async with asyncio.timeout(30):
            heard = await caller.reader.read()
        assert heard.count(b"data: ") >= EVENTS.events
        assert heard.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await inside.until(lambda settled: settled[0].complete)


async def test_a_slow_reader_gets_everything() -> None:
    async with (
        MockServer(MockOptions(events=3000, event_bytes=1000)) as upstream,
        Inside(
            settings_for({"m": [backend("b", upstream.url)]}, timeouts=TIMES, deadlines=Deadlines(write_stall_s=0.5))
        ) as inside,
        Caller(inside.port, receive_bytes=8192) as caller,
    ):
        caller.send(request(chat(stream=True)))
        heard = b""
        reads = 0
        while not heard.endswith(b"0\r\n\r\n"):
            async with asyncio.timeout(10):
                heard += await caller.reader.read(16384)
            reads += 1
        assert heard.count(b"data: ") >= 3000
        assert reads > 100
        await inside.until(lambda settled: settled[0].complete)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reader_who_stands_still_is_aborted_and_so_is_his_upstream(stream: bool) -> None:
    options = EVENTS if stream else MockOptions(tokens=1_000_000)
    async with (
        MockServer(options) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]}, deadlines=Deadlines(write_stall_s=0.2))) as inside,
        Caller(inside.port, receive_bytes=8192) as caller,
    ):
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        caller.send(request(chat(stream=stream)))
        await inside.until(lambda settled: len(settled) == 1)
        assert inside.settled[0].left is stream
        await inside.until_alone()
        caller.writer.transport.resume_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        heard = await caller.ends()
        assert not heard.whole
        if stream:
            await upstream.until(lambda ledger: ledger.last.left_at is not None, 2.5)
