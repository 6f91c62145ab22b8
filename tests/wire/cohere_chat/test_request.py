import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.cohere_chat.request import check_request, read_request
from gateway.wire.cohere_chat.words import NAME
from gateway.wire.ir import Ask, Effort, Foreign, Format, Media, Text, Tool, ToolChoice, ToolResult

USER = {"role": "user", "content": "hi"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def request(**fields: object) -> Request:
    said = {"model": "m", "messages": [USER]} | fields
    return Request({name: Raw(encode(value)) for name, value in said.items()}, "m")


def read(**fields: object) -> Ask:
    return read_request(request(**fields))


def test_null_is_as_good_as_nothing() -> None:
    fields = dict.fromkeys(("tools", "documents", "temperature", "max_tokens", "tool_choice", "tomorrow"))
    assert read(**fields) == read()


def test_what_is_unknown_goes_back_as_it_was() -> None:
    ask = read(safety_mode="OFF", tool_choice="SOMETIMES", response_format={"type": "tomorrows"})
    assert ask.other == {
        "safety_mode": Raw(b'"OFF"'),
        "tool_choice": Raw(b'"SOMETIMES"'),
        "response_format": Raw(b'{"type":"tomorrows"}'),
    }


def test_numbers_are_carried_as_they_were_written_under_the_common_names() -> None:
    ask = read(p=0.7, k=3, seed=1, temperature=0.0, frequency_penalty=1, presence_penalty=0.5)
    assert {name: bytes(raw) for name, raw in ask.sampling.items()} == {
        "top_p": b"0.7",
        "top_k": b"3",
        "seed": b"1",
        "temperature": b"0.0",
        "frequency_penalty": b"1",
        "presence_penalty": b"0.5",
    }


def test_limits_and_stops() -> None:
    ask = read(max_tokens=7, stop_sequences=["a", "b"], logprobs=True)
    assert (ask.max_tokens, ask.stop, ask.logprobs) == (7, ["a", "b"], 0)
    assert read(logprobs=False).logprobs is None


def test_tools_and_their_strictness() -> None:
    (tool, bare) = read(
        tools=[{"type": "function", "function": FUNCTION}, {"function": {"name": "g"}}], strict_tools=True
    ).tools
    assert tool == Tool("f", "d", Raw(b'{"type":"object"}'), strict=True)
    assert bare == Tool("g", strict=True)
    assert read(strict_tools=True).other == {"strict_tools": Raw(b"true")}


def test_a_tool_of_another_kind_is_only_ours() -> None:
    ask = read(tools=[{"type": "web", "x": 1}])
    assert ask.tools == [Foreign(NAME, "web", Raw(b'{"type":"web","x":1}'))]


def test_the_choice_of_tools() -> None:
    assert read(tool_choice="REQUIRED").choice == ToolChoice("required")
    assert read(tool_choice="NONE").choice == ToolChoice("none")
    assert read().choice is None


def test_thinking_is_off_or_has_a_budget_or_neither() -> None:
    assert read(thinking={"type": "disabled"}).thinking == Effort("none")
    assert read(thinking={"type": "enabled", "token_budget": 9}).thinking == Effort(tokens=9)
    assert read(thinking={"type": "enabled"}).thinking == Effort()


def test_the_form_of_the_answer() -> None:
    schema = Raw(b'{"type":"object"}')
    assert read(response_format={"type": "json_object"}).format == Format()
    assert read(response_format={"type": "json_object", "json_schema": {"type": "object"}}).format == Format(schema)
    assert read(response_format={"type": "json_object", "schema": {"type": "object"}}).format == Format(schema)
    plain = read(response_format={"type": "text"})
    assert (plain.format, plain.other) == (None, {})


def test_documents_stand_before_the_last_thing_a_user_said() -> None:
    ask = read(
        messages=[
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "1", "content": "x"},
        ],
        documents=["d"],
        citation_options={"mode": "FAST"},
    )
    assert ask.messages[0].content == [Media("document", text="d", cites=True), Text("hi")]
    assert ask.messages[2].content == [ToolResult("1", [Text("x")])]
    assert ask.other == {"citation_options": Raw(b'{"mode":"FAST"}')}


@pytest.mark.parametrize("mode", ["OFF", "DISABLED"])
def test_documents_that_are_not_to_be_cited_say_so(mode: str) -> None:
    ask = read(documents=[{"data": {"text": "d"}}], citation_options={"mode": mode})
    assert ask.messages[0].content[0] == Media("document", "text/plain", text="d", cites=False)
    assert ask.other == {}


def test_documents_nobody_asked_about_stay_where_they_were() -> None:
    ask = read(messages=[{"role": "assistant", "content": "x"}], documents=["d"])
    assert ask.other == {"documents": Raw(b'["d"]')}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": "x"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 2**31}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
    ],
)
def test_what_the_gateway_acts_on_is_checked_however_it_goes_on(
    fields: dict[str, object], param: str, code: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        check_request(request(**fields))
    assert (caught.value.param, caught.value.reason) == (param, code)


def test_there_must_be_messages() -> None:
    with pytest.raises(BadRequest) as caught:
        check_request(Request({}, "m"))
    assert (caught.value.param, caught.value.reason) == ("messages", "missing_field")
    check_request(Request({"messages": Raw(b"[ 1 ]"), "max_tokens": Raw(b"null")}, "m"))


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_field"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name", "missing_field"),
        ({"tools": [], "strict_tools": 1}, "strict_tools", "invalid_type"),
        ({"tool_choice": {}}, "tool_choice", "invalid_type"),
        ({"stop_sequences": "x"}, "stop_sequences", "invalid_type"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"thinking": "much"}, "thinking", "invalid_type"),
        ({"thinking": {"token_budget": "x"}}, "thinking.token_budget", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_field"),
        ({"documents": ["a", 1]}, "documents[1]", "invalid_type"),
        ({"documents": [], "citation_options": 1}, "citation_options", "invalid_type"),
    ],
)
def test_what_is_translated_must_be_understood(fields: dict[str, object], param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**fields)
    assert (caught.value.param, caught.value.reason) == (param, code)
