"""What we write is what OpenAI's own client understands, event by event and folded by its helper."""

import pytest
from openai.types.responses import Response

from gateway.errors import UpstreamTruncated
from gateway.features import Usage
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.answer import write_answer
from gateway.wire.openai_responses.writer import Writer
from tests.wire.openai_responses.client import events, fold, whole
from tests.wire.openai_responses.talk import raw, read

ASK = Ask("openai_chat", "m", [])
USED = Usage(9, 5, 3, 1, 2)
CONTENT: list[Block] = [
    Thinking("let me see", "SIG", origin="anthropic_messages"),
    Text("It is ", citations=[Citation("gemini", raw({}), "https://x", "X")]),
    Text("so."),
    Refusal("But no."),
    ToolCall("c1", "f", '{"a": 1}'),
    ToolCall("c2", "g", '{"b": 2}'),
]


def streamed(content: list[Block]) -> list[Event]:
    """The blocks begun empty and grown letter by letter, calls side by side."""
    out: list[Event] = [Started("r", "m", 5)]
    open_: list[int] = []
    for at, block in enumerate(content):
        match block:
            case Text():
                out.append(BlockOpened(at, Text("", citations=block.citations)))
            case Refusal():
                out.append(BlockOpened(at, Refusal("")))
            case Thinking():
                out.append(BlockOpened(at, Thinking(origin=block.origin)))
            case ToolCall():
                out.append(BlockOpened(at, ToolCall(block.id, block.name)))
            case _:
                raise AssertionError
        out += [BlockGrew(at, letter) for letter in (block.arguments if isinstance(block, ToolCall) else block.text)]
        if isinstance(block, Thinking):
            out.append(BlockGrew(at, signature=block.signature))
        if isinstance(block, ToolCall):
            open_.append(at)
        else:
            out.append(BlockClosed(at))
    out += [BlockClosed(at) for at in open_]
    return [*out, Finished("tools", usage=USED)]


def _unparsed(value: object) -> object:
    """Without what the helper adds of its own."""
    if isinstance(value, dict):
        return {name: _unparsed(inner) for name, inner in value.items() if not name.startswith("parsed")}
    return [_unparsed(inner) for inner in value] if isinstance(value, list) else value


def bytes_of(*told: Event, ask: Ask = ASK) -> bytes:
    writer = Writer(ask, Losses())
    return b"".join(writer.feed(event) for event in told)


def test_the_client_reads_every_event_and_folds_what_was_said() -> None:
    body = bytes_of(*streamed(CONTENT))
    seen = events(body)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    folded = fold(body)
    assert folded.output_text == "It is so."
    assert [item.type for item in folded.output] == ["reasoning", "message", "function_call", "function_call"]
    calls = [item for item in folded.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("c1", "f", '{"a": 1}'),
        ("c2", "g", '{"b": 2}'),
    ]
    assert folded.usage is not None
    assert (folded.usage.input_tokens, folded.usage.output_tokens, folded.usage.total_tokens) == (9, 5, 14)
    assert folded.status == "completed"


def test_a_whole_answer_is_what_the_streamed_one_folds_to() -> None:
    answer = whole(write_answer(Answer(CONTENT, "tools", id="r", model="m", created=5, usage=USED), ASK, Losses()))
    folded = fold(bytes_of(*streamed(CONTENT)))
    plain = Response.model_validate(_unparsed(folded.to_dict()))
    assert plain.output == answer.output
    assert answer.output_text == folded.output_text


def test_a_custom_tool_in_a_namespace_is_understood() -> None:
    ask = read(tools=[{"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "exec"}]}])
    body = bytes_of(*streamed([ToolCall("c1", "n__exec", '{"input":"ls"}')]), ask=ask)
    events(body)
    (call,) = fold(body).output
    assert call.type == "custom_tool_call"
    assert (call.name, call.namespace, call.input) == ("exec", "n", "ls")


def test_an_answer_that_was_cut_short_is_told_as_one() -> None:
    body = bytes_of(Started("r", "m", 5), BlockOpened(0, Text("a")), BlockClosed(0), Finished("length"))
    last = events(body)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.output_text == "a"


def test_a_break_is_an_error_and_no_answer() -> None:
    writer = Writer(ASK, Losses())
    told: list[Event] = [Started("r", "m", 5), BlockOpened(0, Text("a"))]
    body = b"".join([*(writer.feed(event) for event in told), writer.fail(UpstreamTruncated("It ended."))])
    with pytest.raises(RuntimeError, match=r"response\.completed"):
        fold(body)
