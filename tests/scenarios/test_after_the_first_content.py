"""Once content has gone out, a break is told in the stream: never a clean end, never another provider's words."""

from typing import NamedTuple

import openai
import orjson
import pytest
from openai.types.chat import ChatCompletionChunk

from gateway.mock.options import MockOptions
from gateway.settings.shape import Timeouts
from tests.doubles.inside import KEY
from tests.doubles.mock_caller import Heard
from tests.scenarios.cast import MODEL, STREAM_HEAD, RawProvider, Scene, asked, chunk, event, plays, scene

HALF_A_MINUTE = Timeouts(first_token_s=60.0, idle_s=30.0, total_s=590.0)
GIANT = "g" * 100_000


class Break(NamedTuple):
    """How the first provider breaks, how many of its words were heard, and the code that is told."""

    spec: str
    words: int
    code: str


# The events of a chat are the role, the words, the finish and [DONE].
BREAKS = (
    Break("reset_mid=6", 5, "upstream_disconnected"),
    Break("fin_mid=6", 5, "upstream_truncated"),
    Break("cut=6", 5, "upstream_truncated"),
    Break("cut=2", 1, "upstream_truncated"),
    Break("cut=17", 16, "upstream_truncated"),
    Break("no_finish", 16, "upstream_truncated"),
    Break("error_mid=6", 5, "upstream_error"),
    Break("malformed=6", 5, "upstream_error"),
    Break("bad_utf8=6", 5, "upstream_error"),
    Break("close_delimited;cut=6", 5, "upstream_truncated"),
)
SAID = (event("Hello"), event(" world"))
RAW_BREAKS = (
    Break('data: {"object":"error","message":"secret","code":500}\n\n', 2, "upstream_error"),
    Break('data: {"error":{"message":"secret"}}\n\n', 2, "upstream_error"),
    Break('data: {"choices":[{"index":0,"delta":{"con\n\n', 2, "upstream_error"),
    Break("data: <html>secret</html>\n\n", 2, "upstream_error"),
    Break(event(GIANT).decode(), 2, "upstream_error"),
    Break(f"data: {GIANT}", 2, "upstream_error"),
)


def ends_in_an_error(heard: Heard, code: str, kind: str = "server_error") -> None:
    """The frame of reliability 5.3 is the last thing said, in a framing that ends properly."""
    assert (heard.status, heard.ending, heard.whole) == (200, "fin", True)
    assert heard.headers["connection"] == "close"
    assert b"[DONE]" not in heard.body
    assert heard.body.endswith(b"\n\n")
    assert b"secret" not in heard.body
    *before, last = heard.events
    said = orjson.loads(before[0])
    frame = orjson.loads(last)
    assert list(frame) == ["id", "object", "created", "model", "choices", "error"]
    assert {name: frame[name] for name in ("id", "object", "created", "model")} == {
        name: said[name] for name in ("id", "object", "created", "model")
    }
    assert frame["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
    message = frame["error"].pop("message")
    assert message
    assert "stand-in" not in message
    assert frame["error"] == {"type": kind, "param": None, "code": code}
    for part in before:
        assert "error" not in orjson.loads(part)


async def broke_off(on: Scene, code: str, words: int) -> None:
    """What is written down of it: one attempt, an estimate of what was delivered, a provider that is charged."""
    assert on.tries() == [("first", code)]
    exchange = on.exchange
    assert (exchange.outcome, exchange.status, exchange.complete) == (code, 200, False)
    assert exchange.usage is not None
    assert exchange.usage.estimated
    assert exchange.usage.output_tokens == words
    assert on.failures() == 1
    await on.at_rest()


def words_in(heard: Heard) -> int:
    said = [orjson.loads(data)["choices"][0].get("delta", {}).get("content") for data in heard.events]
    return len([word for word in said if word])


@pytest.mark.parametrize("fault", BREAKS, ids=[fault.spec for fault in BREAKS])
async def test_a_stream_that_breaks_ends_in_an_error(fault: Break) -> None:
    async with scene(fault.spec.split(";"), "") as on:
        heard = await on.caller_hears()
        await broke_off(on, fault.code, fault.words)
        assert on.second.ledger.request_count == 0
        assert on.idle(on.first) == 0
    ends_in_an_error(heard, fault.code)
    assert words_in(heard) == fault.words


@pytest.mark.parametrize("fault", RAW_BREAKS, ids=["object", "error", "half", "html", "giant", "endless"])
async def test_what_is_no_answer_ends_in_an_error_whatever_it_says(fault: Break) -> None:
    pieces = plays(STREAM_HEAD, *map(chunk, SAID), chunk(fault.spec.encode()))
    async with RawProvider(pieces) as raw, scene(raw, "") as on:
        heard = await on.caller_hears()
        await broke_off(on, fault.code, fault.words)
        assert on.providers[0].ledger.request_count == 0
    ends_in_an_error(heard, fault.code)
    assert heard.body.startswith(b"".join(SAID))


async def test_whole_events_before_a_break_are_heard_though_they_came_with_it() -> None:
    """Words and the torn end arrive in one packet."""
    pieces = plays(STREAM_HEAD + chunk(b"".join(SAID) + b'data: {"choi'), keep=False)
    async with RawProvider(pieces) as raw, scene(raw) as on:
        heard = await on.caller_hears()
    ends_in_an_error(heard, "upstream_truncated")
    assert heard.body.startswith(b"".join(SAID))


async def test_a_killed_provider_is_heard_of_at_once() -> None:
    async with scene("", "", options=MockOptions(tokens=10_000, tpot_s=0.002)) as on:
        async with on.line() as line:
            line.send(asked(close=True))
            start = await line.hears(b"stand-in")
            on.first.kill()
            rest = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "upstream_disconnected")]
        assert on.exchange.usage is not None
        assert on.exchange.usage.estimated
        assert on.second.ledger.request_count == 0
        await on.at_rest()
    ends_in_an_error(Heard(start + rest.wire, rest.ending), "upstream_disconnected")


async def test_a_stream_that_falls_silent_ends_at_its_idle_deadline() -> None:
    async with scene("stall_mid=6", "", timeouts=HALF_A_MINUTE, by_hand=True) as on, on.line() as line:
        line.send(asked(close=True))
        start = await line.hears(b" model")
        on.passes(0.1)  # content came since the last look, so its thirty seconds begin now
        on.passes(29.9)
        assert on.gateway.settled == []
        on.passes(0.2)
        rest = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        await broke_off(on, "upstream_timeout", 5)
        assert on.first.ledger.left == 1
    ends_in_an_error(Heard(start + rest.wire, rest.ending), "upstream_timeout")


async def test_a_stream_may_take_its_time_as_long_as_it_moves() -> None:
    """Ten events, twenty seconds apart: longer than any deadline but the whole request's."""

    async with scene("", timeouts=HALF_A_MINUTE, by_hand=True, options=MockOptions(tokens=10, tpot_s=0.005)) as on:
        async with on.line() as line:
            line.send(asked(close=True))
            for _ in range(10):
                await line.hears(b'"content":')
                on.passes(20.0)
            await line.hears(b"[DONE]")
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.exchange.outcome == "answered"


async def test_a_stream_ends_with_the_whole_requests_time() -> None:
    async with scene("", timeouts=HALF_A_MINUTE, by_hand=True, options=MockOptions(tokens=10_000, tpot_s=0.002)) as on:
        async with on.line() as line:
            line.send(asked(close=True))
            start = await line.hears(b"stand-in")
            on.passes(591.0)
            rest = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "deadline_exceeded")]
        assert on.failures() == 0
        await on.at_rest()
    ends_in_an_error(Heard(start + rest.wire, rest.ending), "deadline_exceeded")


async def listen(stream: openai.AsyncStream[ChatCompletionChunk], said: list[str]) -> None:
    async for part in stream:
        said += [choice.delta.content for choice in part.choices if choice.delta.content]


@pytest.mark.parametrize("fault", ["reset_mid=6", "fin_mid=6", "cut=6", "error_mid=6", "bad_utf8=6", "no_finish"])
async def test_the_official_client_raises(fault: str) -> None:
    async with scene(fault, "") as on:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{on.gateway.url}/v1", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True
            )
            said: list[str] = []
            with pytest.raises(openai.APIError) as raised:
                await listen(stream, said)
        assert said
        assert raised.value.code == on.exchange.outcome
        assert raised.value.type == "server_error"


async def test_completions_break_in_their_own_words() -> None:
    async with scene("cut=6") as on:
        heard = await on.caller_hears(path="/v1/completions", prompt="hi", messages=None)
    frame = orjson.loads(heard.events[-1])
    assert frame["object"] == "text_completion"
    assert frame["choices"] == [{"index": 0, "text": "", "finish_reason": "error"}]
    assert frame["error"]["code"] == "upstream_truncated"
