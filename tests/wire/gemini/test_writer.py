import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import DeadlineExceeded
from gateway.features import Usage
from gateway.wire.gemini.answer import fold
from gateway.wire.gemini.codec import CODEC
from gateway.wire.gemini.signature import show
from gateway.wire.gemini.writer import ArrayWriter, EventWriter, asks_events
from gateway.wire.ir import (
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Foreign,
    Media,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses

ASK = Ask("gemini", "mine", [])
STARTED = Started("r1", "m1", 7)
TAIL = {"modelVersion": "m1", "createTime": "1970-01-01T00:00:07Z", "responseId": "r1"}


def chunks(*events: Event, losses: Losses | None = None) -> list[dict[str, object]]:
    """What the events say, read as official clients do; they begin and end as every stream."""
    writer = EventWriter(ASK, losses or Losses())
    out = b"".join(writer.feed(event) for event in (STARTED, *events))
    assert out.endswith(b"\r\n\r\n") or not out
    return [json.loads(event.removeprefix(b"data: ")) for event in out.split(b"\r\n\r\n") if event]


def told(*events: Event, losses: Losses | None = None) -> list[object]:
    """The parts of each chunk, and only they."""
    found: list[object] = []
    for chunk in chunks(*events, losses=losses):
        candidates = chunk.pop("candidates")
        assert chunk == TAIL
        assert isinstance(candidates, list)
        (candidate,) = candidates
        assert candidate["index"] == 0
        assert candidate["content"]["role"] == "model"
        found += candidate["content"]["parts"]
    return found


def test_text_is_a_chunk_for_each_piece() -> None:
    said = BlockGrew(0, 'l"o'), BlockGrew(0), BlockClosed(0)
    assert told(BlockOpened(0, Text("")), BlockGrew(0, "Hel"), *said) == [{"text": "Hel"}, {"text": 'l"o'}]
    assert told(BlockOpened(0, Text("Hel")), *said) == [{"text": "Hel"}, {"text": 'l"o'}]


def test_a_refusal_is_text() -> None:
    losses = Losses()
    assert told(BlockOpened(0, Refusal("")), BlockGrew(0, "no"), BlockClosed(0), losses=losses) == [{"text": "no"}]
    assert losses.names() == ["refusal=mapped"]


def test_a_thought_ends_with_what_the_caller_keeps() -> None:
    thinking = Thinking("a", origin="anthropic_messages")
    signed = Thinking("", "sig", origin="anthropic_messages")
    assert told(BlockOpened(0, thinking), BlockGrew(0, "b"), BlockGrew(0, signature="sig"), BlockClosed(0)) == [
        {"text": "a", "thought": True},
        {"text": "b", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": show(signed)},
    ]
    assert thinking == Thinking("a", origin="anthropic_messages")


def test_a_thought_without_a_signature_just_ends() -> None:
    assert told(BlockOpened(0, Thinking()), BlockGrew(0, "a"), BlockClosed(0)) == [{"text": "a", "thought": True}]


def test_geminis_own_mark_stands_on_an_empty_text() -> None:
    mark = Thinking("", "c2ln", origin="gemini")
    assert told(BlockOpened(0, mark), BlockClosed(0)) == [{"text": "", "thoughtSignature": "c2ln"}]


def test_a_call_is_told_whole_at_its_end() -> None:
    call = ToolCall("1", "f", "", origin="gemini")
    pieces = BlockGrew(0, '{"a":'), BlockGrew(0, "1}"), BlockGrew(0, signature="c2ln")
    assert told(BlockOpened(0, call), *pieces, BlockClosed(0)) == [
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    ]
    assert call.arguments == ""


def test_blocks_may_be_open_side_by_side() -> None:
    assert told(
        BlockOpened(0, ToolCall("1", "f", "{")),
        BlockOpened(1, ToolCall("2", "g")),
        BlockGrew(1, "{}"),
        BlockGrew(0, "}"),
        BlockClosed(1),
        BlockClosed(0),
    ) == [
        {"functionCall": {"id": "2", "name": "g", "args": {}}},
        {"functionCall": {"id": "1", "name": "f", "args": {}}},
    ]


def test_what_comes_whole_is_told_or_lost() -> None:
    losses = Losses()
    blocks: list[Block] = [
        Media("image", "image/png", "AA=="),
        Foreign("gemini", "executableCode", Raw(b'{"executableCode":{}}')),
        Foreign("x", "odd", Raw(b"{}")),
        ToolResult("1", []),
    ]
    events = [
        event for at, block in enumerate(blocks) for event in (BlockOpened(at, block), BlockGrew(at), BlockClosed(at))
    ]
    assert told(*events, losses=losses) == [
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"executableCode": {}},
    ]
    assert losses.names() == ["odd", "tool_results"]


def test_the_last_chunk_says_why_and_how_much() -> None:
    losses = Losses()
    end = Finished("tools", usage=Usage(1, 2), service_tier="batch")
    assert chunks(end, losses=losses) == [
        {
            "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
            **TAIL,
        }
    ]
    assert losses.names() == ["service_tier"]
    assert "usageMetadata" not in chunks(Finished("stop"))[0]


def test_citations_come_with_the_end() -> None:
    first = Citation("gemini", Raw(b"1"), "https://a.example", start=0, end=1)
    later = Citation("gemini", Raw(b"2"), "https://b.example", start=1, end=2)
    *_, end = chunks(
        BlockOpened(0, Text("é", citations=[first])),
        BlockClosed(0),
        BlockOpened(1, Text("")),
        BlockGrew(1, "ab"),
        BlockGrew(1, citation=later),
        BlockClosed(1),
        BlockOpened(2, Refusal("no")),
        BlockGrew(2, citation=later),
        BlockClosed(2),
        Finished("stop"),
    )
    candidates = end["candidates"]
    assert isinstance(candidates, list)
    assert candidates[0]["groundingMetadata"]["groundingSupports"] == [
        {"segment": {"startIndex": 0, "endIndex": 2, "text": "é"}, "groundingChunkIndices": [0]},
        {"segment": {"startIndex": 3, "endIndex": 4, "text": "b"}, "groundingChunkIndices": [1]},
    ]


def test_logprobs_come_with_their_text() -> None:
    tokens = Raw(b'[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}]')
    (chunk,) = chunks(BlockOpened(0, Text("")), BlockGrew(0, "a", logprobs=tokens), BlockClosed(0))
    assert chunk["candidates"] == [
        {
            "content": {"parts": [{"text": "a"}], "role": "model"},
            "index": 0,
            "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1.0}]},
        }
    ]


def test_the_callers_model_is_told_where_the_upstream_named_none() -> None:
    writer = EventWriter(ASK, Losses())
    writer.feed(Started())
    assert json.loads(writer.feed(Finished("stop")).removeprefix(b"data: "))["modelVersion"] == "mine"


def test_a_break_is_told_as_official_clients_look_for_it() -> None:
    frame = EventWriter(ASK, Losses()).fail(DeadlineExceeded("Too late."))
    # google-genai looks for it at the very beginning of the event.
    assert frame.startswith(b'data: {"error":{"code":504,')
    assert frame.endswith(b"\r\n\r\n")


def test_an_array_is_json_as_a_whole() -> None:
    writer = ArrayWriter(ASK, Losses())
    text: list[Event] = [BlockOpened(0, Text("")), BlockGrew(0, "a"), BlockGrew(0, "b"), BlockClosed(0)]
    out = b"".join(writer.feed(event) for event in (STARTED, *text, Finished("stop")))
    assert out.startswith(b'[{"candidates"')
    assert out.count(b"}\n,\r\n{") == 2
    assert out.endswith(b"}\n]")
    assert len(json.loads(out)) == 3


def test_an_array_that_breaks_is_json_as_well() -> None:
    writer = ArrayWriter(ASK, Losses())
    assert json.loads(writer.fail(DeadlineExceeded("Too late.")))[0]["error"]["status"] == "DEADLINE_EXCEEDED"
    writer = ArrayWriter(ASK, Losses())
    out = writer.feed(STARTED) + writer.feed(BlockOpened(0, Text("a")))
    assert len(json.loads(out + writer.fail(DeadlineExceeded("Too late.")))) == 2


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("alt=sse", True),
        ("a=b&%24alt=SSE", True),
        ("$alt=sse", True),
        ("", False),
        ("alt=json", False),
        ("key=alt", False),
    ],
)
def test_the_address_says_which_of_both_is_asked_for(query: str, *, events: bool) -> None:
    assert asks_events(query) is events


def test_each_writer_knows_its_media_type() -> None:
    assert EventWriter(ASK, Losses()).media_type == "text/event-stream"
    assert ArrayWriter(ASK, Losses()).media_type == "application/json; charset=UTF-8"


WORDS = st.text(min_size=1, max_size=6)
GROWN = st.lists(st.builds(BlockGrew, st.just(0), WORDS), min_size=1, max_size=3)
GROWING: st.SearchStrategy[tuple[Block, list[BlockGrew]]] = st.one_of(
    st.tuples(st.just(Text("")), GROWN),
    st.tuples(
        st.just(Thinking(origin="gemini")),
        GROWN.map(lambda grown: [*grown, BlockGrew(0, "", "c2ln")]),
    ),
    st.tuples(st.builds(ToolCall, WORDS, WORDS, st.just('{"a":1}')), st.builds(list[BlockGrew])),
)


@given(st.lists(GROWING, max_size=4))
def test_a_stream_comes_back_as_it_went(blocks: list[tuple[Block, list[BlockGrew]]]) -> None:
    events: list[Event] = [STARTED]
    texts = False
    for block, grown in blocks:
        if texts and isinstance(block, Text):
            continue  # neighbouring texts are one
        texts = isinstance(block, Text)
        at = sum(isinstance(event, BlockOpened) for event in events)
        more = [BlockGrew(at, grew.text, grew.signature) for grew in grown]
        copy = Text("") if texts else Thinking(origin="gemini") if isinstance(block, Thinking) else block
        events += [BlockOpened(at, copy), *more, BlockClosed(at)]
    events.append(Finished("malformed", usage=Usage(1, 2)))
    writer, framing, reader = EventWriter(ASK, Losses()), CODEC.framing(2**16), CODEC.reader(Losses())
    frames = framing.feed(b"".join(map(writer.feed, events)))
    back = [event for name, payload, _ in frames for event in reader.feed(name, payload)] + reader.end()
    assert fold(back) == fold(events)
