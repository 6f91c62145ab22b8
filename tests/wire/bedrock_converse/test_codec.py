"""The laws of the language as a whole."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode

from gateway.features import Request, Usage
from gateway.wire import Addressed, load, raw
from gateway.wire.bedrock_converse import WIRE
from gateway.wire.bedrock_converse.codec import CODEC
from gateway.wire.codec import codec
from gateway.wire.dialect import Dialect
from gateway.wire.eventstream import head, message
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Cache,
    Citation,
    Effort,
    Event,
    Finish,
    Finished,
    Foreign,
    Format,
    Media,
    Started,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import CLAUDE, MOST, NAME, ask, js

words = st.text(min_size=1, max_size=20)
plain = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
caches = st.none() | st.builds(Cache, st.sampled_from(["", "5m", "1h"]))
numbers = st.integers(0, 10**6)
objects = st.dictionaries(words, words | numbers | st.booleans() | st.none(), max_size=3).map(js)
base64 = st.sampled_from(["AA==", "iVBORw0KGgo=", "JVBERi0x"])
media = st.builds(
    Media, st.just("image"), st.sampled_from(["image/png", "image/webp"]), base64, cache=caches
) | st.builds(Media, st.just("video"), st.just("video/mp4"), url=plain.map("s3://bucket/{}".format), cache=caches)
texts = st.builds(Text, words, caches)
strange = plain.map(lambda kind: Foreign(NAME, f"x{kind}", js({f"x{kind}": 1})))


@st.composite
def cited(draw: st.DrawFn) -> Text:
    title, quote, url = draw(words), draw(words), draw(words)
    said = {"title": title, "sourceContent": [{"text": quote}], "location": {"web": {"url": url}}}
    return Text(draw(words), citations=[Citation(NAME, js(said), url, title, quote)])


thoughts = (
    st.builds(
        Thinking, words, words.filter(lambda text: not text.startswith("gw1.")), origin=st.just("anthropic_messages")
    )
    | st.builds(Thinking, words, origin=st.just(NAME))
    | st.builds(Thinking, redacted=plain, origin=st.just("anthropic_messages"))
)
# What models answer with, and callers give back.
answered = texts | cited() | thoughts | strange


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    turns: list[Turn] = []
    calls = 0
    for _ in range(draw(st.integers(1, 3))):
        user: list[Block] = []
        for n in range(calls):
            inside: list[Block] = [*draw(st.lists(st.builds(Text, words) | media.map(unmarked), max_size=2))]
            user.append(ToolResult(f"t{len(turns)}.{n}", inside, is_error=draw(st.booleans()), cache=draw(caches)))
        user += draw(st.lists(texts | media | strange, min_size=1, max_size=3))
        calls = draw(st.integers(0, 2))
        mine: list[Block] = list(draw(st.lists(answered, min_size=1, max_size=3)))
        mine += [
            ToolCall(f"t{len(turns) + 2}.{n}", draw(plain), bytes(draw(objects)).decode(), cache=draw(caches))
            for n in range(calls)
        ]
        turns += [Turn("user", user), Turn("assistant", mine)]
    return turns


def unmarked(file: Media) -> Media:
    return Media(file.kind, file.media_type, file.data, file.url)


tools = st.lists(
    st.builds(
        Tool, plain, st.sampled_from(["", "Looks."]), st.just(js({"type": "object"})), st.none() | st.booleans(), caches
    )
    | st.just(Foreign(NAME, "systemTool", js({"systemTool": {"name": "nova"}}))),
    min_size=1,
    max_size=3,
)
choices = st.none() | st.sampled_from([ToolChoice("auto"), ToolChoice("required"), ToolChoice("tool", ("look",))])
efforts = st.none() | st.builds(
    Effort, st.sampled_from(["low", "high"]), st.none() | numbers, st.none() | st.booleans()
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    asked = Ask(NAME, CLAUDE, draw(conversations()), draw(st.lists(texts, max_size=2)), wants_usage=True)
    asked.tools = draw(tools)
    asked.choice = draw(choices)
    asked.max_tokens = draw(st.none() | st.integers(1, 2**31 - 1))
    asked.stop = draw(st.lists(words, max_size=2))
    asked.sampling = {
        name: js(draw(numbers)) for name in draw(st.sets(st.sampled_from(["temperature", "top_p", "top_k"])))
    }
    asked.thinking = draw(efforts)
    asked.format = draw(st.none() | st.builds(Format, objects, plain, st.sampled_from(["", "A thing."])))
    asked.service_tier = draw(st.sampled_from(["", "flex", "priority"]))
    asked.other = {
        name: Raw(b"{}") for name in draw(st.sets(st.sampled_from(["guardrailConfig", "toolConfig.x", "y"])))
    }
    return asked


usages = st.none() | st.builds(
    lambda plain, out, read, written: Usage(plain + read + written, out, read, written),
    *(st.integers(1, 10**6),) * 2,
    *(numbers,) * 2,
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    content: list[Block] = [unmarked_text(block) for block in draw(st.lists(answered, max_size=4))]
    calls = draw(st.integers(0, 2))
    content += [ToolCall(f"t{n}", draw(plain), bytes(draw(objects)).decode()) for n in range(calls)]
    ends: list[Finish] = ["stop", "length", "filter", "context", "malformed"]
    finish: Finish = "tools" if calls else draw(st.sampled_from(ends))
    return Answer(
        content,
        finish,
        draw(st.sampled_from(["", "END"])),
        usage=draw(usages) or Usage(0, 0),
        service_tier=draw(st.sampled_from(["", "flex"])),
    )


def unmarked_text(block: Block) -> Block:
    return Text(block.text, citations=block.citations) if isinstance(block, Text) else block


def events_of(answer: Answer, pieces: int) -> list[Event]:
    """An answer as a stream: each block opened bare and grown in so many pieces."""
    events: list[Event] = [Started()]
    for at, block in enumerate(answer.content):
        if isinstance(block, Text):
            events.append(BlockOpened(at, Text("")))
            events += (BlockGrew(at, part) for part in cut(block.text, pieces))
            events += (BlockGrew(at, citation=citation) for citation in block.citations)
        elif isinstance(block, Thinking) and not block.redacted:
            events.append(BlockOpened(at, Thinking(origin="anthropic_messages")))
            events += (BlockGrew(at, part) for part in cut(block.text, pieces))
            if block.signature:
                events.append(BlockGrew(at, "", block.signature))
        elif isinstance(block, ToolCall):
            events.append(BlockOpened(at, ToolCall(block.id, block.name)))
            events += (BlockGrew(at, part) for part in cut(block.arguments, pieces))
        else:
            events.append(BlockOpened(at, block))
        events.append(BlockClosed(at))
    return [*events, Finished(answer.finish, answer.sequence, answer.usage, answer.service_tier)]


def cut(text: str, pieces: int) -> list[str]:
    size = max(1, -(-len(text) // pieces))
    return [text[at : at + size] for at in range(0, len(text), size)]


def reread(data: bytes, cuts: list[int]) -> list[Event]:
    """The events of these bytes, cut there."""
    framing, reader = CODEC.framing(MOST), CODEC.reader(Losses())
    places = sorted({0, len(data), *(place for place in cuts if place < len(data))})
    frames = [frame for start, stop in pairwise(places) for frame in framing.feed(data[start:stop])]
    events = [event for name, payload, _ in frames + framing.end() for event in reader.feed(name, payload)]
    return events + reader.end()


@pytest.mark.slow
@settings(deadline=None)
@given(asks())
def test_a_request_that_is_written_is_read_as_it_was(asked: Ask) -> None:
    losses = Losses()
    body = encode(CODEC.write_request(asked, CLAUDE, losses))
    assert CODEC.read_request(Request(raw.read_fields(body), CLAUDE)) == asked
    assert losses.names() == []


@pytest.mark.slow
@settings(deadline=None)
@given(answers())
def test_an_answer_that_is_written_is_read_as_it_was(answer: Answer) -> None:
    losses = Losses()
    assert CODEC.read_answer(CODEC.write_answer(answer, ask(), losses), losses) == answer
    assert losses.names() == []


@pytest.mark.slow
@settings(deadline=None)
@given(answers(), st.integers(1, 4), st.lists(st.integers(0, 4000), max_size=20))
def test_a_stream_that_is_written_is_read_as_it_was_however_it_is_cut(
    answer: Answer, pieces: int, cuts: list[int]
) -> None:
    # A kind of block that nobody knows has no place in a stream.
    answer.content = [block for block in answer.content if not isinstance(block, Foreign)]
    events = events_of(answer, pieces)
    writer = CODEC.writer(ask(), Losses())
    assert reread(b"".join(map(writer.feed, events)), cuts) == events


def test_the_folder_is_the_registry() -> None:
    assert load(NAME) is WIRE
    assert codec(NAME) is CODEC
    assert CODEC.name == NAME


def test_the_path_says_the_model_and_whether_it_streams() -> None:
    assert [(one.before, one.after, one.operation, one.stream) for one in WIRE.patterns] == [
        ("/model/", "/converse", "converse", False),
        ("/model/", "/converse-stream", "converse", True),
    ]
    body = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],"tomorrow":1}'
    asked = WIRE.read_request(body, Addressed(CLAUDE, stream=True))
    assert (asked.model, asked.stream) == (CLAUDE, True)
    assert WIRE.write_request(asked, Raw(b'"other"'), Dialect(), ask_usage=True) == (body, [])


def test_a_stream_that_both_sides_speak_passes_as_it_was() -> None:
    asked = Request({}, CLAUDE, stream=True)
    meter = WIRE.meter(asked, MOST)
    data = b"".join(
        message(head("event", name), encode(payload))
        for name, payload in (
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}, "p": "abc"}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}}),
        )
    )
    assert b"".join(meter.feed(data[at : at + 7]) for at in range(0, len(data), 7)) == data
    assert (meter.done, meter.error, meter.finish, meter.usage) == (True, None, "stop", Usage(3, 1))


def test_a_broken_stream_of_both_sides_ends_in_an_exception() -> None:
    from gateway.errors import UpstreamSlow
    from tests.wire.bedrock_converse.said import frames

    meter = WIRE.meter(Request({}, CLAUDE, stream=True), MOST)
    assert frames(meter.failure(UpstreamSlow("Too slow."))) == [
        ("!modelStreamErrorException", {"message": "Too slow."})
    ]
    assert WIRE.error_headers(UpstreamSlow("Too slow.")) == (("x-amzn-ErrorType", "ModelTimeoutException"),)
