"""Many at once: nobody hears another's words, nobody waits for another, and memory has an end."""

import asyncio

import orjson
import pytest

from gateway.mock.options import MockOptions
from tests.doubles.mock_transport import turn
from tests.scenarios.cast import (
    CEILING_S,
    STREAM_HEAD,
    WORDS,
    RawProvider,
    Scene,
    asked,
    chunk,
    draws,
    event,
    scene,
)

CROWD = 200
LEAVING = 300
# More than all sockets on the way can hold.
FLOOD = MockOptions(events=1_500, event_bytes=16_000, slots=4)


async def echo(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
    """A stream that says what it was told, word by word, once all have asked."""
    await provider.go.wait()
    words = orjson.loads(body)["messages"][0]["content"].split()
    writer.write(STREAM_HEAD)
    for word in words:
        writer.write(chunk(event(word)))
        await turn(2)
    used = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 1 + len(words)}
    writer.write(chunk(event(finish="stop", usage=used) + b"data: [DONE]\n\n") + b"0\r\n\r\n")


@pytest.mark.slow
async def test_two_hundred_streams_at_once_each_hear_their_own() -> None:
    async with RawProvider(echo) as provider, scene(provider) as on:

        async def one(number: int) -> None:
            told = [f"{number}-{place}" for place in range(1 + number % 23)]
            heard = await on.caller_hears(messages=[{"role": "user", "content": " ".join(told)}])
            assert heard.events[-1] == b"[DONE]"
            said = [orjson.loads(data)["choices"][0]["delta"].get("content") for data in heard.events[:-1]]
            assert [word for word in said if word] == told

        async with asyncio.TaskGroup() as group:
            for number in range(CROWD):
                group.create_task(one(number))
            async with asyncio.timeout(CEILING_S):
                while provider.requests < CROWD:
                    provider.asked.clear()
                    await provider.asked.wait()
            assert on.gateway.health.row("first").in_flight == on.gateway.door.busy == CROWD
            provider.go.set()
        assert len(on.gateway.settled) == CROWD
        assert {exchange.outcome for exchange in on.gateway.settled} == {"answered"}
        used = sum(e.usage.output_tokens for e in on.gateway.settled if e.usage and not e.usage.estimated)
        assert used == sum(1 + number % 23 for number in range(CROWD))
        await on.deserted()
        assert provider.connections == CROWD
        assert on.gateway.client.open == CROWD  # kept for the next crowd


async def test_requests_in_one_packet_are_answered_in_order() -> None:
    async with scene("") as on, on.line() as line:
        line.send(b"".join(asked(stream=number % 2 == 0, max_tokens=number + 1) for number in range(6)))
        for number in range(6):
            heard = await line.answer()
            assert heard.status == 200
            words = heard.body.count(b'"content":"') - 1 if number % 2 == 0 else heard.json["usage"]
            assert words == (
                number + 1
                if number % 2 == 0
                else {"prompt_tokens": 1, "completion_tokens": number + 1, "total_tokens": number + 2}
            )
        assert [exchange.status for exchange in on.gateway.settled] == [200] * 6


async def test_a_failing_request_in_a_row_does_not_disturb_its_neighbours() -> None:
    async with scene("500*1") as on, on.line() as line:
        line.send(asked(stream=False) + asked(model="nobodys") + asked(stream=False))
        assert [(await line.answer()).status for _ in range(3)] == [502, 404, 200]


async def test_a_stream_that_broke_costs_neither_the_next_request_nor_the_gateway() -> None:
    async with scene("cut=4*1") as on:
        async with on.line() as line:
            line.send(asked() + asked(close=True))
            heard = await line.ends()
            assert heard.wire.count(b"HTTP/1.1 ") == 2
            assert heard.ending == "fin"
        assert (await on.caller_hears()).text == WORDS


async def unread(on: Scene) -> None:
    """Wait until the gateway can't write any more."""
    await on.first.until(lambda _: any(getattr(guest, "paused", False) for guest in on.gateway.door.guests))


@pytest.mark.slow
async def test_a_slow_reader_holds_his_own_provider_back_and_hears_everything() -> None:
    async with scene("", options=FLOOD) as on:
        async with on.line(receive_bytes=65536) as slow:
            slow.send(asked(close=True))
            await unread(on)
            await turn(200)
            sent = on.first.ledger.bytes_sent
            assert sent < FLOOD.events * FLOOD.event_bytes * 0.8
            on.first.set_faults(["tokens=3"])
            other = await on.caller_hears(stream=False)  # nobody else waits for him
            assert other.status == 200
            heard = await slow.ends()
        assert heard.wire.count(b"data: {") == FLOOD.events
        assert heard.wire.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await on.gateway.until(lambda settled: len(settled) == 2)
        assert {exchange.outcome for exchange in on.gateway.settled} == {"answered"}
        await on.deserted()


async def test_a_slow_reader_who_leaves_is_noticed_though_nobody_can_write_to_him() -> None:
    async with scene("", options=FLOOD) as on:
        async with on.line(receive_bytes=65536) as slow:
            slow.send(asked(close=True))
            await unread(on)
            slow.vanish()
        await on.first.until(lambda ledger: ledger.last.left_at is not None, 2.5)
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.exchange.outcome == "left"
        await on.deserted()


async def test_a_reader_who_never_reads_is_sent_away_and_his_provider_stops() -> None:
    async with scene("", options=FLOOD, by_hand=True) as on:
        async with on.line(receive_bytes=65536) as stuck:
            stuck.send(asked(close=True))
            await unread(on)
            await turn(200)
            for _ in range(4):
                on.passes(11.0)
                await turn()
            await on.first.until(lambda ledger: ledger.last.left_at is not None)
            await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.exchange.outcome == "left"
        await on.deserted()


@pytest.mark.slow
async def test_whoever_leaves_whenever_leaves_nothing_behind() -> None:
    chance = draws(11)
    async with scene("", options=MockOptions(slots=CROWD, tokens=20, tpot_s=0.001)) as on:
        tasks, swept = len(asyncio.all_tasks()), len(on.gateway.sweeper)

        async def one() -> None:
            async with on.line() as line:
                line.send(asked(close=True, stream=next(chance) % 3 > 0))
                how = next(chance) % 4
                if how == 1:
                    await turn(next(chance) % 8)
                elif how > 1:
                    await line.some(next(chance) % 6_000)
                (line.leave, line.vanish)[next(chance) % 2]()

        for _ in range(LEAVING // 50):
            async with asyncio.TaskGroup() as group:
                for _ in range(50):
                    group.create_task(one())
        await on.deserted()
        assert len(on.gateway.settled) == len({exchange.call.request_id for exchange in on.gateway.settled})
        assert {exchange.outcome for exchange in on.gateway.settled} == {"left", "answered"}
        assert len(asyncio.all_tasks()) == tasks
        assert len(on.gateway.sweeper) == swept + on.gateway.client.open
