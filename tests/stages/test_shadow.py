"""Copies, made by somebody who only says what he was asked."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import BadRequest, Bug, GatewayError, UpstreamBroken
from gateway.exchange import Attempt, Exchange, Reply
from gateway.features import Request, Usage
from gateway.routing.facts import Work
from gateway.routing.policy import Hedge, Require, Rules, Split
from gateway.stages.shadow import MOST, Nowhere, Shadows
from gateway.stages.trial import Way
from tests.doubles.mock_transport import turn
from tests.stages.kept import exchange
from tests.stages.test_hedge import place

FIRST, NEW, OTHER = place("first"), place("new", priced=True), place("other")
EU = Require(jurisdictions=frozenset({"DE"}))
RULES = Rules(names=("p",), require=EU, strict=True, hedge=Hedge(after_ms=1.0))
WAY = Way(
    (FIRST,),
    b"x-request-id: req_stage\r\n",
    130.0,
    passed=b"openai-beta: one\r\n",
    rules=RULES,
    work=Work(tokens_in=9, session=7, prefix=8),
    copies=(NEW,),
)
COPY, ANOTHER = Split("copy", "new", 1.0, copy=True), Split("another", "new", 5.0)
ASKED = Request({"messages": Raw(b"[]")}, "m")


class Attempts:
    """Somebody who makes no attempts, and keeps what he was asked to do."""

    def __init__(self, does: Callable[[Exchange], Awaitable[None]] | None = None) -> None:
        self.asked: list[tuple[Exchange, Request, Way]] = []
        self.replies: list[Reply] = []
        self._does = does

    async def attempt(self, exchange: Exchange, request: Request, way: Way, reply: Reply) -> None:
        self.asked.append((exchange, request, way))
        self.replies.append(reply)
        exchange.attempts.append(Attempt(way.places[0].target, exchange.started))
        if self._does is not None:
            await self._does(exchange)


class Bench:
    """Room for copies, and whoever is told of them."""

    def __init__(self, most: int = MOST) -> None:
        self.clock = HandClock()
        self.copies: list[Exchange] = []
        self.of_splits: list[Exchange] = []
        self.drops: list[str] = []
        self.bugs: list[tuple[BaseException, str]] = []
        self.shadows = Shadows(self.clock, self, self._bug, self, most)
        self.main = exchange(started=100.0)
        self.main.splits = (COPY, ANOTHER)
        self.main.split = "another"
        self.clock.advance(-900.0 + 10.0)  # 110.0: the answer has begun ten seconds after the request came

    def shadowed(self, copy: Exchange) -> None:
        self.copies.append(copy)

    def dropped(self, backend: str) -> None:
        self.drops.append(backend)

    def settle(self, exchange: Exchange) -> None:
        self.of_splits.append(exchange)

    def _bug(self, error: BaseException, request_id: str) -> None:
        self.bugs.append((error, request_id))

    async def cast(self, attempts: Attempts, *, request: Request = ASKED, way: Way = WAY, times: int = 1) -> None:
        """So many requests' copies, until what can be done is done; then all that runs is ended."""
        running = asyncio.get_running_loop().create_task(self.shadows.run())
        await turn()
        for _ in range(times):
            self.shadows.cast(attempts, self.main, request, way)
            assert len(attempts.asked) == len(self.copies) == 0 or times > 1  # not before the caller's own
        await turn()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert self.shadows.under_way == 0


async def test_a_copy_has_a_way_of_its_own_under_the_same_requirements() -> None:
    bench, attempts = Bench(), Attempts()
    await bench.cast(attempts)
    [(copy, request, way)] = attempts.asked
    assert request is ASKED
    assert (way.places, way.copies, way.head, way.passed) == ((NEW,), (), WAY.head, WAY.passed)
    assert (way.rules.require, way.rules.strict, way.rules.retry.attempts, way.rules.hedge) == (EU, True, 1, None)
    assert way.work == Work(tokens_in=9)
    assert way.total == pytest.approx(140.0)  # the thirty seconds its request had, from now
    assert copy is not bench.main
    assert isinstance(attempts.replies[0], Nowhere)


async def test_a_copys_record_knows_its_request_and_nothing_of_its_caller() -> None:
    bench, attempts = Bench(), Attempts()
    bench.main.policies, bench.main.jurisdictions = ("p",), frozenset({"DE"})
    bench.main.call.headers[b"x-secret"] = b"yes"
    bench.main.call.body = b"words"
    await bench.cast(attempts)
    [copy] = bench.copies
    assert (copy.operation, copy.model, copy.stream, copy.bytes_in) == ("chat", "story", False, 80)
    assert (copy.call.request_id, copy.call.caller, copy.call.headers, copy.call.body) == ("req_stage", None, {}, b"")
    assert (copy.split, copy.splits, copy.policies) == ("copy", (COPY,), ("p",))
    assert copy.jurisdictions == frozenset({"DE"})
    assert (copy.settled, copy.ended) == (True, 110.0)
    assert bench.of_splits == [copy]
    assert bench.main.attempts == []


async def test_what_a_copy_cost_is_counted_where_its_price_is_known() -> None:
    async def answers(copy: Exchange) -> None:
        copy.usage = Usage(100, 20)

    bench = Bench()
    await bench.cast(Attempts(answers), way=replace(WAY, copies=(NEW, OTHER)))
    known, unknown = bench.copies
    assert known.cost_usd == pytest.approx(0.5 + 100 * 0.01)
    assert unknown.cost_usd is None
    assert bench.main.cost_usd is None


@pytest.mark.parametrize("error", [UpstreamBroken("no"), RuntimeError("the caller's words"), Bug("not there")])
async def test_what_goes_wrong_costs_one_copy(error: Exception) -> None:
    async def fails(_: Exchange) -> None:
        if len(attempts.asked) == 1:
            raise error

    attempts, bench = Attempts(fails), Bench()
    await bench.cast(attempts, times=3)
    assert len(bench.copies) == 3
    [bad, *well] = bench.copies
    assert isinstance(bad.error, GatewayError)
    assert [copy.error for copy in well] == [None, None]
    assert [found for found, _ in bench.bugs] == ([] if isinstance(error, UpstreamBroken) else [error])


async def test_what_has_no_room_is_dropped_and_counted() -> None:
    async def hangs(_: Exchange) -> None:
        await asyncio.get_running_loop().create_future()

    attempts, bench = Attempts(hangs), Bench(most=2)
    await bench.cast(attempts, way=replace(WAY, copies=(NEW, OTHER)), times=2)
    assert [way.places[0].name for _, _, way in attempts.asked] == ["new", "other"]
    assert bench.drops == ["new", "other"]
    assert len(bench.copies) == 2  # ended with the rest


async def test_what_was_sent_nowhere_is_dropped_as_well() -> None:
    class Speechless(Attempts):
        async def attempt(self, exchange: Exchange, request: Request, way: Way, reply: Reply) -> None:
            raise BadRequest("That can't be said there.")

    bench = Bench()
    await bench.cast(Speechless())
    assert (bench.copies, bench.of_splits, bench.drops, bench.bugs) == ([], [], ["new"], [])


async def test_what_would_act_has_no_copy() -> None:
    bench, attempts = Bench(), Attempts()
    await bench.cast(attempts, request=Request({"background": Raw(b"true")}, "m"))
    assert (attempts.asked, bench.drops) == ([], [])


async def test_before_and_after_there_is_no_room() -> None:
    bench, attempts = Bench(), Attempts()
    bench.shadows.cast(attempts, bench.main, ASKED, WAY)
    await bench.cast(attempts, times=0)
    bench.shadows.cast(attempts, bench.main, ASKED, WAY)
    await turn()
    assert (attempts.asked, bench.drops) == ([], [])
    bench.shadows._send(attempts, bench.main, ASKED, WAY)  # told when there still was
    assert bench.drops == ["new"]


async def test_splits_need_not_be_there() -> None:
    bench, attempts = Bench(), Attempts()
    bench.shadows = Shadows(bench.clock, bench, bench._bug)
    bench.main.splits = ()
    await bench.cast(attempts)
    assert (bench.copies[0].split, bench.of_splits) == ("", [])


def test_nowhere_takes_everything() -> None:
    reply = Nowhere()
    assert not reply.started
    reply.stream(b"", b"first")
    reply.write(b"more")
    reply.end()
    reply.fail(b"frame")
    reply.on_writable(lambda: None)
    assert (reply.started, reply.paused) == (True, False)
    whole = Nowhere()
    whole.whole(200, b"", b"{}")
    assert whole.started
