import pytest

from gateway.errors import BadRequest
from gateway.wire.ir import Cache, Citation, Foreign, Media, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from tests.wire.openai_chat.saying import CALL, CALLED, raw, read, turns

HI = {"role": "user", "content": "hi"}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}


def fault(*messages: object) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(list(messages))
    return caught.value.reason, caught.value.param


def test_what_stands_at_the_head_is_the_system() -> None:
    ask = read(
        [
            {"role": "system", "content": "obey"},
            {"role": "developer", "content": [{"type": "text", "text": "me"}]},
            HI,
            {"role": "system", "content": "now"},
        ]
    )
    assert ask.system == [Text("obey"), Text("me")]
    assert ask.messages == [Turn("user", [Text("hi")]), Turn("system", [Text("now")])]


@pytest.mark.parametrize(
    "head",
    [{"role": "system", "content": "a", "name": "x"}, {"role": "system", "content": "a", "new": 1}],
)
def test_a_head_that_says_more_is_a_turn(head: dict[str, object]) -> None:
    ask = read([head, {"role": "system", "content": "b"}, HI])
    assert ask.system == []
    assert [turn.role for turn in ask.messages] == ["system", "system", "user"]


def test_speakers_have_names() -> None:
    assert turns({**HI, "name": "ann"}, {"role": "assistant", "content": "yes", "name": "bot"}) == [
        Turn("user", [Text("hi")], "ann"),
        Turn("assistant", [Text("yes")], "bot"),
    ]


def test_an_assistant_thinks_speaks_refuses_and_calls() -> None:
    said = {"role": "assistant", "content": "a", "refusal": "no", "tool_calls": [CALL], "reasoning_content": "hm"}
    assert turns(said) == [Turn("assistant", [Thinking("hm"), Text("a"), Refusal("no"), ToolCall("c1", "look", "{}")])]


@pytest.mark.parametrize(
    ("said", "thoughts"),
    [
        ({"reasoning": "hm"}, [Thinking("hm")]),
        ({"reasoning": "hm", "reasoning_content": "hm"}, [Thinking("hm")]),
        (
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]},
            [Thinking("hm", "s", origin="openai_chat")],
        ),
        (
            {"reasoning_content": "hm", "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
            [Thinking("hm", "s", origin="anthropic_messages")],
        ),
    ],
)
def test_a_thought_is_said_in_the_fullest_way(said: dict[str, object], thoughts: list[Thinking]) -> None:
    assert turns({"role": "assistant", "content": None, **said}) == [Turn("assistant", [*thoughts])]


def test_results_in_a_row_are_one_turn() -> None:
    other = {"id": "c2", "function": {"name": "hear"}}
    asked = {"role": "assistant", "tool_calls": [CALL, other]}
    heard = {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "hush"}], "name": "hear"}
    assert turns(asked, RESULT, heard, HI)[1:] == [
        Turn("user", [ToolResult("c1", [Text("sunny")]), ToolResult("c2", [Text("hush")], "hear")]),
        Turn("user", [Text("hi")]),
    ]


def test_an_id_that_was_answered_may_stand_for_another_call() -> None:
    asked, answered, again, last = turns(CALLED, RESULT, CALLED, {**RESULT, "content": "rainy"})
    assert asked == again
    assert answered.content == [ToolResult("c1", [Text("sunny")])]
    assert last.content == [ToolResult("c1", [Text("rainy")])]


def test_a_result_may_show_pictures_or_nothing() -> None:
    shown = {**RESULT, "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}
    assert turns(CALLED, shown)[1].content == [ToolResult("c1", [Media("image", url="https://a")])]
    assert turns(CALLED, {**RESULT, "content": None})[1].content == [ToolResult("c1", [])]


def test_functions_of_old_get_ids() -> None:
    def asked(argument: str) -> dict[str, object]:
        return {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": argument}}

    def answer(text: str) -> dict[str, object]:
        return {"role": "function", "name": "look", "content": text}

    assert turns(asked("1"), answer("a"), asked("2"), answer("b")) == [
        Turn("assistant", [ToolCall("call_0", "look", "1")]),
        Turn("user", [ToolResult("call_0", [Text("a")], "look")]),
        Turn("assistant", [ToolCall("call_1", "look", "2")]),
        Turn("user", [ToolResult("call_1", [Text("b")], "look")]),
    ]


def test_a_function_answers_the_call_of_its_name() -> None:
    def asked(name: str) -> dict[str, object]:
        return {"role": "assistant", "function_call": {"name": name}}

    answer = {"role": "function", "name": "hear", "content": "hush"}
    assert turns(asked("look"), asked("hear"), answer)[2].content == [ToolResult("call_1", [Text("hush")], "hear")]


def test_a_call_of_another_kind_is_kept_with_its_result() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "x", "input": "y"}}
    asked, answered = turns({"role": "assistant", "content": None, "tool_calls": [call]}, {**RESULT, "name": "x"})
    assert asked.content == [Foreign("openai_chat", "custom_tool_call", raw(call))]
    (result,) = answered.content
    assert isinstance(result, Foreign)
    assert result.kind == "custom_tool_call_output"
    (bare,) = turns({"role": "assistant", "content": None, "tool_calls": [call]}, RESULT)[1].content
    assert isinstance(bare, Foreign)
    assert b"name" not in bytes(bare.raw)


def test_google_signs_calls() -> None:
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "s"}}}
    assert turns({"role": "assistant", "tool_calls": [signed]})[0].content == [
        ToolCall("c1", "look", "{}", "s", "gemini")
    ]


@pytest.mark.parametrize(
    ("call", "kind", "left"),
    [
        ({"new": 1}, "tool_calls.new", 1),
        ({"function": {"name": "look", "arguments": "{}", "new": 1}}, "tool_calls.function", {"new": 1}),
        ({"extra_content": {"google": {"new": 1}}}, "tool_calls.extra_content", {"google": {"new": 1}}),
        ({"extra_content": {"new": 1}}, "tool_calls.extra_content", {"new": 1}),
    ],
)
def test_what_is_unknown_of_a_call_stands_behind_it(call: dict[str, object], kind: str, left: object) -> None:
    assert turns({"role": "assistant", "tool_calls": [{**CALL, **call}]})[0].content == [
        ToolCall("c1", "look", "{}"),
        Foreign("openai_chat", kind, raw(left)),
    ]


def test_what_is_unknown_of_a_message_stands_at_its_end() -> None:
    assert turns({**HI, "new": 1, "nothing": None})[0].content == [
        Text("hi"),
        Foreign("openai_chat", "message.new", raw(1)),
    ]
    assert turns({"role": "assistant", "content": "a", "prefix": False})[0].content == [
        Text("a"),
        Foreign("openai_chat", "message.prefix", raw(value=False)),
    ]
    assert turns({"role": "assistant", "content": "a", "reasoning": {}})[0].content == [
        Text("a"),
        Foreign("openai_chat", "message.reasoning", raw({})),
    ]


def test_a_mark_on_a_message_is_one_on_its_last_block() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    assert turns({**HI, **mark})[0].content == [Text("hi", Cache())]
    assert turns({"role": "assistant", "tool_calls": [{**CALL, **mark}]})[0].content == [
        ToolCall("c1", "look", "{}", cache=Cache())
    ]
    assert turns(CALLED, {**RESULT, **mark})[1].content == [ToolResult("c1", [Text("sunny")], cache=Cache())]
    assert turns({"role": "assistant", "content": None, **mark})[0].content == [
        Foreign("openai_chat", "message.cache_control", raw(mark["cache_control"]))
    ]


def test_citations_said_again_belong_to_the_one_text() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a", "start_index": 0, "end_index": 1}}
    said = {"role": "assistant", "content": "a", "annotations": [note]}
    cited = Citation("openai_chat", raw(note), "https://a", start=0, end=1)
    assert turns(said)[0].content == [Text("a", citations=[cited])]
    assert turns({**said, "annotations": []})[0].content == [Text("a")]
    kept = Foreign("openai_chat", "message.annotations", raw([note]))
    assert turns({**said, "content": None})[0].content == [kept]


@pytest.mark.parametrize(
    ("messages", "reason", "param"),
    [
        ([], "invalid_value", "messages"),
        ([1], "invalid_type", "messages[0]"),
        ([HI, {"content": "a"}], "missing_field", "messages[1].role"),
        ([HI, {"role": "king", "content": "a"}], "invalid_value", "messages[1].role"),
        ([{"role": "user"}], "missing_field", "messages[0].content"),
        ([{"role": "user", "content": 1}], "invalid_type", "messages[0].content"),
        ([{**HI, "name": 1}], "invalid_type", "messages[0].name"),
        (
            [{"role": "assistant", "tool_calls": [{**CALL, "id": None}]}],
            "missing_field",
            "messages[0].tool_calls[0].id",
        ),
        ([{"role": "assistant", "tool_calls": [{"id": "a"}]}], "missing_field", "messages[0].tool_calls[0].function"),
        ([{"role": "assistant", "reasoning_details": [1]}], "invalid_type", "messages[0].reasoning_details"),
        ([{"role": "assistant", "thinking_blocks": "a"}], "invalid_type", "messages[0].thinking_blocks"),
        ([CALLED, CALLED], "untranslatable", "messages[1].tool_calls[0].id"),
        ([RESULT], "untranslatable", "messages[0].tool_call_id"),
        ([{"role": "function", "name": "f", "content": "a"}], "untranslatable", "messages[0].name"),
        ([{"role": "tool", "content": "a"}], "missing_field", "messages[0].tool_call_id"),
        ([{"role": "function", "content": "a"}], "missing_field", "messages[0].name"),
    ],
)
def test_d2_and_d12_what_can_not_be_read_is_named(messages: list[object], reason: str, param: str) -> None:
    assert fault(*messages) == (reason, param)
