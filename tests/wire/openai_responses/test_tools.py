import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.ir import Ask, Cache, Foreign, Tool, ToolChoice
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.tools import (
    Toolbox,
    Wrapped,
    free_arguments,
    free_text,
    read_choice,
    wrapped,
    write_choice,
    write_tools,
)
from tests.wire.openai_responses.talk import JSON, NAME, raw

SCHEMA: JSON = {"type": "object", "properties": {"a": {"type": "string"}}}
GRAMMAR: JSON = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH: JSON = {"type": "custom", "name": "apply_patch", "description": "Edits.", "format": GRAMMAR}
AGENTS: JSON = {
    "type": "namespace",
    "name": "agents",
    "tools": [
        {"type": "function", "name": "spawn", "parameters": SCHEMA, "strict": False},
        {"type": "function", "name": "wait", "description": "Waits.", "parameters": SCHEMA},
    ],
    "description": "Sub-agents.",
}


def box(*tools: JSON) -> Toolbox:
    filled = Toolbox()
    filled.read([raw(tool) for tool in tools], "tools")
    return filled


def ask(*tools: Tool | Foreign, origin: str = NAME) -> Ask:
    return Ask(origin, "m", [], tools=list(tools))


def written(asked: Ask, losses: Losses | None = None) -> object:
    return json.loads(bytes(raw(write_tools(asked, losses or Losses()))))


def choice(box_: Toolbox, **fields: object) -> tuple[ToolChoice | None, dict[str, Raw]]:
    other: dict[str, Raw] = {}
    return read_choice({name: raw(value) for name, value in fields.items()}, box_, other), other


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
        {"type": "function", "name": "f", "parameters": None},
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False, "defer_loading": True},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "custom", "name": "c"},
        PATCH,
        AGENTS,
        {"type": "namespace", "name": "n", "tools": [PATCH]},
    ],
)
def test_a_tool_is_read_and_written_as_it_was(tool: JSON) -> None:
    assert written(ask(*box(tool).tools)) == [tool]


def test_a_function_is_one_everywhere_and_what_else_is_said_of_it_stands_beside() -> None:
    tools = box({"type": "function", "name": "f", "parameters": SCHEMA, "defer_loading": True, "async": False}).tools
    assert tools == [Tool("f", schema=raw(SCHEMA)), Foreign(NAME, "tools.defer_loading", Raw(b"true"))]


def test_a_custom_tool_is_a_function_of_one_text_elsewhere_and_its_grammar_is_told_in_words() -> None:
    tool, grammar = box(PATCH).tools
    assert isinstance(tool, Wrapped)
    assert tool.schema is not None
    schema = json.loads(bytes(tool.schema))
    assert (tool.name, tool.description, schema["required"]) == ("apply_patch", "Edits.", ["input"])
    assert schema["properties"]["input"]["description"].endswith("It follows this lark grammar:\nstart: /.+/")
    assert grammar == Foreign(NAME, "tools.format", raw(GRAMMAR))


@pytest.mark.parametrize("form", [{"type": "text"}, None])
def test_a_custom_tool_of_plain_text_loses_nothing_elsewhere(form: object) -> None:
    assert len(box({"type": "custom", "name": "c", "format": form}).tools) == 1


def test_a_grammar_that_is_not_understood_is_a_loss_like_one_that_is() -> None:
    tool, grammar = box({"type": "custom", "name": "c", "format": {"type": "new"}}).tools
    assert isinstance(tool, Wrapped)
    assert grammar == Foreign(NAME, "tools.format", raw({"type": "new"}))


def test_a_function_in_a_namespace_bears_it_in_its_name() -> None:
    tools = box(AGENTS).tools
    assert [tool.name if isinstance(tool, Tool) else tool.kind for tool in tools] == [
        "agents__spawn",
        "agents__wait",
        "namespace.description",
    ]
    known = wrapped(ask(*tools))
    assert (known["agents__wait"].space, known["agents__wait"].short) == ("agents", "wait")


def test_codex_own_namespace_is_named_only_where_it_must_be() -> None:
    mine: JSON = {"type": "namespace", "name": "functions", "tools": [{"type": "function", "name": "exec"}]}
    assert list(wrapped(ask(*box(mine).tools))) == ["exec"]
    assert list(wrapped(ask(*box({"type": "function", "name": "exec"}, mine).tools))) == ["functions__exec"]


def test_a_long_name_is_cut_so_that_every_language_takes_it_and_none_is_another() -> None:
    names = [f"{'n' * 70}{end}" for end in "ab"]
    tools = box({"type": "namespace", "name": "s", "tools": [{"type": "function", "name": name} for name in names]})
    flat = list(wrapped(ask(*tools.tools)))
    assert [len(name) for name in flat] == [64, 64]
    assert flat[0] != flat[1]


def test_two_tools_of_one_name_cannot_be_told_apart_elsewhere() -> None:
    with pytest.raises(BadRequest) as raised:
        box({"type": "function", "name": "f"}, {"type": "custom", "name": "f"})
    assert (raised.value.reason, raised.value.param) == ("untranslatable", "tools[1].name")


def test_tools_that_come_later_are_tools_unless_they_are_known_and_are_not_said_twice() -> None:
    filled = box({"type": "function", "name": "f"})
    later: list[JSON] = [
        {"type": "function", "name": "f"},
        {"type": "function", "name": "g", "defer_loading": True},
        {"type": "web_search"},
        AGENTS,
    ]
    filled.read([raw(tool) for tool in later], "input[0].tools", late=True)
    filled.read([raw(AGENTS)], "input[1].tools", late=True)
    names = [tool.name for tool in filled.tools if isinstance(tool, Tool)]
    assert names == ["f", "g", "agents__spawn", "agents__wait"]
    assert written(ask(*filled.tools)) == [{"type": "function", "name": "f", "parameters": None}]


def test_a_call_is_known_by_its_namespace_or_else_by_its_name() -> None:
    filled = box(AGENTS, {"type": "function", "name": "f"})
    assert filled.called("wait", "agents") == "agents__wait"
    assert filled.called("f", "f") == "f"  # OpenAI's tool search puts a deferred function into one of its own name
    assert filled.called("x", "y") == "y__x"
    assert filled.called("x", "") == "x"


def test_another_languages_function_is_not_strict_unless_it_says_so() -> None:
    losses = Losses()
    tools = written(
        ask(Tool("f", schema=raw(SCHEMA), cache=Cache()), Tool("g", strict=True), origin="anthropic_messages"), losses
    )
    assert tools == [
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False},
        {"type": "function", "name": "g", "parameters": None, "strict": True},
    ]
    assert losses.names() == ["cache=mapped"]


def test_another_languages_own_tool_is_a_loss() -> None:
    losses = Losses()
    assert written(ask(Foreign("gemini", "googleSearch", Raw(b"{}"))), losses) == []
    assert losses.names() == ["googleSearch"]


def test_free_text_is_the_one_argument_of_a_function() -> None:
    assert free_text(free_arguments('a"b\n')) == 'a"b\n'
    assert free_text("*** Begin Patch") == "*** Begin Patch"
    assert free_text('{"patch":1}') == '{"patch":1}'


@pytest.mark.parametrize(
    "said",
    [
        "auto",
        "none",
        "required",
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "c"},
        {"type": "function", "name": "wait", "namespace": "agents"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        {
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
        },
    ],
)
def test_a_choice_is_read_and_written_as_it_was(said: object) -> None:
    filled = box({"type": "function", "name": "f"}, {"type": "custom", "name": "c"}, AGENTS)
    chosen, other = choice(filled, tool_choice=said)
    assert chosen is not None
    assert other == {}
    assert write_choice(chosen, wrapped(ask(*filled.tools))) == said


def test_whether_calls_may_be_parallel_is_part_of_the_choice() -> None:
    assert choice(box()) == (None, {})
    assert choice(box(), parallel_tool_calls=False) == (ToolChoice(parallel=False), {})
    assert choice(box(), parallel_tool_calls=True, tool_choice="none") == (ToolChoice("none", parallel=True), {})


@pytest.mark.parametrize(
    "said",
    [
        {"type": "web_search"},
        {"type": "mcp", "server_label": "s"},
        {"type": "allowed_tools", "tools": [{"type": "web_search"}]},
    ],
)
def test_a_choice_that_names_no_function_is_this_languages_own(said: JSON) -> None:
    assert choice(box(), tool_choice=said) == (ToolChoice(), {"tool_choice": raw(said)})


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ("any", "tool_choice"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "allowed_tools", "mode": "x"}, "tool_choice.mode"),
        (1, "tool_choice"),
    ],
)
def test_a_choice_that_is_none_is_named(said: object, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        choice(box(), tool_choice=said)
    assert raised.value.param == param


def test_another_languages_choice_is_said_in_the_nearest_words() -> None:
    assert write_choice(ToolChoice("tool"), {}) == "required"
    several = write_choice(ToolChoice("tool", ("f", "g")), {})
    named = [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]
    assert several == {"type": "allowed_tools", "mode": "required", "tools": named}
