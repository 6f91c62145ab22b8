import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.ir import Ask, Cache, Effort, Foreign, Format, Tool, ToolChoice
from gateway.wire.openai_chat.codec import CODEC
from gateway.wire.openai_chat.request import FunctionsAsk
from tests.wire.openai_chat.saying import HELLO, raw, read, request

LOOK = {"type": "function", "function": {"name": "look"}}
HEAR = {"type": "function", "function": {"name": "hear"}}


def fault(**fields: object) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(**fields)
    return caught.value.reason, caught.value.param


def test_a_request_is_what_it_says() -> None:
    ask = read(
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=5,
        stop="x",
        temperature=0.5,
        seed=None,
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        cache_control={"type": "ephemeral"},
        logit_bias={"1": 2},
    )
    assert (ask.origin, ask.model, ask.stream, ask.wants_usage) == ("openai_chat", "m", True, True)
    assert (ask.max_tokens, ask.stop, ask.user, ask.metadata) == (5, ["x"], "u", {"a": "b"})
    assert (ask.service_tier, ask.cache_key, ask.cache) == ("flex", "k", Cache())
    assert ask.sampling == {"temperature": Raw(b"0.5")}
    assert ask.other == {"logit_bias": raw({"1": 2})}
    assert (ask.choice, ask.thinking, ask.format, ask.logprobs, ask.n) == (None, None, None, None, 1)
    assert type(ask) is Ask


def test_the_query_goes_with_it() -> None:
    asked = request()
    asked.query = "a=1"
    assert CODEC.read_request(asked).query == "a=1"


def test_messages_are_needed() -> None:
    with pytest.raises(BadRequest) as caught:
        CODEC.read_request(Request({}, "m"))
    assert (caught.value.reason, caught.value.param) == ("missing_field", "messages")


# --- tools ------------------------------------------------------------------------------------------------------------


def test_tools_are_functions() -> None:
    schema = {"type": "object"}
    function = {"name": "look", "description": "d", "parameters": schema, "strict": True}
    ask = read(tools=[{"type": "function", "function": function, "cache_control": {}}, {"function": {"name": "hear"}}])
    assert ask.tools == [Tool("look", "d", raw(schema), strict=True, cache=Cache()), Tool("hear")]


def test_another_tool_is_kept_whole() -> None:
    tool = {"type": "custom", "custom": {"name": "x"}}
    assert read(tools=[tool]).tools == [Foreign("openai_chat", "custom", raw(tool))]


def test_what_is_unknown_of_a_tool_is_kept_by_its_name() -> None:
    ask = read(tools=[{**LOOK, "eager": True, "nothing": None}, {"function": {"name": "hear", "examples": []}}])
    assert ask.other == {"tools.eager": raw({"look": True}), "tools.function.examples": raw({"hear": []})}


def test_functions_of_old_are_tools() -> None:
    ask = read(functions=[{"name": "look", "parameters": {}}], function_call={"name": "look"})
    assert type(ask) is FunctionsAsk
    assert ask.tools == [Tool("look", schema=Raw(b"{}"))]
    assert ask.choice == ToolChoice("tool", ("look",))
    assert read(functions=[{"name": "look"}], function_call="none").choice == ToolChoice("none")


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ("look", ToolChoice("tool", ("look",))),
        (LOOK, ToolChoice("tool", ("look",))),
        ({"function": {"name": "look"}}, ToolChoice("tool", ("look",))),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [LOOK, HEAR]}},
            ToolChoice("required", ("look", "hear")),
        ),
        ({"type": "allowed_tools", "allowed_tools": {"tools": [LOOK]}}, ToolChoice("auto", ("look",))),
        (None, None),
    ],
)
def test_a_choice_is_a_mode_and_names(said: object, choice: ToolChoice | None) -> None:
    ask = read(tools=[LOOK, HEAR], tool_choice=said)
    assert ask.choice == choice
    assert ask.other == {}


@pytest.mark.parametrize(
    "said",
    [
        {"type": "custom", "custom": {"name": "x"}},
        {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "custom", "custom": {"name": "x"}}]}},
    ],
)
def test_a_choice_of_another_tool_is_kept(said: object) -> None:
    ask = read(tools=[LOOK], tool_choice=said)
    assert (ask.choice, ask.other) == (None, {"tool_choice": raw(said)})


def test_calls_side_by_side_may_be_forbidden() -> None:
    assert read(parallel_tool_calls=False).choice == ToolChoice(parallel=False)
    assert read(parallel_tool_calls=True, tool_choice="none").choice == ToolChoice("none", parallel=True)


# --- how to answer ----------------------------------------------------------------------------------------------------


def test_d4_either_name_of_the_limit_counts() -> None:
    assert read(max_completion_tokens=5).max_tokens == 5
    assert read(max_completion_tokens=5, max_tokens=5).max_tokens == 5
    assert fault(max_completion_tokens=5, max_tokens=6) == ("invalid_value", "max_tokens")


def test_the_form_of_the_answer() -> None:
    schema = {"name": "n", "schema": {"type": "object"}, "description": "d", "strict": False}
    form = read(response_format={"type": "json_schema", "json_schema": schema}).format
    assert form == Format(raw({"type": "object"}), "n", "d", strict=False)
    assert read(response_format={"type": "json_object"}).format == Format()
    assert read(response_format={"type": "text"}).format is None


@pytest.mark.parametrize(
    "said",
    [
        {"type": "grammar", "grammar": "x"},
        {"type": "json_object", "schema": {}},
        {"type": "json_schema", "json_schema": {"name": "n"}},
    ],
)
def test_another_form_is_kept(said: object) -> None:
    ask = read(response_format=said)
    assert (ask.format, ask.other) == (None, {"response_format": raw(said)})


def test_logprobs_are_counted() -> None:
    assert read(logprobs=True).logprobs == 0
    assert read(logprobs=True, top_logprobs=3).logprobs == 3
    ask = read(logprobs=False, top_logprobs=3)
    assert (ask.logprobs, ask.other) == (None, {"top_logprobs": raw(3)})


@pytest.mark.parametrize(
    ("said", "effort"),
    [
        ({"reasoning_effort": "high"}, Effort("high")),
        ({"reasoning": {"effort": "low"}}, Effort("low")),
        ({"reasoning": {"max_tokens": 9, "exclude": True}}, Effort(tokens=9, shown=False)),
        ({"reasoning": {"exclude": False}}, Effort(shown=True)),
        ({"reasoning": {"enabled": True}}, Effort("medium")),
        ({"reasoning": {"enabled": True, "effort": "low"}}, Effort("low")),
        ({"reasoning": {"enabled": True, "max_tokens": 9}}, Effort(tokens=9)),
        ({"reasoning": {"enabled": False}}, Effort("none")),
        ({"reasoning": {}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Effort(tokens=9)),
        ({"thinking": {"type": "enabled"}}, Effort("medium")),
        ({"thinking": {"type": "disabled"}}, Effort("none")),
        ({"thinking": None}, None),
    ],
)
def test_how_much_to_think(said: dict[str, object], effort: Effort | None) -> None:
    ask = read(**said)
    assert ask.thinking == effort
    assert ask.other == {}


@pytest.mark.parametrize(
    ("said", "effort"),
    [
        ({"thinking": {"type": "enabled", "clear_thinking": False}}, None),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, Effort("low")),
        ({"reasoning": {"summary": "auto"}}, None),
    ],
)
def test_what_more_is_said_of_it_is_kept(said: dict[str, object], effort: Effort | None) -> None:
    ask = read(**said)
    assert ask.thinking == effort
    assert ask.other == {name: raw(value) for name, value in said.items() if name != "reasoning_effort"}


def test_a_user_may_have_two_names() -> None:
    assert read(safety_identifier="s").user == "s"
    ask = read(user="u", safety_identifier="s")
    assert (ask.user, ask.other) == ("u", {"safety_identifier": raw("s")})


def test_metadata_that_is_not_of_strings_is_kept() -> None:
    ask = read(metadata={"a": 1})
    assert (ask.metadata, ask.other) == ({}, {"metadata": raw({"a": 1})})


@pytest.mark.parametrize(
    ("fields", "reason", "param"),
    [
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": True}, "invalid_type", "max_completion_tokens"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 129}, "invalid_value", "n"),
        ({"stop": 1}, "invalid_type", "stop"),
        ({"tools": {}}, "invalid_type", "tools"),
        ({"tools": [{"type": "function"}]}, "missing_field", "tools[0].function"),
        ({"tools": [{"function": {}}]}, "missing_field", "tools[0].function.name"),
        ({"tools": [{"function": {"name": "a", "parameters": 1}}]}, "invalid_type", "tools[0].function.parameters"),
        ({"tools": [LOOK, LOOK]}, "invalid_value", "tools"),
        ({"tool_choice": "look"}, "invalid_value", "tool_choice"),
        ({"tool_choice": 1}, "invalid_type", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_field", "tool_choice.function"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x"}}},
            "invalid_value",
            "tool_choice.allowed_tools.mode",
        ),
        ({"function_call": {}}, "missing_field", "function_call.function.name"),
        ({"response_format": "json"}, "invalid_type", "response_format"),
        ({"logprobs": 3}, "invalid_type", "logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "invalid_value", "top_logprobs"),
        ({"reasoning": 1}, "invalid_type", "reasoning"),
    ],
)
def test_what_can_not_be_read_is_named(fields: dict[str, object], reason: str, param: str) -> None:
    assert fault(**fields) == (reason, param)


# --- what holds for every request -------------------------------------------------------------------------------------


def checked(messages: object = None, /, **fields: object) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        CODEC.check(request(messages, **fields))
    return caught.value.reason, caught.value.param


def test_limits_are_checked_wherever_a_request_goes() -> None:
    CODEC.check(request(max_tokens=1, n=2, tools="the backend judges"))
    CODEC.check(Request({"prompt": raw("a")}, "m"))
    assert checked(max_tokens=0) == ("invalid_value", "max_tokens")
    assert checked(n="1") == ("invalid_type", "n")


def stored(part: object) -> list[object]:
    return [*HELLO, {"role": "user", "content": [{"type": "text", "text": "file_id"}, part]}]


@pytest.mark.parametrize(
    "part", [{"type": "file", "file": {"file_id": "f"}}, {"file_id": "f"}, {"x": [{"file_id": 1}]}]
)
def test_stored_files_are_refused(part: object) -> None:
    assert checked(stored(part)) == ("unsupported_feature", "messages[1].content[1]")


@pytest.mark.parametrize("letter", "file_d")
def test_a_stored_file_can_not_hide_behind_escapes(letter: str) -> None:
    body = json.dumps({"model": "m", "messages": stored({"type": "file", "file": {"file_id": "f"}})})
    hidden = body.replace('"file_id": "f"', '"file_id": "f"'.replace(letter, f"\\u00{ord(letter):02x}"))
    fields = json.loads(body)
    asked = request()
    asked.fields["messages"] = Raw(hidden[hidden.index("[") : hidden.rindex("]") + 1].encode())
    assert json.loads(bytes(asked.fields["messages"])) == fields["messages"]
    with pytest.raises(BadRequest):
        CODEC.check(asked)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "file_id"}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_id": None}}]}],
        ["file_id"],
        "file_id",
        [{"role": "user", "content": "caf\u00e9 \u0001"}],
    ],
)
def test_a_word_is_no_file(messages: object) -> None:
    CODEC.check(request(messages))
