"""How a good stream ends: finish, usage where it was asked for, [DONE], and nothing after it."""

import openai
import orjson
import pytest
from openai.types.chat import ChatCompletionMessageParam

from gateway.exchange import Exchange
from tests.doubles.inside import KEY
from tests.doubles.mock_caller import Heard
from tests.scenarios.cast import MODEL, STREAM_HEAD, WORDS, RawProvider, chunk, event, plays, scene

LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
COUNTED = event(usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})
ASKS_USAGE = {"include_usage": True}


def ends_well(heard: Heard) -> None:
    assert (heard.status, heard.ending, heard.whole) == (200, "fin", True)
    assert heard.body.endswith(DONE)
    assert heard.body.count(DONE) == 1
    for data in heard.events[:-1]:
        assert "error" not in orjson.loads(data)


def used(exchange: Exchange) -> tuple[int, int, bool] | None:
    usage = exchange.usage
    return None if usage is None else (usage.input_tokens, usage.output_tokens, usage.estimated)


@pytest.mark.parametrize("fault", ["no_done", "no_done;close_delimited"])
async def test_a_missing_done_is_added_where_every_choice_has_finished(fault: str) -> None:
    async with scene(fault.split(";")) as on:
        heard = await on.caller_hears()
        assert on.tries() == [("first", "answered")]
        assert (on.exchange.complete, on.exchange.finish) == (True, "stop")
        await on.at_rest()
    ends_well(heard)
    assert heard.text == WORDS


async def test_a_connection_lost_after_the_last_finish_costs_nobody_anything() -> None:
    pieces = plays(STREAM_HEAD, chunk(event("Hello")), chunk(event(finish="stop")), keep=False)
    async with RawProvider(pieces) as raw, scene(raw, "") as on:
        heard = await on.caller_hears()
        assert on.tries() == [("first", "answered")]
        assert used(on.exchange) == (on.exchange.bytes_in // 4, 1, True)
    ends_well(heard)


async def test_one_choice_without_its_finish_is_a_truncation() -> None:
    """Two choices were begun and one has finished."""
    other = event("Hello").replace(b'"index":0', b'"index":1')
    pieces = plays(STREAM_HEAD, chunk(event("Hello") + other), chunk(event(finish="stop")), chunk(b""), keep=False)
    async with RawProvider(pieces) as raw, scene(raw) as on:
        heard = await on.caller_hears(n=2)
        assert on.exchange.outcome == "upstream_truncated"
    assert DONE not in heard.body


async def test_what_follows_done_is_not_heard_and_its_connection_is_not_used_again() -> None:
    async with scene("after_done") as on:
        for number in (1, 2):
            heard = await on.caller_hears()
            ends_well(heard)
            assert b"stray" not in heard.body
            await on.first.until(lambda ledger: ledger.open_connections == 0)
            assert on.first.ledger.connections == number
        outcomes = [exchange.outcome for exchange in on.gateway.settled]
    assert outcomes == ["answered", "answered"]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_nobody_asked_for_is_heard_by_nobody(stream: bool) -> None:
    """A second answer in the same packet: were the connection used again, the next caller would hear it."""
    async with scene("garbage_after") as on:
        for number in (1, 2):
            heard = await on.caller_hears(stream=stream)
            assert b"stray" not in heard.wire
            assert heard.status == 200
            await on.first.until(lambda ledger: ledger.open_connections == 0)
            assert on.first.ledger.connections == number


async def test_a_good_stream_leaves_its_connection_for_the_next_one() -> None:
    async with scene("") as on:
        for _ in range(3):
            ends_well(await on.caller_hears())
            await on.is_kept(on.first)
        assert on.first.ledger.connections == 1
        assert [exchange.attempts[0].reused for exchange in on.gateway.settled] == [False, True, True]


async def test_usage_is_always_asked_for_and_heard_only_where_the_caller_asked() -> None:
    async with scene("") as on:
        plain = await on.caller_hears()
        asking = await on.caller_hears(stream_options=ASKS_USAGE)
        assert [used(exchange) for exchange in on.gateway.settled] == [(1, 16, False)] * 2
    ends_well(plain)
    ends_well(asking)
    assert all(orjson.loads(data)["choices"] for data in plain.events[:-1])
    last = orjson.loads(asking.events[-2])
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 16, "total_tokens": 17}


@pytest.mark.parametrize("asks", [True, False])
async def test_usage_that_is_missing_is_estimated_and_said_to_be(asks: bool) -> None:
    async with scene("usage=missing") as on:
        heard = await on.caller_hears(stream_options=ASKS_USAGE if asks else None)
        assert used(on.exchange) == (on.exchange.bytes_in // 4, 16, True)
        assert on.exchange.outcome == "answered"
    ends_well(heard)


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_of_zero_is_zero(stream: bool) -> None:
    async with scene("usage=zero") as on:
        await on.caller_hears(stream=stream)
        assert used(on.exchange) == (0, 0, False)


async def test_a_whole_answer_without_usage_has_none() -> None:
    async with scene("usage=missing") as on:
        heard = await on.caller_hears(stream=False)
        assert used(on.exchange) is None
    assert heard.status == 200


async def test_usage_before_a_break_is_what_was_used() -> None:
    """The provider counted; then the end did not come."""
    pieces = plays(STREAM_HEAD, chunk(event("Hello") + COUNTED), keep=False)
    async with RawProvider(pieces) as raw, scene(raw) as on:
        await on.caller_hears()
        assert used(on.exchange) == (7, 2, False)
        assert on.exchange.outcome == "upstream_truncated"


@pytest.mark.parametrize("stream", [True, False])
async def test_the_official_client_gets_all_of_it(stream: bool) -> None:
    async with (
        scene("split_utf8") as on,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{on.gateway.url}/v1", max_retries=0) as client,
    ):
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
        if stream:
            parts = await client.chat.completions.create(
                model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
            )
            said = ""
            async for part in parts:
                said += "".join(choice.delta.content or "" for choice in part.choices)
                usage = part.usage
        else:
            answer = await client.chat.completions.create(model=MODEL, messages=messages)
            said = answer.choices[0].message.content or ""
            usage = answer.usage
        assert said.startswith("Größe 東京 🌍🛰 señal This is the stand-in")
        assert usage is not None
        assert usage.completion_tokens == 16
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert used(on.exchange) == (1, 16, False)


async def test_the_server_that_closes_behind_its_answer_is_believed_to_have_answered() -> None:
    async with scene("stale") as on:
        for number in (1, 2, 3):
            heard = await on.caller_hears()
            ends_well(heard)
            await on.first.until(lambda ledger: ledger.open_connections == 0)
            assert on.first.ledger.connections == number


async def test_the_first_chunks_size_is_not_the_callers_business() -> None:
    """Where the upstream cuts its events is no matter: each piece of the answer is one byte."""
    said = event("Hello") + event(" world") + event(finish="stop") + DONE
    pieces = [chunk(said[at : at + 1]) for at in range(len(said))]
    async with RawProvider(plays(STREAM_HEAD, b"".join(pieces), LAST_CHUNK)) as raw, scene(raw) as on:
        heard = await on.caller_hears()
        assert raw.connections == 1
    ends_well(heard)
    assert heard.body == said
