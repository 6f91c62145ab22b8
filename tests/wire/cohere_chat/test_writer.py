import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UpstreamDisconnected
from gateway.features import Usage
from gateway.wire.cohere_chat.writer import CohereWriter
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

ASK = Ask("openai_chat", "m", [])


def said(*events: Event) -> tuple[list[dict[str, object]], list[str]]:
    """The payloads of what is written, each named like its event; and what was lost."""
    losses = Losses()
    writer = CohereWriter(ASK, losses)
    payloads = []
    for frame in b"".join(writer.feed(event) for event in events).split(b"\n\n")[:-1]:
        name, _, data = frame.removeprefix(b"event: ").partition(b"\ndata: ")
        payload = decode(data, type=dict[str, object])
        assert payload["type"] == name.decode()
        payloads.append(payload)
    return payloads, losses.names()


def kinds(payloads: list[dict[str, object]]) -> list[object]:
    return [payload["type"] for payload in payloads]


def test_a_stream_of_an_answer_without_an_id_gets_one() -> None:
    (started,), _ = said(Started())
    assert str(started["id"]).startswith("chat_")


def test_a_stream_begins_with_its_id_and_ends_with_its_usage() -> None:
    losses = Losses()
    writer = CohereWriter(ASK, losses)
    assert writer.feed(Started("1", "m", 5)) == (
        b'event: message-start\ndata: {"type":"message-start","id":"1","delta":{"message":{"role":"assistant",'
        b'"content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}\n\n'
    )
    assert writer.feed(Finished("length", usage=Usage(3, 2, 1))) == (
        b'event: message-end\ndata: {"type":"message-end","delta":{"finish_reason":"MAX_TOKENS","usage":'
        b'{"billed_units":{"input_tokens":3,"output_tokens":2},"tokens":{"input_tokens":3,"output_tokens":2},'
        b'"cached_tokens":1}}}\n\ndata: [DONE]\n\n'
    )
    assert losses.names() == []


def test_what_is_said_beside_an_answer_is_lost() -> None:
    losses = Losses()
    CohereWriter(ASK, losses).feed(Finished("sequence", "END", service_tier="flex"))
    assert losses.names() == ["stop=mapped", "service_tier"]


def test_a_break_is_a_message_end_with_an_error_and_nothing_after_it() -> None:
    assert CohereWriter(ASK, Losses()).fail(UpstreamDisconnected("The upstream left.")) == (
        b'event: message-end\ndata: {"type":"message-end","delta":{"error":"The upstream left.",'
        b'"finish_reason":"ERROR"}}\n\n'
    )


def test_a_text_that_begins_with_words_says_them_after_its_beginning() -> None:
    payloads, lost = said(BlockOpened(0, Text("a")), BlockGrew(0, "b"), BlockGrew(0), BlockClosed(0))
    assert payloads == [
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "b"}}}},
        {"type": "content-end", "index": 0},
    ]
    assert lost == []


def test_contents_and_calls_are_counted_apart() -> None:
    payloads, _ = said(
        BlockOpened(0, Thinking("t")),
        BlockClosed(0),
        BlockOpened(1, ToolCall("c", "f", '{"a":')),
        BlockGrew(1, "1}"),
        BlockClosed(1),
        BlockOpened(2, Text("")),
        BlockClosed(2),
    )
    assert [(payload["type"], payload["index"]) for payload in payloads] == [
        ("content-start", 0),
        ("content-delta", 0),
        ("content-end", 0),
        ("tool-call-start", 0),
        ("tool-call-delta", 0),
        ("tool-call-delta", 0),
        ("tool-call-end", 0),
        ("content-start", 1),
        ("content-end", 1),
    ]
    assert payloads[3]["delta"] == {
        "message": {"tool_calls": {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}}
    }


def test_a_call_that_takes_nothing_says_so() -> None:
    payloads, lost = said(BlockOpened(0, ToolCall("c", "f", signature="s", origin="gemini")), BlockClosed(0))
    assert kinds(payloads) == ["tool-call-start", "tool-call-delta", "tool-call-end"]
    assert payloads[1]["delta"] == {"message": {"tool_calls": {"function": {"arguments": "{}"}}}}
    assert lost == ["thinking.signature"]


def test_a_refusal_is_a_text() -> None:
    payloads, lost = said(BlockOpened(0, Refusal("no")), BlockClosed(0))
    assert kinds(payloads) == ["content-start", "content-delta", "content-end"]
    assert lost == ["refusal=mapped"]


def test_thoughts_are_shown_and_their_signatures_are_lost() -> None:
    payloads, lost = said(
        BlockOpened(0, Thinking(origin="anthropic_messages")),
        BlockGrew(0, "t"),
        BlockGrew(0, signature="s"),
        BlockClosed(0),
        BlockOpened(1, Thinking(redacted="r", origin="anthropic_messages")),
        BlockClosed(1),
    )
    assert kinds(payloads) == ["content-start", "content-delta", "content-end"]
    assert lost == ["thinking.signature", "thinking.redacted"]


@pytest.mark.parametrize(
    ("block", "lost"),
    [(Media("image", data="AAAA"), "images"), (Foreign("gemini", "executable_code", Raw(b"{}")), "executable_code")],
)
def test_what_cannot_be_said_is_lost_with_all_that_comes_of_it(block: Block, lost: str) -> None:
    assert said(BlockOpened(0, block), BlockGrew(0, "x"), BlockClosed(0)) == ([], [lost])


def test_anothers_citation_is_of_the_text_so_far() -> None:
    cited = Citation("openai_chat", Raw(b"{}"), "https://a.example", start=1, end=3)
    payloads, lost = said(
        BlockOpened(0, Text("ab", citations=[cited])), BlockGrew(0, "cd"), BlockGrew(0, citation=cited), BlockClosed(0)
    )
    assert kinds(payloads) == [
        "content-start",
        "content-delta",
        "citation-start",
        "citation-end",
        "content-delta",
        "citation-start",
        "citation-end",
        "content-end",
    ]
    assert [payload["index"] for payload in payloads] == [0, 0, 0, 0, 0, 1, 1, 0]
    delta = payloads[5]["delta"]
    assert isinstance(delta, dict)
    assert delta["message"]["citations"]["text"] == "bc"
    assert lost == ["citations=mapped"]


def test_tokens_that_came_together_are_an_event_each() -> None:
    tokens = Raw(b'[{"token":"a","logprob":-1},{"token":"b","logprob":-2}]')
    payloads, _ = said(BlockOpened(0, Text("")), BlockGrew(0, "ab", logprobs=tokens), BlockGrew(0, logprobs=Raw(b"[]")))
    assert payloads[1:] == [
        {
            "type": "content-delta",
            "index": 0,
            "delta": {"message": {"content": {"text": "ab"}}},
            "logprobs": {"text": "a", "token_ids": [], "logprobs": [-1]},
        },
        {
            "type": "content-delta",
            "index": 0,
            "delta": {"message": {"content": {"text": ""}}},
            "logprobs": {"text": "b", "token_ids": [], "logprobs": [-2]},
        },
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": ""}}}},
    ]
