"""What time bounds, and what it doesn't: stale connections, deadlines, and an answer that takes a minute."""

import asyncio

import orjson
import pytest

from gateway.mock.options import MockOptions
from gateway.settings.shape import Timeouts
from gateway.upstream.health import DEAD_AFTER
from gateway.upstream.probes.reading import DEAD
from tests.scenarios.cast import WORDS, RawProvider, asked, scene

CEILING_S = 10.0
ANSWER = orjson.dumps(
    {
        "id": "chat-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
)


async def on_its_word(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
    """A whole answer once the test says so."""
    del body
    await provider.go.wait()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
    writer.write(head + ANSWER)


async def test_a_whole_answer_that_takes_a_minute_is_one_attempt_and_no_first_token() -> None:
    times = Timeouts(first_token_s=30.0, idle_s=30.0, total_s=590.0)
    async with RawProvider(on_its_word) as slow, scene(slow, "", timeouts=times, by_hand=True) as on, on.line() as line:
        line.send(asked(stream=False, close=True))
        await slow.asked.wait()
        for _ in range(60):
            on.passes(1.0)
        slow.go.set()
        heard = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "answered")]
        assert on.first.ledger.request_count == 0
        row = on.gateway.health.row("first")
        assert (row.answered, row.ttft_s, row.tpot_s) == (1, 0.0, 0.0)
        assert on.exchange.first_content == 0.0
        assert on.exchange.attempts[0].first_content == 0.0
        assert on.exchange.own_s < 1.0
        assert on.exchange.upstream_s() == pytest.approx(60.0)
    assert heard.status == 200
    assert heard.body == ANSWER


async def test_a_stream_feeds_the_estimates() -> None:
    async with scene("", options=MockOptions(ttft_s=0.022, tpot_s=0.002)) as on:
        await on.caller_hears()
        row = on.gateway.health.row("first")
        assert 0.02 <= row.ttft_s < CEILING_S
        assert 0.001 <= row.tpot_s < CEILING_S  # the last tokens may come late and together


@pytest.mark.parametrize("stream", [True, False])
async def test_a_connection_that_was_closed_meanwhile_costs_no_attempt(stream: bool) -> None:
    """The server closes when the second request comes: nothing was received, so it is asked again, once."""
    async with scene("stale_next", "") as on:
        await on.caller_hears(stream=stream)
        await on.is_kept(on.first)
        on.first.set_faults()
        heard = await on.caller_hears(stream=stream)
        assert heard.status == 200
        assert heard.headers["x-gateway-attempts"] == "1"
        second = on.gateway.settled[1]
        assert [(a.target.backend.name, a.outcome, a.reused) for a in second.attempts] == [("first", "answered", False)]
        assert on.first.ledger.refused_connections == 1
        assert on.failures() == 0
        await on.at_rest()


async def test_a_fresh_connection_that_is_closed_is_a_failure() -> None:
    """Stale once more on the fresh connection: the next provider's turn."""
    async with scene("stale_next", "") as on:
        await on.caller_hears()
        await on.is_kept(on.first)
        on.first.set_faults(["refuse"])
        await on.caller_hears()
        assert [attempt.outcome for attempt in on.gateway.settled[1].attempts] == ["upstream_disconnected", "answered"]


async def test_a_connection_that_began_to_answer_is_not_tried_again() -> None:
    async with scene("", "") as on:
        await on.caller_hears()
        await on.is_kept(on.first)
        on.first.set_faults(["reset=20"])
        await on.caller_hears()
        assert on.first.ledger.request_count == 2
        first, second = on.gateway.settled[1].attempts
        assert (first.outcome, first.reused) == ("upstream_disconnected", True)
        assert second.outcome == "answered"


@pytest.mark.slow
async def test_a_stall_is_given_up_within_its_deadline_and_no_later() -> None:
    """On the real clock: 0.3 s, and the sweep's tenth."""
    async with scene("stall", "", timeouts=Timeouts(first_token_s=0.3)) as on:
        await on.caller_hears()
        failed, answered = on.exchange.attempts
        assert failed.outcome == "upstream_timeout"
        assert 0.3 <= failed.ended - failed.started < 3.0
        assert answered.outcome == "answered"


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_may_set_a_shorter_deadline(stream: bool) -> None:
    async with scene("stall", "") as on:
        heard = await on.caller_hears(stream=stream, headers={"x-gateway-timeout-ms": "300"})
        assert heard.status == 504
        assert on.exchange.outcome == "deadline_exceeded"
        assert 0.3 <= on.exchange.ended - on.exchange.started < 3.0
        assert on.second.ledger.request_count == 0
        assert on.failures() == 0
        await on.first.until(lambda ledger: ledger.left == 1)


async def test_a_callers_deadline_cannot_lengthen_the_models_own() -> None:
    times = Timeouts(first_token_s=500.0, total_s=10.0)
    async with scene("stall", timeouts=times, by_hand=True) as on, on.line() as line:
        line.send(asked(close=True, headers={"x-gateway-timeout-ms": "60000"}))
        await on.first.until(lambda ledger: ledger.request_count == 1)
        on.passes(10.1)
        assert (await line.ends()).status == 504


async def test_a_callers_deadline_is_handed_on() -> None:
    async with scene("", options=MockOptions(keep_bodies=True)) as on:
        await on.caller_hears(headers={"x-gateway-timeout-ms": "4500"})
        assert on.first.ledger.last.headers["x-gateway-timeout-ms"] == "4500"


@pytest.mark.parametrize("said", ["0", "-5", "1.5", "soon", "1" * 10, ""])
async def test_a_deadline_that_is_no_number_is_refused(said: str) -> None:
    async with scene("") as on:
        heard = await on.caller_hears(headers={"x-gateway-timeout-ms": said})
        assert on.first.ledger.connections == 0
    assert heard.status == 400
    assert b"invalid_header" in heard.body


async def test_attempts_share_the_requests_time() -> None:
    """The first place uses the time up, so the second isn't asked."""
    times = Timeouts(first_token_s=400.0, total_s=500.0)
    async with scene("stall", "stall", "", timeouts=times, by_hand=True) as on, on.line() as line:
        line.send(asked(close=True))
        await on.first.until(lambda ledger: ledger.request_count == 1)
        on.passes(400.1)
        await on.second.until(lambda ledger: ledger.request_count == 1)
        on.passes(100.1)
        assert (await line.ends()).status == 504
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "upstream_timeout"), ("second", "deadline_exceeded")]


# --- a server that has died -------------------------------------------------------------------------------------------


async def test_who_waits_for_the_first_token_of_a_server_that_dies_is_answered_by_another() -> None:
    async with scene("stall", "", by_hand=True) as on, on.line() as line:
        on.gateway.health.died = on.gateway.client.let_go
        line.send(asked(close=True))
        await on.first.until(lambda ledger: ledger.request_count == 1)
        for _ in range(DEAD_AFTER):
            on.passes(1.0)
            on.gateway.health.told("first", DEAD, on.gateway.clock.monotonic())
        assert (await line.ends()).text == WORDS
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "upstream_timeout"), ("second", "answered")]
        await on.first.until(lambda ledger: ledger.left == 1)


async def test_who_was_shut_since_it_was_decided_is_asked_after_all_others() -> None:
    times = Timeouts(first_token_s=30.0)
    async with scene("stall", "", "", timeouts=times, by_hand=True) as on, on.line() as line:
        line.send(asked(close=True))
        await on.first.until(lambda ledger: ledger.request_count == 1)
        on.gateway.health.drain("second", on.gateway.clock.monotonic())
        on.passes(30.1)
        assert (await line.ends()).text == WORDS
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "upstream_timeout"), ("third", "answered")]
        assert on.second.ledger.request_count == 0
