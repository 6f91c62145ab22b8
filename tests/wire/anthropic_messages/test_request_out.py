import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UnsupportedFeature
from gateway.wire import raw
from gateway.wire.anthropic_messages import request as language
from gateway.wire.anthropic_messages import request_out
from gateway.wire.anthropic_messages.effort import MOST_TOKENS
from gateway.wire.ir import (
    Ask,
    Block,
    Cache,
    Effort,
    Foreign,
    Format,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import request

HI = [Turn("user", [Text("Hi")])]
LEAST = {"model": "claude", "max_tokens": MOST_TOKENS, "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = Raw(b'{"type":"object","properties":{}}')


def write(ask: Ask, model: str = "claude") -> tuple[dict[str, object], list[str]]:
    losses = Losses()
    fields = raw.write_fields(request_out.write(ask, model, losses))
    return decode(fields, type=dict[str, object]), losses.names()


def asked(**more: object) -> Ask:
    ask = Ask("openai_chat", "m", HI)
    for name, value in more.items():
        setattr(ask, name, value)
    return ask


def test_a_limit_is_always_said() -> None:
    assert write(asked()) == (LEAST, [])
    assert write(asked(max_tokens=7))[0]["max_tokens"] == 7


def test_what_anthropic_has_words_for_crosses_without_loss() -> None:
    ask = asked(
        stream=True,
        system=[Text("Be kind."), Text("Be brief.", Cache("1h"))],
        stop=["END"],
        sampling={"temperature": Raw(b"0.50"), "top_k": Raw(b"4")},
        user="u-1",
        cache=Cache(),
        thinking=Effort("none"),
        format=Format(Raw(b'{"type":"object"}')),
    )
    said, lost = write(ask, "claude-sonnet-4-5")
    assert lost == []
    assert said == {
        **LEAST,
        "model": "claude-sonnet-4-5",
        "system": [
            {"type": "text", "text": "Be kind."},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ],
        "stream": True,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_k": 4,
        "metadata": {"user_id": "u-1"},
        "cache_control": {"type": "ephemeral"},
        "thinking": {"type": "disabled"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    }


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({"logprobs": 0}, ["logprobs"]),
        ({"metadata": {"a": "b"}}, ["metadata"]),
        ({"cache_key": "k"}, ["cache_key"]),
        ({"other": {"store": Raw(b"true")}}, ["store"]),
        ({"sampling": {"seed": Raw(b"1")}}, ["seed"]),
        ({"stop": ["\n"]}, ["stop"]),
        ({"service_tier": "flex"}, ["service_tier"]),
        ({"tools": [Foreign("openai_responses", "web_search", Raw(b"{}"))]}, ["web_search"]),
    ],
)
def test_what_it_has_no_words_for_is_a_loss(more: dict[str, object], lost: list[str]) -> None:
    assert write(asked(**more)) == (LEAST, lost)


def test_several_answers_are_refused() -> None:
    with pytest.raises(UnsupportedFeature) as refused:
        write(asked(n=2))
    assert refused.value.param == "n"


def test_tiers_are_said_in_anthropics_words() -> None:
    assert write(asked(service_tier="default"))[0]["service_tier"] == "standard_only"
    assert write(asked(service_tier="auto"))[0]["service_tier"] == "auto"


def test_thinking_takes_no_sampling_beside_it() -> None:
    sampling = {"temperature": Raw(b"0.5"), "top_k": Raw(b"4")}
    said, lost = write(asked(thinking=Effort("low"), sampling=sampling), "claude-opus-4-8")
    assert said["thinking"] == {"type": "adaptive"}
    assert said["output_config"] == {"effort": "low"}
    assert lost == ["temperature", "top_k"]


def test_a_claude_takes_temperature_or_top_p_and_the_newest_neither() -> None:
    ask = asked(sampling={"temperature": Raw(b"0.5"), "top_p": Raw(b"1"), "top_k": Raw(b"4")})
    said, lost = write(ask, "claude-haiku-4-5-20251001")
    assert (said["temperature"], said["top_k"], lost) == (0.5, 4, ["top_p"])
    said, lost = write(ask, "claude-opus-4-7")
    assert said.keys() == LEAST.keys()
    assert lost == ["temperature", "top_p", "top_k"]


def test_a_system_prompt_alone_is_the_question() -> None:
    for turns in ([], [Turn("user", [Text("")])]):
        said, lost = write(asked(messages=turns, system=[Text("Say hi.")]))
        assert said == {**LEAST, "messages": [{"role": "user", "content": "Say hi."}]}
        assert lost == ["system=mapped"]
    assert write(asked(messages=[])) == ({**LEAST, "messages": []}, [])


def test_json_without_a_schema_is_asked_for_in_words() -> None:
    said, lost = write(asked(system=[Text("Be kind.")], format=Format()))
    system = said["system"]
    assert isinstance(system, list)
    assert [part["text"][:9] for part in system] == ["Be kind.", "Answer wi"]
    assert "output_config" not in said
    assert lost == ["format=mapped"]


@pytest.mark.parametrize(
    ("form", "lost"),
    [
        (Format(SCHEMA, name="n"), ["format.name=mapped"]),
        (Format(SCHEMA, strict=False), ["format.strict=mapped"]),
        (Format(SCHEMA, strict=True), []),
    ],
)
def test_a_schemas_name_is_nobodys_there_and_it_always_holds(form: Format, lost: list[str]) -> None:
    said, noted = write(asked(format=form))
    assert said["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}
    assert noted == lost


def test_a_tools_schema_is_always_of_an_object() -> None:
    tools = [Tool("f", "d", SCHEMA, strict=True, cache=Cache()), Tool("g"), Tool("h", schema=Raw(b"{}"))]
    empty = {"type": "object", "properties": {}}
    assert write(asked(tools=tools))[0]["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": empty,
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": empty},
        {"name": "h", "input_schema": {"type": "object"}},
    ]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ToolChoice(), {"type": "auto"}),
        (ToolChoice("required", parallel=False), {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("tool", ("f",), parallel=True), {"type": "tool", "name": "f", "disable_parallel_tool_use": False}),
        (ToolChoice("none", parallel=True), {"type": "none"}),
    ],
)
def test_a_choice_of_tools(choice: ToolChoice, said: object) -> None:
    assert write(asked(tools=[Tool("f")], choice=choice))[0]["tool_choice"] == said


def test_a_free_choice_without_tools_is_not_said() -> None:
    assert write(asked(choice=ToolChoice(parallel=True))) == (LEAST, [])
    assert write(asked(choice=ToolChoice("required")))[0]["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(("mode", "said"), [("tool", "any"), ("required", "any"), ("auto", "auto")])
def test_only_some_tools_are_said_by_giving_only_those(mode: str, said: str) -> None:
    names = ("f", "h")
    choice = (
        ToolChoice("tool", names) if mode == "tool" else ToolChoice("required" if mode == "required" else "auto", names)
    )
    written, lost = write(asked(tools=[Tool("f"), Tool("g"), Tool("h")], choice=choice))
    tools = written["tools"]
    assert isinstance(tools, list)
    assert [tool["name"] for tool in tools] == ["f", "h"]
    assert written["tool_choice"] == {"type": said}
    assert lost == ["tool_choice.names=mapped"]


def test_only_tools_that_are_not_there_are_refused() -> None:
    with pytest.raises(UnsupportedFeature) as refused:
        write(asked(tools=[Tool("g")], choice=ToolChoice("auto", ("f",))))
    assert refused.value.param == "tool_choice.names"


def test_what_it_said_itself_goes_back_to_its_place() -> None:
    body = {
        "model": "claude",
        "max_tokens": 9000,
        "messages": [{"role": "user", "content": "Hi"}],
        "container": "c",
        "cache_control": {"type": "ephemeral", "scope": "global"},
        "metadata": {"user_id": "u", "trace": "t"},
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}],
        "tool_choice": {"type": "auto", "mood": 1},
        "thinking": {"type": "between_tools"},
        "output_config": {
            "effort": "high",
            "task_budget": {"total": 5},
            "format": {"type": "json_schema", "schema": {}, "tint": 1},
        },
    }
    assert write(language.read(request(body))) == (body, [])


def test_parts_that_hold_nothing_but_what_was_kept_are_written() -> None:
    body = {**LEAST, "output_config": {"effort": "high"}, "metadata": {"trace": "t"}}
    assert write(language.read(request(body))) == (body, [])


def test_a_count_is_a_request_without_what_only_an_answer_needs() -> None:
    ask = asked(stream=True, user="u", stop=["x"], sampling={"top_p": Raw(b"1")}, tools=[Tool("f")])
    fields = request_out.write_count(ask, "claude", Losses())
    assert set(fields) == {"model", "messages", "tools"}


@pytest.mark.parametrize(
    ("thoughts", "thinks", "lost"),
    [
        ([Thinking("hm", "EqQB", origin="anthropic_messages")], True, []),
        ([Thinking("hm", "CiQ=", origin="gemini")], False, ["thinking", "thinking.blocks"]),
        ([], True, []),  # whoever began without a thought is told so by the backend
    ],
)
def test_its_own_budget_goes_where_a_loop_of_tools_began_with_somebody_elses_thought(
    thoughts: list[Block], thinks: bool, lost: list[str]
) -> None:
    answer = [*thoughts, ToolCall("c", "f", "{}")]
    turns = [*HI, Turn("assistant", answer), Turn("user", [ToolResult("c", [Text("r")])])]
    said, dropped = write(Ask("anthropic_messages", "m", turns, thinking=Effort(tokens=2048), max_tokens=4096))
    assert ("thinking" in said, sorted(dropped)) == (thinks, lost)
