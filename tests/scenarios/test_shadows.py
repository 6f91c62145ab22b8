"""Copies of requests: other places get them too, and no caller is ever the wiser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.structs import replace

from gateway.exchange import HEDGE_LOST, Exchange
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.routing.policy import Hedge, Policy, Split
from gateway.stages.shadow import Shadows
from tests.doubles.inside import Inside, backend, settings_for
from tests.doubles.mock_transport import turn
from tests.scenarios.cast import MODEL, STREAM_HEAD, WORDS, RawProvider, Scene, asked, scene
from tests.scenarios.test_hedging import STORY, WHOLE, WHOLE_HEAD, when_told
from tests.scenarios.test_policies import EU, FRA, placed

COPY = Split("new", "second", 100.0, copy=True)
COPYING = Policy("copying", split=(COPY,))
ALL = MockOptions(slots=256, keep_bodies=True)


class Watched:
    """What was told of copies."""

    def __init__(self) -> None:
        self.copies: list[Exchange] = []
        self.drops: list[str] = []
        self.bugs: list[BaseException] = []

    def shadowed(self, copy: Exchange) -> None:
        self.copies.append(copy)

    def dropped(self, backend: str) -> None:
        self.drops.append(backend)

    def bug(self, error: BaseException, request_id: str) -> None:
        del request_id
        self.bugs.append(error)


class Watching:
    """A scene whose gateway sends copies."""

    def __init__(self, on: Scene, most: int) -> None:
        self.on = on
        self.seen = Watched()
        self.shadows = Shadows(on.gateway.clock, self.seen, self.seen.bug, most=most)
        on.gateway.runtime.attempter.shadows = self.shadows

    async def seen_copies(self, count: int) -> list[Exchange]:
        """The records of so many copies, once they are over."""
        await self.on.gateway.until_so(lambda: len(self.seen.copies) >= count)
        return self.seen.copies


@asynccontextmanager
async def copying(
    *cast: str | RawProvider, policies: tuple[Policy, ...] = (COPYING,), most: int = 64
) -> AsyncIterator[Watching]:
    async with scene(*cast, policies=policies, options=ALL) as on, asyncio.TaskGroup() as group:
        made = Watching(on, most)
        running = group.create_task(made.shadows.run())
        await turn()
        yield made
        running.cancel()
        await turn()
        assert made.shadows.under_way == 0
        assert made.seen.bugs == []


@pytest.mark.parametrize("stream", [True, False])
async def test_a_copy_is_answered_and_nobody_hears_it(stream: bool) -> None:
    async with copying("", "") as here:
        on = here.on
        heard = await on.caller_hears(stream=stream)
        assert heard.headers["x-gateway-attempts"] == "1"
        assert heard.headers["x-gateway-backend"] == "first"
        [copy] = await here.seen_copies(1)
        assert [(one.target.backend.name, one.outcome) for one in copy.attempts] == [("second", "answered")]
        assert copy.call.request_id == heard.headers["x-request-id"]
        assert copy.usage is not None
        assert (copy.stream, copy.call.caller, copy.call.headers) == (stream, None, {})
        main = on.exchange
        assert on.tries() == [("first", "answered")]
        assert main.usage is not None
        assert main.target is main.attempts[0].target
        assert on.second.ledger.last.body == on.first.ledger.last.body
        await on.at_rest()


async def test_a_copy_leaves_once_the_answer_has_begun() -> None:
    async with RawProvider(when_told(STREAM_HEAD, STORY)) as slow, copying(slow, "") as here, here.on.line() as line:
        [second] = here.on.providers
        line.send(asked(stream=True, close=True))
        await slow.asked.wait()
        await turn()
        assert second.ledger.request_count == 0
        slow.go.set()
        assert (await line.ends()).text == "Hello"
        await here.seen_copies(1)
        assert second.ledger.request_count == 1


@pytest.mark.parametrize(
    ("fault", "stream"),
    [("stall", True), ("stall", False), ("stall_mid=2", True), ("tpot=10s", True), ("tpot=10s", False)],
)
async def test_a_copy_that_hangs_holds_nobody_up(fault: str, stream: bool) -> None:
    async with copying("", fault) as here:
        for _ in range(3):
            heard = await here.on.caller_hears(stream=stream)
            assert heard.status == 200
        await here.on.second.until(lambda ledger: ledger.request_count == 3)
        assert here.shadows.under_way == 3
        assert len(here.on.gateway.settled) == 3
    assert [copy.attempts[0].outcome for copy in here.seen.copies] == ["caller_left"] * 3
    await here.on.at_rest()


@pytest.mark.parametrize("fault", ["500", "429", "refuse", "error_first", "reset_mid=2", "html"])
async def test_a_copy_that_fails_is_its_own_trouble(fault: str) -> None:
    async with copying("", fault, "") as here:
        heard = await here.on.caller_hears(stream=True)
        assert heard.text == WORDS
        [copy] = await here.seen_copies(1)
        assert copy.error is not None
        assert [one.target.backend.name for one in copy.attempts] == ["second"]
        assert here.on.exchange.error is None
        assert here.on.tries() == [("first", "answered")]
        assert here.on.providers[2].ledger.request_count == 0


async def test_no_more_copies_than_there_is_room_for() -> None:
    async with copying("", "stall", most=2) as here:
        for _ in range(5):
            await here.on.caller_hears(stream=False)
        await here.on.second.until(lambda ledger: ledger.request_count == 2)
        assert here.seen.drops == ["second"] * 3
        assert here.on.second.ledger.request_count == 2


async def test_a_request_that_fails_has_no_copy() -> None:
    async with copying("500", "") as here:
        heard = await here.on.caller_hears(stream=True)
        assert heard.status == 502
        await turn()
        assert here.on.second.ledger.request_count == 0


async def test_a_copy_stays_where_its_request_must() -> None:
    """Its policy asks for one elsewhere as well."""
    stays = Policy("stays", require=EU, split=(replace(COPY, backend="away"), replace(COPY, name="b", backend="near")))
    async with AsyncExitStack() as stack:
        home, near, away = [await stack.enter_async_context(MockServer()) for _ in range(3)]
        rows = [
            placed(backend("home", home.url), "DE"),
            placed(backend("near", near.url), "FR"),
            placed(backend("away", away.url), "US"),
        ]
        told = settings_for({MODEL: rows}, policies=(stays,), pops={"fra": FRA}, pop="fra")
        on = Scene(await stack.enter_async_context(Inside(told)), (home, near, away))
        async with asyncio.TaskGroup() as group:
            here = Watching(on, 64)
            running = group.create_task(here.shadows.run())
            await turn()
            heard = await on.caller_hears(stream=True)
            assert heard.headers["x-gateway-backend"] == "home"
            await here.seen_copies(1)
            running.cancel()
        assert [copy.attempts[0].target.backend.name for copy in here.seen.copies] == ["near"]
        assert away.ledger.request_count == 0


async def test_what_would_act_is_not_copied() -> None:
    async with copying("", "") as here:
        await here.on.caller_hears(stream=False, background=True)
        await turn()
        assert here.on.second.ledger.request_count == 0


async def test_the_place_of_a_conversation_is_not_its_copys() -> None:
    async with copying("", "") as here:
        await here.on.caller_hears(stream=True, headers={"x-gateway-session": "s1"})
        await here.seen_copies(1)
        homes = here.on.gateway.health.snapshot.homes.values()
        assert {home.backend for home in homes} <= {"first"}


async def test_a_copy_of_a_hedged_request_is_one() -> None:
    hedged = replace(COPYING, split=(replace(COPY, backend="third"),), hedge=Hedge(after_ms=1.0, budget=1.0))
    async with copying("stall", "", "", policies=(hedged,)) as here:
        heard = await here.on.caller_hears(stream=True)
        assert heard.headers["x-gateway-backend"] == "second"
        [copy] = await here.seen_copies(1)
        assert [one.target.backend.name for one in copy.attempts] == ["third"]
        assert here.on.tries() == [("first", HEDGE_LOST), ("second", "answered")]
        assert here.on.providers[2].ledger.request_count == 1


async def test_without_room_for_copies_there_are_none() -> None:
    async with scene("", "", policies=(COPYING,)) as on:
        heard = await on.caller_hears(stream=True)
        assert heard.text == WORDS
        assert on.second.ledger.request_count == 0


async def test_a_copy_has_the_time_its_request_had() -> None:
    async with RawProvider(when_told(WHOLE_HEAD, WHOLE)) as slow, copying("", slow) as here:
        await here.on.caller_hears(stream=False)
        await slow.asked.wait()
        slow.go.set()
        [copy] = await here.seen_copies(1)
        assert copy.complete
        assert copy.usage is not None
        assert (copy.usage.input_tokens, copy.usage.output_tokens) == (3, 5)
