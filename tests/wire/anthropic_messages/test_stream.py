from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UpstreamOverloaded, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.stream import MessagesReader
from gateway.wire.framing import Events
from gateway.wire.ir import (
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Foreign,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import PLACES, cited

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"},
    },
}
STOP = {"type": "message_stop"}
ENDED = Finished("stop", "", Usage(15, 9, 5), "standard")


def begins(index: int, **block: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grows(index: int, **delta: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def says(index: int, text: str) -> dict[str, object]:
    return grows(index, type="text_delta", text=text)


def closes(index: int) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


def ends(reason: str | None = "end_turn", **more: object) -> dict[str, object]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None, **more},
        "usage": {"output_tokens": 9},
    }


def read(*told: object) -> tuple[list[Event], list[str]]:
    """The events after Started, which every stream here begins with."""
    losses = Losses()
    reader = MessagesReader(losses)
    events = [event for one in (START, *told) for event in reader.feed("", encode(one))]
    events += reader.end()
    assert events[0] == Started("msg_1", "claude")
    return events[1:], losses.names()


TEXT = [begins(0, type="text", text=""), says(0, "Hel"), says(0, "lo"), closes(0)]
HELLO: list[Event] = [BlockOpened(0, Text("")), BlockGrew(0, "Hel"), BlockGrew(0, "lo"), BlockClosed(0)]


def test_an_ordinary_stream() -> None:
    assert read({"type": "ping"}, *TEXT, ends(), STOP) == ([*HELLO, ENDED], [])


def test_every_kind_of_block_grows_as_it_does() -> None:
    events, lost = read(
        begins(0, type="thinking", thinking="", signature=""),
        grows(0, type="thinking_delta", thinking="hm"),
        grows(0, type="signature_delta", signature="Eq"),
        closes(0),
        begins(1, type="redacted_thinking", data="Er"),
        closes(1),
        begins(2, type="text", text="", citations=[]),
        grows(2, type="citations_delta", citation=PLACES[0]),
        grows(2, type="text_delta", text=""),
        closes(2),
        begins(3, type="tool_use", id="t", name="f", input={}, caller={"type": "direct"}),
        grows(3, type="input_json_delta", partial_json=""),
        grows(3, type="input_json_delta", partial_json='{"a":'),
        grows(3, type="input_json_delta", partial_json="1}"),
        closes(3),
        ends("tool_use"),
        STOP,
    )
    assert events == [
        BlockOpened(0, Thinking(origin=NAME)),
        BlockGrew(0, "hm"),
        BlockGrew(0, signature="Eq"),
        BlockClosed(0),
        BlockOpened(1, Thinking(redacted="Er", origin=NAME)),
        BlockClosed(1),
        BlockOpened(2, Text("")),
        BlockGrew(2, citation=cited(PLACES[0])),
        BlockClosed(2),
        BlockOpened(3, ToolCall("t", "f")),
        BlockGrew(3, '{"a":'),
        BlockGrew(3, "1}"),
        BlockClosed(3),
        Finished("tools", "", Usage(15, 9, 5), "standard"),
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("given", "deltas", "grew"),
    [
        ({"a": 1}, [], '{"a":1}'),
        ({}, [], "{}"),
        ("", [], "{}"),
        (None, [], "{}"),
        ({"a": 1}, ['{"a":1}'], '{"a":1}'),
    ],
)
def test_a_tools_input_may_come_whole(given: object, deltas: list[str], grew: str) -> None:
    told = [grows(0, type="input_json_delta", partial_json=text) for text in deltas]
    events, _ = read(begins(0, type="tool_use", id="t", name="f", input=given), *told, closes(0), ends(None), STOP)
    assert events[:3] == [BlockOpened(0, ToolCall("t", "f")), BlockGrew(0, grew), BlockClosed(0)]
    assert isinstance(events[3], Finished)
    assert events[3].finish == "tools"


def test_a_block_of_its_own_is_told_whole_when_it_ends() -> None:
    events, lost = read(
        begins(0, type="server_tool_use", id="s", name="web_search", input={}),
        grows(0, type="input_json_delta", partial_json='{"q":'),
        grows(0, type="input_json_delta", partial_json='"x"}'),
        closes(0),
        begins(1, type="compaction", content=None),
        grows(1, type="compaction_delta", content="so far", encrypted_content="Eq"),
        closes(1),
        begins(2, type="server_tool_use", id="s", name="web_search", input={}),
        grows(2, type="input_json_delta", partial_json='{"q":'),
        ends("max_tokens"),
        STOP,
    )
    search = b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":"x"}}'
    cut = b'{"type":"server_tool_use","id":"s","name":"web_search","input":"{\\"q\\":"}'
    compaction = b'{"type":"compaction","content":"so far","encrypted_content":"Eq"}'
    assert events[:-1] == [
        BlockOpened(0, Foreign(NAME, "server_tool_use", Raw(search))),
        BlockClosed(0),
        BlockOpened(1, Foreign(NAME, "compaction", Raw(compaction))),
        BlockClosed(1),
        BlockOpened(2, Foreign(NAME, "server_tool_use", Raw(cut))),
        BlockClosed(2),
    ]
    assert lost == []


def test_a_host_may_leave_out_starts_stops_indices_and_the_end() -> None:
    bare = [{"type": "content_block_start", "content_block": {"type": "text", "text": "Hel"}}]
    told = [*bare, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "lo"}}]
    assert read(*told, {"type": "content_block_stop"}, ends())[0] == [
        BlockOpened(0, Text("Hel")),
        BlockGrew(0, "lo"),
        BlockClosed(0),
        ENDED,
    ]
    assert read(*TEXT[:3], ends())[0] == [*HELLO, ENDED]
    assert read(begins(0, type="text", text="a"), begins(0, type="text", text="b"), closes(7), ends())[0] == [
        BlockOpened(0, Text("a")),
        BlockClosed(0),
        BlockOpened(1, Text("b")),
        BlockClosed(1),
        ENDED,
    ]
    assert read(grows(0, type="thinking_delta", thinking="hm"), says(1, "so"), ends())[0] == [
        BlockOpened(0, Thinking(origin=NAME)),
        BlockGrew(0, "hm"),
        BlockOpened(1, Text("")),
        BlockGrew(1, "so"),
        BlockClosed(0),
        BlockClosed(1),
        ENDED,
    ]


@pytest.mark.parametrize(
    "told",
    [[*TEXT, ends()], [says(0, "x"), ends()], [ends()], [ends("refusal", stop_details={"explanation": "no"})]],
)
def test_a_stream_begins_even_where_the_host_does_not(told: list[object]) -> None:
    reader = MessagesReader(Losses())
    events = [event for one in told for event in reader.feed("", encode(one))] + reader.end()
    assert events[0] == Started()
    assert sum(isinstance(event, Started) for event in events) == 1


def test_a_repeated_start_counts_and_begins_nothing() -> None:
    again = {"type": "message_start", "message": {"id": "msg_2", "usage": {"input_tokens": 20}}}
    assert read(again, *TEXT, ends())[0] == [*HELLO, Finished("stop", "", Usage(25, 9, 5), "standard")]
    assert read({"type": "message_start"}, *TEXT, ends())[0] == [*HELLO, ENDED]


def test_the_end_needs_a_reason_or_a_last_word() -> None:
    assert read(*TEXT, STOP)[0][-1] == Finished("other", "", Usage(15, 1, 5), "standard")
    for told in ([], TEXT, [STOP]):
        with pytest.raises(UpstreamTruncated):
            read(*told)


def test_done_is_the_hosts_own_word() -> None:
    reader = MessagesReader(Losses())
    reader.feed("", encode(ends()))
    assert not reader.done
    reader.feed("", encode(STOP))
    assert reader.done


def test_how_it_ended_is_told_with_what_it_used() -> None:
    told = {
        "type": "message_delta",
        "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
        "usage": {"input_tokens": 12, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
    }
    assert read(*TEXT, told, STOP)[0][-1] == Finished("sequence", "END", Usage(17, 9, 5, 0, 4), "standard")


def test_a_refusal_says_why_in_a_block_of_its_own() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    events, lost = read(*TEXT, ends("refusal", stop_details=details), STOP)
    assert events[4:6] == [BlockOpened(1, Refusal("Not this.")), BlockClosed(1)]
    assert lost == ["stop_details.category"]


def test_what_has_no_place_elsewhere_is_a_loss() -> None:
    told = {**ends(container={"id": "c"}), "context_management": {"applied_edits": []}}
    begun = {"type": "message_start", "message": {"diagnostics": {}}}
    assert read(begun, TEXT[0], grows(0, type="mood_delta", mood=1), told)[1] == [
        "diagnostics",
        "mood_delta",
        "container",
        "context_management",
    ]


@pytest.mark.parametrize(
    "told", [{"type": "tomorrow", "delta": "x"}, {"type": "tomorrow"}, {"type": "content_block_delta"}]
)
def test_what_is_not_known_says_nothing(told: object) -> None:
    assert MessagesReader(Losses()).feed("", encode(told)) == []


@pytest.mark.parametrize(
    "told",
    [[], {"type": "content_block_delta", "index": "x"}, begins(0), grows(3, type="input_json_delta", partial_json="{")],
)
def test_what_cannot_be_read_breaks_the_stream(told: object) -> None:
    if told == begins(0):
        told = {"type": "content_block_start", "index": 0}
    with pytest.raises(ValueError, match=r"."):
        MessagesReader(Losses()).feed("", encode(told))


@pytest.mark.parametrize("kind", ["error", "ping"])
def test_an_error_is_what_it_says(kind: str) -> None:
    with pytest.raises(UpstreamOverloaded):
        read({"type": kind, "error": {"type": "overloaded_error", "message": "Overloaded"}})


CALL = begins(1, type="tool_use", id="t", name="f", input={})
SOME = b"".join(b"event: x\ndata: %b\n\n" % encode(one) for one in (START, *TEXT, CALL, closes(1), ends(), STOP))


@pytest.mark.slow
@settings(deadline=None)  # an example takes as long as the machine lets it
@given(st.lists(st.integers(0, len(SOME)), max_size=8))
def test_any_cutting_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(SOME)]
    framing, reader = Events(1 << 20), MessagesReader(Losses())
    events: list[Event] = []
    for begin, end in pairwise(bounds):
        for name, payload, _ in framing.feed(SOME[begin:end]):
            events += reader.feed(name, payload)
    events += reader.end()
    assert events == [
        Started("msg_1", "claude"),
        *HELLO,
        BlockOpened(1, ToolCall("t", "f")),
        BlockGrew(1, "{}"),
        BlockClosed(1),
        ENDED,
    ]
