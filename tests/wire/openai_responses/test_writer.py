import json

import pytest
from msgspec import Raw

from gateway.errors import UpstreamTruncated
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
from gateway.wire.openai_responses.writer import Writer
from tests.wire.openai_responses.talk import JSON, NAME, raw, read, told

ASK = Ask("openai_chat", "asked", [])
START = Started("r", "m", 5)
STOP = Finished("stop")


def write(*events: Event, ask: Ask = ASK, losses: Losses | None = None) -> list[JSON]:
    writer = Writer(ask, losses or Losses())
    written = told(b"".join(writer.feed(event) for event in events))
    assert [event["sequence_number"] for event in written] == list(range(len(written)))
    return written


def block(at: int, begun: Block, *texts: str) -> list[Event]:
    return [BlockOpened(at, begun), *(BlockGrew(at, text) for text in texts), BlockClosed(at)]


def names(events: list[JSON]) -> list[str]:
    return [str(event["type"]).removeprefix("response.") for event in events]


def output(events: list[JSON]) -> list[JSON]:
    response = events[-1]["response"]
    assert isinstance(response, dict)
    found: list[JSON] = response["output"]
    return found


def test_a_text_is_told_in_the_official_order() -> None:
    events = write(START, *block(0, Text(""), "a", "b"), STOP)
    where: JSON = {"item_id": "msg_r_0", "output_index": 0, "content_index": 0}
    part: JSON = {"type": "output_text", "annotations": [], "logprobs": [], "text": "ab"}
    item: JSON = {
        "id": "msg_r_0",
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }
    assert names(events[:2]) == ["created", "in_progress"]
    assert events[2:-1] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
            "sequence_number": 2,
        },
        {"type": "response.content_part.added", **where, "part": {**part, "text": ""}, "sequence_number": 3},
        {"type": "response.output_text.delta", **where, "delta": "a", "logprobs": [], "sequence_number": 4},
        {"type": "response.output_text.delta", **where, "delta": "b", "logprobs": [], "sequence_number": 5},
        {"type": "response.output_text.done", **where, "text": "ab", "logprobs": [], "sequence_number": 6},
        {"type": "response.content_part.done", **where, "part": part, "sequence_number": 7},
        {"type": "response.output_item.done", "output_index": 0, "item": item, "sequence_number": 8},
    ]
    assert events[-1]["type"] == "response.completed"
    assert output(events) == [item]


def test_the_response_at_the_end_says_what_was_used() -> None:
    events = write(START, Finished("length", usage=Usage(3, 2), service_tier="flex"))
    response = events[-1]["response"]
    assert isinstance(response, dict)
    assert events[-1]["type"] == "response.incomplete"
    assert (response["id"], response["status"], response["service_tier"]) == ("r", "incomplete", "flex")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"]["total_tokens"] == 5


def test_what_is_said_in_a_row_is_one_message() -> None:
    events = write(START, *block(0, Text("a")), *block(1, Refusal("n"), "o"), *block(2, ToolCall("c", "f")), STOP)
    assert names(events)[2:] == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    content = output(events)[0]["content"]
    assert isinstance(content, list)
    assert [part["type"] for part in content] == ["output_text", "refusal"]


def test_a_message_waits_for_the_part_that_is_on_its_way() -> None:
    events = write(
        START,
        BlockOpened(0, Text("")),
        BlockOpened(1, ToolCall("c", "f")),
        BlockGrew(0, "a"),
        BlockGrew(1, "{}"),
        BlockOpened(2, Text("")),
        BlockOpened(3, Text("")),
        BlockClosed(0),
        BlockClosed(1),
        BlockGrew(2, "b"),
        BlockClosed(2),
        BlockClosed(3),
        STOP,
    )
    assert [item["type"] for item in output(events)] == ["message", "function_call", "message", "message"]
    done = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert done == [0, 1, 2, 3]


def test_a_message_that_still_waits_at_the_end_is_left_out() -> None:
    assert output(write(START, BlockOpened(0, Text("a")), STOP)) == []


def test_citations_are_told_when_their_text_is_whole() -> None:
    losses = Losses()
    own = raw({"type": "file_citation", "file_id": "f", "filename": "n", "index": 0})
    events = write(
        START,
        BlockOpened(0, Text("", citations=[Citation(NAME, own)])),
        BlockGrew(0, citation=Citation("gemini", Raw(b"{}"), "u", "t")),
        BlockGrew(0, "four", citation=Citation("gemini", Raw(b"{}"), title="book")),
        BlockClosed(0),
        STOP,
        losses=losses,
    )
    notes = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [note["annotation_index"] for note in notes] == [0, 1]
    assert notes[1]["annotation"] == {
        "type": "url_citation",
        "url": "u",
        "title": "t",
        "start_index": 0,
        "end_index": 4,
    }
    assert losses.names() == ["citations"]


def test_logprobs_go_with_their_text() -> None:
    tokens = [{"token": "a", "logprob": -1}]
    events = write(START, BlockOpened(0, Text("")), BlockGrew(0, "a", logprobs=raw(tokens)), BlockClosed(0), STOP)
    assert [event["logprobs"] for event in events if "logprobs" in event] == [tokens, tokens]
    (item,) = output(events)
    content = item["content"]
    assert isinstance(content, list)
    assert content[0]["logprobs"] == tokens


def test_a_thought_is_a_summary_and_its_seal_comes_at_the_end() -> None:
    events = write(
        START,
        BlockOpened(0, Thinking(origin="anthropic_messages")),
        BlockGrew(0, "h"),
        BlockGrew(0, "m"),
        BlockGrew(0, signature="SI"),
        BlockGrew(0, signature="G"),
        BlockClosed(0),
        STOP,
    )
    assert names(events)[2:] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "completed",
    ]
    assert output(events) == [
        {
            "id": "rs_r_0",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "gw1.anthropic_messages.SIG",
        }
    ]


def test_a_thought_without_a_word_has_no_summary() -> None:
    events = write(START, *block(0, Thinking(redacted="X", origin=NAME, id="rs_own")), STOP)
    assert names(events)[2:] == ["output_item.added", "output_item.done", "completed"]
    assert output(events) == [{"id": "rs_own", "type": "reasoning", "summary": [], "encrypted_content": "X"}]


def test_a_call_grows_and_is_told_whole() -> None:
    events = write(START, *block(0, ToolCall("c", "f", '{"a'), '":1}'), STOP)
    where: JSON = {"item_id": "fc_r_0", "output_index": 0}
    item: JSON = {
        "id": "fc_r_0",
        "type": "function_call",
        "status": "completed",
        "arguments": '{"a":1}',
        "call_id": "c",
        "name": "f",
    }
    assert events[2:-1] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "arguments": ""},
            "sequence_number": 2,
        },
        {"type": "response.function_call_arguments.delta", **where, "delta": '{"a', "sequence_number": 3},
        {"type": "response.function_call_arguments.delta", **where, "delta": '":1}', "sequence_number": 4},
        {"type": "response.function_call_arguments.done", **where, "arguments": '{"a":1}', "sequence_number": 5},
        {"type": "response.output_item.done", "output_index": 0, "item": item, "sequence_number": 6},
    ]


def test_a_signature_of_a_call_is_an_item_before_it_or_behind_it() -> None:
    before = output(write(START, *block(0, ToolCall("c", "f", "{}", "S", "gemini")), STOP))
    behind = output(
        write(
            START,
            BlockOpened(0, ToolCall("c", "f", origin="gemini")),
            BlockGrew(0, "{}", "S"),
            BlockClosed(0),
            STOP,
        )
    )
    assert [item["type"] for item in before] == ["reasoning", "function_call"]
    assert [item["type"] for item in behind] == ["function_call", "reasoning"]
    assert before[0]["encrypted_content"] == behind[1]["encrypted_content"] == "gw1.gemini.@c S"


def test_a_custom_tool_is_given_its_text() -> None:
    ask = read(tools=[{"type": "custom", "name": "exec"}])
    events = write(START, *block(0, ToolCall("c", "exec"), '{"inp', 'ut":"ls"}'), STOP, ask=ask)
    assert names(events)[2:] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    assert (events[3]["delta"], events[4]["input"]) == ("ls", "ls")
    assert output(events)[0]["input"] == "ls"


def test_what_is_an_item_or_nothing_here_is_told_at_once_or_not_at_all() -> None:
    losses = Losses()
    own: JSON = {"type": "web_search_call", "id": "ws"}
    events = write(
        START,
        *block(0, Text("a")),
        *block(1, Foreign(NAME, "web_search_call", raw(own)), "ignored"),
        *block(2, Media("image", "image/png", data="A")),
        *block(3, Media("audio", data="A")),
        *block(4, Foreign("gemini", "executableCode", Raw(b"{}"))),
        *block(5, ToolResult("c", [])),
        *block(6, Text("b")),
        Finished("sequence", sequence="END"),
        losses=losses,
    )
    assert [item["type"] for item in output(events)] == [
        "message",
        "web_search_call",
        "image_generation_call",
        "message",
    ]
    assert losses.names() == ["images=mapped", "audio", "executableCode", "tool_results", "stop=mapped"]


@pytest.mark.parametrize("begun", [True, False])
def test_a_break_is_told_as_a_failed_response(*, begun: bool) -> None:
    writer = Writer(ASK, Losses())
    if begun:
        for event in (START, *block(0, ToolCall("c", "f", "{}")), BlockOpened(1, Text("a"))):
            writer.feed(event)
    (failed,) = told(writer.fail(UpstreamTruncated("It ended.")))
    response = failed["response"]
    assert isinstance(response, dict)
    assert failed["type"] == "response.failed"
    assert response["status"] == "failed"
    assert response["error"] == {"code": "upstream_truncated", "message": "It ended."}
    assert len(response["output"]) == int(begun)
    assert (response["id"], failed["sequence_number"]) == (("r", 9) if begun else (answer_id("", ASK, "resp"), 0))


def test_text_of_any_kind_survives() -> None:
    said = 'a"\\\n\u2028\U0001f600\x00'
    events = write(START, *block(0, Text(""), said), STOP)
    assert json.dumps(said) in json.dumps(output(events)[0])
