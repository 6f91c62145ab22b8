import pytest
from msgspec import Raw

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import Ask, Cache, Effort, Foreign, Format, Text, Tool, ToolChoice, Turn
from gateway.wire.losses import Losses
from tests.wire.openai_chat.saying import HELLO, again, foreign_ask, raw, written

LOOK = {"type": "function", "function": {"name": "look"}}
HEAR = {"type": "function", "function": {"name": "hear"}}
ALWAYS = {"model": "theirs", "messages": HELLO, "stream": False}


def ask_of(**fields: object) -> Ask:
    ask = foreign_ask(Turn("user", [Text("hi")]))
    for name, value in fields.items():
        setattr(ask, name, value)
    return ask


def wrote(**fields: object) -> tuple[dict[str, object], list[str]]:
    """What a request of another language comes to, beside what is always said, and what was lost."""
    losses = Losses()
    said = written(ask_of(**fields), losses)
    assert ALWAYS.items() <= said.items()
    return {name: value for name, value in said.items() if name not in ALWAYS}, losses.names()


def test_a_request_names_its_model_and_says_whether_it_streams() -> None:
    assert wrote() == ({}, [])
    assert written(ask_of(stream=True, wants_usage=True)) == {**ALWAYS, "stream": True}


def test_what_openai_has_a_name_for_crosses() -> None:
    number = Raw(b"0.70")
    said, lost = wrote(
        max_tokens=5,
        stop=["x"],
        sampling={"temperature": number, "seed": Raw(b"1")},
        logprobs=2,
        user="u",
        cache_key="k",
        service_tier="priority",
    )
    assert said == {
        "max_completion_tokens": 5,
        "stop": ["x"],
        "temperature": 0.7,
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 2,
        "user": "u",
        "prompt_cache_key": "k",
        "service_tier": "priority",
    }
    assert lost == []
    assert wrote(logprobs=0) == ({"logprobs": True}, [])
    assert wrote(service_tier="standard_only") == ({"service_tier": "default"}, [])


def test_what_it_has_none_for_is_lost() -> None:
    said, lost = wrote(
        sampling={"top_k": Raw(b"1"), "min_p": Raw(b"1"), "repetition_penalty": Raw(b"1")},
        metadata={"a": "b"},
        cache=Cache(),
        service_tier="theirs",
        other={"mcp_servers": raw([]), "tools.eager": raw({})},
    )
    assert said == {}
    assert lost == [
        "top_k",
        "min_p",
        "repetition_penalty",
        "service_tier",
        "metadata",
        "cache",
        "mcp_servers",
        "tools.eager",
    ]


def test_only_one_answer_can_be_read_back() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        wrote(n=2)
    assert caught.value.param == "n"


# --- tools ------------------------------------------------------------------------------------------------------------


def test_tools_are_functions() -> None:
    tools = [
        Tool("look", "d", raw({"type": "object"}), strict=True, cache=Cache()),
        Tool("hear"),
        Foreign("anthropic_messages", "web_search_20250305", raw({})),
    ]
    function = {"name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}
    said, lost = wrote(tools=tools)
    assert said == {"tools": [{"type": "function", "function": function}, HEAR]}
    assert lost == ["cache", "web_search_20250305"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ToolChoice(), {"tool_choice": "auto"}),
        (ToolChoice("none"), {"tool_choice": "none"}),
        (ToolChoice("required", parallel=False), {"tool_choice": "required", "parallel_tool_calls": False}),
        (ToolChoice("tool", ("look",)), {"tool_choice": LOOK}),
    ],
)
def test_a_choice_is_said(choice: ToolChoice, said: dict[str, object]) -> None:
    assert wrote(tools=[Tool("look"), Tool("hear")], choice=choice) == (said | {"tools": [LOOK, HEAR]}, [])


@pytest.mark.parametrize("mode", ["tool", "required"])
def test_a_choice_among_some_leaves_out_the_others(mode: str) -> None:
    choice = ToolChoice("tool" if mode == "tool" else "required", ("look", "hear"))
    said, lost = wrote(tools=[Tool("look"), Tool("taste"), Tool("hear")], choice=choice)
    assert said == {"tool_choice": "required", "tools": [LOOK, HEAR]}
    assert lost == ["tool_choice.names=mapped"]


def test_a_choice_among_nothing_is_not_said() -> None:
    assert wrote(choice=ToolChoice(parallel=True)) == ({}, [])
    assert wrote(choice=ToolChoice("required")) == ({"tool_choice": "required"}, [])


# --- thinking and form ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effort", "level", "lost"),
    [
        (Effort("max"), "max", []),
        (Effort("high", 9), "high", []),
        (Effort(shown=False), None, []),
        (Effort("low", shown=True), "low", ["thinking=mapped"]),
        (Effort(tokens=0), "none", ["thinking=mapped"]),
        (Effort(tokens=-1), None, ["thinking=mapped"]),
        (Effort(tokens=2048), "low", ["thinking=mapped"]),
        (Effort(tokens=10_000), "medium", ["thinking=mapped"]),
        (Effort(tokens=32_000), "high", ["thinking=mapped"]),
    ],
)
def test_a_budget_is_a_word(effort: Effort, level: str | None, lost: list[str]) -> None:
    assert wrote(thinking=effort) == ({} if level is None else {"reasoning_effort": level}, lost)


def test_the_form_has_a_name() -> None:
    said, _ = wrote(format=Format(raw({"type": "object"})))
    schema = {"name": "answer", "schema": {"type": "object"}}
    assert said == {"response_format": {"type": "json_schema", "json_schema": schema}}
    said, _ = wrote(format=Format(raw({}), "n", "d", strict=True))
    full: dict[str, object] = {"name": "n", "schema": {}, "description": "d", "strict": True}
    assert said == {"response_format": {"type": "json_schema", "json_schema": full}}
    assert wrote(format=Format())[0] == {"response_format": {"type": "json_object"}}


# --- what came in this language ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {
            "top_k": 1,
            "metadata": {"a": "b"},
            "cache_control": {"type": "ephemeral"},
            "service_tier": "on_demand",
            "n": 2,
        },
        {"logit_bias": {"1": 2}},
        {"store": True},
        {"reasoning": {"effort": "low", "max_tokens": 9, "exclude": False}},
        {"reasoning": {"max_tokens": 9}},
        {"reasoning": {"exclude": True}},
        {"tools": [{**LOOK, "eager": True, "cache_control": {"type": "ephemeral"}}, HEAR]},
        {"tools": [{"type": "function", "function": {"name": "look", "examples": [1]}}]},
        {"tools": [{"type": "custom", "custom": {"name": "x"}}, {**LOOK, "eager": True}]},
        {
            "tools": [LOOK],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [LOOK]}},
        },
    ],
)
def test_a_request_goes_back_as_it_came(fields: dict[str, object]) -> None:
    assert again(**fields) == {**ALWAYS, **fields}


def test_a_tool_of_ours_is_never_among_the_named() -> None:
    ours = Foreign("openai_chat", "custom", raw({"type": "custom"}))
    said, _ = wrote(tools=[Tool("look"), ours], choice=ToolChoice("required", ("look",)))
    assert said["tools"] == [LOOK]
