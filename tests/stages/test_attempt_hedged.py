"""Attempts beside each other against real stand-ins, for a reply that is kept."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from gateway.errors import BadRequest, Bug, NoRoute, UnsupportedFeature, UpstreamBroken
from gateway.exchange import HEDGE_LOST, Attempt
from gateway.features import Request
from gateway.routing.policy import Hedge, Require, Rules
from gateway.stages.attempt import Attempter
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Place
from gateway.wire import load
from gateway.wire.dialect import Dialect
from gateway.wire.openai_chat.passthrough import OpenAIChat
from tests.doubles.mock_transport import turn
from tests.stages.kept import KeptReply
from tests.stages.test_attempt import BODY, Buggy, Ground, ground

SOON = Rules(hedge=Hedge(after_ms=1.0, budget=1.0))
LATE = Rules(hedge=Hedge(after_ms=600_000.0, budget=1.0))


class Races:
    """What was told of races."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def raced(self, backend: str, outcome: str, loser: Attempt | None) -> None:
        self.seen.append((backend, outcome, loser.target.backend.name if loser is not None else ""))


async def hedged(
    on: Ground,
    rules: Rules = SOON,
    *,
    stream: bool = True,
    places: list[Place] | None = None,
    told: Races | None = None,
) -> Races:
    """The request, attempted under these rules; what was told of its races."""
    told = told or Races()
    attempter = Attempter(on.client, on.health, on.clock, "fra", 100_000, told=told)
    request = load("openai_chat").read_request(BODY % (b"true" if stream else b"false"))
    on.exchange.stream = stream
    way = Way(tuple(places or on.plan), b"", on.clock.monotonic() + 30.0, rules=rules)
    await attempter.attempt(on.exchange, request, way, on.reply)
    return told


class Saying(OpenAIChat):
    """A language in which some requests can't be said."""

    def __init__(self, error: BadRequest) -> None:
        self._error = error

    def write_request(
        self, request: Request, model: Raw, dialect: Dialect, *, ask_usage: bool
    ) -> tuple[bytes, list[str]]:
        raise self._error


class Refusing(OpenAIChat):
    def check_stream(self, content_type: str) -> None:
        raise BadRequest("not like this", code="no_way")


class Heard(KeptReply):
    """A reply that says when it begins."""

    def __init__(self, begun: Callable[[], object]) -> None:
        super().__init__()
        self._begun = begun

    def stream(self, lines: bytes, first: bytes) -> None:
        super().stream(lines, first)
        self._begun()


@pytest.mark.parametrize("fault", ["stall", "stall_mid=0"])
async def test_the_losers_connection_ends_within_a_few_turns_of_the_loop(fault: str) -> None:
    """No timer, no queue and no other request lies between the winner's content and the loser's end."""
    async with ground(fault, "tokens=2") as on:
        left = asyncio.get_running_loop().create_future()

        async def watch() -> None:
            for turns in range(50):
                if on.client.open == 1:
                    left.set_result(turns)
                    return
                await turn(1)
            left.set_result(None)

        async with asyncio.TaskGroup() as group:
            on.reply = Heard(lambda: group.create_task(watch()))
            await hedged(on)
        assert left.result() is not None
        assert left.result() <= 5
        assert on.tries == [("first", HEDGE_LOST), ("second", "answered")]
        await on.is_quiet()


async def test_every_race_is_told() -> None:
    async with ground("stall", "", "") as on:
        assert (await hedged(on)).seen == [("second", "won", "first")]
    async with ground("stall", "stall_mid=3") as on:
        told = Races()
        task = asyncio.get_running_loop().create_task(hedged(on, told=told))
        async with asyncio.timeout(10.0):
            while not on.reply.body:
                await turn()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told.seen == [("second", "won", "first")]
    async with ground("", "") as on:
        assert (await hedged(on, LATE)).seen == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_race_that_its_caller_leaves_is_nobodys(stream: bool) -> None:
    async with ground("stall", "stall") as on:
        told = Races()
        task = asyncio.get_running_loop().create_task(hedged(on, stream=stream, told=told))
        await on.servers[1].until(lambda ledger: ledger.request_count == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told.seen == [("second", "left", "")]
        assert on.tries == [("first", "caller_left"), ("second", "caller_left")]
        await on.is_quiet()


async def test_a_place_that_cannot_be_told_is_no_second() -> None:
    """Its own turn may come, where that is said."""
    async with ground("ttft=50ms", "", "") as on:
        second = replace(on.plan[1], wire=Saying(BadRequest("not sayable")), native=False)
        await hedged(on, places=[on.plan[0], second, on.plan[2]])
        assert on.tries == [("first", "answered")]


async def test_what_cannot_be_said_first_is_said_to_the_next() -> None:
    async with ground("", "") as on:
        for error, native in ((BadRequest("not there"), False), (UnsupportedFeature("not like this"), True)):
            first = replace(on.plan[0], wire=Saying(error), native=native)
            on.exchange.attempts.clear()
            on.exchange.complete, on.reply = False, KeptReply()
            await hedged(on, places=[first, on.plan[1]])
            assert on.tries == [("second", "answered")]
        with pytest.raises(BadRequest) as told:
            await hedged(on, places=[first])
        assert told.value is error


async def test_what_makes_no_sense_in_its_own_language_is_raised_at_once() -> None:
    async with ground("", "") as on:
        error = BadRequest("no sense")
        with pytest.raises(BadRequest) as told:
            await hedged(on, places=[replace(on.plan[0], wire=Saying(error)), on.plan[1]])
        assert told.value is error
        assert on.tries == []


async def test_an_empty_plan_is_no_route() -> None:
    async with ground() as on:
        with pytest.raises(NoRoute):
            await hedged(on, places=[])


async def test_the_second_may_not_see_what_the_first_may() -> None:
    rules = replace(SOON, require=Require(jurisdictions=frozenset({"DE"})))
    async with ground("stall", "") as on:
        home = replace(on.plan[0], candidate=replace(on.plan[0].candidate, processes_in=frozenset({"DE"})))
        away = replace(on.plan[1], candidate=replace(on.plan[1].candidate, processes_in=frozenset({"US"})))
        with pytest.raises(Bug):
            await hedged(on, rules, places=[home, away])
        assert on.servers[1].ledger.request_count == 0
        assert on.tries == [("first", "caller_left")]
        await on.is_quiet()


async def test_a_refusal_of_ours_at_the_second_does_not_end_the_first() -> None:
    async with ground("ttft=100ms", "") as on:
        second = replace(on.plan[1], wire=Refusing())
        await hedged(on, places=[on.plan[0], second])
        assert on.tries == [("second", "no_way"), ("first", "answered")]
        assert on.reply.headers["x-gateway-attempts"] == "2"
        await on.is_quiet()


async def test_a_refusal_of_ours_ends_the_walk_once_the_other_has_failed() -> None:
    async with ground("ttft=100ms;error_first", "", "") as on:
        second = replace(on.plan[1], wire=Refusing())
        told = Races()
        with pytest.raises(BadRequest):
            await hedged(on, places=[on.plan[0], second, on.plan[2]], told=told)
        assert [name for name, _ in on.tries] == ["first", "second"]
        assert told.seen == [("second", "failed", "")]


@pytest.mark.parametrize(("where", "stream"), [("read_whole", False), ("check_stream", True)])
async def test_a_bug_of_ours_ends_both_and_is_raised_as_it_is(where: str, stream: bool) -> None:
    async with ground("stall", "") as on:
        second = replace(on.plan[1], wire=Buggy(where))
        with pytest.raises(RuntimeError):
            await hedged(on, stream=stream, places=[on.plan[0], second])
        assert on.tries == [("first", "caller_left"), ("second", "internal_error")]
        assert not on.reply.started
        await on.servers[1].until(lambda ledger: ledger.open_connections == 0)
        await on.is_quiet()


async def test_a_second_hedge_there_is_not() -> None:
    """The first two fail, and the third, which is slow, is alone."""
    async with ground("ttft=50ms;error_first", "500", "ttft=100ms", "") as on:
        await hedged(on)
        assert [name for name, _ in on.tries] == ["first", "second", "third"]
        assert on.exchange.attempts[-1].outcome == "answered"
        assert on.exchange.reason == "fallback"


async def test_no_more_attempts_than_the_policy_has() -> None:
    async with ground("500", "500", "500", "") as on:
        with pytest.raises(UpstreamBroken):
            await hedged(on, LATE)
        assert len(on.tries) == 3


async def test_time_that_two_wait_together_is_counted_once() -> None:
    async with ground("stall", "ttft=50ms") as on:
        await hedged(on)
        first, second = on.exchange.attempts
        waited = on.exchange.upstream_s()
        assert waited <= second.headers - first.started
        assert waited >= second.headers - second.sent
        assert on.exchange.overhead_s(on.clock.monotonic()) < second.headers - first.started


async def test_whoever_asked_for_no_hedge_is_not_counted_for_its_budget() -> None:
    async with ground("", "") as on:
        await on.attempt()
        assert not on.health.hedges.spend(on.clock.monotonic(), 1.0)
        on.reply = KeptReply()
        await hedged(on, LATE)
        assert on.health.hedges.spend(on.clock.monotonic(), 1.0)
