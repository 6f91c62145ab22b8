"""The waiting room over places that are counted by hand; real ones are in tests/scenarios/test_queueing.py."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.errors import NoRoute, Overloaded
from gateway.routing.facts import Now, Work
from gateway.routing.plan import plan, route
from gateway.routing.policy import Priority, Rules
from gateway.stages import waiting
from gateway.stages.trial import Way
from gateway.stages.waiting import Full
from gateway.telemetry.exposition import render
from gateway.telemetry.families import WORKER
from gateway.telemetry.slots import SlotWriter, Totals
from tests.doubles.mock_transport import turn
from tests.stages.room import ALL, Backends, Guest, ground

# --- in line ----------------------------------------------------------------------------------------------------------


async def test_where_there_is_room_nobody_waits_and_nobody_is_told_of_anything() -> None:
    async with ground() as on:
        guest = await on.comes()
        assert guest.place == "one"
        assert guest.exchange.waited_s == 0.0
        assert on.is_empty()


async def test_who_waits_is_served_when_a_request_ends() -> None:
    async with ground() as on:
        on.busy()
        guest = await on.comes()
        assert (guest.place, len(on.room), [*on.backends.watching]) == ("", 1, ["one"])
        await on.passes(0.5)
        await on.ends()
        assert guest.place == "one"
        assert guest.exchange.waited_s == 0.5
        assert on.in_flight() == (1, 1)
        assert on.is_empty()


async def test_one_place_that_comes_free_wakes_one() -> None:
    async with ground() as on:
        on.busy()
        guests = [await on.comes(name) for name in "abc"]
        await on.ends()
        assert [guest.decided for guest in guests] == [2, 1, 1]
        assert (on.names, len(on.room)) == ("a", 2)


async def test_several_places_wake_as_many() -> None:
    async with ground(slots=3) as on:
        on.busy(3)
        for name in "abc":
            await on.comes(name)
        on.backends.ends()
        on.backends.ends()
        await turn()
        assert (on.names, len(on.room), on.in_flight()) == ("a b", 1, (3, 1))


async def test_the_earliest_deadline_is_served_first() -> None:
    async with ground() as on:
        on.busy()
        for name, total_s in (("late", 9.0), ("soon", 5.0), ("between", 7.0)):
            await on.comes(name, total_s=total_s)
        for _ in range(3):
            await on.ends()
        assert on.names == "soon between late"


async def test_a_higher_priority_is_served_first() -> None:
    async with ground() as on:
        on.busy()
        words: tuple[Priority, ...] = ("low", "normal", "high")
        for at, priority in enumerate(words):
            await on.comes(priority, rules=Rules(queue_s=1.0 + at, priority=priority))
        for _ in range(3):
            await on.ends()
        assert on.names == "high normal low"


async def test_the_rest_of_a_limit_is_for_the_highest_priority() -> None:
    async with ground(slots=10) as on:
        on.busy(9)
        await on.comes("normal")
        high = await on.comes("high", rules=Rules(queue_s=5.0, priority="high"))
        assert high.place == "one"
        await on.ends()
        assert on.names == "high"
        await on.ends()
        assert on.names == "high normal"


async def test_nobody_is_called_for_a_backend_that_could_not_serve_him() -> None:
    async with ground() as on:
        on.busy()
        guests = [await on.comes(name, to=to) for name, to in (("a", "one"), ("b", "two"), ("c", "one two"))]
        await on.ends("two")
        await on.ends("two")
        assert (on.names, guests[0].decided) == ("b c", 1)


async def test_who_comes_while_another_is_called_does_not_take_his_place() -> None:
    async with ground() as on:
        on.busy()
        first = await on.comes("first")
        on.backends.ends()
        second = await on.comes("second")
        assert (first.place, second.place, on.names) == ("one", "", "first")


async def test_what_may_wait_is_not_more_than_the_deadline_and_not_longer_than_the_policy_says() -> None:
    async with ground() as on:
        on.busy()
        patient = await on.comes("patient", queue_s=3.0)
        hasty = await on.comes("hasty", queue_s=3.0, total_s=2.0)
        await on.passes(1.9)
        assert len(on.room) == 2
        await on.passes(0.1)
        assert isinstance(hasty.refusal, Overloaded)
        assert len(on.room) == 1
        await on.passes(1.0)
        assert isinstance(patient.refusal, Overloaded)
        assert patient.exchange.waited_s == pytest.approx(3.0)
        assert on.in_flight() == (1, 1)


# --- called, and then -------------------------------------------------------------------------------------------------


async def test_who_finds_it_full_after_all_keeps_his_place() -> None:
    async with ground() as on:
        on.busy()
        guests = [await on.comes(name) for name in "ab"]
        on.backends.ends()
        on.backends.loads["one"].in_flight += 1  # somebody whose policy knows no queue
        await turn()
        assert [guest.decided for guest in guests] == [2, 1]
        assert (on.names, len(on.room), on.in_flight()[0]) == ("", 2, 1)
        await on.ends()
        await on.ends()
        assert on.names == "a b"


async def test_who_goes_elsewhere_leaves_what_was_held_to_the_next() -> None:
    async with ground() as on:
        on.busy()
        first = await on.comes("a", to="one two")
        second = await on.comes("b", to="one")
        on.backends.ends("one")
        on.backends.loads["two"].in_flight -= 1
        on.backends.loads["one"].shut, on.backends.loads["one"].shut_until = "drained", 1e9
        await turn()
        assert first.place == "two"
        await turn()
        assert isinstance(second.refusal, NoRoute)
        assert on.in_flight() == (0, 1)


async def test_where_the_backend_is_drained_everyone_is_told_at_once() -> None:
    async with ground() as on:
        on.busy()
        guests = [await on.comes(name) for name in "abc"]
        on.backends.loads["one"].shut, on.backends.loads["one"].shut_until = "drained", 1e9
        await on.ends()
        for _ in range(3):
            await turn()
        assert all(isinstance(guest.refusal, NoRoute) for guest in guests)
        assert on.in_flight() == (0, 1)


async def test_who_can_only_wait_elsewhere_now_does_so() -> None:
    async with ground() as on:
        on.busy()
        guest = await on.comes("a", to="one two")
        on.backends.loads["one"].shut, on.backends.loads["one"].shut_until = "drained", 1e9
        await on.ends("one")
        assert [*on.backends.watching] == ["two"]
        await on.ends("two")
        assert guest.place == "two"


async def test_room_that_nobody_told_of_is_noticed() -> None:
    async with ground() as on:
        on.busy()
        await on.comes("a")
        on.backends.loads["one"].in_flight = 0
        await on.passes(0.1)
        assert on.names == "a"


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_who_leaves_is_forgotten_and_frees_nothing() -> None:
    async with ground() as on:
        on.busy()
        for name in "abc":
            await on.comes(name)
        await on.leaves(0)
        assert (len(on.room), on.in_flight()) == (2, (1, 1))
        await on.ends()
        assert on.names == "b"


async def test_who_leaves_as_he_is_called_leaves_his_place_to_the_next() -> None:
    async with ground() as on:
        on.busy()
        for name in "ab":
            await on.comes(name)
        on.backends.ends()
        assert on.in_flight() == (1, 1)
        await on.leaves(0)
        await turn()
        assert (on.names, on.in_flight()) == ("b", (1, 1))


async def test_nobody_is_called_who_has_just_left() -> None:
    async with ground() as on:
        on.busy()
        for name in "ab":
            await on.comes(name)
        on.tasks[0].cancel()
        await on.ends()
        assert (on.names, on.in_flight()) == ("b", (1, 1))


async def test_who_has_just_left_is_not_refused_as_well() -> None:
    async with ground() as on:
        on.busy()
        guest = await on.comes("a", queue_s=1.0)
        on.tasks[0].cancel()
        await on.passes(2.0)
        assert guest.refusal is None
        assert on.tasks[0].cancelled()


# --- in vain ----------------------------------------------------------------------------------------------------------


async def test_who_would_wait_in_vain_is_refused_at_once_and_told_when_to_come_back() -> None:
    async with ground() as on:
        on.busy()
        for step in range(6):
            await on.comes(f"key-{step}", queue_s=100.0)
        for _ in range(4):
            await on.passes(1.0)
            await on.ends()
        refused = await on.comes("new", rules=Rules(queue_s=2.0, priority="low"))
        assert isinstance(refused.refusal, Overloaded)
        assert refused.exchange.waited_s == 0.0
        assert 2.0 <= (refused.refusal.retry_after_s or 0.0) <= 4.0
        patient = await on.comes("new", rules=Rules(queue_s=5.0, priority="low"))
        assert patient.refusal is None


async def test_a_room_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST", 2)
    async with ground() as on:
        on.busy()
        guests = [await on.comes(name) for name in "abc"]
        assert [isinstance(guest.refusal, Overloaded) for guest in guests] == [False, False, True]


@pytest.mark.parametrize(("waited_s", "told_s"), [(0.0625, 1.0), (4.0, 33.0), (32.0, 60.0)])
async def test_nobody_is_asked_back_within_a_second_or_after_a_minute(waited_s: float, told_s: float) -> None:
    async with ground() as on:
        on.busy()
        for name in "abcdefghi":
            await on.comes(name, queue_s=1000.0)
        hasty = await on.comes("hasty", rules=Rules(queue_s=waited_s, priority="low"))
        await on.passes(waited_s)
        assert isinstance(hasty.refusal, Overloaded)
        assert hasty.refusal.retry_after_s == pytest.approx(told_s, rel=0.01)


async def test_nobody_is_everybody_without_a_key() -> None:
    async with ground() as on:
        on.busy()
        guest = Guest(on, "", Rules(queue_s=1.0), 10.0, ("one",))
        guest.exchange.call.caller = None
        async with asyncio.TaskGroup() as group:
            group.create_task(guest.comes())
            await turn()
            await on.ends()
        assert guest.place == "one"


# --- what is told -----------------------------------------------------------------------------------------------------


async def test_what_happens_in_the_room_is_counted(tmp_path: Path) -> None:
    counts = SlotWriter(str(tmp_path / "slots"))
    totals = Totals(WORKER)
    totals.watch(str(tmp_path / "slots"))
    async with ground(counts=counts) as on:
        on.busy()
        for name in "abc":
            await on.comes(name, queue_s=2.0)
        await on.leaves()
        page = render(WORKER, totals.samples()).decode()
        assert "\ngateway_queue_length 2" in page
        await on.passes(0.5)
        await on.ends()
        await on.passes(1.5)
        page = render(WORKER, totals.samples()).decode()
    assert "\ngateway_queue_length 0" in page
    for outcome, seconds in (("served", "0.5"), ("overloaded", "2"), ("caller_left", "0")):
        assert f'gateway_queue_wait_seconds_sum{{priority="normal",outcome="{outcome}"}} {seconds}' in page
    totals.close()
    counts.close()


async def test_a_bug_in_deciding_is_raised_and_holds_nothing() -> None:
    async with ground() as on:
        on.busy()
        guest = Guest(on, "a", Rules(queue_s=1.0), 10.0, ("one",))
        with pytest.raises(Full) as full:
            guest.decide()

        def broken() -> Way:
            raise RuntimeError

        task = asyncio.get_running_loop().create_task(on.room.turn(full.value, guest.exchange, on.backends, broken))
        await turn()
        await on.ends()
        with pytest.raises(RuntimeError):
            await task
        assert on.in_flight() == (0, 1)


def test_who_is_full_says_so_to_whoever_cannot_wait() -> None:
    backends = Backends(1)
    backends.loads["one"].in_flight = 1
    rules = Rules(queue_s=1.0)
    way = replace(route([ALL.places[0].candidate], rules), bounds=backends.bounds(rules), alone=None)
    found = plan(Work(), way, backends.snapshot, Now(0.0), 0)
    full = Full(found, way, Work(tokens_in=3, tokens_out=4.0), 9.0)
    assert (full.backends, full.tokens, full.total, full.priority) == (frozenset({"one"}), 7.0, 9.0, "normal")
    assert (full.answer_status, full.reason, full.retry_after_s) == (503, "overloaded", 1.0)
