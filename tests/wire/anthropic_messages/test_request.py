import pytest
from hypothesis import HealthCheck, given, settings
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire import raw
from gateway.wire.anthropic_messages import request as language
from gateway.wire.anthropic_messages import request_out
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import Ask, Cache, Effort, Foreign, Format, Text, Tool, ToolChoice, Turn
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import asks, request

WHOLE = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
HI = [Turn("user", [Text("Hi")])]


def read(**more: object) -> Ask:
    return language.read(request({**WHOLE, **more}))


@pytest.mark.slow
@settings(  # a whole conversation takes as long as the machine lets it
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
@given(asks())
def test_what_is_written_is_read_as_it_was(ask: Ask) -> None:
    losses = Losses(strict=True)
    fields = request_out.write(ask, ask.model, losses)
    written = raw.read_fields(encode(fields))
    assert language.read(Request(written, ask.model, ask.stream)) == ask
    assert losses.names() == []


def test_the_least_request() -> None:
    assert read() == Ask(NAME, "m", HI, max_tokens=5, wants_usage=True)


def test_null_says_nothing() -> None:
    nothing = dict.fromkeys(
        ("system", "tools", "tool_choice", "thinking", "output_config", "metadata", "stop_sequences", "service_tier")
    )
    assert read(**nothing, temperature=None, cache_control=None, container=None) == read()


def test_every_field_finds_its_place() -> None:
    ask = read(
        stream=True,
        system="Be kind.",
        temperature=0.5,
        top_p=1,
        top_k=40,
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
        cache_control={"type": "ephemeral", "ttl": "1h"},
        thinking={"type": "adaptive"},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        container="c",
    )
    assert ask == Ask(
        NAME,
        "m",
        HI,
        system=[Text("Be kind.")],
        stream=True,
        max_tokens=5,
        stop=["END"],
        sampling={"temperature": Raw(b"0.5"), "top_p": Raw(b"1"), "top_k": Raw(b"40")},
        thinking=Effort("low"),
        format=Format(Raw(b'{"type":"object"}')),
        user="u-1",
        service_tier="standard_only",
        cache=Cache("1h"),
        wants_usage=True,
        other={"container": Raw(b'"c"')},
    )


def test_tools_of_the_callers_are_told_from_anthropics() -> None:
    schema = {"type": "object"}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    code = {"type": "code_execution_20260120", "name": "code_execution"}
    tools = [
        {
            "name": "f",
            "description": "d",
            "input_schema": schema,
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "type": "custom", "defer_loading": True},
        {"name": "h", "type": None, "input_schema": schema, "input_examples": [{}]},
        search,
        code,
    ]
    ask = read(tools=tools)
    assert ask.tools == [
        Tool("f", "d", Raw(b'{"type":"object"}'), strict=True, cache=Cache()),
        Tool("g"),
        Tool("h", schema=Raw(b'{"type":"object"}')),
        Foreign(NAME, "web_search_20250305", Raw(encode(search))),
        Foreign(NAME, "code_execution_20260120", Raw(encode(code))),
    ]
    assert ask.other == {
        "tools.defer_loading": Raw(b'{"tools[1]":true}'),
        "tools.input_examples": Raw(b'{"tools[2]":[{}]}'),
    }


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required", parallel=False)),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ToolChoice("tool", ("f",), parallel=True)),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
def test_a_choice_of_tools(said: object, choice: ToolChoice) -> None:
    assert read(tool_choice=said).choice == choice


def test_the_older_field_for_a_schema_is_understood() -> None:
    schema = {"type": "json_schema", "schema": {"a": 1}, "tint": 1}
    ask = read(output_format=schema)
    assert ask.format == Format(Raw(b'{"a":1}'))
    assert ask.other == {"format.tint": Raw(b'{"output_format":1}')}


def test_a_count_has_no_limit() -> None:
    body = {name: value for name, value in WHOLE.items() if name != "max_tokens"}
    assert language.read(request(body), counts=True).max_tokens is None
    with pytest.raises(BadRequest) as refused:
        language.read(request(body))
    assert (refused.value.reason, refused.value.param) == ("missing_field", "max_tokens")


@pytest.mark.parametrize(
    ("field", "value", "code", "param"),
    [
        ("messages", None, "missing_field", "messages"),
        ("max_tokens", 0, "invalid_value", "max_tokens"),
        ("tools", {}, "invalid_type", "tools"),
        ("tools", [7], "invalid_type", "tools[0]"),
        ("tools", [{"description": "d"}], "missing_field", "tools[0].name"),
        ("tools", [{"name": "f", "input_schema": "x"}], "invalid_type", "tools[0].input_schema"),
        ("tool_choice", "auto", "invalid_type", "tool_choice"),
        ("tool_choice", {"type": "perhaps"}, "invalid_value", "tool_choice.type"),
        ("tool_choice", {"type": "tool"}, "missing_field", "tool_choice.name"),
        ("output_config", {"format": {"type": "xml", "schema": {}}}, "invalid_value", "output_config.format.type"),
        ("output_config", {"format": {"type": "json_schema"}}, "missing_field", "output_config.format.schema"),
        ("output_format", {"type": "json_schema", "schema": 7}, "invalid_type", "output_format.schema"),
        ("metadata", {"user_id": 7}, "invalid_type", "metadata.user_id"),
        ("stop_sequences", [7], "invalid_type", "stop_sequences[0]"),
        ("service_tier", 7, "invalid_type", "service_tier"),
        ("temperature", "hot", "invalid_type", "temperature"),
        ("cache_control", 7, "invalid_type", "cache_control"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_place(field: str, value: object, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(**{field: value})
    assert (refused.value.reason, refused.value.param) == (code, param)


def test_half_a_surrogate_pair_in_a_stop_sequence_is_refused() -> None:
    fields = {**raw.read_fields(encode(WHOLE)), "stop_sequences": Raw(rb'["\ud800"]')}
    with pytest.raises(BadRequest) as refused:
        language.read(Request(fields, "m"))
    assert (refused.value.reason, refused.value.param) == ("invalid_json", "stop_sequences")
