"""The client that keeps to its schedule, against the streaming server on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.bodies import STREAM_ANSWER, Answer
from tests.bench.holding import Order as HoldOrder
from tests.bench.holding import hold
from tests.bench.openloop import Order, drive
from tests.bench.streaming import Pace, serve

BODY = b'{"model":"m","stream":true}'


@asynccontextmanager
async def streaming(pace: Pace) -> AsyncIterator[int]:
    (server,) = await serve({pace: [0]})
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def order(port: int, answer: Answer = STREAM_ANSWER) -> Order:
    return Order(
        port=port,
        path="/v1/chat/completions",
        key="k",
        body_file="",
        answer=answer,
        rate_per_s=500,
        seconds=0.05,
        warm_up_s=0.0,
        patience_s=5.0,
    )


async def test_every_scheduled_request_is_answered_whole_and_measured() -> None:
    async with streaming(Pace.BURST) as port:
        report = await drive(order(port), BODY)
    assert (report.requests, report.answered, report.bad, report.measured) == (25, 25, 0, 25)
    assert report.p50_us is not None
    assert report.first_byte_p50_us is not None
    assert 0 < report.first_byte_p50_us <= report.p50_us


async def test_an_answer_that_is_not_the_expected_one_is_bad() -> None:
    async with streaming(Pace.BURST) as port:
        report = await drive(order(port, Answer(marker="data: ", count=3, ending="")), BODY)
    assert (report.answered, report.bad) == (0, 25)
    assert "65 times instead of 3" in report.flaws[0]


async def test_nobody_listening_is_bad_for_every_request() -> None:
    async with streaming(Pace.BURST) as port:
        pass
    report = await drive(order(port), BODY)
    assert (report.answered, report.bad) == (0, 25)
    assert report.p50_us is None


async def test_a_connection_that_ends_in_mid_answer_is_bad() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        report = await drive(order(int(server.sockets[0].getsockname()[1])), BODY)
    assert (report.answered, report.bad) == (0, 25)
    assert "connection lost after 4 bytes" in report.flaws[0]


async def test_held_streams_stay_open_until_told_and_lost_ones_are_seen() -> None:
    let_go = asyncio.Event()
    async with streaming(Pace.HELD) as port:
        asked = HoldOrder(port=port, path="/v1/chat/completions", key="k", body_file="", streams=20)
        let_go.set()
        opened, held = await hold(asked, BODY, let_go)
    assert (opened.open, held.open) == (20, 20)
    assert held.flaws == []


async def test_a_refused_stream_is_not_open() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    let_go = asyncio.Event()
    let_go.set()
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = int(server.sockets[0].getsockname()[1])
        asked = HoldOrder(port=port, path="/", key="k", body_file="", streams=3)
        opened, _ = await hold(asked, BODY, let_go)
    assert opened.open == 0
    assert "503" in opened.flaws[0]
