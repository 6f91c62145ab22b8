from binascii import b2a_base64

import pytest

from gateway.errors import UpstreamBusy, UpstreamTruncated
from gateway.features import Usage
from gateway.wire.bedrock_converse.stream import ConverseReader
from gateway.wire.ir import (
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Foreign,
    Media,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import NAME, Json, js, streamed

START = ("messageStart", {"role": "assistant"})
END = ("messageStop", {"stopReason": "end_turn"})
USAGE = ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}})
SIGNER = "anthropic_messages"


def delta(index: int, **said: object) -> tuple[str, object]:
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": said, "p": "abc"})


def start(index: int, **said: object) -> tuple[str, object]:
    return ("contentBlockStart", {"contentBlockIndex": index, "start": said})


def stop(index: int) -> tuple[str, object]:
    return ("contentBlockStop", {"contentBlockIndex": index})


def thought(index: int, **said: object) -> tuple[str, object]:
    return delta(index, reasoningContent=said)


def base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def told(*events: tuple[str, object]) -> list[Event]:
    """What is between the beginning and the end."""
    read, _ = streamed(START, *events, END)
    assert read[0] == Started()
    assert isinstance(read[-1], Finished)
    return read[1:-1]


def test_a_text_is_opened_by_its_first_words() -> None:
    assert streamed(START, delta(0, text="Hel"), delta(0, text="lo"), stop(0), END, USAGE) == (
        [
            Started(),
            BlockOpened(0, Text("")),
            BlockGrew(0, "Hel"),
            BlockGrew(0, "lo"),
            BlockClosed(0),
            Finished("stop", usage=Usage(3, 2)),
        ],
        [],
    )


def test_nothing_said_is_no_block() -> None:
    assert told(delta(0, text=""), stop(0), delta(1, text="a"), stop(1)) == [
        BlockOpened(0, Text("")),
        BlockGrew(0, "a"),
        BlockClosed(0),
    ]


def test_a_call_is_opened_by_its_start_and_is_a_reason_to_end() -> None:
    call = start(1, toolUse={"toolUseId": "t1", "name": "look"})
    read, _ = streamed(
        START,
        delta(0, text="a"),
        stop(0),
        call,
        delta(1, toolUse={"input": '{"a"'}),
        delta(1, toolUse={}),
        stop(1),
        END,
    )
    assert read[4:] == [
        BlockOpened(1, ToolCall("t1", "look")),
        BlockGrew(1, '{"a"'),
        BlockGrew(1, ""),
        BlockClosed(1),
        Finished("tools"),
    ]


def test_a_call_that_grows_without_its_start_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="never began"):
        streamed(START, delta(0, toolUse={"input": "{"}))


def test_a_thought_is_told_with_its_signature() -> None:
    assert told(thought(0, text="hm"), thought(0, signature="EqkC"), stop(0)) == [
        BlockOpened(0, Thinking(origin=SIGNER)),
        BlockGrew(0, "hm"),
        BlockGrew(0, "", "EqkC"),
        BlockClosed(0),
    ]


def test_a_hidden_thought_is_given_when_it_is_whole() -> None:
    assert told(thought(0, redactedContent="RXRrRQ=="), stop(0)) == [
        BlockOpened(0, Thinking(redacted="EtkE", origin=SIGNER)),
        BlockClosed(0),
    ]
    parts = (thought(0, redactedContent=base64(b"Et")), thought(0, redactedContent=base64(b"kE")))
    assert told(*parts) == [BlockOpened(0, Thinking(redacted="EtkE", origin=SIGNER)), BlockClosed(0)]
    after = told(thought(0, text="hm"), thought(0, redactedContent="RXRrRQ=="), thought(0, text="so"), stop(0))
    assert [event.block for event in after if isinstance(event, BlockOpened)] == [
        Thinking(origin=SIGNER),
        Thinking(redacted="EtkE", origin=SIGNER),
        Thinking(origin=SIGNER),
    ]


def test_a_citation_belongs_to_its_text() -> None:
    said = {"title": "T", "location": {"web": {"url": "https://a.example"}}}
    citation = Citation(NAME, js(said), "https://a.example", "T")
    assert told(delta(0, text="a"), delta(0, citation=said), stop(0))[2] == BlockGrew(0, citation=citation)
    assert told(delta(0, citation=said), stop(0))[:2] == [BlockOpened(0, Text("")), BlockGrew(0, citation=citation)]


def test_a_picture_is_given_when_it_is_whole() -> None:
    events = (start(0, image={"format": "png"}), delta(0, image={"source": {"bytes": "AA=="}}), stop(0))
    assert told(*events) == [BlockOpened(0, Media("image", "image/png", "AA==")), BlockClosed(0)]


def test_what_amazons_own_tools_do_is_its_own() -> None:
    asked: dict[str, object] = {"toolUseId": "t1", "name": "nova_code_interpreter", "type": "server_tool_use"}
    gave: dict[str, object] = {"toolUseId": "t1", "type": "nova_code_interpreter_result", "status": "success"}
    events = (
        start(0, toolUse=asked),
        delta(0, toolUse={"input": '{"snippet":'}),
        delta(0, toolUse={"input": "1}"}),
        stop(0),
        start(1, toolResult=gave),
        delta(1, toolResult=[{"json": {"out": 1}}]),
        stop(1),
    )
    assert told(*events) == [
        BlockOpened(0, Foreign(NAME, "server_tool_use", js({"toolUse": {**asked, "input": {"snippet": 1}}}))),
        BlockClosed(0),
        BlockOpened(1, Foreign(NAME, "toolResult", js({"toolResult": {**gave, "content": [{"json": {"out": 1}}]}}))),
        BlockClosed(1),
    ]
    unasked = told(start(0, toolUse=asked), stop(0))[0]
    assert unasked == BlockOpened(0, Foreign(NAME, "server_tool_use", js({"toolUse": {**asked, "input": {}}})))


@pytest.mark.parametrize(
    "begun",
    [
        start(0, toolUse={"toolUseId": "t1", "name": "nova", "type": "server_tool_use"}),
        start(0, toolResult={"toolUseId": "t1"}),
        start(0, image={"format": "png"}),
    ],
)
def test_words_inside_what_is_gathered_end_it(begun: tuple[str, object]) -> None:
    picture = [delta(0, image={"source": {"bytes": "AA=="}})] if "image" in str(begun) else []
    events = told(begun, *picture, delta(0, text="a"), stop(0))
    assert [type(event) for event in events] == [BlockOpened, BlockClosed, BlockOpened, BlockGrew, BlockClosed]


def test_a_block_of_another_kind_ends_the_one_before() -> None:
    assert told(delta(0, text="a"), thought(0, text="b"), delta(0, text="c")) == [
        BlockOpened(0, Text("")),
        BlockGrew(0, "a"),
        BlockClosed(0),
        BlockOpened(1, Thinking(origin=SIGNER)),
        BlockGrew(1, "b"),
        BlockClosed(1),
        BlockOpened(2, Text("")),
        BlockGrew(2, "c"),
        BlockClosed(2),
    ]


def test_blocks_may_stand_side_by_side() -> None:
    events = told(delta(0, text="a"), delta(1, text="b"), delta(0, text="c"), stop(0), stop(1), stop(2))
    assert [(event.at, event.text) for event in events if isinstance(event, BlockGrew)] == [
        (0, "a"),
        (1, "b"),
        (0, "c"),
    ]


@pytest.mark.parametrize(
    ("event", "losses"),
    [
        (delta(0, tomorrow={"a": 1}), ["tomorrow"]),
        (start(0, tomorrow={"a": 1}), ["tomorrow"]),
        (start(0), []),
        (delta(0), []),
        (delta(0, toolResult=[]), ["toolResult"]),
        (("tomorrow", {"a": 1}), []),
        (("metadata", {"trace": {"guardrail": {}}}), ["trace"]),
    ],
)
def test_what_is_not_known_is_passed_over_and_noted(event: tuple[str, object], losses: list[str]) -> None:
    assert streamed(START, event, END) == ([Started(), Finished("stop")], losses)


def test_how_it_ended_is_told_with_tier_and_sequence() -> None:
    ended = (
        "messageStop",
        {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}},
    )
    last = ("metadata", {"serviceTier": {"type": "flex"}})
    assert streamed(START, ended, last)[0][-1] == Finished("sequence", "END", None, "flex")


def test_a_claude_tells_the_sequence_as_its_own_stream_does() -> None:
    fields = {"delta": {"stop_sequence": "END"}}
    ended = ("messageStop", {"stopReason": "stop_sequence", "additionalModelResponseFields": fields})
    assert streamed(START, ended, ("metadata", {})) == ([Started(), Finished("sequence", "END")], [])


def test_a_stream_begins_once_though_its_beginning_is_missing() -> None:
    assert streamed(delta(0, text="a"), START, END)[0].count(Started()) == 1
    assert streamed(END)[0] == [Started(), Finished("stop")]


def test_a_stream_is_done_when_its_last_message_has_come() -> None:
    reader = ConverseReader(Losses())
    payload: dict[str, Json] = {"messageStop": b'{"stopReason":"end_turn"}', "metadata": b"{}"}
    reader.feed("metadata", payload["metadata"])
    assert not reader.done
    reader.feed("messageStop", payload["messageStop"])
    assert not reader.done
    reader.feed("metadata", payload["metadata"])
    assert reader.done


def test_a_stream_without_its_end_was_cut_off() -> None:
    with pytest.raises(UpstreamTruncated):
        streamed(START, delta(0, text="a"), stop(0))


def test_an_exception_is_raised() -> None:
    with pytest.raises(UpstreamBusy):
        streamed(START, ("!throttlingException", {"message": "Slow down."}))


@pytest.mark.parametrize(
    "event",
    [
        ("contentBlockDelta", []),
        delta(0, text=1),
        ("contentBlockStart", {"start": {"toolUse": {"name": "look"}}}),
        delta(0, reasoningContent={"text": []}),
    ],
)
def test_what_cannot_be_read_is_said_to_be_so(event: tuple[str, object]) -> None:
    with pytest.raises(ValueError, match=r"Expected|missing"):
        streamed(START, event, END)


def test_a_hidden_thought_in_pieces_that_are_no_base64_cannot_be_read() -> None:
    with pytest.raises(ValueError, match=r"."):
        streamed(START, thought(0, redactedContent="a"), thought(0, redactedContent="b"), END)
