"""The laws of this language: what it carries comes back, and it doesn't matter where bytes were cut."""

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, convert, to_builtins

from gateway.features import Request, Usage
from gateway.wire.codec import Codec, codec
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Cache,
    Effort,
    Event,
    Finish,
    Finished,
    Format,
    Media,
    Refusal,
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
from gateway.wire.openai_chat.codec import CODEC
from tests.wire.openai_chat.saying import fold, raw

HERE: Codec = CODEC
NAME = "openai_chat"

texts = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.text("abcdefgh_-", min_size=1, max_size=12)
caches = st.one_of(st.none(), st.builds(Cache, st.sampled_from(("", "5m", "1h"))))
heads = st.builds(Text, texts.filter(bool), caches)
said: st.SearchStrategy[Block] = heads.map(lambda text: text)
origins = st.sampled_from(("anthropic_messages", "gemini", "openai_responses", NAME))
plain_thoughts = st.builds(Thinking, texts.filter(bool))
signed_thoughts = st.builds(Thinking, texts, words, st.just(""), origins)
sealed_thoughts = st.builds(Thinking, st.just(""), st.just(""), words, origins)
thoughts = st.one_of(plain_thoughts.map(lambda one: [one]), st.lists(signed_thoughts | sealed_thoughts, max_size=3))
arguments = st.dictionaries(words, st.integers() | texts, max_size=3).map(json.dumps)
media: st.SearchStrategy[Block] = st.one_of(
    st.builds(
        Media,
        st.just("image"),
        st.just("image/png"),
        st.just("aGk="),
        detail=st.sampled_from(("", "low")),
        cache=caches,
    ),
    st.builds(Media, st.just("image"), url=words.map("https://a/{}".format)),
    st.builds(Media, st.just("document"), st.just("application/pdf"), st.just("aGk="), name=words),
    st.builds(Media, st.just("audio"), st.sampled_from(("audio/wav", "audio/mpeg")), st.just("aGk=")),
    st.builds(Media, st.just("video"), url=words.map("https://a/{}".format)),
)
tools = st.lists(
    st.builds(
        Tool,
        words,
        texts,
        st.one_of(st.none(), st.just(raw({"type": "object"}))),
        st.one_of(st.none(), st.booleans()),
        caches,
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
)


def calls(at: int) -> st.SearchStrategy[ToolCall]:
    signed = st.tuples(words, origins)
    return st.builds(
        lambda name, said, signed, cache: ToolCall(f"call_{at}", name, said, signed[0], signed[1], cache),
        words,
        arguments,
        st.one_of(st.just(("", "")), signed),
        caches,
    )


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    turns: list[Turn] = []
    asked = 0
    for _ in range(draw(st.integers(0, 3))):
        shown: list[Block] = [*draw(st.lists(said | media, min_size=1, max_size=3))]
        turns.append(Turn("user", shown, draw(st.just("") | words)))
        made = [draw(calls(asked + at)) for at in range(draw(st.integers(0, 2)))]
        asked += len(made)
        words_said: list[Block] = [*draw(st.lists(said, max_size=2))]
        no = draw(st.lists(st.builds(Refusal, texts.filter(bool)), max_size=1))
        turns.append(Turn("assistant", [*draw(thoughts), *words_said, *no, *made], draw(st.just("") | words)))
        if made:
            results = st.lists(said | media, max_size=2)
            turns.append(Turn("user", [ToolResult(call.id, draw(results), cache=draw(caches)) for call in made]))
        turns += draw(st.lists(st.builds(Turn, st.just("system"), st.lists(said, min_size=1, max_size=2)), max_size=1))
    turns.append(Turn("user", [Text("hi")]))
    return turns


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    given_tools = draw(tools)
    names = [tool.name for tool in given_tools]
    choices: st.SearchStrategy[ToolChoice | None] = st.none()
    if names:
        choices |= st.builds(
            ToolChoice,
            st.sampled_from(("auto", "none", "required")),
            st.just(()),
            st.one_of(st.none(), st.booleans()),
        )
        choices |= st.just(ToolChoice("tool", (names[0],))) | st.just(ToolChoice("required", tuple(names)))
    return Ask(
        NAME,
        "m",
        draw(conversations()),
        draw(st.lists(heads, max_size=2)),
        draw(st.booleans()),
        [*given_tools],
        draw(choices),
        draw(st.none() | st.integers(1, 2**31 - 1)),
        draw(st.lists(words, max_size=2)),
        draw(st.dictionaries(st.sampled_from(("temperature", "top_k", "seed")), st.just(Raw(b"1.50")), max_size=2)),
        draw(
            st.none()
            | st.builds(Effort, st.sampled_from(("none", "low", "max")))
            | st.builds(Effort, st.just(""), st.integers(1, 99), st.none() | st.booleans())
        ),
        draw(
            st.none() | st.just(Format()) | st.builds(Format, st.just(raw({})), words, texts, st.none() | st.booleans())
        ),
        draw(st.none() | st.integers(0, 20)),
        draw(st.integers(1, 128)),
        draw(st.just("") | words),
        draw(st.dictionaries(words, texts, max_size=2)),
        draw(st.just("") | words),
        draw(st.just("") | words),
        draw(caches),
        other=draw(st.dictionaries(st.sampled_from(("store", "verbosity")), st.just(Raw(b"[1, 2]")), max_size=2)),
    )


@given(asks())
def test_a_request_that_was_written_is_read_as_it_was(ask: Ask) -> None:
    losses = Losses()
    fields = HERE.write_request(ask, "m", losses)
    assert losses.names() == []
    request = Request(fields, "m", ask.stream)
    HERE.check(request)
    assert HERE.read_request(request) == ask


counts = st.integers(0, 10**6)
usages = st.none() | st.builds(
    lambda fresh, output, cached, written, thought: Usage(fresh + cached + written, output, cached, written, thought),
    counts,
    counts,
    counts,
    counts,
    counts,
)
pictures = st.builds(Media, st.just("image"), st.just("image/png"), st.just("aGk="))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    made = [draw(calls(at)) for at in range(draw(st.integers(0, 2)))]
    for call in made:
        call.cache = None
    spoken: list[Block] = [*draw(st.lists(st.builds(Text, texts.filter(bool)), max_size=1))]
    no = draw(st.lists(st.builds(Refusal, texts.filter(bool)), max_size=1))
    shown = draw(st.lists(pictures, max_size=1))
    content = [*draw(thoughts), *spoken, *no, *shown, *made]
    finish: Finish = draw(st.sampled_from(("tools", "length", "filter") if made else ("stop", "length", "filter")))
    return Answer(
        content,
        finish,
        "",
        draw(words),
        draw(words),
        draw(st.integers(0, 2**31)),
        draw(usages),
        draw(st.none() | st.just(raw([{"token": "a"}]))),
        draw(st.sampled_from(("", "default", "flex"))),
    )


@given(answers())
def test_an_answer_that_was_written_is_read_as_it_was(answer: Answer) -> None:
    losses = Losses()
    body = HERE.write_answer(answer, Ask(NAME, "m", []), losses)
    assert HERE.read_answer(body, losses) == answer
    assert losses.names() == []


def events_of(answer: Answer) -> list[Event]:
    """An answer as it might be streamed."""
    events: list[Event] = [Started(answer.id, answer.model, answer.created)]
    for at, block in enumerate(answer.content):
        begun = convert(to_builtins(block), type(block))
        if isinstance(begun, Text | Refusal | Thinking):
            begun.text = ""
        if isinstance(begun, Thinking):
            begun.signature = ""
        if isinstance(begun, ToolCall):
            begun.arguments = ""
        events.append(BlockOpened(at, begun))
        if isinstance(block, Text | Refusal | Thinking):
            events += [BlockGrew(at, letter) for letter in block.text]
        if isinstance(block, Thinking) and block.signature:
            events.append(BlockGrew(at, signature=block.signature))
        if isinstance(block, ToolCall):
            events += [BlockGrew(at, letter) for letter in block.arguments]
        events.append(BlockClosed(at))
    events.append(Finished(answer.finish, "", answer.usage, answer.service_tier))
    return events


@given(answers(), st.data())
def test_a_stream_that_was_written_is_read_as_it_was_however_it_is_cut(answer: Answer, data: st.DataObject) -> None:
    losses = Losses()
    writer = HERE.writer(Ask(NAME, "m", [], wants_usage=True), losses)
    stream = b"".join(map(writer.feed, events_of(answer)))
    assert losses.names() == []
    framing, reader = HERE.framing(1 << 20), HERE.reader(losses)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        for name, payload, _ in framing.feed(stream[start:end]):
            events += reader.feed(name, payload)
    assert reader.done
    told = fold(events + reader.end())
    assert told.started == Started(answer.id, answer.model, answer.created)
    assert told.finished == Finished(answer.finish, "", answer.usage, answer.service_tier)
    assert told.blocks == answer.content


def test_this_is_the_codec_of_its_folder() -> None:
    assert codec(NAME) is CODEC
    assert HERE.name == NAME
    assert HERE.stream_type == HERE.writer(Ask(NAME, "m", []), Losses()).media_type == "text/event-stream"
    assert len(get_args(Finish)) == 10
