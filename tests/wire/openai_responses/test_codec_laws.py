"""The laws: what this language carries comes back as it was, and where a stream was cut never matters."""

import json
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode

from gateway.features import Request, Usage
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
from gateway.wire.openai_responses.codec import CODEC
from tests.wire.openai_responses.talk import NAME, raw

# A shared machine may stop for longer than any deadline.
law = settings(deadline=None)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
some = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
ids = st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True)
urls = ids.map(lambda name: f"https://x/{name}")
data = ids.map(lambda name: f"{name}==")
json_texts = st.dictionaries(ids, words, max_size=2).map(lambda value: encode(value).decode())
schemas = st.dictionaries(ids, words, max_size=2).map(raw)
marks = st.none() | st.builds(Cache, st.sampled_from(["", "30m", "12h"]))
texts = st.builds(Text, some, marks)
pictures = st.one_of(
    st.builds(Media, st.just("image"), url=urls, detail=st.sampled_from(["auto", "low"]), cache=marks),
    st.builds(
        Media,
        st.just("image"),
        st.sampled_from(["image/png", "image/webp"]),
        data=data,
        detail=st.sampled_from(["auto", "high"]),
        cache=marks,
    ),
)
documents = st.one_of(
    st.builds(Media, st.just("document"), st.just("application/pdf"), data=data, name=words, cache=marks),
    st.builds(Media, st.just("document"), url=urls, name=words),
)
sounds = st.builds(Media, st.just("audio"), st.sampled_from(["audio/mpeg", "audio/wav"]), data=data)
thoughts = st.builds(
    Thinking,
    some,
    ids,
    origin=st.just(NAME),
    id=ids.map(lambda name: f"rs_{name}"),
    summary=st.just(True),
)
searches = ids.map(lambda name: Foreign(NAME, "web_search_call", raw({"type": "web_search_call", "id": name})))


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Turns as they are read: calls with ids of their own, results of calls before them, messages apart."""
    turns: list[Turn] = []
    calls: list[str] = []
    waiting: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        said: list[Block] = [
            ToolResult(call, draw(st.lists(texts | pictures, min_size=1, max_size=2))) for call in waiting
        ]
        said += draw(st.lists(texts | pictures | documents | sounds, min_size=1, max_size=3))
        waiting = []
        turns.append(Turn("user", said))
        if draw(st.booleans()):
            turns.append(Turn("system", [Text(draw(some))]))
        answer: list[Block] = [*draw(st.lists(thoughts, max_size=1)), *draw(st.lists(searches, max_size=1))]
        answer += draw(st.lists(st.builds(Text, some) | st.builds(Refusal, some), max_size=2))
        for _ in range(draw(st.integers(0, 2))):
            call = f"call_{len(calls)}"
            calls.append(call)
            waiting.append(call)
            answer.append(ToolCall(call, draw(ids), draw(json_texts)))
        if answer:
            turns.append(Turn("assistant", answer))
    return turns


functions = st.builds(Tool, ids, words, schemas, st.sampled_from([None, True, False]))


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    tools = draw(st.lists(functions, max_size=3, unique_by=lambda tool: tool.name))
    names = tuple(tool.name for tool in tools)
    modes = [ToolChoice("auto"), ToolChoice("none"), ToolChoice("required", parallel=False)]
    if names:
        modes += [ToolChoice("tool", names[:1], parallel=True), ToolChoice("required", names)]
    return Ask(
        NAME,
        "m",
        draw(conversations()),
        draw(st.lists(st.builds(Text, some), max_size=2)),
        draw(st.booleans()),
        [*tools],
        draw(st.none() | st.sampled_from(modes)),
        draw(st.none() | st.integers(1, 9999)),
        sampling=draw(st.dictionaries(st.sampled_from(["temperature", "top_p"]), st.just(Raw(b"0.50")))),
        thinking=draw(
            st.none() | st.builds(Effort, st.sampled_from(["low", "high"]), shown=st.sampled_from([None, True]))
        ),
        format=draw(
            st.none() | st.just(Format()) | st.builds(Format, schemas, ids, words, st.sampled_from([None, True]))
        ),
        logprobs=draw(st.none() | st.integers(0, 5)),
        user=draw(words),
        metadata=draw(st.dictionaries(ids, words, max_size=2)),
        service_tier=draw(st.sampled_from(["", "flex"])),
        cache_key=draw(words),
        other=draw(st.dictionaries(st.sampled_from(["truncation", "max_tool_calls"]), st.just(Raw(b'"auto"')))),
    )


@law
@given(asks())
def test_a_request_written_is_read_as_it_was(ask: Ask) -> None:
    losses = Losses()
    fields = CODEC.write_request(ask, ask.model, losses)
    asked = Request({name: Raw(bytes(value)) for name, value in fields.items()}, "m", ask.stream)
    CODEC.check(asked)
    assert CODEC.read_request(asked) == ask
    assert losses.names() == []


def citations(text: str) -> st.SearchStrategy[list[Citation]]:
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": len(text)}
    return st.sampled_from([[], [Citation(NAME, raw(note), "u", "t", "", 0, len(text))]])


cited_texts = some.flatmap(lambda said: st.builds(Text, st.just(said), citations=citations(said)))
calls = st.builds(ToolCall, ids, ids, json_texts)
usages = st.none() | st.builds(Usage, *[st.integers(0, 10**9)] * 5)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    content: list[Block] = draw(
        st.lists(st.one_of(cited_texts, st.builds(Refusal, some), calls, thoughts, searches), max_size=5)
    )
    called = any(isinstance(block, ToolCall) for block in content)
    refused = any(isinstance(block, Refusal) for block in content)
    finish: Finish = "tools" if called else "refusal" if refused else "stop"
    return Answer(
        content,
        draw(st.sampled_from([finish, "length", "filter"])),
        id=draw(ids),
        model=draw(ids),
        created=draw(st.integers(0, 2**40)),
        usage=draw(usages),
        service_tier=draw(st.sampled_from(["", "default"])),
    )


@law
@given(answers())
def test_an_answer_written_is_read_as_it_was(answer: Answer) -> None:
    losses = Losses()
    body = CODEC.write_answer(answer, Ask(NAME, "m", []), losses)
    assert CODEC.read_answer(body, Losses()) == answer
    assert losses.names() == []


def opened(block: Block) -> tuple[Block, str, str, list[Citation]]:
    """A block at its beginning, and what it grows by."""
    if isinstance(block, Text):
        return Text(""), block.text, "", block.citations
    if isinstance(block, Refusal):
        return Refusal(""), block.text, "", []
    if isinstance(block, ToolCall):
        return ToolCall(block.id, block.name), block.arguments, "", []
    if isinstance(block, Thinking):
        return Thinking(origin=block.origin, id=block.id, summary=True), block.text, block.signature, []
    return block, "", "", []


def unfold(answer: Answer) -> list[Event]:
    """A whole answer as a stream tells it."""
    out: list[Event] = [Started(answer.id, answer.model, answer.created)]
    for at, block in enumerate(answer.content):
        begun, text, signature, cited = opened(block)
        out.append(BlockOpened(at, begun))
        out += [BlockGrew(at, letter) for letter in text]
        out += [BlockGrew(at, signature=signature)] if signature else []
        out += [BlockGrew(at, citation=one) for one in cited]
        out.append(BlockClosed(at))
    return [*out, Finished(answer.finish, usage=answer.usage, service_tier=answer.service_tier)]


def read_stream(body: bytes, cuts: Callable[[bytes], list[bytes]]) -> list[Event]:
    framing, reader = CODEC.framing(10**6), CODEC.reader(Losses())
    out: list[Event] = []
    for piece in cuts(body):
        for name, payload, _ in framing.feed(piece):
            out += reader.feed(name, payload)
    for name, payload, _ in framing.end():
        out += reader.feed(name, payload)
    return out + reader.end()


def written(events: list[Event]) -> bytes:
    writer = CODEC.writer(Ask(NAME, "m", []), Losses())
    return b"".join(writer.feed(event) for event in events)


@law
@given(answers())
def test_a_stream_written_is_read_as_it_was(answer: Answer) -> None:
    assert read_stream(written(unfold(answer)), lambda body: [body]) == unfold(answer)


@law
@given(answers(), st.lists(st.integers(0, 5000), max_size=6))
def test_where_a_stream_was_cut_never_matters(answer: Answer, at: list[int]) -> None:
    body = written(unfold(answer))

    def cut(whole: bytes) -> list[bytes]:
        edges = [0, *sorted(edge % (len(whole) + 1) for edge in at), len(whole)]
        return [whole[begin:end] for begin, end in pairwise(edges)]

    assert read_stream(body, cut) == read_stream(body, lambda whole: [whole])


@law
@given(answers())
def test_the_response_at_the_end_of_a_stream_is_the_whole_answer(answer: Answer) -> None:
    last = written(unfold(answer)).decode().split("\n\n")[-2].partition("data: ")[2]
    streamed = json.loads(last)["response"]
    whole = json.loads(CODEC.write_answer(answer, Ask(NAME, "m", []), Losses()))
    assert streamed == whole
