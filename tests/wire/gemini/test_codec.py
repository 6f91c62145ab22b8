import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UnsupportedFeature, UpstreamBusy, UpstreamTruncated
from gateway.features import Request
from gateway.wire import Addressed, load
from gateway.wire.codec import codec
from gateway.wire.dialect import Dialect
from gateway.wire.gemini.codec import CODEC
from gateway.wire.gemini.fields import raw_of
from gateway.wire.ir import (
    Answer,
    Ask,
    Effort,
    Foreign,
    Format,
    Media,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses

WIRE = load("gemini")
BODY = b'{"contents": [{"parts": [{"text": "Hi"}]}], "x": 1.00}'
HERE = Addressed("gemini-3-pro", stream=True, query="alt=sse")


def test_the_language_is_found_by_its_name() -> None:
    assert codec("gemini") is CODEC
    assert CODEC.name == "gemini"


def test_its_paths_hold_the_model_and_the_verb() -> None:
    assert {(pattern.before, pattern.after): (pattern.operation, pattern.stream) for pattern in WIRE.patterns} == {
        (before, after): told
        for before in ("/v1beta/models/", "/v1/models/")
        for after, told in (
            (":generateContent", ("generate", False)),
            (":streamGenerateContent", ("generate", True)),
        )
    }


def test_the_address_chooses_the_framing_of_the_answer() -> None:
    told = {query: CODEC.writer(Ask("x", "m", [], query=query), Losses()).media_type for query in ("alt=sse", "")}
    assert told == {"alt=sse": "text/event-stream", "": "application/json; charset=UTF-8"}


def test_who_asks_for_no_events_gets_an_array_of_them() -> None:
    meter = WIRE.meter(WIRE.read_request(BODY, Addressed("gemini-3-pro", stream=True)), 2**16)
    event = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}\n\n'
    first, last = json.loads(meter.feed(event) + meter.finish_up())
    assert first["candidates"][0]["content"]["parts"] == [{"text": "a"}]
    assert last["candidates"][0]["finishReason"] == "STOP"


def test_a_count_is_checked_as_well() -> None:
    with pytest.raises(UnsupportedFeature):
        CODEC.check_count(Request({"generateContentRequest": raw_of({"cachedContent": "a"})}, "m"))


def test_a_body_is_carried_as_it_was() -> None:
    request = WIRE.read_request(BODY, HERE)
    assert (request.model, request.stream, request.query) == ("gemini-3-pro", True, "alt=sse")
    body, changed = WIRE.write_request(request, Raw(b'"other"'), Dialect(), ask_usage=True)
    assert body == b'{"contents":[{"parts": [{"text": "Hi"}]}],"x":1.00}'
    assert changed == []


def test_a_body_that_names_what_is_stored_is_refused() -> None:
    with pytest.raises(UnsupportedFeature):
        WIRE.read_request(b'{"cachedContent": "cachedContents/a"}', HERE)


def test_events_are_carried_as_they_were() -> None:
    meter = WIRE.meter(WIRE.read_request(BODY, HERE), 2**16)
    event = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}\n\n'
    assert meter.feed(event) == event
    assert meter.finish_up() == b""
    assert (meter.finish, meter.error) == ("stop", None)


def test_a_stream_without_its_end_is_truncated() -> None:
    meter = WIRE.meter(WIRE.read_request(BODY, HERE), 2**16)
    meter.feed(b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n\n')
    meter.finish_up()
    assert isinstance(meter.error, UpstreamTruncated)


def test_errors_are_googles_both_ways() -> None:
    error = WIRE.read_error(429, {}, b'{"error":{"details":[{"retryDelay":"3s"}]}}')
    assert isinstance(error, UpstreamBusy)
    assert error.retry_after_s == 3.0
    assert json.loads(WIRE.write_error(error, "r"))["error"]["status"] == "RESOURCE_EXHAUSTED"


def test_an_answer_comes_back_as_it_went() -> None:
    answer = Answer([Text("Hi")], id="r1", model="m1")
    assert CODEC.read_answer(CODEC.write_answer(answer, Ask("x", "m", []), Losses()), Losses()) == answer


WORDS = st.text(min_size=1, max_size=6)
TEXTS = st.builds(Text, WORDS)
PICTURES = st.builds(Media, st.just("image"), st.just("image/png"), st.sampled_from(["AAAA", "QUJD"]))
FILES = st.builds(Media, st.just("document"), st.just("application/pdf"), url=st.just("https://x.example/a"))
THOUGHTS = st.builds(Thinking, WORDS, st.sampled_from(["c2ln", "QUJD"]), origin=st.just("gemini"))
EXTRAS = st.just(Foreign("gemini", "executableCode", raw_of({"executableCode": {"code": "1"}})))
SCHEMAS = st.sampled_from([None, raw_of({"type": "object", "properties": {"a": {"$ref": "#"}}})])
ARGUMENTS = st.sampled_from(["{}", '{"a":[1.00,"}"]}'])


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    turns = [Turn("user", draw(st.lists(TEXTS | PICTURES | FILES, min_size=1, max_size=3)))]
    for round_ in range(draw(st.integers(0, 2))):
        said = draw(st.lists(TEXTS | THOUGHTS | EXTRAS, max_size=2))
        names = draw(st.lists(WORDS, min_size=1, max_size=2))
        calls = [
            ToolCall(f"{round_}-{at}", name, draw(ARGUMENTS), "c2ln" if at == 0 else "", "gemini" if at == 0 else "")
            for at, name in enumerate(names)
        ]
        told = [
            ToolResult(call.id, [*draw(st.lists(TEXTS, max_size=1)), *draw(st.lists(PICTURES, max_size=1))], call.name)
            for call in calls
        ]
        for result in told:
            result.is_error = bool(result.content) and isinstance(result.content[0], Text) and draw(st.booleans())
        turns += [Turn("assistant", [*said, *calls]), Turn("user", [*told, *draw(st.lists(TEXTS, max_size=1))])]
    return turns


@settings(max_examples=30, deadline=None)
@given(
    turns=conversations(),
    system=st.lists(TEXTS, min_size=1, max_size=2) | st.just([]),
    tools=st.lists(st.builds(Tool, WORDS, WORDS, SCHEMAS), max_size=2, unique_by=lambda tool: tool.name),
    choice=st.sampled_from([None, ToolChoice("required"), ToolChoice("tool", ("f",)), ToolChoice("auto", ("f",))]),
    limit=st.none() | st.integers(1, 2**31 - 1),
    stop=st.lists(WORDS, max_size=2),
    effort=st.sampled_from([None, Effort("low"), Effort("none"), Effort(tokens=7, shown=True), Effort("xhigh")]),
    form=st.sampled_from([None, Format(), Format(raw_of({"type": "object"}))]),
    logprobs=st.none() | st.integers(0, 5),
    n=st.integers(1, 3),
)
def test_a_request_comes_back_as_it_went(
    turns: list[Turn],
    system: list[Text],
    tools: list[Tool | Foreign],
    choice: ToolChoice | None,
    limit: int | None,
    stop: list[str],
    effort: Effort | None,
    form: Format | None,
    logprobs: int | None,
    n: int,
) -> None:
    ask = Ask(
        "gemini",
        "m",
        turns,
        system,
        tools=tools,
        choice=choice,
        max_tokens=limit,
        stop=stop,
        thinking=effort,
        format=form,
        logprobs=logprobs,
        n=n,
        wants_usage=True,
        sampling={"temperature": Raw(b"0.10")},
        other={"safetySettings": Raw(b"[]"), "generationConfig.speechConfig": Raw(b"{}")},
    )
    losses = Losses()
    written = CODEC.write_request(ask, "gemini-3-pro", losses)
    assert not losses.noted
    body = json.loads(encode(written))
    assert CODEC.read_request(Request({name: raw_of(value) for name, value in body.items()}, "m")).messages is not None
    assert CODEC.read_request(Request(written, "m")) == ask
