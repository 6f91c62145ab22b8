"""Queueing over real sockets: a stand-in with one slot, and callers who come all at once.

One slot means two requests there, of which the stand-in itself lets one wait (gateway/routing/fair.py).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.structs import replace

from gateway.clock import HandClock, RealClock
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.routing.policy import Fallback, Match, Policy
from gateway.settings.keys import digest_of
from gateway.settings.shape import Caller, May
from gateway.stages.attempt import Attempter
from gateway.upstream.health import Health
from tests.doubles.inside import CALLER, KEY, Inside, backend, settings_for
from tests.doubles.mock_caller import CHAT, Heard
from tests.scenarios.cast import MODEL, Line, Scene, asked, scene

WAITS = Policy("waits", queue_s=100.0)
HIGH_KEY = "sk-gw-high-0123456789abcdef"
HIGH = Caller(name="high", team="tests", digest=digest_of(HIGH_KEY, ""), may=May(priority="high"))


class House(Scene):
    """A gateway before one stand-in, with callers who stay until they have heard."""

    def __init__(self, gateway: Inside, server: MockServer, stack: AsyncExitStack) -> None:
        super().__init__(gateway, [server])
        self._stack = stack

    async def asks(
        self, *, key: str = KEY, path: str = CHAT, headers: Mapping[str, str] | None = None, **fields: object
    ) -> Line:
        """A caller who has asked, on a connection of his own."""
        line = await self._stack.enter_async_context(self.line())
        line.send(asked(key=key, path=path, headers=headers, close=False, **fields))
        return line

    async def occupies(self, how_many: int = 2) -> list[Line]:
        """So many requests that are at the stand-in."""
        before = self.first.ledger.request_count
        lines = [await self.asks(stream=False) for _ in range(how_many)]
        await self.first.until(lambda ledger: ledger.request_count == before + how_many)
        return lines

    async def waits(self, *, within_s: float = 60.0, key: str = KEY, headers: Mapping[str, str] | None = None) -> Line:
        """A caller who waits in the room, with a deadline of his own."""
        before = len(self.gateway.room)
        named = {"x-gateway-timeout-ms": f"{within_s * 1000:.0f}", **(headers or {})}
        line = await self.asks(key=key, headers=named, stream=False)
        await self.room_has(before + 1)
        return line

    async def room_has(self, how_many: int) -> None:
        await self.gateway.until_so(lambda: len(self.gateway.room) == how_many)

    async def served(self, lines: dict[str, Line]) -> tuple[list[str], list[Heard]]:
        """Whose answers came, in the order in which the stand-in had been asked."""
        heard = {name: await line.answer() for name, line in lines.items()}
        names = {answer.headers["x-request-id"]: name for name, answer in heard.items()}
        order = [names[entry.request_id] for entry in self.first.ledger.requests if entry.request_id in names]
        return order, [*heard.values()]


@asynccontextmanager
async def house(
    *faults: str,
    policies: tuple[Policy, ...] = (WAITS,),
    slots: int = 1,
    by_hand: bool = False,
    callers: tuple[Caller, ...] = (CALLER, HIGH),
    others: tuple[str, ...] = (),
) -> AsyncIterator[House]:
    """`others` are further models, each at a stand-in of its own with as many slots, which is called as it is."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(MockServer(MockOptions(slots=slots)))
        server.set_faults(faults)
        rows = [replace(backend("first", server.url), slots=slots)]
        models = {MODEL: rows}
        for name in others:
            beside = await stack.enter_async_context(MockServer(MockOptions(slots=slots)))
            models[name] = [replace(backend(name, beside.url), slots=slots)]
        told = settings_for(models, callers=callers, policies=policies)
        told = replace(told, aliases=frozenset({"openrouter", "litellm"}))
        clock = HandClock() if by_hand else RealClock()
        gateway = await stack.enter_async_context(Inside(told, clock, sweeps=not by_hand))
        async with AsyncExitStack() as lines:
            yield House(gateway, server, lines)


# --- in which order ---------------------------------------------------------------------------------------------------


async def test_three_callers_and_one_slot_are_answered_in_the_order_of_their_deadlines() -> None:
    async with house("stall*1") as on:
        [stuck, _] = await on.occupies()
        lines = {
            "late": await on.waits(within_s=60.0),
            "soon": await on.waits(within_s=40.0),
            "between": await on.waits(within_s=50.0),
        }
        assert on.first.ledger.request_count == 2
        stuck.leave()
        order, heard = await on.served(lines)
        assert order == ["soon", "between", "late"]
        for answer in heard:
            assert answer.status == 200
            timing = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
            assert [*timing] == ["gateway", "queue", "upstream"]
            assert float(timing["gateway"]) < 1000.0
        await on.at_rest()
        assert len(on.gateway.room) == 0


async def test_a_stand_in_with_one_slot_never_has_more_than_two_of_ours() -> None:
    async with house() as on:
        lines = [await on.asks(stream=False) for _ in range(12)]
        most = 0

        def counted() -> bool:
            nonlocal most
            most = max(most, on.first.running + on.first.waiting)
            return on.first.ledger.finished == 12

        await on.first.until(lambda _: counted())
        assert {(await line.answer()).status for line in lines} == {200}
        assert most <= 2
        await on.at_rest()


async def test_low_priority_waits_for_high() -> None:
    async with house("stall*1") as on:
        [stuck, _] = await on.occupies()
        lines = {
            "low": await on.waits(within_s=10.0, headers={"x-gateway-priority": "low"}),
            "normal": await on.waits(within_s=20.0),
            "high": await on.waits(within_s=30.0, key=HIGH_KEY, headers={"x-gateway-priority": "high"}),
        }
        stuck.leave()
        order, _ = await on.served(lines)
        assert order == ["high", "normal", "low"]
        await on.at_rest()


async def test_one_request_of_another_key_is_not_behind_all_of_the_first_ones() -> None:
    async with house("stall*1") as on:
        [stuck, _] = await on.occupies()
        lines = {f"many-{number}": await on.waits(within_s=20.0 + number) for number in range(4)}
        lines["one"] = await on.waits(within_s=60.0, key=HIGH_KEY)
        stuck.leave()
        order, _ = await on.served(lines)
        assert order == ["many-0", "one", "many-1", "many-2", "many-3"]


async def test_without_a_queue_what_is_too_much_waits_at_the_server() -> None:
    async with house("stall", policies=()) as on:
        await on.occupies(4)
        assert (on.first.running, on.first.waiting) == (1, 3)
        assert len(on.gateway.room) == 0


# --- leaving, and in vain ---------------------------------------------------------------------------------------------


async def test_a_caller_who_leaves_while_he_waits_is_never_asked_for() -> None:
    async with house("stall*1") as on:
        [stuck, _] = await on.occupies()
        leaving = await on.waits(within_s=10.0)
        staying = await on.waits(within_s=20.0)
        leaving.leave()
        await on.room_has(1)
        [left] = on.gateway.settled
        assert (left.outcome, left.status, left.attempts) == ("left", 499, [])
        assert left.waited_s > 0.0
        stuck.leave()
        assert (await staying.answer()).status == 200
        await on.first.until(lambda ledger: ledger.finished == 2)
        assert on.first.ledger.request_count == 3
        await on.at_rest()


@pytest.mark.parametrize("is_anthropic", [False, True])
async def test_who_waits_in_vain_hears_so_in_his_own_language(is_anthropic: bool) -> None:
    async with house("stall", by_hand=True) as on:
        await on.occupies()
        if is_anthropic:
            line = await on.asks(
                path="/v1/messages", headers={"x-gateway-timeout-ms": "3000"}, max_tokens=9, stream=None
            )
            await on.room_has(1)
        else:
            line = await on.waits(within_s=3.0)
        on.passes(2.9)
        assert len(on.gateway.room) == 1
        on.passes(0.1)
        answer = await line.answer()
        assert answer.headers["retry-after"] == "1"
        error = answer.json["error"]
        assert isinstance(error, dict)
        if is_anthropic:
            assert (answer.status, answer.json["type"], error["type"]) == (503, "error", "overloaded_error")
        else:
            assert (answer.status, error["type"], error["code"]) == (503, "service_unavailable_error", "overloaded")
        [exchange] = on.gateway.settled
        assert (exchange.outcome, exchange.attempts) == ("overloaded", [])
        assert exchange.own_s < 0.1
        assert on.first.ledger.request_count == 2


async def test_the_answer_says_when_to_come_back() -> None:
    async with house("stall", by_hand=True) as on:
        await on.occupies()
        for _ in range(3):
            await on.waits()
        line = await on.waits(within_s=4.0, headers={"x-gateway-priority": "low"})
        on.passes(4.0)
        answer = await line.answer()
        # Four turns, and none in four seconds: lately one in 3.3 of them at best.
        assert (answer.status, answer.headers["retry-after"]) == (503, "14")


async def test_nobody_waits_longer_than_his_policy_says() -> None:
    async with house("stall", by_hand=True, policies=(Policy("hasty", queue_s=2.0),)) as on:
        await on.occupies()
        line = await on.waits()
        on.passes(2.0)
        answer = await line.answer()
        assert answer.status == 503
        assert on.gateway.settled[0].waited_s == pytest.approx(2.0)


async def test_when_the_backend_dies_everyone_is_told() -> None:
    async with house("stall") as on:
        first = await on.occupies()
        lines = [await on.waits() for _ in range(3)]
        on.first.kill()
        answers = [await line.answer() for line in (*first, *lines)]
        assert {answer.status for answer in answers} <= {502, 503}
        await on.room_has(0)
        await on.at_rest()


# --- other models -----------------------------------------------------------------------------------------------------

TURNS = Policy("turns", match=Match(models=(MODEL,)), queue_s=2.0, fallback=Fallback(("spare",)))


async def test_who_waited_in_vain_is_answered_by_his_policys_other_model() -> None:
    async with house("stall", by_hand=True, policies=(TURNS,), others=("spare",)) as on:
        await on.occupies()
        line = await on.waits()
        on.passes(2.0)
        answer = await line.answer()
        assert answer.status == 200
        assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-reason"]) == ("spare", "fallback")
        assert "queue;dur=2000" in answer.headers["server-timing"]
        [exchange] = on.gateway.settled
        assert (exchange.model, exchange.outcome, len(exchange.attempts)) == ("spare", "answered", 1)
        assert exchange.waited_s == pytest.approx(2.0)
        assert on.first.ledger.request_count == 2


async def test_who_has_no_time_left_after_his_wait_has_none_for_another_model() -> None:
    async with house("stall", by_hand=True, policies=(TURNS,), others=("spare",)) as on:
        await on.occupies()
        line = await on.waits(within_s=1.5)
        on.passes(1.5)
        assert (await line.answer()).status == 503
        assert on.gateway.settled[0].attempts == []


async def test_whose_backend_dies_while_he_waits_goes_to_the_other_model() -> None:
    async with house("stall", policies=(replace(TURNS, queue_s=100.0),), others=("spare",)) as on:
        first = await on.occupies()
        line = await on.waits()
        on.gateway.health.drain("first", on.gateway.clock.monotonic())
        first[0].leave()
        answer = await line.answer()
        assert (answer.status, answer.headers["x-gateway-model"]) == (200, "spare")


@pytest.mark.parametrize("field", ["models", "fallbacks"])
async def test_who_names_other_models_waits_for_none_while_one_of_them_is_free(field: str) -> None:
    async with house("stall", others=("spare",)) as on:
        await on.occupies()
        named: dict[str, object] = {field: [MODEL, "spare"]}
        line = await on.asks(key=KEY, path=CHAT, headers=None, stream=False, **named)
        answer = await line.answer()
        assert answer.status == 200
        assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-reason"]) == ("spare", "fallback")
        assert "queue" not in answer.headers["server-timing"]
        assert len(on.gateway.room) == 0


async def test_who_names_other_models_that_are_full_too_waits_for_his_first() -> None:
    async with house("stall*1", others=("spare",)) as on:
        [stuck, _] = await on.occupies()
        on.gateway.health.hold("spare", 2)
        waiting = await on.asks(stream=False, models=["spare"])
        await on.room_has(1)
        stuck.leave()
        answer = await waiting.answer()
        assert (answer.status, answer.headers["x-gateway-model"]) == (200, MODEL)
        assert answer.headers["x-gateway-reason"] != "fallback"
        on.gateway.health.hold("spare", -2)


async def test_a_model_he_named_that_has_come_free_serves_who_waited_in_vain() -> None:
    async with house("stall", by_hand=True, policies=(Policy("hasty", queue_s=2.0),), others=("spare",)) as on:
        await on.occupies()
        on.gateway.health.hold("spare", 2)
        line = await on.asks(stream=False, models=["spare"])
        await on.room_has(1)
        on.gateway.health.hold("spare", -2)
        on.passes(2.0)
        answer = await line.answer()
        assert (answer.status, answer.headers["x-gateway-model"]) == (200, "spare")


# --- the rest of the house --------------------------------------------------------------------------------------------


async def test_who_waits_is_served_after_a_reload_too() -> None:
    async with house("stall*1") as on:
        [stuck, _] = await on.occupies()
        before = await on.waits(within_s=50.0)
        gateway, settings = on.gateway, on.gateway.settings
        health = Health(settings.backends, settings.models)
        health.inherit(gateway.health, gateway.clock.monotonic())
        gateway.health = health
        attempter = Attempter(gateway.client, health, gateway.clock, "", settings.caps.event_bytes)
        gateway.door.use(replace(gateway.runtime, finder=gateway.finder(settings), attempter=attempter))
        after = await on.waits(within_s=40.0)
        stuck.leave()
        order, _ = await on.served({"before": before, "after": after})
        assert order == ["after", "before"]
        await on.at_rest()


async def test_a_full_place_is_passed_by_while_another_is_free() -> None:
    async with scene("", "", policies=(WAITS,)) as on:
        health = on.gateway.health
        health.hold("first", 1)
        health.snapshot.loads["first"].most = 1.0
        assert (await on.caller_hears(stream=False)).status == 200
        assert on.tries() == [("second", "answered")]
        health.hold("first", -1)


async def test_a_stream_waits_as_well_and_many_at_once_are_all_answered() -> None:
    async with house(slots=3) as on:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(on.caller_hears(stream=bool(number % 2))) for number in range(40)]
        assert {task.result().status for task in tasks} == {200}
        assert all(task.result().whole for task in tasks)
        await on.at_rest()
        assert len(on.gateway.room) == 0
