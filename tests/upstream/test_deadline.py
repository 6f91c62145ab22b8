"""Deadlines of awaited things, by a clock moved by hand."""

import asyncio

import pytest

from gateway.sweep import Sweeper
from gateway.upstream.deadline import until
from tests.upstream.scripted import turn


async def waits(deadline: float, sweeper: Sweeper) -> str:
    try:
        async with until(deadline, sweeper):
            await asyncio.Event().wait()
    except TimeoutError:
        return "late"
    return "done"


async def test_what_runs_inside_ends_at_the_first_sweep_after_the_deadline() -> None:
    sweeper = Sweeper()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(waits(10.0, sweeper))
        await turn()
        sweeper.sweep(9.99)
        await turn()
        assert not waiting.done()
        sweeper.sweep(10.0)
        sweeper.sweep(10.1)
    assert waiting.result() == "late"
    assert len(sweeper) == 0


async def test_what_is_done_in_time_is_not_watched_any_more() -> None:
    sweeper = Sweeper()
    async with until(10.0, sweeper):
        assert len(sweeper) == 1
    assert len(sweeper) == 0
    sweeper.sweep(11.0)
    await turn()


async def test_of_two_deadlines_the_inner_one_is_told_inside() -> None:
    sweeper = Sweeper()

    async def nested() -> tuple[str, str]:
        inner = await waits(5.0, sweeper)
        try:
            async with until(10.0, sweeper):
                return inner, await waits(20.0, sweeper)
        except TimeoutError:
            return inner, "outer was late"

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(nested())
        for now in (5.0, 10.0):
            await turn()
            sweeper.sweep(now)
    assert waiting.result() == ("late", "outer was late")


async def test_a_cancelled_task_stays_cancelled() -> None:
    sweeper = Sweeper()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(waits(10.0, sweeper))
        await turn()
        waiting.cancel()
    assert waiting.cancelled()
    assert len(sweeper) == 0


async def test_an_error_inside_passes() -> None:
    with pytest.raises(LookupError):
        async with until(10.0, Sweeper()):
            raise LookupError
