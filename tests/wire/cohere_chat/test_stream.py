import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UpstreamBroken, UpstreamError, UpstreamSlow, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.cohere_chat.stream import CohereReader
from gateway.wire.cohere_chat.words import CITATION, NAME, PLAN
from gateway.wire.ir import (
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Foreign,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

START = {
    "type": "message-start",
    "id": "1",
    "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}},
}
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}


def content(kind: str, index: int | None = 0, **said: object) -> dict[str, object]:
    return {"type": kind, "index": index, "delta": {"message": {"content": said}}}


def call(kind: str, said: object) -> dict[str, object]:
    return {"type": kind, "index": 0, "delta": {"message": {"tool_calls": said}}}


def heard(*said: object) -> list[Event]:
    reader = CohereReader(Losses())
    events: list[Event] = []
    for event in said:
        events += reader.feed("", event if isinstance(event, bytes) else encode(event))
    return events + reader.end()


def test_a_stream_with_thoughts_text_and_citations() -> None:
    cited = Raw(b'{"start":0,"end":5,"text":"hello","sources":[],"content_index":1}')
    assert heard(
        START,
        content("content-start", type="thinking", thinking=""),
        content("content-delta", thinking="hmm"),
        {"type": "content-end", "index": 0},
        content("content-start", 1, type="text", text=""),
        content("content-delta", 1, text="hello"),
        {"type": "content-end", "index": 1},
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": cited}}},
        {"type": "citation-end", "index": 0},
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 12.0, "output_tokens": 5}}},
        },
        b"[DONE]",
    ) == [
        Started("1"),
        BlockOpened(0, Thinking()),
        BlockGrew(0, "hmm"),
        BlockClosed(0),
        BlockOpened(1, Text("")),
        BlockGrew(1, "hello"),
        BlockGrew(1, citation=Citation(NAME, cited, start=0, end=5)),
        BlockClosed(1),
        Finished("stop", usage=Usage(12, 5)),
    ]


def test_a_stream_with_a_plan_and_calls() -> None:
    assert heard(
        START,
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I"}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": " will"}}},
        {"type": "tool-plan-delta", "delta": {}},
        call("tool-call-start", {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}),
        call("tool-call-delta", {"function": {"arguments": "{\n  "}}),
        call("tool-call-delta", {"function": {"arguments": ""}}),
        call("tool-call-delta", {"function": {"arguments": "}"}}),
        {"type": "tool-call-end", "index": 0},
        call("tool-call-start", [{"function": {"name": "g", "arguments": "{}"}}]),
        {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
    ) == [
        Started("1"),
        BlockOpened(0, Thinking(origin=NAME, id=PLAN)),
        BlockGrew(0, "I"),
        BlockGrew(0, " will"),
        BlockClosed(0),
        BlockOpened(1, ToolCall("c", "f")),
        BlockGrew(1, "{\n  "),
        BlockGrew(1, "}"),
        BlockClosed(1),
        BlockOpened(2, ToolCall("1call_1", "g", "{}")),
        BlockClosed(2),
        Finished("tools"),
    ]


def test_blocks_whose_beginning_nobody_said_begin_with_their_first_piece() -> None:
    assert heard(
        content("content-delta", None, thinking="a"),
        content("content-delta", None, text="b"),
        content("content-delta", 1, text="c"),
        content("content-delta", 1),
        {"type": "content-delta", "index": 1},
        END,
    ) == [
        Started(),
        BlockOpened(0, Thinking()),
        BlockGrew(0, "a"),
        BlockClosed(0),
        BlockOpened(1, Text("")),
        BlockGrew(1, "b"),
        BlockClosed(1),
        BlockOpened(2, Text("")),
        BlockGrew(2, "c"),
        BlockClosed(2),
        Finished("stop"),
    ]


def test_a_beginning_may_hold_words_already_or_say_nothing_at_all() -> None:
    assert heard(
        content("content-start", type="text", text="a"),
        {"type": "content-start", "index": 1},
        content("content-delta", 1, text=""),
        call("tool-call-start", []),
        END,
    ) == [
        Started(),
        BlockOpened(0, Text("a")),
        BlockClosed(0),
        BlockOpened(1, Text("")),
        BlockClosed(1),
        BlockOpened(2, ToolCall("call_0", "")),
        BlockClosed(2),
        Finished("tools"),
    ]


def test_content_of_an_unknown_kind_is_only_ours() -> None:
    assert heard(START, content("content-start", type="chart"), content("content-delta", of="bars"), END) == [
        Started("1"),
        BlockOpened(0, Foreign(NAME, "chart", Raw(b'{"type":"chart"}'))),
        BlockClosed(0),
        Finished("stop"),
    ]


def test_logprobs_come_with_their_piece() -> None:
    piece = content("content-delta", text="Hi") | {"logprobs": {"text": "Hi", "token_ids": [], "logprobs": [-0.5]}}
    (_, _, grew, _, _) = heard(START, piece, END)
    assert grew == BlockGrew(0, "Hi", logprobs=Raw(b'[{"token":"Hi","logprob":-0.5,"bytes":null,"top_logprobs":[]}]'))


def test_citations_of_something_else_than_the_open_text_stand_alone() -> None:
    plan, late = Raw(b'{"type":"PLAN","start":1}'), Raw(b'{"start":0,"content_index":0}')
    events = heard(
        content("content-delta", text="a"),
        {"type": "citation-start", "delta": {"message": {"citations": [plan, late]}}},
        {"type": "citation-start", "delta": {}},
        END,
    )
    assert events[4:8] == [
        BlockOpened(1, Foreign(NAME, CITATION, plan)),
        BlockClosed(1),
        BlockOpened(2, Foreign(NAME, CITATION, late)),
        BlockClosed(2),
    ]


def test_events_nobody_knows_say_nothing() -> None:
    assert heard({"type": "debug", "prompt": "x"}, {"type": "tomorrows"}, {}, END) == [Started(), Finished("stop")]


def test_it_is_done_with_the_end_of_the_message() -> None:
    reader = CohereReader(Losses())
    done = [reader.done]
    assert reader.feed("", encode({"type": "message-end"})) == []
    assert [*done, reader.done] == [False, True]
    assert reader.end() == [Started(), Finished("stop")]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"type": "message-end", "delta": {"error": "boom", "finish_reason": "ERROR"}}, UpstreamError),
        ({"type": "message-end", "delta": {"error": "", "finish_reason": "ERROR"}}, UpstreamBroken),
        ({"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}, UpstreamSlow),
        ({"type": "error", "error": {"message": "overloaded"}}, UpstreamError),
        ({"message": "internal error"}, UpstreamError),
        (call("tool-call-delta", {"function": {"arguments": "{"}}), UpstreamBroken),
    ],
)
def test_what_went_wrong_is_an_error(said: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        heard(START, said)


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[]", b'{"type":1}'])
def test_what_is_no_event_cannot_be_read(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"Input|JSON|Expected"):
        CohereReader(Losses()).feed("", payload)


def test_a_stream_without_its_end_is_cut_off() -> None:
    with pytest.raises(UpstreamTruncated):
        heard(START, content("content-delta", text="a"))
