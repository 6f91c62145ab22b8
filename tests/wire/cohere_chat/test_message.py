from msgspec import Raw

from gateway.wire.cohere_chat.message import part, write_message
from gateway.wire.cohere_chat.words import CITATION, NAME, PLAN
from gateway.wire.ir import Block, Foreign, Text, Thinking, ToolCall
from gateway.wire.losses import Losses

STRAY = Raw(b'{"type":"PLAN"}')


def test_blocks_go_into_the_fields_they_have() -> None:
    plan, call = Thinking("p", origin=NAME, id=PLAN), ToolCall("1", "f", '{"a":1}')
    content: list[Block] = [Text("x"), Thinking("t"), Foreign("gemini", CITATION, STRAY)]
    parted = part([*content, plan, Foreign(NAME, CITATION, STRAY), call, plan])
    assert (parted.content, parted.calls, parted.citations, parted.plan) == (content, [call], [STRAY], "pp")


def test_a_message_has_only_the_fields_that_say_something() -> None:
    assert write_message(part([]), None, [], Losses()) == {"role": "assistant"}


def test_a_call_without_arguments_takes_none_and_its_signature_is_lost() -> None:
    losses = Losses()
    message = write_message(part([ToolCall("1", "f", signature="s", origin="gemini")]), None, [], losses)
    assert message["tool_calls"] == [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert losses.names() == ["thinking.signature"]
