"""The prober against llama.cpp's own server: what is read of it while it loads, idles and works."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.upstream.probes.reading import Reading
from tests.real.asking import client
from tests.real.llamas import MODEL, Llama
from tests.upstream.probing import Fleet, probing, server

pytestmark = pytest.mark.real
SLOTS = 4  # as llama_server.py has it
CEILING_S = 60.0


async def seen(fleet: Fleet, true: Callable[[Reading], bool]) -> Reading:
    """The first reading of which `true` holds. Between two looks a second passes on our clock alone."""
    async with asyncio.timeout(CEILING_S):
        while True:
            fleet.clock.advance(1.25)
            if true(reading := await fleet["one"].look()):
                return reading


async def test_an_idle_server_is_read(llamas: tuple[Llama, Llama]) -> None:
    async with probing(server("llama", llamas[0].url, probe="llamacpp")) as fleet:
        reading = await seen(fleet, lambda reading: reading.running == 0.0)
    assert (reading.alive, reading.loading, reading.slots) == (True, False, SLOTS)
    # It was started without --metrics: nobody says who waits, and that is said.
    assert (reading.waiting, reading.missing) == (None, frozenset({"/metrics 501"}))
    assert (reading.models, reading.unmatched) == (None, frozenset())


async def test_a_server_at_work_is_seen_at_work(llamas: tuple[Llama, Llama]) -> None:
    async with (
        client(f"{llamas[0].url}/v1") as asks,
        probing(server("llama", llamas[0].url, probe="llamacpp")) as fleet,
    ):
        stream = await asks.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Count."}],
            max_tokens=400,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        await anext(aiter(stream))
        assert await seen(fleet, lambda reading: reading.running == 1.0)
        await stream.close()
        assert await seen(fleet, lambda reading: reading.running == 0.0)


async def test_a_server_that_loads_is_neither_dead_nor_ready(llamas: tuple[Llama, Llama]) -> None:
    llama = llamas[1]
    llama.kill()
    async with probing(server("llama", llama.url, probe="llamacpp")) as fleet:
        assert await seen(fleet, lambda reading: reading.alive is False)
        llama.start()
        loading = await seen(fleet, lambda reading: reading.alive is True)
        assert (loading.loading, loading.models) == (True, frozenset())
        serving = await seen(fleet, lambda reading: not reading.loading)
        assert (serving.alive, serving.slots) == (True, SLOTS)
    llama.ready()
