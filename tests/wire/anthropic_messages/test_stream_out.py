import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import UpstreamDisconnected
from gateway.features import Usage
from gateway.wire.answer_id import answer_id
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.stream import MessagesReader
from gateway.wire.anthropic_messages.stream_out import MessagesWriter
from gateway.wire.framing import Events
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
)
from gateway.wire.losses import Losses

ASK = Ask("openai_chat", "asked-for", [])
BEGUN = Started("msg_1", "m")
DONE = Finished("stop", usage=Usage(10, 5, 4))


def told(*events: Event) -> tuple[list[dict[str, object]], list[str]]:
    """The payloads of what is written, each under its name."""
    losses = Losses()
    writer = MessagesWriter(ASK, losses)
    frames = b"".join(map(writer.feed, events)).decode().split("\n\n")
    assert frames.pop() == ""
    payloads: list[dict[str, object]] = []
    for frame in frames:
        name, data = frame.split("\n")
        payloads.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {payloads[-1]['type']}"
    return payloads, losses.names()


def blocks(*events: Event) -> tuple[list[object], list[str]]:
    """What is written between the beginning and the end, shortened."""
    payloads, lost = told(BEGUN, *events, DONE)
    shortened: list[object] = []
    for payload in payloads[1:-2]:
        what = payload.get("content_block") or payload.get("delta") or "stop"
        shortened.append((payload["index"], what))
    return shortened, lost


EMPTY = {"type": "text", "text": ""}
HIDDEN = {"type": "thinking", "thinking": "", "signature": ""}
NOBODYS = "gw1.nobody.nobody"


def says(text: str) -> dict[str, str]:
    return {"type": "text_delta", "text": text}


def thinks(text: str) -> dict[str, str]:
    return {"type": "thinking_delta", "thinking": text}


def signs(seal: str) -> dict[str, str]:
    return {"type": "signature_delta", "signature": seal}


def inputs(text: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": text}


def call(name: str) -> dict[str, object]:
    return {"type": "tool_use", "id": name, "name": "f", "input": {}}


def test_the_order_that_official_clients_need() -> None:
    payloads, lost = told(Started(), BlockOpened(0, Text("Hi")), BlockGrew(0, " é\n"), BlockClosed(0), DONE)
    assert lost == []
    assert payloads == [
        {
            "type": "message_start",
            "message": {
                "id": answer_id("", ASK, "msg"),
                "type": "message",
                "role": "assistant",
                "model": "asked-for",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 0, "output_tokens": 0},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": EMPTY},
        {"type": "content_block_delta", "index": 0, "delta": says("Hi")},
        {"type": "content_block_delta", "index": 0, "delta": says(" é\n")},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 6,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 4,
                "output_tokens": 5,
            },
        },
        {"type": "message_stop"},
    ]


def test_an_end_says_its_sequence_and_has_no_place_for_a_tier() -> None:
    payloads, lost = told(BEGUN, Finished("sequence", "END", None, "default"))
    assert payloads[1]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert lost == ["service_tier"]


def test_a_thought_is_signed_at_its_end() -> None:
    grown = (BlockGrew(0, "hm", signature="Ci"), BlockGrew(0, signature="Q="), BlockClosed(0))
    assert blocks(BlockOpened(0, Thinking(origin="gemini")), *grown)[0] == [
        (0, HIDDEN),
        (0, thinks("hm")),
        (0, signs("gw1.gemini.CiQ=")),
        (0, "stop"),
    ]
    unsigned = blocks(BlockOpened(0, Thinking("hm")), BlockClosed(0))[0]
    assert unsigned == [(0, HIDDEN), (0, thinks("hm")), (0, signs(NOBODYS)), (0, "stop")]


def test_a_hidden_thought_is_told_whole_and_may_still_find_words() -> None:
    hidden = BlockOpened(0, Thinking(redacted="Eq", origin=NAME))
    redacted = {"type": "redacted_thinking", "data": "Eq"}
    assert blocks(hidden, BlockClosed(0))[0] == [(0, redacted), (0, "stop")]
    assert blocks(hidden, BlockGrew(0, "hm"), BlockClosed(0))[0] == [
        (0, redacted),
        (0, "stop"),
        (1, HIDDEN),
        (1, thinks("hm")),
        (1, signs(NOBODYS)),
        (1, "stop"),
    ]


def test_a_call_grows_by_fragments() -> None:
    opened = BlockOpened(0, ToolCall("t", "f", '{"a"', "CiQ=", "gemini"))
    said, lost = blocks(opened, BlockGrew(0, ":1}"), BlockGrew(0, signature="x"), BlockClosed(0))
    assert said == [(0, call("t")), (0, inputs('{"a"')), (0, inputs(":1}")), (0, "stop")]
    assert lost == ["thinking.signature"]


def test_a_refusal_is_text() -> None:
    said, lost = blocks(BlockOpened(0, Refusal("N")), BlockGrew(0, "o"), BlockClosed(0))
    assert said == [(0, EMPTY), (0, says("N")), (0, says("o")), (0, "stop")]
    assert lost == ["refusal=mapped"]


def test_citations_follow_their_text() -> None:
    web = Citation("gemini", Raw(b"{}"), "https://a.example", "A", "q")
    own = Citation(NAME, Raw(b'{"type":"page_location"}'))
    gone = Citation("cohere_chat", Raw(b"{}"))
    said, lost = blocks(
        BlockOpened(0, Text("x", citations=[own])),
        BlockGrew(0, "y", citation=web),
        BlockGrew(0, citation=gone),
        BlockClosed(0),
    )
    found = {
        "type": "web_search_result_location",
        "url": "https://a.example",
        "title": "A",
        "cited_text": "q",
        "encrypted_index": "",
    }
    assert said == [
        (0, EMPTY),
        (0, says("x")),
        (0, {"type": "citations_delta", "citation": {"type": "page_location"}}),
        (0, says("y")),
        (0, {"type": "citations_delta", "citation": found}),
        (0, "stop"),
    ]
    assert lost == ["citations"]


def test_logprobs_have_no_place() -> None:
    assert blocks(BlockOpened(0, Text("")), BlockGrew(0, "x", logprobs=Raw(b"[]")), BlockClosed(0))[1] == ["logprobs"]
    assert blocks(BlockOpened(0, Text("")), BlockGrew(0, logprobs=Raw(b"[]")), BlockClosed(0))[1] == ["logprobs"]


@pytest.mark.parametrize(
    ("block", "said", "lost"),
    [
        (Foreign(NAME, "k", Raw(b'{"type":"k"}')), [(0, {"type": "k"}), (0, "stop")], []),
        (Foreign("gemini", "executableCode", Raw(b"{}")), [], ["executableCode"]),
        (Media("image", data="x"), [], ["images"]),
    ],
)
def test_blocks_that_never_grow(block: Block, said: list[object], lost: list[str]) -> None:
    then = [(len(said) // 2, EMPTY), (len(said) // 2, says("x")), (len(said) // 2, "stop")]
    events = (BlockOpened(0, block), BlockGrew(0, "x"), BlockClosed(0), BlockOpened(1, Text("x")), BlockClosed(1))
    assert blocks(*events) == ([*said, *then], lost)


def test_words_end_where_others_begin_and_go_on_in_a_new_block() -> None:
    said, _ = blocks(
        BlockOpened(0, Thinking("h", origin="gemini")),
        BlockOpened(1, Text("a")),
        BlockGrew(0, "m"),
        BlockGrew(0, signature="S"),
        BlockClosed(0),
        BlockGrew(1, "b"),
        BlockClosed(1),
    )
    assert said == [
        (0, HIDDEN),
        (0, thinks("h")),
        (0, signs(NOBODYS)),
        (0, "stop"),
        (1, EMPTY),
        (1, says("a")),
        (1, "stop"),
        (2, HIDDEN),
        (2, thinks("m")),
        (2, signs("gw1.gemini.S")),
        (2, "stop"),
        (3, EMPTY),
        (3, says("b")),
        (3, "stop"),
    ]


def test_others_wait_behind_a_call() -> None:
    said, _ = blocks(
        BlockOpened(0, ToolCall("t", "f")),
        BlockOpened(1, Text("a")),
        BlockOpened(2, ToolCall("u", "f")),
        BlockGrew(1, "b"),
        BlockGrew(2, "{}"),
        BlockGrew(0, "{}"),
        BlockClosed(2),
        BlockClosed(0),
        BlockGrew(1, "c"),
        BlockClosed(1),
    )
    assert said == [
        (0, call("t")),
        (0, inputs("{}")),
        (0, "stop"),
        (1, EMPTY),
        (1, says("a")),
        (1, says("b")),
        (1, "stop"),
        (2, call("u")),
        (2, inputs("{}")),
        (2, "stop"),
        (3, EMPTY),
        (3, says("c")),
        (3, "stop"),
    ]


def test_an_end_closes_all_that_is_open() -> None:
    said, _ = blocks(BlockOpened(0, ToolCall("t", "f")), BlockOpened(1, ToolCall("u", "f")), BlockOpened(2, Text("a")))
    assert said == [(0, call("t")), (0, "stop"), (1, call("u")), (1, "stop"), (2, EMPTY), (2, says("a")), (2, "stop")]


def test_words_that_ended_early_may_close_without_more() -> None:
    said, _ = blocks(BlockOpened(0, Text("a")), BlockOpened(1, ToolCall("t", "f")), BlockClosed(0), BlockClosed(1))
    assert said == [(0, EMPTY), (0, says("a")), (0, "stop"), (1, call("t")), (1, "stop")]


def test_a_break_is_told_by_name() -> None:
    frame = MessagesWriter(ASK, Losses()).fail(UpstreamDisconnected("Lost."))
    assert frame.startswith(b"event: error\ndata: ")
    assert json.loads(frame.split(b"data: ")[1])["error"] == {"type": "api_error", "message": "Lost."}


PIECES = st.lists(st.text(min_size=1, max_size=3), max_size=3)
KINDS = st.sampled_from(["text", "thinking", "call"])


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Some blocks, grown and closed in any order."""
    left: list[list[Event]] = []
    for at, kind in enumerate(draw(st.lists(KINDS, max_size=4))):
        begun: dict[str, Block] = {
            "text": Text(""),
            "thinking": Thinking(origin="gemini"),
            "call": ToolCall(f"t{at}", "f"),
        }
        block = begun[kind]
        left.append([BlockOpened(at, block), *(BlockGrew(at, text) for text in draw(PIECES)), BlockClosed(at)])
    events: list[Event] = [BEGUN]
    opened = 0
    while any(left):
        choices = [at for at, one in enumerate(left) if one and at <= opened]
        at = draw(st.sampled_from(choices))
        opened = max(opened, at + 1)
        events.append(left[at].pop(0))
    return [*events, DONE]


def words(events: list[Event]) -> tuple[str, str, dict[str, str]]:
    """All text, all thoughts, and each call's arguments; signs in order of the alphabet, since blocks may be parted."""
    texts, thoughts, calls = "", "", dict[str, str]()
    kinds: dict[int, Block] = {}
    for event in events:
        if isinstance(event, BlockOpened):
            kinds[event.at] = event.block
            if isinstance(event.block, ToolCall):
                calls[event.block.id] = ""
        elif isinstance(event, BlockGrew):
            block = kinds[event.at]
            if isinstance(block, ToolCall):
                calls[block.id] += event.text
            elif isinstance(block, Thinking):
                thoughts += event.text
            else:
                texts += event.text
    return "".join(sorted(texts)), "".join(sorted(thoughts)), {name: text or "{}" for name, text in calls.items()}


@pytest.mark.slow
@settings(deadline=None)  # an example takes as long as the machine lets it
@given(streams())
def test_nothing_is_lost_however_blocks_lie_side_by_side(events: list[Event]) -> None:
    writer, reader, framing = MessagesWriter(ASK, Losses()), MessagesReader(Losses()), Events(1 << 20)
    read: list[Event] = []
    for event in events:
        for name, payload, _ in framing.feed(writer.feed(event)):
            read += reader.feed(name, payload)
    read += reader.end()
    assert words(read) == words(events)
    opened = [event.at for event in read if isinstance(event, BlockOpened | BlockClosed)]
    assert opened == [at for at in range(len(opened) // 2) for _ in range(2)]
