"""The moment a caller leaves, the upstream stops working for him, and his request is settled once."""

from collections.abc import Callable

import pytest

from gateway.mock.options import MockOptions
from tests.doubles.mock_transport import turn
from tests.scenarios.cast import Line, RawProvider, Scene, asked, plays, scene

# The promise is 250 ms.
CEILING_S = 2.5
SLOW = MockOptions(tokens=10_000, tpot_s=0.002, slots=256)

Leaving = Callable[[Line], None]


def fin(line: Line) -> None:
    line.leave()


def rst(line: Line) -> None:
    line.vanish()


async def has_begun(on: Scene) -> None:
    await on.first.until(lambda ledger: ledger.request_count == 1 and ledger.last.begun_at is not None)


async def left(on: Scene, outcome: str = "caller_left", status: int = 499) -> None:
    """What holds once the caller has left."""
    await on.first.until(lambda ledger: ledger.last.left_at is not None, CEILING_S)
    await on.gateway.until(lambda settled: len(settled) == 1, CEILING_S)
    assert on.tries() == [("first", outcome)]
    exchange = on.exchange
    assert (exchange.outcome, exchange.left, exchange.complete, exchange.error) == ("left", True, False, None)
    assert exchange.status == status
    assert on.failures() == 0
    await on.at_rest()
    assert on.first.ledger.open_connections == 0
    assert len(on.gateway.settled) == 1


@pytest.mark.parametrize("leave", [fin, rst])
@pytest.mark.parametrize("fault", ["stall", "stall_mid=0", "stall_mid=1", "pings=1ms;ttft=1m"])
async def test_before_the_first_content(fault: str, leave: Leaving) -> None:
    async with scene(fault.split(";"), "") as on:
        async with on.line() as line:
            line.send(asked())
            await has_begun(on)
            await on.first.until(lambda ledger: fault == "stall" or ledger.last.bytes_sent > 0)
            await turn()
            leave(line)
        await left(on)
        assert on.second.ledger.request_count == 0
        assert on.exchange.usage is None


@pytest.mark.parametrize("leave", [fin, rst])
@pytest.mark.parametrize("fault", ["stall_mid=6", "tokens=10000"])
async def test_in_the_middle_of_a_stream(fault: str, leave: Leaving) -> None:
    async with scene(fault, "", options=SLOW) as on:
        async with on.line() as line:
            line.send(asked())
            await line.hears(b" stand-in")
            leave(line)
        await left(on, status=200)
        usage = on.exchange.usage
        assert usage is not None
        assert usage.estimated
        assert 4 <= usage.output_tokens <= on.first.ledger.last.tokens_sent
        assert on.second.ledger.request_count == 0


@pytest.mark.parametrize("leave", [fin, rst])
@pytest.mark.parametrize("fault", ["stall", "tpot=1s", "stall_mid=0"])
async def test_while_a_whole_answer_is_made(fault: str, leave: Leaving) -> None:
    async with scene(fault, "") as on:
        async with on.line() as line:
            line.send(asked(stream=False))
            await has_begun(on)
            leave(line)
        await left(on)
        assert on.second.ledger.request_count == 0


async def test_while_his_request_waits_in_the_upstreams_queue() -> None:
    async with scene("", options=MockOptions(slots=1, tokens=10_000, tpot_s=0.002)) as on:
        async with on.line() as ahead, on.line() as behind:
            ahead.send(asked())
            await ahead.hears(b" stand-in")
            behind.send(asked())
            await on.first.until(lambda ledger: ledger.last.queued)
            behind.leave()
            await on.first.until(lambda ledger: ledger.last.left_at is not None, CEILING_S)
            await on.gateway.until(lambda settled: len(settled) == 1, CEILING_S)
            assert on.exchange.outcome == "left"
            await ahead.hears(b" mean")  # the other one doesn't notice
        await on.gateway.until(lambda settled: len(settled) == 2)


async def test_while_a_refusal_is_read() -> None:
    head = b"HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    async with RawProvider(plays(head, b'{"error":')) as mumbling, scene(mumbling, "") as on:
        async with on.line() as line:
            line.send(asked())
            await mumbling.said.wait()
            await turn()
            line.leave()
        await on.gateway.until(lambda settled: len(settled) == 1, CEILING_S)
        assert on.tries() == [("first", "caller_left")]
        await on.at_rest()


async def test_between_two_pieces_of_his_own_request() -> None:
    async with scene("") as on:
        async with on.line() as line:
            line.send(asked()[:-10])
            await turn()
            line.leave()
        await turn()
        assert on.first.ledger.request_count == 0
        assert on.gateway.door.busy == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_right_behind_his_request(stream: bool) -> None:
    """The request and the FIN come in one packet: settled all the same."""
    async with scene("stall") as on:
        async with on.line() as line:
            line.send(asked(stream=stream))
            line.leave()
        await on.gateway.until(lambda settled: len(settled) == 1, CEILING_S)
        assert on.exchange.outcome == "left"
        await on.at_rest()


async def test_with_more_requests_behind_the_one_that_runs() -> None:
    async with scene("stall") as on:
        async with on.line() as line:
            line.send(asked() * 3)
            await has_begun(on)
            line.leave()
        await left(on)
        assert on.first.ledger.request_count == 1


async def test_after_his_answer_he_has_not_left() -> None:
    async with scene("") as on:
        async with on.line() as line:
            line.send(asked(stream=False))
            await line.answer()
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.exchange.outcome == "answered"
        assert on.first.ledger.left == 0
