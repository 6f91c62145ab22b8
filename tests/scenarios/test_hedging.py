"""A second attempt beside a slow first one: the caller hears whoever has content first, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.exchange import HEDGE_LOST
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.routing.policy import Hedge, Policy, Retry
from tests.doubles.mock_transport import turn
from tests.scenarios.cast import (
    STREAM_HEAD,
    WORDS,
    RawProvider,
    Scene,
    Script,
    asked,
    chunk,
    event,
    plays,
    scene,
)

# The promise is 250 ms. That it takes a few turns of the loop and no time at all is shown in
# tests/stages/test_attempt_hedged.py.
CEILING_S = 2.5
SOON = Policy("hedged", hedge=Hedge(after_ms=1.0, budget=1.0))
LATE = Policy("hedged", hedge=Hedge(after_ms=600_000.0, budget=1.0))
DONE = b"data: [DONE]\n\n"
STORY = b"".join(map(chunk, (event(""), event("Hello"), event("", finish="stop"), DONE))) + b"0\r\n\r\n"
WHOLE = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}'
)
WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE)
HTML = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"
BROKEN = b"HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def when_told(*parts: bytes) -> Script:
    """Say nothing until the test says `go`."""

    async def script(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        await provider.go.wait()
        await plays(*parts)(provider, body, writer)

    return script


@asynccontextmanager
async def with_a_slow_first(*answer: bytes, others: tuple[str, ...]) -> AsyncIterator[tuple[Scene, RawProvider]]:
    """The first answers when it is told to, the others have these faults."""
    async with RawProvider(when_told(*answer)) as slow, scene(slow, *others, policies=(SOON,)) as on:
        yield on, slow


async def lets_go(provider: MockServer) -> None:
    """Its caller is gone."""
    await provider.until(lambda ledger: ledger.request_count == 1 and ledger.left == 1, CEILING_S)


async def settled(on: Scene) -> None:
    await on.gateway.until(lambda settled: len(settled) == 1)
    await turn()
    assert len(on.gateway.settled) == 1
    await on.at_rest()


@pytest.mark.parametrize("fault", ["stall", "stall_mid=0", "stall_mid=1", "pings=1ms;ttft=1m"])
async def test_a_stream_that_does_not_come_is_answered_by_the_second(fault: str) -> None:
    async with scene(fault.split(";"), "", policies=(SOON,)) as on:
        heard = await on.caller_hears(stream=True)
        assert heard.text == WORDS
        assert heard.headers["x-gateway-reason"] == "hedge"
        assert heard.headers["x-gateway-attempts"] == "2"
        assert heard.headers["x-gateway-backend"] == "second"
        await lets_go(on.first)
        await settled(on)
        assert on.tries() == [("first", HEDGE_LOST), ("second", "answered")]
        exchange = on.exchange
        assert exchange.target is exchange.attempts[-1].target
        assert (exchange.reason, exchange.status, exchange.complete) == ("hedge", 200, True)
        assert exchange.usage is not None
        assert exchange.usage.output_tokens == on.second.ledger.last.tokens_sent
        assert on.failures() == 0


async def test_a_whole_answer_that_does_not_come_is_given_by_the_second() -> None:
    async with scene("stall", "", policies=(SOON,)) as on:
        heard = await on.caller_hears(stream=False)
        assert heard.status == 200
        assert heard.headers["x-gateway-reason"] == "hedge"
        await lets_go(on.first)
        await settled(on)
        assert on.tries() == [("first", HEDGE_LOST), ("second", "answered")]
        assert on.exchange.usage is not None


async def test_the_first_may_still_win_after_the_second_began() -> None:
    async with with_a_slow_first(STREAM_HEAD, STORY, others=("stall",)) as (on, slow), on.line() as line:
        line.send(asked(stream=True, close=True))
        await on.providers[0].until(lambda ledger: ledger.request_count == 1)
        slow.go.set()
        heard = await line.ends()
        assert heard.text == "Hello"
        assert heard.headers["x-gateway-backend"] == "first"
        assert heard.headers["x-gateway-attempts"] == "2"
        assert heard.headers["x-gateway-reason"] != "hedge"
        await lets_go(on.providers[0])
        await settled(on)
        assert on.tries() == [("second", HEDGE_LOST), ("first", "answered")]
        assert on.exchange.target is on.exchange.attempts[-1].target


async def test_the_first_may_still_give_its_whole_answer() -> None:
    async with with_a_slow_first(WHOLE_HEAD, WHOLE, others=("stall",)) as (on, slow), on.line() as line:
        line.send(asked(stream=False, close=True))
        await on.providers[0].until(lambda ledger: ledger.request_count == 1)
        slow.go.set()
        heard = await line.ends()
        assert heard.body == WHOLE
        await lets_go(on.providers[0])
        await settled(on)
        assert on.tries() == [("second", HEDGE_LOST), ("first", "answered")]
        assert on.exchange.usage is not None
        assert (on.exchange.usage.input_tokens, on.exchange.usage.output_tokens) == (3, 5)


NO_CONTENT = {
    "error_first": "upstream_error",
    "error_object": "upstream_error",
    "cut=0": "upstream_truncated",
    "500": "upstream_invalid_response",
    "json_to_stream": "upstream_invalid_response",
    "html": "upstream_invalid_response",
    "fin_mid=0": "upstream_truncated",
}


@pytest.mark.parametrize(("fault", "outcome"), NO_CONTENT.items())
async def test_what_has_no_content_never_wins(fault: str, outcome: str) -> None:
    async with with_a_slow_first(STREAM_HEAD, STORY, others=(fault,)) as (on, slow), on.line() as line:
        line.send(asked(stream=True, close=True))
        [second] = on.providers
        await second.until(lambda ledger: ledger.request_count == 1)
        await on.gateway.until_so(lambda: on.gateway.health.row("second").in_flight == 0)
        slow.go.set()
        heard = await line.ends()
        assert heard.text == "Hello"
        await settled(on)
        assert on.tries() == [("second", outcome), ("first", "answered")]


@pytest.mark.parametrize("fault", ["stall_mid=0", "pings=1ms;ttft=1m"])
async def test_a_bare_head_never_wins(fault: str) -> None:
    async with with_a_slow_first(STREAM_HEAD, STORY, others=(fault,)) as (on, slow), on.line() as line:
        line.send(asked(stream=True, close=True))
        await on.providers[0].until(lambda ledger: ledger.request_count == 1 and ledger.last.bytes_sent > 0)
        await turn()
        slow.go.set()
        assert (await line.ends()).text == "Hello"
        await lets_go(on.providers[0])
        await settled(on)
        assert on.tries() == [("second", HEDGE_LOST), ("first", "answered")]


@pytest.mark.parametrize("answer", [HTML, BROKEN])
async def test_a_whole_answer_that_is_none_never_wins(answer: bytes) -> None:
    async with (
        RawProvider(plays(answer)) as bad,
        RawProvider(when_told(WHOLE_HEAD, WHOLE)) as slow,
        scene(slow, bad, policies=(SOON,)) as on,
        on.line() as line,
    ):
        line.send(asked(stream=False, close=True))
        await bad.said.wait()
        await on.gateway.until_so(lambda: on.gateway.health.row("second").in_flight == 0)
        slow.go.set()
        assert (await line.ends()).body == WHOLE
        await settled(on)
        assert on.tries() == [("second", "upstream_invalid_response"), ("first", "answered")]


async def test_if_both_fail_the_walk_goes_on() -> None:
    async with with_a_slow_first(BROKEN, others=("500", "")) as (on, slow), on.line() as line:
        line.send(asked(stream=True, close=True))
        await on.gateway.until_so(lambda: on.gateway.health.row("second").failed == 1)
        slow.go.set()
        heard = await line.ends()
        assert heard.text == WORDS
        assert heard.headers["x-gateway-reason"] == "fallback"
        assert heard.headers["x-gateway-attempts"] == "3"
        await settled(on)
        broken = "upstream_invalid_response"
        assert on.tries() == [("first", broken), ("second", broken), ("third", "answered")]


async def test_if_nobody_is_left_the_failure_is_told() -> None:
    async with with_a_slow_first(BROKEN, others=("500",)) as (on, slow), on.line() as line:
        line.send(asked(stream=True, close=True))
        await on.gateway.until_so(lambda: on.gateway.health.row("second").failed == 1)
        slow.go.set()
        assert (await line.ends()).status == 502
        await settled(on)
        assert [outcome for _, outcome in on.tries()] == ["upstream_invalid_response"] * 2


async def test_if_the_first_fails_the_second_goes_on() -> None:
    async with (
        RawProvider(when_told(BROKEN)) as first,
        RawProvider(when_told(STREAM_HEAD, STORY)) as second,
        scene(first, second, policies=(SOON,)) as on,
        on.line() as line,
    ):
        line.send(asked(stream=True, close=True))
        await second.asked.wait()
        first.go.set()
        await on.gateway.until_so(lambda: on.gateway.health.row("first").failed == 1)
        second.go.set()
        heard = await line.ends()
        assert (heard.text, heard.headers["x-gateway-reason"]) == ("Hello", "hedge")
        await settled(on)
        assert on.tries() == [("first", "upstream_invalid_response"), ("second", "answered")]


async def test_what_nobody_could_serve_is_told_once_nobody_does() -> None:
    """The second was told that the request is wrong, and the first breaks: nobody else is asked."""
    async with with_a_slow_first(BROKEN, others=("context_length", "")) as (on, slow), on.line() as line:
        line.send(asked(stream=True, close=True))
        second = on.providers[0]
        await second.until(lambda ledger: ledger.request_count == 1)
        await on.gateway.until_so(lambda: on.gateway.health.row("second").in_flight == 0)
        slow.go.set()
        heard = await line.ends()
        assert heard.status == 400
        assert b"context_length_exceeded" in heard.body
        await settled(on)
        assert on.providers[1].ledger.request_count == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_ends_both(stream: bool) -> None:
    async with scene("stall", "stall", policies=(SOON,)) as on:
        async with on.line() as line:
            line.send(asked(stream=stream))
            await on.second.until(lambda ledger: ledger.request_count == 1)
            line.leave()
        await lets_go(on.first)
        await lets_go(on.second)
        await settled(on)
        assert on.tries() == [("first", "caller_left"), ("second", "caller_left")]
        assert (on.exchange.outcome, on.exchange.usage) == ("left", None)


async def test_a_caller_who_leaves_the_winner_is_settled_with_what_he_heard() -> None:
    async with scene("stall", "stall_mid=6", policies=(SOON,)) as on:
        async with on.line() as line:
            line.send(asked())
            await line.hears(b" stand-in")
            line.leave()
        await lets_go(on.first)
        await lets_go(on.second)
        await settled(on)
        assert on.tries() == [("first", HEDGE_LOST), ("second", "caller_left")]
        assert on.exchange.usage is not None
        assert on.exchange.usage.estimated


async def test_a_winner_that_breaks_is_the_callers_to_see() -> None:
    async with scene("stall", "error_mid=3", "", policies=(SOON,)) as on:
        heard = await on.caller_hears(stream=True)
        assert b'"error"' in heard.body
        await settled(on)
        assert [name for name, _ in on.tries()] == ["first", "second"]
        assert on.exchange.error is not None
        assert on.providers[2].ledger.request_count == 0


async def test_a_failure_before_the_delay_is_a_fallback() -> None:
    async with scene("500", "", policies=(LATE,)) as on:
        heard = await on.caller_hears(stream=True)
        assert (heard.text, heard.headers["x-gateway-reason"]) == (WORDS, "fallback")
        assert on.tries() == [("first", "upstream_invalid_response"), ("second", "answered")]


@pytest.mark.parametrize("stream", [True, False])
async def test_whoever_is_in_time_is_alone(stream: bool) -> None:
    async with scene("", "", policies=(LATE,)) as on:
        heard = await on.caller_hears(stream=stream)
        assert heard.headers["x-gateway-attempts"] == "1"
        assert on.second.ledger.request_count == 0
        await on.at_rest()


TOOL = {"type": "function", "function": {"name": "act", "parameters": {}}}
ASKED = asked(stream=True, close=True)


@pytest.mark.parametrize(
    ("policy", "question"),
    [
        (SOON, asked(stream=True, close=True, tools=[TOOL])),
        (SOON, asked(stream=True, close=True, store=True)),
        (SOON, asked(stream=True, close=True, messages=[{"role": "user", "content": "word " * 4000}])),
        (Policy("hedged", hedge=Hedge(after_ms=1.0, budget=0.02)), ASKED),
        (Policy("hedged", hedge=Hedge(after_ms=1.0, budget=1.0), retry=Retry(attempts=1)), ASKED),
        (Policy("hedged", hedge=Hedge(at="p95", budget=1.0)), ASKED),
    ],
    ids=["tools", "stored", "long", "no budget", "no attempts left", "nothing measured"],
)
async def test_some_are_never_asked_twice(policy: Policy, question: bytes) -> None:
    async with RawProvider(when_told(STREAM_HEAD, STORY)) as slow, scene(slow, "", policies=(policy,)) as on:
        async with on.line() as line:
            line.send(question)
            await slow.asked.wait()
            since = on.gateway.clock.monotonic()
            await on.gateway.until_so(lambda: on.gateway.clock.monotonic() > since + 0.005)
            slow.go.set()
            assert (await line.ends()).text == "Hello"
        await settled(on)
        assert on.tries() == [("first", "answered")]
        assert on.providers[0].ledger.request_count == 0


async def test_a_crowd_of_hedged_requests_leaves_nothing_behind() -> None:
    async with scene("stall", "", policies=(SOON,), options=MockOptions(slots=256)) as on:
        heard = await asyncio.gather(*(on.caller_hears(stream=number % 2 == 0) for number in range(40)))
        assert {one.status for one in heard} == {200}
        await on.first.until(lambda ledger: ledger.left == ledger.request_count, CEILING_S)
        await on.at_rest()
        assert len(on.gateway.settled) == 40
        lost = [attempt for one in on.gateway.settled for attempt in one.attempts if attempt.outcome == HEDGE_LOST]
        assert 1 <= len(lost) <= 40
