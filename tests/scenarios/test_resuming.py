"""A stream that broke goes on elsewhere: the caller hears one answer, and what can't be one ends in the error frame."""

import asyncio
from collections.abc import Mapping, Sequence

import openai
import orjson
import pytest
from msgspec.structs import replace

from gateway.features import Usage
from gateway.routing.policy import Hedge, Policy
from gateway.wire.resuming import Prefill
from tests.doubles.inside import KEY, PROVIDER
from tests.doubles.mock_caller import Heard, chat, request
from tests.scenarios.cast import MODEL, STREAM_HEAD, RawProvider, Scene, Script, asked, chunk, event, plays, scene

GOES_ON = Policy("goes-on", resume=True)
CAN = replace(PROVIDER, prefill="appended")
# Tokens as a model has them; the caller asks for at most so many.
STORY = ("Once", " upon", ":", "\n\n", " a", " time", ".", "\n", "The", " end", ".")
TEXT = "".join(STORY)
MOST = 20
PROMPT = 30
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def tells(name: str, way: Prefill = "appended", ends_after: int | None = None) -> Script:
    """A server that knows one story and tells it from where its last turn ends; it breaks after so many events."""

    async def script(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        wanted = orjson.loads(body)
        turn = wanted["messages"][-1]
        told = turn["content"] if turn["role"] == "assistant" else ""
        if way == "continue_final_message" and told:
            assert wanted[way] is True
            assert wanted["add_generation_prompt"] is False
        if way != "appended":
            assert told == told.rstrip()
        left = list(STORY)
        while told and left and told.startswith(left[0]):
            told = told[len(left.pop(0)) :]
        assert not told
        most = wanted["max_tokens"]
        said = left[:most]
        read = PROMPT + len(STORY) - len(left)
        used = {"prompt_tokens": read, "completion_tokens": len(said), "total_tokens": read + len(said)}
        own = {"id": f"chat-{name}", "model": f"model-of-{name}"}
        echo = [turn["content"]] if way == "prefix" and turn["role"] == "assistant" else []
        events = [
            event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}], **own),
            *(event(text, **own) for text in (*echo, *said)),
            event(finish="length" if len(said) < len(left) else "stop", **own),
            event(choices=[], usage=used, **own),
            b"data: [DONE]\n\n",
        ]
        whole = ends_after is None
        parts = [*map(chunk, events[:ends_after]), *([b"0\r\n\r\n"] if whole else [])]
        await plays(STREAM_HEAD, *parts, keep=whole)(provider, body, writer)

    return script


async def heard_by_caller(on: Scene, fields: Mapping[str, object] | None = None) -> Heard:
    told = chat(model=MODEL, max_tokens=MOST, stream_options={"include_usage": True})
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "connection": "close"}
    async with on.line() as line:
        line.send(request({**told, **(fields or {})}, headers=headers))
        heard = await line.ends()
    await on.gateway.until(lambda settled: len(settled) == 1)
    return heard


def parts_of(heard: Heard) -> list[dict[str, object]]:
    return [orjson.loads(data) for data in heard.events if data != b"[DONE]"]


def text_of(heard: Heard) -> str:
    deltas = [choice["delta"] for part in parts_of(heard) for choice in part["choices"]]  # type: ignore[attr-defined]  # JSON
    return "".join(delta.get("content", "") for delta in deltas)


def is_one_answer(heard: Heard, name: str) -> None:
    """Of one id and model, with one role, one finish, one usage and one end."""
    parts = parts_of(heard)
    assert {part["id"] for part in parts} == {f"chat-{name}"}
    assert {part["model"] for part in parts} == {f"model-of-{name}"}
    assert heard.body.count(b'"role"') == heard.body.count(b'"usage"') == heard.body.count(b"[DONE]") == 1
    assert heard.body.count(b'"finish_reason":"') == 1
    assert b'"error"' not in heard.body


def ends_in_an_error(heard: Heard) -> None:
    assert b"[DONE]" not in heard.body
    assert orjson.loads(heard.events[-1])["error"]["code"] == "upstream_truncated"
    assert sum(b'"error"' in data for data in heard.events) == 1


@pytest.mark.parametrize("way", ["appended", "last_turn", "continue_final_message", "prefix"])
@pytest.mark.parametrize("after", range(2, len(STORY) + 2))
async def test_an_answer_cut_after_any_event_is_whole(after: int, way: Prefill) -> None:
    async with (
        RawProvider(tells("one", way, after)) as one,
        RawProvider(tells("two", way)) as two,
        scene(one, two, provider=replace(CAN, prefill=way), policies=(GOES_ON,)) as on,
    ):
        heard = await heard_by_caller(on)
        assert on.tries() == [("first", "upstream_truncated"), ("second", "answered")]
        assert (on.exchange.outcome, on.exchange.status, on.exchange.complete) == ("answered", 200, True)
        assert on.exchange.bytes_out == len(heard.body)
        assert on.exchange.usage == Usage(PROMPT, len(STORY))
        await on.at_rest()
    assert text_of(heard) == TEXT
    is_one_answer(heard, "one")
    assert parts_of(heard)[-1]["usage"] == {"prompt_tokens": 30, "completion_tokens": 11, "total_tokens": 41}


@pytest.mark.parametrize("after", range(2, 7))
async def test_a_cap_is_one_cap_for_both_halves(after: int) -> None:
    async with (
        RawProvider(tells("one", ends_after=after)) as one,
        RawProvider(tells("two")) as two,
        scene(one, two, provider=CAN, policies=(GOES_ON,)) as on,
    ):
        heard = await heard_by_caller(on, {"max_tokens": 5})
        assert on.exchange.usage == Usage(PROMPT, 5)
        assert on.exchange.finish == "length"
    assert text_of(heard) == "".join(STORY[:5])
    is_one_answer(heard, "one")


async def test_it_may_break_twice() -> None:
    scripts = tells("one", ends_after=3), tells("two", ends_after=4), tells("three")
    async with (
        RawProvider(scripts[0]) as one,
        RawProvider(scripts[1]) as two,
        RawProvider(scripts[2]) as three,
        scene(one, two, three, provider=CAN, policies=(GOES_ON,)) as on,
    ):
        heard = await heard_by_caller(on)
        assert [name for name, _ in on.tries()] == ["first", "second", "third"]
        assert on.exchange.usage == Usage(PROMPT, len(STORY))
    assert text_of(heard) == TEXT
    is_one_answer(heard, "one")


async def test_the_official_client_notices_nothing() -> None:
    async with (
        RawProvider(tells("one", ends_after=6)) as one,
        RawProvider(tells("two")) as two,
        scene(one, two, provider=CAN, policies=(GOES_ON,)) as on,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{on.gateway.url}/v1", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True, max_tokens=MOST
        )
        chunks = [part async for part in stream]
    assert "".join(part.choices[0].delta.content or "" for part in chunks) == TEXT
    assert {part.id for part in chunks} == {"chat-one"}


async def test_without_the_policy_it_breaks() -> None:
    async with (
        RawProvider(tells("one", ends_after=6)) as one,
        RawProvider(tells("two")) as two,
        scene(one, two, provider=CAN) as on,
    ):
        heard = await heard_by_caller(on)
        assert two.requests == 0
    ends_in_an_error(heard)


async def test_a_hedged_stream_goes_on_as_well() -> None:
    policy = replace(GOES_ON, hedge=Hedge(after_ms=600_000.0, budget=1.0))
    async with (
        RawProvider(tells("one", ends_after=6)) as one,
        RawProvider(tells("two")) as two,
        scene(one, two, provider=CAN, policies=(policy,)) as on,
    ):
        heard = await heard_by_caller(on)
        assert on.tries() == [("first", "upstream_truncated"), ("second", "answered")]
    assert text_of(heard) == TEXT
    is_one_answer(heard, "one")


def breaks(*events: bytes) -> Script:
    return plays(STREAM_HEAD, *map(chunk, events), keep=False)


def delta(**fields: object) -> bytes:
    return event(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


SIGNED = [{"type": "reasoning.text", "text": "hm", "signature": "c2lnbmVk"}]
CALL = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{"}}]


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ((event("Once"),), {"tools": [TOOL]}),
        ((delta(tool_calls=CALL),), {"tools": [TOOL]}),
        ((delta(tool_calls=CALL),), {}),
        ((event("{"),), {"response_format": SCHEMA}),
        ((event("{"),), {"response_format": {"type": "json_object"}}),
        ((delta(reasoning_details=SIGNED), event("Once")), {}),
        ((delta(reasoning_content="hm"), event("Once")), {}),
        ((event("Once"), delta(thinking_blocks=[{"type": "thinking", "thinking": "hm", "signature": "x"}])), {}),
        ((delta(refusal="no"),), {}),
        ((event("Once"),), {"n": 2}),
        ((event("Once"),), {"logprobs": True}),
        ((event("Once"),), {"presence_penalty": 1}),
        ((event("Once upon a"),), {"stop": [" a time"]}),
        ((event("Once"),), {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
    ],
    ids=[
        "tools",
        "called",
        "called unasked",
        "schema",
        "json",
        "signed",
        "thinking",
        "blocks",
        "refusal",
        "choices",
        "logprobs",
        "penalty",
        "stop",
        "begun by the caller",
    ],
)
async def test_what_can_not_be_exact_ends_with_the_error_frame(
    said: Sequence[bytes], fields: dict[str, object]
) -> None:
    async with (
        RawProvider(breaks(event(""), *said)) as one,
        RawProvider(tells("two")) as two,
        scene(one, two, provider=CAN, policies=(GOES_ON,)) as on,
    ):
        heard = await heard_by_caller(on, fields)
        assert two.requests == 0
        assert on.exchange.outcome == "upstream_truncated"
        await on.at_rest()
    assert heard.body.startswith(b"".join((event(""), *said)))
    ends_in_an_error(heard)


async def test_a_caller_who_leaves_in_the_second_half_leaves_nothing_running() -> None:
    second = plays(STREAM_HEAD, chunk(event("", id="x")), chunk(event(" upon", id="x")))
    async with (
        RawProvider(tells("one", ends_after=2)) as one,
        RawProvider(second) as two,
        scene(one, two, provider=CAN, policies=(GOES_ON,)) as on,
    ):
        async with on.line() as line:
            line.send(asked(max_tokens=MOST))
            await line.hears(b" upon")
        await on.gateway.until(lambda settled: len(settled) == 1)
        assert on.tries() == [("first", "upstream_truncated"), ("second", "caller_left")]
        assert on.exchange.outcome == "left"
        assert on.exchange.usage is not None
        assert (on.exchange.usage.output_tokens, on.exchange.usage.estimated) == (2, True)
        await on.deserted()


async def test_of_a_break_that_nobody_can_mend_the_caller_hears_at_once() -> None:
    async with (
        RawProvider(tells("one", ends_after=4)) as one,
        scene(one, "500", provider=CAN, policies=(GOES_ON,)) as on,
    ):
        heard = await heard_by_caller(on)
        assert on.tries() == [("first", "upstream_truncated"), ("second", "upstream_invalid_response")]
        assert on.exchange.bytes_out == len(heard.body)
        await on.at_rest()
    ends_in_an_error(heard)
    assert text_of(heard) == "".join(STORY[:3])
