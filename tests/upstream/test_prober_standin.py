"""The prober against our own stand-in, which tells what vLLM tells."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.clock import HandClock
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.upstream.probes.reading import DEAD
from tests.upstream.probing import Fleet, probing, server

IDLE = MockOptions(models=("m",))
ASK = b'{"model":"%b","stream":true,"messages":[{"role":"user","content":"hello"}],"max_tokens":50}'


@asynccontextmanager
async def standing_in(options: MockOptions = IDLE) -> AsyncIterator[tuple[MockServer, Fleet]]:
    async with MockServer(options, clock=HandClock()) as mock, probing(server("b", mock.url)) as fleet:
        yield mock, fleet


async def hold(mock: MockServer, model: bytes = b"m") -> asyncio.StreamWriter:
    """A stream that goes on until it is closed."""
    _, writer = await asyncio.open_connection("127.0.0.1", mock.port)
    body = ASK % model
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    return writer


async def test_it_is_alive_and_idle() -> None:
    async with standing_in() as (_, fleet):
        reading = await fleet["one"].look()
        assert (reading.alive, reading.loading, reading.running, reading.waiting) == (True, False, 0.0, 0.0)
        assert (reading.kv, reading.models) == (0.0, frozenset({"m"}))
        assert (reading.unmatched, reading.missing) == (frozenset(), frozenset())


async def test_what_runs_and_what_waits_is_seen() -> None:
    async with standing_in(MockOptions(models=("m",), slots=1, tpot_s=60.0, kv_blocks=10)) as (mock, fleet):
        writers = [await hold(mock) for _ in range(3)]
        await mock.until(lambda _: (mock.running, mock.waiting) == (1, 2))
        reading = await fleet["one"].look()
        assert (reading.running, reading.waiting, reading.working) == (1.0, 2.0, 3.0)
        assert reading.kv is not None
        assert 0.0 < reading.kv <= 1.0
        for writer in writers:
            writer.close()
        await mock.until(lambda _: mock.running == 0)


async def test_the_adapters_in_use_are_seen() -> None:
    async with standing_in(MockOptions(models=("m",), loras=("law", "sql"), tpot_s=60.0)) as (mock, fleet):
        writer = await hold(mock, b"law")
        await mock.until(lambda _: mock.running == 1)
        reading = await fleet["one"].look()
        assert (reading.adapters, reading.adapters_most) == (frozenset({"law"}), 4)
        writer.close()
        await mock.until(lambda _: mock.running == 0)


async def test_while_it_is_cold_it_loads_and_then_it_serves() -> None:
    async with standing_in(MockOptions(models=("m",), cold_s=8.0)) as (mock, fleet):
        reading = await fleet["one"].look()
        assert (reading.alive, reading.loading, reading.models) == (True, True, frozenset())
        assert reading.loadable == frozenset({"m"})
        assert isinstance(mock.clock, HandClock)
        mock.clock.advance(9.0)
        fleet.clock.advance(1.25)
        reading = await fleet["one"].look()
        assert (reading.loading, reading.models) == (False, frozenset({"m"}))


async def test_a_sick_one_is_dead_until_it_is_healed() -> None:
    async with standing_in() as (mock, fleet):
        mock.set_faults(["unhealthy"])
        assert await fleet["one"].look() == DEAD
        mock.set_faults()
        fleet.clock.advance(1.25)
        assert (await fleet["one"].look()).alive


async def test_a_killed_one_is_dead_and_back_when_it_listens_again() -> None:
    async with standing_in() as (mock, fleet):
        await fleet["one"].look()
        mock.kill()
        fleet.clock.advance(1.25)
        assert await fleet["one"].look() == DEAD
        await mock.listen()
        fleet.clock.advance(1.25)
        assert (await fleet["one"].look()).models == frozenset({"m"})


async def test_no_look_is_an_answer_in_its_ledger() -> None:
    async with standing_in() as (mock, fleet):
        await fleet["one"].look()
        assert mock.ledger.as_json()["requests"] == []
