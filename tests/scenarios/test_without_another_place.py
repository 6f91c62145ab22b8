"""What a caller hears where there is nowhere else to go: our words, the right status, and whether to try again."""

from typing import NamedTuple

import pytest

from gateway.mock.options import MockOptions
from gateway.settings.shape import Caller, Caps, May, Timeouts
from tests.doubles.inside import CALLER
from tests.doubles.mock_caller import Heard
from tests.doubles.mock_transport import turn
from tests.scenarios.cast import STREAM_HEAD, RawProvider, asked, chunk, event, plays, scene


class Told(NamedTuple):
    """A fault, and the error that is told of it (reliability 0.1)."""

    spec: str
    status: int
    kind: str
    code: str
    retry_after: str = ""


SPENT = (
    Told("refuse", 502, "server_error", "upstream_disconnected"),
    Told("reset=0", 502, "server_error", "upstream_disconnected"),
    Told("fin=0", 502, "server_error", "upstream_disconnected"),
    Told("status=999", 502, "server_error", "upstream_invalid_response"),
    Told("500", 502, "server_error", "upstream_invalid_response"),
    Told("502", 502, "server_error", "upstream_invalid_response"),
    Told("504", 504, "server_error", "upstream_timeout"),
    Told("408", 504, "server_error", "upstream_timeout"),
    Told("401", 502, "server_error", "upstream_denied"),
    Told("403", 502, "server_error", "upstream_denied"),
    Told("quota", 502, "server_error", "upstream_denied"),
    Told("html", 502, "server_error", "upstream_invalid_response"),
    Told("error_first", 502, "server_error", "upstream_error"),
    Told("error_object", 502, "server_error", "upstream_error"),
    Told("redirect=http://192.0.2.1/", 502, "server_error", "upstream_invalid_response"),
)
COME_BACK = (
    Told("429", 429, "rate_limit_error", "rate_limit_exceeded", "2"),
    Told("429=0", 429, "rate_limit_error", "rate_limit_exceeded", "1"),
    Told("429=7", 429, "rate_limit_error", "rate_limit_exceeded", "7"),
    Told("429=600", 429, "rate_limit_error", "rate_limit_exceeded", "60"),
    Told("503", 503, "service_unavailable_error", "overloaded", "2"),
    Told("529", 503, "service_unavailable_error", "overloaded", "2"),
    Told("loading", 503, "service_unavailable_error", "overloaded", "2"),
)
# A key that may see no backend's name, so that nothing of the place can show.
PLAIN = Caller(name="plain", team="tests", digest=CALLER.digest, may=May())
ALLOWED = {
    *("content-type", "content-length", "cache-control", "connection", "x-request-id"),
    *("retry-after", "retry-after-ms", "x-should-retry"),
}


def hears_an_error(heard: Heard, told: Told) -> None:
    assert heard.status == told.status
    assert heard.headers["content-type"] == "application/json"
    error = heard.json["error"]
    assert isinstance(error, dict)
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == (told.kind, None, told.code)
    assert set(heard.headers) <= ALLOWED
    assert heard.headers["x-request-id"]
    assert heard.headers.get("retry-after", "") == told.retry_after
    if told.retry_after:
        assert 0 < int(heard.headers["retry-after-ms"]) <= 1000 * int(told.retry_after)
    assert heard.headers.get("x-should-retry", "") == ("" if told.retry_after else "false")
    for word in (b"stand-in", b"stand_in", b"mock", b"127.0.0.1", b"first"):
        assert word not in heard.wire


@pytest.mark.parametrize("told", [*SPENT, *COME_BACK], ids=[told.spec for told in (*SPENT, *COME_BACK)])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_last_failure_is_told_in_our_words(stream: bool, told: Told) -> None:
    async with scene(told.spec, callers=(PLAIN,)) as on:
        heard = await on.caller_hears(stream=stream)
        assert len(on.exchange.attempts) == 1
        assert on.exchange.outcome == told.code
        assert on.exchange.status == told.status
        assert not on.exchange.complete
        await on.at_rest()
    hears_an_error(heard, told)


async def test_the_last_of_several_failures_is_the_one_that_is_told() -> None:
    async with scene("500", "429=9") as on:
        heard = await on.caller_hears()
        assert on.exchange.target is not None
        assert on.exchange.target.backend.name == "second"
    hears_an_error(heard, Told("", 429, "rate_limit_error", "rate_limit_exceeded", "9"))


async def test_a_failure_before_anything_was_sent_is_the_last_places_too() -> None:
    async with scene("500", "") as on:
        on.second.close_listener()
        heard = await on.caller_hears()
        assert on.exchange.target is not None
        assert on.exchange.target.backend.name == "second"
    hears_an_error(heard, Told("", 502, "server_error", "upstream_unreachable"))


async def test_an_upstream_that_never_begins_is_a_timeout_that_should_not_be_repeated() -> None:
    async with scene("stall", timeouts=Timeouts(first_token_s=30.0), by_hand=True) as on, on.line() as line:
        line.send(asked(close=True))
        await on.first.until(lambda ledger: ledger.request_count == 1)
        on.passes(30.1)
        heard = await line.ends()
    hears_an_error(heard, Told("", 504, "server_error", "upstream_timeout"))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_request_that_runs_out_of_time_is_tried_nowhere_else(stream: bool) -> None:
    times = Timeouts(first_token_s=1000.0, total_s=590.0)
    async with scene("stall", "", timeouts=times, by_hand=True) as on, on.line() as line:
        line.send(asked(close=True, stream=stream))
        await on.first.until(lambda ledger: ledger.request_count == 1)
        on.passes(589.0)
        on.passes(1.1)
        heard = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "deadline_exceeded")]
        assert on.failures() == 0
        await on.at_rest()
    hears_an_error(heard, Told("", 504, "server_error", "deadline_exceeded"))


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_whose_words_never_come_is_still_a_refusal(stream: bool) -> None:
    head = b"HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    async with (
        RawProvider(plays(head, b'{"error":')) as mumbling,
        scene(mumbling, timeouts=Timeouts(), by_hand=True) as on,
        on.line() as line,
    ):
        line.send(asked(stream=stream, close=True))
        await mumbling.said.wait()
        await turn()
        on.passes(1.1)
        heard = await line.ends()
        assert mumbling.connections == 1
    hears_an_error(heard, Told("", 502, "server_error", "upstream_invalid_response"))


async def test_nothing_of_a_stream_that_broke_before_its_content_is_heard() -> None:
    """The role and a usage count came; the caller gets a status, not half a stream."""
    role = event("", usage={"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1})
    async with RawProvider(plays(STREAM_HEAD, chunk(role), keep=False)) as broken, scene(broken) as on:
        heard = await on.caller_hears()
    assert b"chat-1" not in heard.wire
    assert heard.status == 502


async def test_an_answer_above_the_limit_is_a_failure() -> None:
    options = MockOptions(tokens=20_000)
    caps = Caps(answer_bytes=10_000)
    async with scene("", options=options, caps=caps) as on:
        heard = await on.caller_hears(stream=False)
        await on.at_rest()
    assert heard.status == 502
