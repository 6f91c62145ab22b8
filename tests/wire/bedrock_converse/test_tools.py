import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.wire.bedrock_converse.tools import read_tools, write_tools
from gateway.wire.bedrock_converse.writing import Writing
from gateway.wire.ir import Ask, Cache, Foreign, Tool, ToolCall, ToolChoice
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import CLAUDE, NAME, NOVA, Json, ask, js

SCHEMA: dict[str, object] = {"type": "object", "properties": {"a": {"type": "string"}}}
SPEC = {"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": SCHEMA}}}
PLAIN = {"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}
POINT = {"cachePoint": {"type": "default"}}
LOOK = Tool("look", schema=js(SCHEMA))
FIND = Tool("find", schema=js(SCHEMA))


def read(config: dict[str, object]) -> Ask:
    asked = ask(origin=NAME)
    read_tools(asked, {name: js(value) for name, value in config.items()})
    return asked


def written(asked: Ask, model: str = CLAUDE, *called: str) -> tuple[Json, list[str]]:
    losses = Losses()
    writing = Writing(losses, asking=True, caches=True)
    writing.blocks([ToolCall(name, name) for name in called])
    return decode(encode(write_tools(asked, model, writing, losses))), losses.names()


@pytest.mark.parametrize(
    "config",
    [
        {"tools": [SPEC]},
        {"tools": [SPEC, POINT], "toolChoice": {"auto": {}}},
        {"tools": [PLAIN], "toolChoice": {"any": {}}},
        {"tools": [PLAIN], "toolChoice": {"tool": {"name": "look"}}},
        {"tools": [{"toolSpec": {**PLAIN["toolSpec"], "strict": False}}]},
        {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {}}}}]},
        {"tools": [POINT, {"systemTool": {"name": "nova_grounding"}}, POINT, SPEC, POINT, POINT]},
    ],
)
def test_tools_are_read_and_written_as_they_were(config: dict[str, object]) -> None:
    assert written(read(config)) == (config, [])


def test_a_tool_is_a_function_with_its_schema_and_mark() -> None:
    asked = read({"tools": [SPEC, POINT]})
    assert asked.tools == [Tool("look", "Looks.", js(SCHEMA), cache=Cache())]
    assert read({"tools": None, "toolChoice": None}).tools == []


def test_an_unknown_field_is_kept_by_its_full_name() -> None:
    assert read({"tools": [SPEC], "tomorrow": 1}).other == {"toolConfig.tomorrow": Raw(b"1")}


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"tools": {}}, "toolConfig.tools"),
        ({"tools": [{}]}, "toolConfig.tools[0]"),
        ({"tools": [SPEC, {"toolSpec": {"name": "a"}}]}, "toolConfig.tools[1].toolSpec"),
        (
            {"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": "{}"}}}]},
            "toolConfig.tools[0].toolSpec.inputSchema.json",
        ),
        ({"toolChoice": {"none": {}}}, "toolConfig.toolChoice"),
        ({"toolChoice": {"auto": {}, "any": {}}}, "toolConfig.toolChoice"),
        ({"toolChoice": {"tool": {}}}, "toolConfig.toolChoice.tool"),
    ],
)
def test_what_is_no_tool_is_told_by_its_place(config: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as told:
        read(config)
    assert told.value.param == param


@pytest.mark.parametrize("schema", [None, Raw(b"{}")])
def test_a_tool_that_takes_nothing_says_so(schema: Raw | None) -> None:
    said, losses = written(ask(tools=[Tool("look", schema=schema)]))
    assert said["tools"] == [
        {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
    ]
    assert losses == []


def test_a_schema_says_that_it_is_of_an_object() -> None:
    said, _ = written(ask(tools=[Tool("look", schema=js({"properties": {}}))]))
    assert said["tools"][0]["toolSpec"]["inputSchema"]["json"] == {"type": "object", "properties": {}}


def test_strict_tools_go_to_models_that_know_them() -> None:
    tool = Tool("look", schema=js(SCHEMA), strict=True)
    said, losses = written(ask(tools=[tool]))
    assert (said["tools"][0]["toolSpec"]["strict"], losses) == (True, [])
    said, losses = written(ask(tools=[tool]), NOVA)
    assert (said["tools"], losses) == ([PLAIN], ["tools.strict"])
    assert written(ask(tools=[Tool("look", schema=js(SCHEMA), strict=False)])) == ({"tools": [PLAIN]}, [])


def test_anothers_own_tool_is_a_loss() -> None:
    strange = Foreign("anthropic_messages", "web_search_20250305", Raw(b"{}"))
    assert written(ask(tools=[LOOK, strange])) == ({"tools": [PLAIN]}, ["web_search_20250305"])


@pytest.mark.parametrize(
    ("choice", "said", "losses"),
    [
        (ToolChoice("auto"), None, []),
        (ToolChoice("required"), {"any": {}}, []),
        (ToolChoice("tool", ("look",)), {"tool": {"name": "look"}}, []),
        (ToolChoice("required", ("look",)), {"tool": {"name": "look"}}, []),
        (ToolChoice("auto", parallel=False), None, ["tool_choice.parallel"]),
        (ToolChoice("auto", parallel=True), None, []),
    ],
)
def test_a_choice_is_said_in_converses_words(choice: ToolChoice, said: object, losses: list[str]) -> None:
    config, lost = written(ask(tools=[LOOK, FIND], choice=choice))
    assert (config.get("toolChoice"), lost) == (said, losses)
    assert len(config["tools"]) == 2


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_some_tools_are_said_by_leaving_out_the_others(mode: str) -> None:
    names = ("look",) if mode == "auto" else ("look", "see")
    choice = ToolChoice("auto", names) if mode == "auto" else ToolChoice("required", names)
    config, lost = written(ask(tools=[LOOK, FIND], choice=choice))
    assert (config["tools"], lost) == ([PLAIN], ["tool_choice.names=mapped"])


def test_a_choice_of_no_tool_there_is_is_refused() -> None:
    with pytest.raises(UnsupportedFeature):
        written(ask(tools=[LOOK], choice=ToolChoice("auto", ("see",))))


def test_where_none_may_be_called_none_is_offered() -> None:
    assert written(ask(tools=[LOOK], choice=ToolChoice("none"))) == ({}, ["tool_choice=mapped"])
    assert written(ask(choice=ToolChoice("none"))) == ({}, [])
    assert written(ask(tools=[LOOK], choice=ToolChoice("none")), CLAUDE, "look") == (
        {"tools": [PLAIN]},
        ["tool_choice"],
    )


def test_calls_of_tools_that_nobody_offers_any_more_keep_their_tools() -> None:
    said, losses = written(ask(), CLAUDE, "look")
    assert said == {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}]}
    assert losses == ["tools=mapped"]


def test_without_tools_and_calls_nothing_is_said() -> None:
    assert written(ask()) == ({}, [])
