import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import BadRequest
from gateway.wire.cohere_chat.turns import Conversation, cite
from gateway.wire.cohere_chat.words import CITATION, NAME, PLAN
from gateway.wire.ir import Ask, Block, Citation, Foreign, Media, Text, Thinking, ToolCall, ToolResult, Turn

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def turns(*messages: object) -> Ask:
    ask = Ask(NAME, "m", [])
    Conversation(ask).read(Raw(encode(messages)))
    return ask


def test_a_head_of_system_messages_is_the_system() -> None:
    ask = turns(
        {"role": "system", "content": "a"},
        {"role": "system", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "d"},
    )
    assert ask.system == [Text("a"), Text("b"), Text("c")]
    assert ask.messages == [Turn("user", [Text("hi")]), Turn("system", [Text("d")])]


def test_a_system_message_that_is_no_text_stays_where_it_is() -> None:
    raw = Raw(b'{"type":"image","a":1}')
    assert turns({"role": "system", "content": [raw]}).messages == [Turn("system", [Foreign(NAME, "image", raw)])]


def test_results_stand_in_a_users_turn_in_their_order() -> None:
    ask = turns(
        {"role": "assistant", "tool_plan": "p", "tool_calls": [CALL, CALL | {"id": "2"}]},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "document", "document": {"data": "two"}}]},
        {"role": "user", "content": "and?"},
    )
    assert ask.messages == [
        Turn(
            "assistant",
            [
                Thinking("p", origin=NAME, id=PLAN),
                ToolCall("1", "f", '{"a": 1}'),
                ToolCall("2", "f", '{"a": 1}'),
            ],
        ),
        Turn(
            "user",
            [
                ToolResult("1", [Text("one")]),
                ToolResult("2", [Media("document", text="two", cites=True)]),
            ],
        ),
        Turn("user", [Text("and?")]),
    ]


def test_an_id_may_come_again_once_it_was_answered() -> None:
    called = {"role": "assistant", "tool_calls": [CALL]}
    answered = {"role": "tool", "tool_call_id": "1", "content": "x"}
    assert len(turns(called, answered, called, answered).messages) == 4


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "x"}, Text("x")),
        ({"type": "thinking", "thinking": "x"}, Thinking("x")),
        ({"type": "image_url", "image_url": "https://a.example"}, Media("image", url="https://a.example")),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example", "detail": "low"}},
            Media("image", url="https://a.example", detail="low"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "DATA:image/png;base64,AAAA"}},
            Media("image", "image/png", data="AAAA"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;x=y;base64,AAAA"}},
            Media("image", "image/png", data="AAAA"),
        ),
        ({"type": "document", "document": "x"}, Media("document", text="x", cites=True)),
    ],
)
def test_parts_of_content_are_read(part: object, block: Block) -> None:
    assert turns({"role": "user", "content": [part]}).messages == [Turn("user", [block])]


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([{"role": "wizard", "content": "x"}], "messages[0].role", "invalid_value"),
        ([{"content": "x"}], "messages[0].role", "missing_field"),
        ([1], "messages[0]", "invalid_type"),
        ([{"role": "user"}], "messages[0].content", "missing_field"),
        ([{"role": "user", "content": None}], "messages[0].content", "missing_field"),
        ([{"role": "user", "content": {"type": "text"}}], "messages[0].content", "invalid_type"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content[0]", "invalid_type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text", "missing_field"),
        (
            [{"role": "assistant", "content": [{"type": "thinking"}]}],
            "messages[0].content[0].thinking",
            "missing_field",
        ),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url", "missing_field"),
        ([{"role": "user", "content": [{"type": "document"}]}], "messages[0].content[0].document", "missing_field"),
        (
            [{"role": "user", "content": [{"type": "document", "document": 1}]}],
            "messages[0].content[0].document",
            "invalid_type",
        ),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id", "missing_field"),
        ([{"role": "tool", "tool_call_id": "1", "content": "x"}], "messages[0].tool_call_id", "untranslatable"),
        ([{"role": "assistant", "tool_calls": [CALL, CALL]}], "messages[0].tool_calls[1].id", "untranslatable"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]}],
            "messages[0].tool_calls[0].function.name",
            "missing_field",
        ),
    ],
)
def test_a_mistake_in_a_message_is_named_by_its_spot(messages: list[object], param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        turns(*messages)
    assert (caught.value.param, caught.value.reason) == (param, code)


def test_citations_go_to_the_text_they_name_and_else_to_the_first() -> None:
    first, second, stray = Raw(b'{"start":0}'), Raw(b'{"content_index":2}'), Raw(b'{"content_index":0}')
    blocks: list[Block] = [Thinking("t"), Text("a"), Text("b")]
    assert cite(blocks, [first, second, stray, Raw(b'{"content_index":9}')]) == [
        Foreign(NAME, CITATION, stray),
        Foreign(NAME, CITATION, Raw(b'{"content_index":9}')),
    ]
    assert blocks == [
        Thinking("t"),
        Text("a", citations=[Citation(NAME, first, start=0)]),
        Text("b", citations=[Citation(NAME, second)]),
    ]


def test_without_a_text_nothing_is_cited() -> None:
    assert cite([], [Raw(b"{}")]) == [Foreign(NAME, CITATION, Raw(b"{}"))]
