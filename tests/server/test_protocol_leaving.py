"""The moment a caller leaves, the work for him ends: the upstream sees its connection close within 250 ms."""

from collections.abc import Callable

import pytest

from gateway.mock.ledger import Ledger
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from tests.doubles.caller import Caller, chat, request
from tests.doubles.inside import Inside, backend, settings_for

BOUND_S = 0.25

LEAVING: dict[str, Callable[[Caller], None]] = {
    "closes": lambda caller: caller.writer.close(),
    "half-closes": lambda caller: caller.half_close(),
    "resets": lambda caller: caller.reset(),
}


class Phase:
    """Where a request stands when its caller leaves."""

    def __init__(self, options: MockOptions, stream: bool, reached: Callable[[Ledger], bool], fault: str = "") -> None:
        self.options = options
        self.stream = stream
        self.reached = reached
        self.fault = fault


def begun(ledger: Ledger) -> bool:
    return len(ledger.requests) > 0 and ledger.last.begun_at is not None


def queued(ledger: Ledger) -> bool:
    return len(ledger.requests) == 2 and ledger.last.queued


PHASES = {
    "queued": Phase(MockOptions(slots=1, ttft_s=60.0), True, queued),
    "queued for a whole answer": Phase(MockOptions(slots=1, ttft_s=60.0), False, queued),
    "before headers": Phase(MockOptions(faults=("stall",)), True, begun),
    "before the first content": Phase(MockOptions(ttft_s=60.0), True, begun),
    "mid-stream": Phase(MockOptions(tpot_s=0.01, tokens=100_000), True, lambda ledger: ledger.tokens_sent > 3),
    "mid-stream, silent": Phase(MockOptions(faults=("stall_mid=3",)), True, lambda ledger: ledger.tokens_sent > 1),
    "whole answer": Phase(MockOptions(ttft_s=60.0), False, begun),
}


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("name", PHASES)
async def test_who_leaves_is_worked_for_no_longer(name: str, how: str) -> None:
    phase = PHASES[name]
    async with (
        MockServer(phase.options) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside,
        Caller(inside.port) as first,
        Caller(inside.port) as caller,
    ):
        if name.startswith("queued"):
            first.send(request(chat(stream=True)))
            await upstream.until(lambda ledger: len(ledger.requests) == 1)
        caller.send(request(chat(stream=phase.stream)))
        await upstream.until(phase.reached)
        left_at = upstream.clock.monotonic()
        LEAVING[how](caller)
        await upstream.until(lambda ledger: ledger.last.left_at is not None, 10 * BOUND_S)
        seen_at = upstream.ledger.last.left_at
        assert seen_at is not None
        assert seen_at - left_at < BOUND_S
        await inside.until(lambda settled: len(settled) == 1)
        (exchange,) = inside.settled
        assert (exchange.left, exchange.outcome) == (True, "left")
        assert exchange.attempts[0].outcome == "caller_left"
        assert inside.bugs == []


async def test_who_leaves_while_his_next_requests_wait_is_noticed_too() -> None:
    """Reading is never paused while an attempt waits, however much was sent ahead."""
    async with (
        MockServer(MockOptions(ttft_s=60.0)) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside,
        Caller(inside.port) as caller,
    ):
        await caller.send_all(request(chat()) + b"x" * 1_000_000)
        await upstream.until(begun)
        caller.writer.close()
        await upstream.until(lambda ledger: ledger.last.left_at is not None, 10 * BOUND_S)


async def test_a_request_whose_caller_left_before_it_began_is_settled_all_the_same() -> None:
    """The request and the FIN come in one turn of the loop: a task that is cancelled unstarted would settle nothing."""
    async with (
        MockServer(MockOptions(ttft_s=60.0)) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(request(chat()))
        caller.half_close()
        await inside.until(lambda settled: len(settled) == 1)
        assert inside.settled[0].left
        assert inside.door.busy == 0
        await inside.door.done()
