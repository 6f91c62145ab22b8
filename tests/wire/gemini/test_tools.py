import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.gemini.fields import raw_of
from gateway.wire.gemini.tools import read_choice, read_tools, write_choice, write_tools
from gateway.wire.ir import Ask, Cache, Foreign, Tool, ToolChoice, Turn
from gateway.wire.losses import Losses

SCHEMA = raw_of({"type": "object"})


def ask(choice: ToolChoice | None, *tools: Tool | Foreign, origin: str = "openai_chat") -> Ask:
    return Ask(origin, "m", [Turn("user", [])], tools=list(tools), choice=choice)


def test_functions_and_googles_own_tools_are_read() -> None:
    items = [
        raw_of(
            {
                "function_declarations": [
                    {"name": "f", "description": "d", "parameters_json_schema": {"type": "object"}},
                    {"name": "g", "parameters": {"type": "OBJECT"}, "behavior": "BLOCKING"},
                    {"name": "h"},
                ],
                "google_search": {},
            }
        ),
        raw_of({"urlContext": {}}),
    ]
    assert read_tools(items, "tools") == [
        Tool("f", "d", SCHEMA),
        Tool("g", "", SCHEMA),
        Foreign("gemini", "functionDeclarations.behavior", raw_of({"g": "BLOCKING"})),
        Tool("h"),
        Foreign("gemini", "googleSearch", raw_of({"googleSearch": {}})),
        Foreign("gemini", "urlContext", raw_of({"urlContext": {}})),
    ]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (7, "tools[0]"),
        ({"functionDeclarations": [{}]}, "tools[0].functionDeclarations[0].name"),
        ({"functionDeclarations": [{"name": "f", "parameters": 1}]}, "tools[0].functionDeclarations[0].parameters"),
    ],
)
def test_a_tool_that_is_none_is_named(item: object, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_tools([raw_of(item)], "tools")
    assert caught.value.param == param


def test_all_functions_are_written_in_one_object() -> None:
    tools: list[Tool | Foreign] = [
        Foreign("gemini", "googleSearch", raw_of({"googleSearch": {}})),
        Tool("f", "d", SCHEMA),
        Foreign("gemini", "functionDeclarations.behavior", raw_of({"f": "BLOCKING", "gone": "x"})),
        Tool("g"),
    ]
    losses = Losses()
    assert write_tools(tools, losses) == [
        {"googleSearch": Raw(b"{}")},
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parametersJsonSchema": SCHEMA,
                    "behavior": Raw(b'"BLOCKING"'),
                },
                {"name": "g"},
            ]
        },
    ]
    assert not losses.noted


def test_what_google_cannot_say_of_a_tool_is_lost() -> None:
    losses = Losses()
    write_tools(
        [Tool("f", strict=True, cache=Cache()), Foreign("anthropic_messages", "web_search", Raw(b"{}"))], losses
    )
    assert losses.names() == ["tools.strict", "cache", "web_search"]


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({}, ToolChoice()),
        ({"mode": "AUTO"}, ToolChoice()),
        ({"mode": "none"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowed_function_names": ["f"]}, ToolChoice("tool", ("f",))),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("required", ("f", "g"))),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("auto", ("f",))),
    ],
)
def test_a_choice_is_read(calling: object, choice: ToolChoice) -> None:
    other: dict[str, Raw] = {}
    assert read_choice({"functionCallingConfig": raw_of(calling)}, other) == choice
    assert not other


def test_what_only_google_says_of_the_choice_is_kept() -> None:
    other: dict[str, Raw] = {}
    calling = {"mode": "VALIDATED", "streamFunctionCallArguments": True}
    config = {"functionCallingConfig": raw_of(calling), "retrievalConfig": raw_of({})}
    assert read_choice(config, other) == ToolChoice()
    assert other == {
        "toolConfig.retrievalConfig": Raw(b"{}"),
        "toolConfig.functionCallingConfig.streamFunctionCallArguments": Raw(b"true"),
        "toolConfig.functionCallingConfig.mode": Raw(b'"VALIDATED"'),
    }
    assert read_choice({}, other) is None


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        read_choice({"functionCallingConfig": raw_of({"mode": "SOMETIMES"})}, {})
    assert caught.value.param == "toolConfig.functionCallingConfig.mode"


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        (ToolChoice(), {"mode": "AUTO"}),
        (ToolChoice("none", ("f",)), {"mode": "NONE"}),
        (ToolChoice("required", parallel=True), {"mode": "ANY"}),
        (ToolChoice("required", ("f", "g")), {"mode": "ANY", "allowedFunctionNames": ("f", "g")}),
        (ToolChoice("tool", ("f",)), {"mode": "ANY", "allowedFunctionNames": ("f",)}),
        (ToolChoice("auto", ("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ("f",)}),
    ],
)
def test_a_choice_is_written(choice: ToolChoice | None, written: object) -> None:
    losses = Losses()
    assert write_choice(ask(choice, Tool("f")), losses) == written
    assert not losses.noted


def test_a_choice_without_functions_is_googles_alone() -> None:
    assert write_choice(ask(ToolChoice()), Losses()) is None
    assert write_choice(ask(ToolChoice(), origin="gemini"), Losses()) == {"mode": "AUTO"}


def test_one_call_at_a_time_cannot_be_asked_for() -> None:
    losses = Losses()
    write_choice(ask(ToolChoice(parallel=False), Tool("f")), losses)
    assert losses.names() == ["tool_choice.parallel"]
