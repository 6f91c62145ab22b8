import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.ir import Cache, Effort, Foreign, Format, Refusal, Text, Thinking, Tool, ToolCall, ToolResult, Turn
from gateway.wire.openai_responses.request import read_request
from gateway.wire.openai_responses.thoughts import seal_call
from gateway.wire.openai_responses.tools import Wrapped
from tests.wire.openai_responses.talk import JSON, NAME, again, raw, read, request

CALL: JSON = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
RESULT: JSON = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
USER: JSON = {"role": "user", "content": "hi"}
REASONING: JSON = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "hm"}],
    "encrypted_content": "gAAA",
}
SCHEMA: JSON = {"type": "object", "properties": {}}


def turns(*items: JSON, **fields: object) -> list[Turn]:
    return read(input=list(items), **fields).messages


def assistant(text: str, **more: object) -> JSON:
    return {"role": "assistant", "content": text, **more}


def test_a_text_is_one_turn_of_the_user() -> None:
    ask = read(input="hi")
    assert (ask.origin, ask.model, ask.messages) == (NAME, "m", [Turn("user", [Text("hi")])])


def test_every_item_in_a_row_by_one_side_is_one_turn_and_each_message_begins_one() -> None:
    assert turns(USER, USER, REASONING, assistant("a"), CALL, assistant("b"), assistant("c"), RESULT, USER) == [
        Turn("user", [Text("hi")]),
        Turn("user", [Text("hi")]),
        Turn(
            "assistant",
            [
                Thinking("hm", "gAAA", origin=NAME, id="rs_1", summary=True),
                Text("a"),
                ToolCall("c1", "f", '{"a": 1}'),
                Text("b"),
            ],
        ),
        Turn("assistant", [Text("c")]),
        Turn("user", [ToolResult("c1", [Text("ok")]), Text("hi")]),
    ]


def test_what_stands_at_the_head_for_the_model_to_obey_is_the_system() -> None:
    ask = read(
        instructions="one",
        input=[
            {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "two"}]},
            {"role": "system", "content": "three"},
            USER,
            {"role": "developer", "content": "four"},
        ],
    )
    assert ask.system == [Text("one"), Text("two"), Text("three")]
    assert ask.messages == [Turn("user", [Text("hi")]), Turn("system", [Text("four")])]


def test_a_system_message_with_more_than_words_is_a_turn() -> None:
    image = {"type": "input_image", "image_url": "https://x/y.png"}
    assert [turn.role for turn in turns({"role": "system", "content": [image]})] == ["system"]


def test_a_phase_that_is_not_the_answer_stands_beside_its_message() -> None:
    assert turns(USER, assistant("a", phase="final_answer")) == turns(USER, assistant("a"))
    commented = turns(USER, assistant("a", phase="commentary"), assistant("b"))
    assert commented[1:] == [
        Turn("assistant", [Text("a"), Foreign(NAME, "message.phase", raw("commentary"))]),
        Turn("assistant", [Text("b")]),
    ]


def test_a_refusal_was_said_by_the_assistant() -> None:
    said: JSON = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert turns(USER, said, assistant("a"))[1:] == [
        Turn("assistant", [Refusal("no")]),
        Turn("assistant", [Text("a")]),
    ]


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ("ok", [Text("ok")]),
        (None, []),
        ([{"type": "input_text", "text": "a"}], [Text("a")]),
        ({"content": "bad", "success": False}, [Text('{"content":"bad","success":false}')]),  # Codex, once
    ],
)
def test_a_result_is_a_text_or_a_list_and_anything_else_is_its_json(output: object, content: list[Text]) -> None:
    assert turns(USER, CALL, {**RESULT, "output": output})[-1] == Turn("user", [ToolResult("c1", [*content])])


def test_a_custom_tools_call_is_a_functions_call_and_its_result_a_functions_result() -> None:
    ask = read(
        tools=[{"type": "custom", "name": "exec"}],
        input=[
            USER,
            {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": 'ls "a"'},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        ],
    )
    assert ask.messages[1:] == [
        Turn("assistant", [ToolCall("c1", "exec", '{"input":"ls \\"a\\""}')]),
        Turn("user", [ToolResult("c1", [Text("ok")])]),
    ]


def test_a_call_in_a_namespace_is_one_of_the_function_that_bears_it() -> None:
    space: JSON = {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}
    ask = read(tools=[space], input=[USER, {**CALL, "namespace": "n", "caller": {"type": "direct"}}])
    assert ask.messages[1].content == [
        ToolCall("c1", "n__f", '{"a": 1}'),
        Foreign(NAME, "function_call.caller", raw({"type": "direct"})),
    ]


def test_a_signed_call_finds_its_signature_before_or_behind_it() -> None:
    seals: list[JSON] = [
        {
            "type": "reasoning",
            "id": f"rs_{call}",
            "summary": [],
            "encrypted_content": seal_call(ToolCall(call, "f", signature=f"S{call}", origin="gemini")),
        }
        for call in ("c1", "c2")
    ]
    calls = turns(USER, seals[0], CALL, {**CALL, "call_id": "c2"}, seals[1])[1]
    assert calls == Turn(
        "assistant",
        [
            ToolCall("c1", "f", '{"a": 1}', "Sc1", "gemini"),
            ToolCall("c2", "f", '{"a": 1}', "Sc2", "gemini"),
        ],
    )


def test_an_id_that_was_answered_may_be_another_calls_and_each_has_its_own_signature() -> None:
    seals: list[JSON] = [
        {
            "type": "reasoning",
            "summary": [],
            "encrypted_content": seal_call(ToolCall("c1", "f", signature=signature, origin="gemini")),
        }
        for signature in ("one", "two")
    ]
    talk = turns(USER, seals[0], CALL, RESULT, seals[1], CALL, RESULT, CALL)
    signed = [block.signature for turn in talk for block in turn.content if isinstance(block, ToolCall)]
    assert signed == ["one", "two", ""]


def test_an_item_only_this_language_has_stays_where_it_is_with_whoever_made_it() -> None:
    search: JSON = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    shot: JSON = {"type": "computer_call_output", "call_id": "cc", "output": {"type": "computer_screenshot"}}
    assert turns(USER, search, assistant("a"), shot) == [
        Turn("user", [Text("hi")]),
        Turn("assistant", [Foreign(NAME, "web_search_call", raw(search)), Text("a")]),
        Turn("user", [Foreign(NAME, "computer_call_output", raw(shot))]),
    ]


def test_tools_that_an_item_brings_are_tools() -> None:
    brought: JSON = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}],
    }
    ask = read(
        tools=[{"type": "function", "name": "f"}],
        input=[USER, brought, {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "namespace": "functions"}],
    )
    first, second = ask.tools
    assert first == Tool("f")
    assert isinstance(second, Wrapped)
    assert (second.name, second.space, second.custom, second.late) == ("exec", "functions", True, True)
    assert ask.messages[-1].content == [ToolCall("c1", "exec", '{"input":""}')]


def test_a_result_may_answer_a_call_of_a_kind_that_only_this_language_has() -> None:
    program: JSON = {"type": "program", "id": "p1", "call_id": "c9", "code": "1"}
    assert turns(USER, program, {**RESULT, "call_id": "c9"})[-1] == Turn("user", [ToolResult("c9", [Text("ok")])])


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([USER, RESULT], "input[1].call_id"),
        ([USER, CALL, CALL], "input[2].call_id"),
    ],
)
def test_calls_and_results_that_do_not_match_are_untranslatable(items: list[JSON], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        turns(*items)
    assert (raised.value.reason, raised.value.param) == ("untranslatable", param)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": None}, "missing_field", "input"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": 1}, "invalid_type", "input"),
        ({"input": [1]}, "invalid_type", "input[0]"),
        ({"input": [{"content": "a"}]}, "missing_field", "input[0].role"),
        ({"input": [{"role": "tool", "content": "a"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user"}]}, "missing_field", "input[0].content"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "missing_field",
            "input[0].content[0].text",
        ),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "missing_field", "input[0].name"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "missing_field", "input[0].call_id"),
        ({"input": [{**CALL, "arguments": {}}]}, "invalid_type", "input[0].arguments"),
        ({"input": [{"type": "reasoning", "summary": "a"}]}, "invalid_type", "input[0]"),
        ({"input": [{"type": "mcp_call", "id": 1}]}, "invalid_type", "input[0]"),
        ({"tools": [{"type": "function"}]}, "missing_field", "tools[0].name"),
        ({"tools": {}}, "invalid_type", "tools"),
        ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "invalid_type", "text.format.schema"),
        ({"include": [1]}, "invalid_type", "include"),
        ({"top_logprobs": -1}, "invalid_value", "top_logprobs"),
    ],
)
def test_what_must_cross_and_cannot_be_understood_is_named(fields: JSON, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**fields)
    assert (raised.value.reason, raised.value.param) == (code, param)


def test_numbers_and_names_are_read() -> None:
    ask = read(
        temperature=0.50,
        top_p=None,
        max_output_tokens=100,
        safety_identifier="who",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        stream=True,
        store=True,
        truncation="disabled",
        stream_options={"include_obfuscation": False},
        background=False,
        moderation={"model": "m"},
    )
    assert ask.sampling == {"temperature": Raw(b"0.5")}
    assert (ask.max_tokens, ask.user, ask.metadata) == (100, "who", {"a": "b"})
    assert (ask.service_tier, ask.cache_key, ask.stream) == ("flex", "k", True)
    assert ask.other == {"store": Raw(b"true"), "moderation": raw({"model": "m"})}


def test_defaults_that_are_not_the_defaults_and_metadata_that_is_none_are_kept() -> None:
    ask = read(truncation="auto", metadata={"a": 1}, user="u")
    assert ask.other == {"truncation": raw("auto"), "metadata": raw({"a": 1})}
    assert ask.user == "u"


@pytest.mark.parametrize(
    ("reasoning", "effort", "other"),
    [
        (None, None, None),
        ({"effort": "high"}, Effort("high"), None),
        ({"effort": "low", "summary": "auto"}, Effort("low", shown=True), None),
        ({"effort": None, "summary": "detailed"}, Effort(shown=True), {"summary": "detailed"}),
        ({"generate_summary": "concise"}, Effort(shown=True), {"summary": "concise"}),
        ({"context": "all_turns"}, None, {"context": "all_turns"}),
    ],
)
def test_an_effort_is_read_and_the_rest_is_kept(reasoning: object, effort: Effort | None, other: object) -> None:
    ask = read(reasoning=reasoning)
    assert ask.thinking == effort
    assert ask.other == ({} if other is None else {"reasoning": raw(other)})


@pytest.mark.parametrize(
    ("text", "form", "other"),
    [
        ({"format": {"type": "text"}}, None, {}),
        ({"format": {"type": "json_object"}}, Format(), {}),
        (
            {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "schema": SCHEMA,
                    "strict": True,
                    "description": "d",
                },
                "verbosity": "low",
            },
            Format(raw(SCHEMA), "n", "d", strict=True),
            {"verbosity": raw("low")},
        ),
        (
            {"format": {"type": "grammar", "definition": "g"}, "tone": "warm"},
            None,
            {"text": raw({"tone": "warm", "format": {"type": "grammar", "definition": "g"}})},
        ),
    ],
)
def test_a_format_is_read_and_the_rest_is_kept(text: JSON, form: Format | None, other: dict[str, Raw]) -> None:
    ask = read(text=text)
    assert ask.format == form
    assert ask.other == other


@pytest.mark.parametrize(
    ("fields", "logprobs", "other"),
    [
        ({}, None, {}),
        ({"include": ["reasoning.encrypted_content"]}, None, {}),
        ({"include": ["message.output_text.logprobs"]}, 0, {}),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, 3, {}),
        ({"top_logprobs": 3}, 3, {}),
        ({"top_logprobs": 0}, None, {}),
        ({"include": ["file_search_call.results"]}, None, {"include": raw(["file_search_call.results"])}),
    ],
)
def test_logprobs_are_asked_for_by_what_is_to_be_included(
    fields: JSON, logprobs: int | None, other: dict[str, Raw]
) -> None:
    ask = read(**fields)
    assert (ask.logprobs, ask.other) == (logprobs, other)


def test_marks_of_the_cache_are_read() -> None:
    part = {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    assert turns({"role": "user", "content": [part]}) == [Turn("user", [Text("a", Cache("12h"))])]


def test_reading_leaves_the_request_as_it_was() -> None:
    asked = request(input=[USER, CALL], tools=[{"type": "function", "name": "f"}])
    before = dict(asked.fields)
    assert read_request(asked) == read_request(asked)
    assert asked.fields == before


def test_what_is_read_is_written_as_it_was() -> None:
    body: JSON = {
        "model": "m",
        "instructions": "be brief",
        "input": [
            {"role": "system", "content": "and kind"},
            USER,
            REASONING,
            {**assistant("a"), "phase": "commentary"},
            {**CALL, "caller": {"type": "direct"}},
            {**RESULT, "output": [{"type": "input_image", "image_url": "data:image/png;base64,A", "detail": "low"}]},
            {"type": "web_search_call", "id": "ws", "action": {}},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "max_output_tokens": 9,
        "temperature": 1,
        "top_logprobs": 2,
        "reasoning": {"effort": "low", "summary": "detailed", "context": "all_turns"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "file_search_call.results"],
        "safety_identifier": "who",
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "explicit"},
        "truncation": "auto",
        "max_tool_calls": 3,
        "stream": True,
        "store": False,
    }
    assert again(**body) == body
