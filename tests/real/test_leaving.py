"""A caller who leaves frees the model server at once: an answer nobody reads costs what an answer costs."""

import asyncio
import contextlib

import pytest
from openai import AsyncOpenAI

from gateway.clock import RealClock
from tests.real.asking import WHOLE_LENGTH, client
from tests.real.conftest import SMOLLM
from tests.real.gateways import Gateway
from tests.real.llamas import Llama

pytestmark = pytest.mark.real

# Tokens: an answer that takes seconds, and how much of it is read.
LONG = 400
READ = 10
CEILING_S = 60.0


async def until_busy(llama: Llama, answers: int) -> None:
    async with asyncio.timeout(CEILING_S):
        while await asyncio.to_thread(llama.busy) != answers:
            pass


async def hang_up(openai: AsyncOpenAI) -> float:
    """Read some pieces of a stream, and leave; the seconds between two pieces."""
    stream = await openai.completions.create(
        model=SMOLLM, prompt="Once upon", max_tokens=LONG, stream=True, extra_body=WHOLE_LENGTH
    )
    pieces = aiter(stream)
    await anext(pieces)
    began = RealClock.monotonic()
    for _ in range(READ):
        await anext(pieces)
    pace_s = (RealClock.monotonic() - began) / READ
    await stream.close()
    return pace_s


async def test_a_reader_who_hangs_up_frees_the_model_server(
    gateway: Gateway, llamas: tuple[Llama, Llama], figures: dict[str, object]
) -> None:
    first, _ = llamas
    await until_busy(first, 0)
    async with client(gateway.url) as openai:
        pace_s = await hang_up(openai)
        left = RealClock.monotonic()
        await until_busy(first, 0)
        freed_s = RealClock.monotonic() - left
    figures["freed_after_ms"] = round(freed_s * 1000)
    assert freed_s < pace_s * LONG / 4


async def test_a_caller_who_will_not_wait_for_a_whole_answer_ends_its_attempt(
    gateway: Gateway, llamas: tuple[Llama, Llama]
) -> None:
    first, _ = llamas
    await until_busy(first, 0)
    await gateway.until_in_flight("first", 0)
    async with client(gateway.url) as openai, asyncio.TaskGroup() as group:
        asking = group.create_task(
            openai.completions.create(model=SMOLLM, prompt="Once upon", max_tokens=LONG, extra_body=WHOLE_LENGTH)
        )
        await until_busy(first, 1)
        await gateway.until_in_flight("first", 1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await gateway.until_in_flight("first", 0)
    # This server looks at the connection of a whole answer only when it is done (tried without us), so it still works.
    assert first.busy() == 1


async def test_more_callers_than_the_server_has_slots_all_get_whole_answers(
    gateway: Gateway, llamas: tuple[Llama, Llama]
) -> None:
    del llamas
    async with client(gateway.url) as openai, asyncio.TaskGroup() as group:
        asked = [
            group.create_task(
                openai.completions.create(model=SMOLLM, prompt=f"{number} and", max_tokens=4, extra_body=WHOLE_LENGTH)
            )
            for number in range(16)
        ]
    assert [one.result().choices[0].finish_reason for one in asked] == ["length"] * len(asked)
