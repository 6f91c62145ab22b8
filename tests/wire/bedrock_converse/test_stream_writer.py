import pytest
from msgspec import Raw

from gateway.errors import UpstreamSlow
from gateway.features import Usage
from gateway.wire.bedrock_converse.stream_writer import ConverseWriter
from gateway.wire.ir import (
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
from tests.wire.bedrock_converse.said import NAME, Json, ask, frames, js, spoken, streamed

CITED = Citation("gemini", Raw(b"{}"), "https://a.example", "T", "q")


def told(*events: Event) -> list[tuple[str, Json]]:
    """What is said of these blocks, without the stream's beginning and end."""
    said, _ = spoken([Started(), *events, Finished("stop")])
    assert said[0] == ("messageStart", {"role": "assistant"})
    assert [name for name, _ in said[-2:]] == ["messageStop", "metadata"]
    return said[1:-2]


def lost(*events: Event) -> list[str]:
    return spoken(events)[1]


def delta(index: int, **said: object) -> tuple[str, object]:
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": said})


def start(index: int, **said: object) -> tuple[str, object]:
    return ("contentBlockStart", {"contentBlockIndex": index, "start": said})


def stop(index: int) -> tuple[str, object]:
    return ("contentBlockStop", {"contentBlockIndex": index})


def test_a_whole_stream_has_the_order_that_kits_need() -> None:
    said, losses = spoken(
        [
            Started("id", "m", 7),
            BlockOpened(0, Text("")),
            BlockGrew(0, "Hel"),
            BlockGrew(0, "lo"),
            BlockClosed(0),
            BlockOpened(1, ToolCall("t1", "look")),
            BlockGrew(1, '{"a"'),
            BlockGrew(1, ":1}"),
            BlockClosed(1),
            Finished("tools", usage=Usage(3, 2)),
        ]
    )
    assert said == [
        ("messageStart", {"role": "assistant"}),
        delta(0, text="Hel"),
        delta(0, text="lo"),
        stop(0),
        start(1, toolUse={"toolUseId": "t1", "name": "look"}),
        delta(1, toolUse={"input": '{"a"'}),
        delta(1, toolUse={"input": ":1}"}),
        stop(1),
        ("messageStop", {"stopReason": "tool_use"}),
        (
            "metadata",
            {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 0}},
        ),
    ]
    assert losses == []


def test_a_block_may_begin_with_all_of_it() -> None:
    call = ToolCall("", "look", '{"a":1}')
    assert told(BlockOpened(0, Text("Hi")), BlockClosed(0), BlockOpened(1, call), BlockClosed(1)) == [
        delta(0, text="Hi"),
        stop(0),
        start(1, toolUse={"toolUseId": "tooluse_1", "name": "look"}),
        delta(1, toolUse={"input": '{"a":1}'}),
        stop(1),
    ]


@pytest.mark.parametrize("block", [Text(""), Thinking(origin="gemini"), Refusal("")])
def test_a_block_that_says_nothing_has_no_place(block: Block) -> None:
    assert told(BlockOpened(0, block), BlockGrew(0, ""), BlockClosed(0), BlockOpened(1, Text("a"))) == [
        delta(0, text="a"),
        stop(0),
    ]


def test_a_thought_ends_in_what_proves_it() -> None:
    events = (BlockOpened(0, Thinking("h", origin="gemini")), BlockGrew(0, "m", "s"), BlockGrew(0, "", "ig"))
    assert told(*events, BlockClosed(0)) == [
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "m"}),
        delta(0, reasoningContent={"signature": "gw1.gemini.sig"}),
        stop(0),
    ]


def test_a_hidden_thought_is_one_piece() -> None:
    hidden = Thinking(redacted="EtkE", origin="anthropic_messages")
    assert told(BlockOpened(0, hidden), BlockClosed(0)) == [
        delta(0, reasoningContent={"redactedContent": "RXRrRQ=="}),
        stop(0),
    ]


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("hm", "sig", origin="anthropic_messages"),
        Thinking(redacted="x", origin="anthropic_messages"),
        Thinking("hm", "", "gAAA", "openai_responses", "rs_1", summary=True),
        Thinking("", "", "gAAA", "openai_responses", "rs_1"),
    ],
)
def test_a_thought_comes_back_as_it_was(thought: Thinking) -> None:
    from tests.wire.bedrock_converse.said import blocks_of

    said = told(BlockOpened(0, thought), BlockClosed(0))
    words: dict[str, str] = {}
    for name, payload in said:
        if name == "contentBlockDelta":
            words |= payload["delta"]["reasoningContent"]
    block = words if "redactedContent" in words else {"reasoningText": words}
    assert blocks_of({"reasoningContent": block}) == [thought]


def test_an_events_own_thought_is_left_as_it_was() -> None:
    opened = BlockOpened(0, Thinking(origin="gemini"))
    told(opened, BlockGrew(0, "", "sig"), BlockClosed(0))
    assert opened.block == Thinking(origin="gemini")


def test_citations_are_said_beside_their_text() -> None:
    said = {
        "title": "T",
        "sourceContent": [{"text": "q"}],
        "location": {"web": {"url": "https://a.example"}},
    }
    events = (BlockOpened(0, Text("a", citations=[CITED])), BlockGrew(0, citation=CITED), BlockClosed(0))
    assert told(*events) == [delta(0, text="a"), delta(0, citation=said), delta(0, citation=said), stop(0)]
    nothing = Citation("gemini", Raw(b"{}"))
    assert told(BlockOpened(0, Text("a")), BlockGrew(0, citation=nothing), BlockClosed(0)) == [
        delta(0, text="a"),
        stop(0),
    ]


def test_a_refusal_is_words() -> None:
    events = (BlockOpened(0, Refusal("N")), BlockGrew(0, "o."), BlockClosed(0))
    assert told(*events) == [delta(0, text="N"), delta(0, text="o."), stop(0)]
    assert lost(*events) == ["refusal=mapped"]


def test_a_picture_is_said_in_two_steps() -> None:
    picture = Media("image", "image/png", "AA==")
    assert told(BlockOpened(0, picture), BlockGrew(0, "x"), BlockClosed(0)) == [
        start(0, image={"format": "png"}),
        delta(0, image={"source": {"bytes": "AA=="}}),
        stop(0),
    ]


@pytest.mark.parametrize(
    ("block", "losses"),
    [
        (Media("image", "image/png", url="https://a.example/b.png"), ["images"]),
        (Media("audio", "audio/wav", "AA=="), ["audio"]),
        (Media("image", file="file-1"), ["files"]),
        (ToolResult("t1", []), ["tool_results"]),
        (Foreign("gemini", "executableCode", Raw(b"{}")), ["executableCode"]),
        (Foreign(NAME, "tomorrow", Raw(b"{}")), ["tomorrow"]),
        (ToolCall("t1", "look", signature="s", origin="gemini"), ["thinking.signature"]),
    ],
)
def test_what_a_stream_cannot_say_is_a_loss(block: Block, losses: list[str]) -> None:
    assert lost(Started(), BlockOpened(0, block), BlockClosed(0)) == losses


def test_what_grows_and_cannot_be_said_is_a_loss() -> None:
    assert lost(BlockOpened(0, Text("")), BlockGrew(0, "a", logprobs=Raw(b"[]"))) == ["logprobs"]
    assert lost(BlockOpened(0, ToolCall("1", "a")), BlockGrew(0, "", "s")) == ["thinking.signature"]


def test_what_amazons_own_tools_did_is_said_as_it_was() -> None:
    asked = {"toolUseId": "t1", "name": "nova", "type": "server_tool_use"}
    gave = {"toolUseId": "t1", "type": "nova_result"}
    events: list[tuple[str, object]] = [
        ("messageStart", {"role": "assistant"}),
        start(0, toolUse=asked),
        delta(0, toolUse={"input": '{"a":1}'}),
        stop(0),
        start(1, toolResult=gave),
        delta(1, toolResult=[{"text": "a"}]),
        stop(1),
        ("messageStop", {"stopReason": "end_turn"}),
    ]
    assert spoken(streamed(*events)[0])[0][:-1] == events
    bare = Foreign(NAME, "toolResult", js({"toolResult": {"toolUseId": "t1"}}))
    assert told(BlockOpened(0, bare))[1] == delta(0, toolResult=[])


def test_a_text_that_goes_on_beside_another_is_said_in_two_blocks() -> None:
    events = (
        BlockOpened(0, Text("")),
        BlockGrew(0, "a"),
        BlockOpened(1, Thinking(origin="gemini")),
        BlockGrew(1, "b"),
        BlockGrew(0, "c"),
        BlockGrew(1, "d", "s"),
        BlockClosed(0),
        BlockClosed(1),
    )
    assert told(*events) == [
        delta(0, text="a"),
        stop(0),
        delta(1, reasoningContent={"text": "b"}),
        stop(1),
        delta(2, text="c"),
        stop(2),
        delta(3, reasoningContent={"text": "d"}),
        delta(3, reasoningContent={"signature": "gw1.gemini.s"}),
        stop(3),
    ]


def test_while_a_call_is_open_the_others_wait() -> None:
    events = (
        BlockOpened(0, Text("a")),
        BlockOpened(1, ToolCall("t1", "x")),
        BlockOpened(2, ToolCall("t2", "y")),
        BlockGrew(2, "{"),
        BlockGrew(1, "{}"),
        BlockGrew(0, "b"),
        BlockGrew(0, "c"),
        BlockGrew(2, "}"),
        BlockClosed(2),
        BlockClosed(1),
        BlockClosed(0),
    )
    assert told(*events) == [
        delta(0, text="a"),
        stop(0),
        start(1, toolUse={"toolUseId": "t1", "name": "x"}),
        delta(1, toolUse={"input": "{}"}),
        stop(1),
        start(2, toolUse={"toolUseId": "t2", "name": "y"}),
        delta(2, toolUse={"input": "{"}),
        delta(2, toolUse={"input": "}"}),
        stop(2),
        delta(3, text="b"),
        delta(3, text="c"),
        stop(3),
    ]


def test_what_still_waits_at_the_end_is_said() -> None:
    events = (
        BlockOpened(0, ToolCall("t1", "x")),
        BlockOpened(1, ToolCall("t2", "y")),
        BlockGrew(1, "{}"),
        BlockOpened(2, Text("a")),
    )
    assert told(*events) == [
        start(0, toolUse={"toolUseId": "t1", "name": "x"}),
        stop(0),
        start(1, toolUse={"toolUseId": "t2", "name": "y"}),
        delta(1, toolUse={"input": "{}"}),
        stop(1),
        delta(2, text="a"),
        stop(2),
    ]


def test_growth_of_a_block_that_is_over_is_nobodys() -> None:
    assert told(BlockOpened(0, Text("a")), BlockClosed(0), BlockGrew(0, "b"), BlockClosed(7)) == [
        delta(0, text="a"),
        stop(0),
    ]


def test_thousands_of_calls_side_by_side_are_said_one_by_one() -> None:
    many = 3000
    events: list[Event] = [BlockOpened(n, ToolCall(f"t{n}", "x")) for n in range(many)]
    events += [BlockGrew(n, "{}") for n in range(many)]
    events += [BlockClosed(n) for n in range(many)]
    assert [payload["contentBlockIndex"] for name, payload in told(*events) if name == "contentBlockStop"] == list(
        range(many)
    )


def test_how_it_ended_is_said_with_tier_and_sequence() -> None:
    said, losses = spoken([Finished("sequence", "END", None, "flex")])
    assert said[0][1] == {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}}
    assert said[1][1]["serviceTier"] == {"type": "flex"}
    assert losses == []


def test_a_break_is_an_exception() -> None:
    assert frames(ConverseWriter(ask(), Losses()).fail(UpstreamSlow("Too slow."))) == [
        ("!modelStreamErrorException", {"message": "Too slow."})
    ]
