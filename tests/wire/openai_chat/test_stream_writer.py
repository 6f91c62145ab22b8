import json

import pytest
from msgspec import convert
from openai.lib.streaming._deltas import accumulate_delta

from gateway.errors import UpstreamDisconnected
from gateway.features import Usage
from gateway.wire.answer_id import answer_id
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
from gateway.wire.openai_chat.codec import CODEC
from gateway.wire.openai_chat.request import FunctionsAsk
from tests.wire.openai_chat.saying import fold, heard, raw

ASK = Ask("openai_chat", "asked", [])
USING = Ask("openai_chat", "asked", [], wants_usage=True)
OLD = FunctionsAsk("openai_chat", "asked", [])
STARTED = Started("chat-1", "m-1", 7)
DONE = b"data: [DONE]\n\n"


def wrote(*events: Event, ask: Ask = ASK, losses: Losses | None = None) -> bytes:
    writer = CODEC.writer(ask, losses or Losses())
    return b"".join(map(writer.feed, (STARTED, *events)))


def choice_of(one: dict[str, object]) -> dict[str, object]:
    choices = one["choices"]
    assert isinstance(choices, list)
    assert len(choices) == 1
    choice: dict[str, object] = choices[0]
    return choice


def chunks(stream: bytes) -> list[dict[str, object]]:
    frames = stream.removesuffix(DONE).split(b"\n\n")[:-1]
    assert all(frame.startswith(b"data: {") for frame in frames)
    return [json.loads(frame[6:]) for frame in frames]


def deltas(*events: Event, ask: Ask = ASK, losses: Losses | None = None) -> list[object]:
    """What is said after the role."""
    said = [choice_of(one)["delta"] for one in chunks(wrote(*events, ask=ask, losses=losses))]
    assert said[0] == {"role": "assistant", "content": ""}
    return said[1:]


def whole(block: Block, at: int = 0) -> tuple[Event, Event]:
    return BlockOpened(at, block), BlockClosed(at)


def test_a_stream_begins_with_the_role_and_ends_with_done() -> None:
    stream = wrote(BlockOpened(0, Text("")), BlockGrew(0, 'h"\n'), BlockClosed(0), Finished("stop"))
    assert stream.endswith(DONE)
    common = {"id": "chat-1", "object": "chat.completion.chunk", "created": 7, "model": "m-1"}

    def one(delta: object, reason: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**common, "choices": [choice]}

    assert chunks(stream) == [one({"role": "assistant", "content": ""}), one({"content": 'h"\n'}), one({}, "stop")]


def test_usage_is_said_to_who_asked_for_it() -> None:
    *before, last = chunks(wrote(Finished("length", "", Usage(1, 2), "default"), ask=USING))
    assert [one["usage"] for one in before] == [None, None]
    assert before[-1]["service_tier"] == "default"
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert len(chunks(wrote(Finished("stop"), ask=USING))) == 2
    assert "usage" not in chunks(wrote(Finished("stop", usage=Usage(1, 2))))[-1]


def test_the_model_asked_for_is_shown_where_none_is_told() -> None:
    writer = CODEC.writer(ASK, Losses())
    (first,) = chunks(writer.feed(Started()))
    assert (first["model"], first["created"]) == ("asked", 0)


def test_every_chunk_has_an_id_though_the_answer_has_none() -> None:
    """openai-node 6.49 takes no usage from a chunk without one (ChatCompletionStream.ts); Converse has none to give."""
    writer = CODEC.writer(USING, Losses())
    told = chunks(writer.feed(Started()) + writer.feed(Finished("stop", usage=Usage(1, 2))))
    assert {chunk["id"] for chunk in told} == {answer_id("", USING, "chatcmpl")}
    assert told[-1]["usage"]


def test_a_break_is_told_in_the_last_frame() -> None:
    writer = CODEC.writer(ASK, Losses())
    writer.feed(STARTED)
    (last,) = chunks(writer.fail(UpstreamDisconnected("Gone.")))
    assert (last["id"], last["model"]) == ("chat-1", "m-1")
    assert last["error"] == {"message": "Gone.", "type": "server_error", "param": None, "code": "upstream_disconnected"}
    (early,) = chunks(CODEC.writer(ASK, Losses()).fail(UpstreamDisconnected("Gone.")))
    assert early["model"] == "asked"


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_are_said_as_they_come() -> None:
    assert deltas(BlockOpened(0, Text("a")), BlockGrew(0, ""), BlockGrew(0, "b")) == [
        {"content": "a"},
        {"content": "b"},
    ]
    assert deltas(BlockOpened(0, Refusal("n")), BlockGrew(0, "o"), *whole(Refusal(""), 1)) == [
        {"refusal": "n"},
        {"refusal": "o"},
    ]


def test_tokens_have_their_odds() -> None:
    odds = raw([{"token": "a"}])
    said = chunks(wrote(BlockOpened(0, Text("")), BlockGrew(0, "a", logprobs=odds)))[1]
    assert choice_of(said) == {
        "index": 0,
        "delta": {"content": "a"},
        "logprobs": {"content": [{"token": "a"}], "refusal": None},
        "finish_reason": None,
    }


def test_sources_count_from_the_beginning_of_the_message() -> None:
    losses = Losses()
    cited = Citation("anthropic_messages", raw({}), "https://a", "A")
    begun = Text("b", citations=[cited])
    source = {"url": "https://a", "title": "A"}
    said = deltas(*whole(Text("a")), BlockOpened(1, begun), BlockGrew(1, "cd", citation=cited), losses=losses)

    def note(index: int, start: int, end: int) -> object:
        place = source | {"start_index": start, "end_index": end}
        return {"annotations": [{"index": index, "type": "url_citation", "url_citation": place}]}

    assert said == [{"content": "a"}, {"content": "b"}, note(0, 1, 2), {"content": "cd"}, note(1, 1, 4)]
    assert losses.names() == ["citations=mapped"]
    unsaid = Citation("anthropic_messages", raw({}))
    assert deltas(BlockOpened(0, Text("")), BlockGrew(0, citation=unsaid)) == []


def test_pictures_and_what_is_ours_are_said_at_once() -> None:
    losses = Losses()
    said = deltas(
        *whole(Media("image", "image/png", "aGk=")),
        *whole(Foreign("openai_chat", "message.executed_tools", raw([1])), 1),
        *whole(Foreign("gemini", "executableCode", raw({})), 2),
        BlockOpened(3, ToolResult("c1", [])),
        BlockGrew(3, "a"),
        losses=losses,
    )
    picture = {"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert said == [{"images": [picture]}, {"executed_tools": [1]}]
    assert losses.names() == ["executableCode", "tool_results"]


# --- thoughts ---------------------------------------------------------------------------------------------------------


def test_plain_thoughts_are_text() -> None:
    assert deltas(BlockOpened(0, Thinking("h")), BlockGrew(0, "m"), BlockGrew(0)) == [
        {"reasoning_content": "h"},
        {"reasoning_content": "m"},
    ]


def test_signed_thoughts_are_entries_too() -> None:
    def entry(**more: str) -> dict[str, object]:
        return {"reasoning_details": [{"type": "reasoning.text", **more, "index": 0}]}

    said = deltas(
        BlockOpened(0, Thinking(origin="anthropic_messages")),
        BlockGrew(0, "h"),
        BlockGrew(0, signature="s"),
        BlockGrew(0, signature="t"),
        BlockClosed(0),
        *whole(Thinking("", "", "d", "anthropic_messages"), 1),
    )
    assert said == [
        entry(text="", format="anthropic-claude-v1"),
        {"reasoning_content": "h", **entry(text="h")},
        entry(signature="gw1.anthropic_messages.st"),
        {
            "reasoning_details": [
                {
                    "type": "reasoning.encrypted",
                    "data": "gw1.anthropic_messages.d",
                    "format": "anthropic-claude-v1",
                    "index": 1,
                }
            ]
        },
    ]


# --- calls ------------------------------------------------------------------------------------------------------------


def test_calls_are_counted() -> None:
    def grown(index: int, text: str) -> object:
        return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}

    def begun(index: int, id_: str, arguments: str) -> object:
        function = {"name": "look", "arguments": arguments}
        return {"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]}

    said = deltas(
        *whole(Text("a")),
        BlockOpened(1, ToolCall("c1", "look")),
        BlockGrew(1, '{"a"'),
        BlockOpened(2, ToolCall("", "look", "{}")),
        BlockGrew(1, ":1}"),
        BlockClosed(1),
        BlockClosed(2),
    )
    assert said == [
        {"content": "a"},
        begun(0, "c1", ""),
        grown(0, '{"a"'),
        begun(1, "chat-1_call_1", "{}"),
        grown(0, ":1}"),
    ]


def test_no_arguments_are_an_empty_object() -> None:
    said = deltas(*whole(ToolCall("c1", "look")))
    assert said[-1] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_calls_are_signed() -> None:
    begun, grown, last = deltas(
        BlockOpened(0, ToolCall("c1", "look", "", "s", "gemini")), BlockGrew(0, "{}", "t"), BlockGrew(0), BlockClosed(0)
    )
    assert begun["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}  # type: ignore[index]  # a JSON object
    assert grown == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    assert last == {"tool_calls": [{"index": 0, "extra_content": {"google": {"thought_signature": "t"}}}]}


def test_who_asks_with_functions_is_answered_with_one() -> None:
    losses = Losses()
    events: tuple[Event, ...] = (
        BlockOpened(0, ToolCall("c1", "look")),
        BlockGrew(0, signature="s"),
        BlockGrew(0, "{}"),
        BlockClosed(0),
        BlockOpened(1, ToolCall("c2", "hear")),
        BlockGrew(1, "{}"),
        BlockClosed(1),
        Finished("tools"),
    )
    said = chunks(wrote(*events, ask=OLD, losses=losses))
    choices = [choice_of(one) for one in said[1:]]
    assert [choice["delta"] for choice in choices] == [
        {"function_call": {"name": "look", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert choices[-1]["finish_reason"] == "function_call"
    assert losses.names() == ["tool_choice.parallel"]


def test_official_clients_can_join_what_is_streamed() -> None:
    signed = Thinking("", "", "", "anthropic_messages", "t1")
    cited = Citation("anthropic_messages", raw({}), "https://a")
    stream = wrote(
        BlockOpened(0, signed),
        BlockGrew(0, "h"),
        BlockGrew(0, "m", "s"),
        BlockClosed(0),
        BlockOpened(1, Text("")),
        BlockGrew(1, "a", citation=cited),
        BlockGrew(1, "b", citation=cited),
        BlockClosed(1),
        *whole(Media("image", "image/png", "aGk="), 2),
        *whole(Media("image", "image/png", "aGk="), 3),
        *whole(ToolCall("c1", "look"), 4),
        Finished("tools"),
    )
    message: dict[object, object] = {}
    for one in chunks(stream):
        message = accumulate_delta(message, convert(choice_of(one)["delta"], dict[object, object]))
    details = [
        {
            "type": "reasoning.text",
            "text": "hm",
            "id": "t1",
            "format": "anthropic-claude-v1",
            "index": 0,
            "signature": "gw1.anthropic_messages.s",
        }
    ]
    assert message["reasoning_details"] == details
    assert (message["role"], message["content"], message["reasoning_content"]) == ("assistant", "ab", "hm")
    assert [len(message[name]) for name in ("annotations", "images", "tool_calls")] == [2, 2, 1]  # type: ignore[arg-type]  # a JSON object


@pytest.mark.parametrize(
    "block",
    [
        Text("a"),
        Refusal("no"),
        Thinking("hm"),
        Thinking("hm", "s", "", "anthropic_messages"),
        Thinking("", "", "d", "gemini"),
        Thinking("in short", "s", "", "openai_responses", "rs", summary=True),
        ToolCall("c1", "look", '{"a": 1}', "s", "gemini"),
        Media("image", "image/png", "aGk="),
    ],
)
def test_what_is_written_is_read_again(block: Block) -> None:
    stream = wrote(*whole(block), Finished("tools" if isinstance(block, ToolCall) else "stop"))
    answer = fold(heard(stream))
    assert answer.started == STARTED
    assert answer.blocks == [block]
