import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.features import Request
from gateway.wire.bedrock_converse.request import check
from gateway.wire.ir import (
    Ask,
    Cache,
    Effort,
    Foreign,
    Format,
    Media,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.wire.raw import read_fields
from tests.wire.bedrock_converse.said import CLAUDE, NAME, NOVA, ask, js, model, read, request, text, user, write

HI = [user(text())]
SCHEMA = '{"type":"object","properties":{},"additionalProperties":false}'
FORMAT = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": SCHEMA, "name": "a"}}}}
PROFILE = "arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
FULL = {
    "messages": [
        user(text("look"), {"cachePoint": {"type": "default"}}),
        model(text("ok"), {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}}}),
        user({"toolResult": {"toolUseId": "t1", "content": [text("b")]}}),
    ],
    "system": [text("Be short."), {"cachePoint": {"type": "default", "ttl": "1h"}}],
    "inferenceConfig": {"maxTokens": 9, "temperature": 0.1, "topP": 1, "stopSequences": ["END"], "tomorrow": 1},
    "toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}], "new": 2},
    "additionalModelRequestFields": {"top_k": 5, "anthropic_beta": ["a-1"], "x.y": 1},
    "outputConfig": FORMAT,
    "serviceTier": {"type": "flex"},
    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
    "requestMetadata": {"team": "a"},
    "performanceConfig": {"latency": "optimized"},
    "promptVariables": {"a": {"text": "b"}},
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "to.morrow": True,
}


def refused(body: object) -> tuple[str | None, str]:
    with pytest.raises(BadRequest) as told:
        read(body)
    return told.value.param, told.value.reason


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_whole_request_is_read_and_written_as_it_was() -> None:
    assert write(read(FULL)) == (FULL, [])


def test_what_we_act_on_is_in_its_place() -> None:
    asked = read(FULL)
    assert (asked.origin, asked.model, asked.stream, asked.wants_usage) == (NAME, CLAUDE, False, True)
    assert asked.system == [Text("Be short.", cache=Cache("1h"))]
    assert (asked.max_tokens, asked.stop, asked.service_tier) == (9, ["END"], "flex")
    assert asked.sampling == {"temperature": Raw(b"0.1"), "top_p": Raw(b"1"), "top_k": Raw(b"5")}
    assert asked.format == Format(Raw(SCHEMA.encode()), "a")
    assert [turn.role for turn in asked.messages] == ["user", "assistant", "user"]
    assert sorted(asked.other) == [
        "additionalModelRequestFields.anthropic_beta",
        "additionalModelRequestFields.x.y",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "inferenceConfig.tomorrow",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
        "to.morrow",
        "toolConfig.new",
    ]


def test_null_is_absent_and_a_string_is_a_text() -> None:
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "system": None,
        "inferenceConfig": {"maxTokens": None, "temperature": None},
        "guardrailConfig": None,
    }
    assert read(body) == Ask(NAME, CLAUDE, [Turn("user", [Text("hi")])], wants_usage=True)


def test_a_stream_is_asked_for_in_the_path() -> None:
    from gateway.wire.bedrock_converse.request import read_request

    assert read_request(request({"messages": HI}, stream=True)).stream


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "messages", "missing_field"),
        ({"messages": None}, "messages", "missing_field"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": {}}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": []}]}, "messages[0].role", "missing_field"),
        ({"messages": [{"role": "system", "content": []}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": 1, "content": []}]}, "messages[0].role", "invalid_type"),
        ({"messages": [*HI, {"role": "user"}]}, "messages[1].content", "missing_field"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "invalid_type"),
        ({"messages": [user(text(), {})]}, "messages[0].content[1]", "invalid_value"),
        ({"messages": HI, "system": "short"}, "system", "invalid_type"),
        ({"messages": HI, "system": [{}]}, "system[0]", "invalid_value"),
        ({"messages": HI, "inferenceConfig": []}, "inferenceConfig", "invalid_type"),
        ({"messages": HI, "inferenceConfig": {"maxTokens": 0}}, "inferenceConfig.maxTokens", "invalid_value"),
        ({"messages": HI, "inferenceConfig": {"stopSequences": "a"}}, "inferenceConfig.stopSequences", "invalid_type"),
        ({"messages": HI, "toolConfig": []}, "toolConfig", "invalid_type"),
        ({"messages": HI, "additionalModelRequestFields": []}, "additionalModelRequestFields", "invalid_type"),
        ({"messages": HI, "serviceTier": "flex"}, "serviceTier", "invalid_type"),
    ],
)
def test_a_mistake_is_told_by_its_place(body: object, param: str, code: str) -> None:
    assert refused(body) == (param, code)


def test_a_result_belongs_to_a_call_before_it() -> None:
    result = {"toolResult": {"toolUseId": "t1", "content": []}}
    assert refused({"messages": [user(text(), result)]}) == ("messages[0].content[1]", "untranslatable")


def test_two_calls_that_wait_for_a_result_have_two_ids() -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "look", "input": {}}}
    assert refused({"messages": [*HI, model(call, call)]}) == ("messages[1].content[1]", "untranslatable")
    result = {"toolResult": {"toolUseId": "t1", "content": []}}
    body = {"messages": [*HI, model(call), user(result), model(call), user(result)]}
    assert write(read(body))[0]["messages"] == body["messages"]


@pytest.mark.parametrize("most", [0, -1, 2**31, 1.5, "9", True])
def test_a_limit_that_is_none_is_refused_even_where_the_body_is_carried(most: object) -> None:
    with pytest.raises(BadRequest) as told:
        check(request({"inferenceConfig": {"maxTokens": most}}))
    assert told.value.param == "inferenceConfig.maxTokens"


def test_a_limit_said_twice_is_refused() -> None:
    with pytest.raises(BadRequest) as told:
        check(Request({"inferenceConfig": Raw(b'{"maxTokens": 5, "maxTokens": 9}')}, "m"))
    assert (told.value.reason, told.value.param) == ("duplicate_field", "inferenceConfig.maxTokens")


@pytest.mark.parametrize("config", [None, {}, {"maxTokens": None}, {"maxTokens": 2**31 - 1, "topP": "x"}])
def test_only_what_we_act_on_is_checked(config: object) -> None:
    check(request({"inferenceConfig": config}))
    check(request({}))


def test_a_guarded_system_prompt_goes_back_whole_and_crosses_as_text() -> None:
    system = [{"guardContent": {"text": {"text": "Be short.", "qualifiers": ["query"]}}}, text("Be kind.")]
    asked = read({"messages": HI, "system": system})
    assert asked.system == [Text("Be short."), Text("Be kind.")]
    assert list(asked.other) == ["system.guardContent"]
    assert write(asked)[0]["system"] == system
    picture = [{"image": {"format": "png", "source": {"bytes": "AA=="}}}]
    assert list(read({"messages": HI, "system": picture}).other) == ["system.content"]


@pytest.mark.parametrize(
    "config",
    [
        {"textFormat": {"type": "tomorrow"}},
        {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "no JSON"}}}},
        {"more": 1},
    ],
)
def test_a_format_that_is_not_understood_is_kept(config: object) -> None:
    asked = read({"messages": HI, "outputConfig": config})
    assert (asked.format, asked.other) == (None, {"outputConfig": js(config)})


# --- writing ----------------------------------------------------------------------------------------------------------


def test_turns_of_one_speaker_are_one_with_results_first() -> None:
    turns = [
        Turn("user", [Text("a")]),
        Turn("assistant", [ToolCall("t1", "look")]),
        Turn("system", [Text("b")]),
        Turn("user", [ToolResult("t1", [Text("c")])]),
        Turn("user", [Text("d")], name="Ann"),
    ]
    said, losses = write(Ask("openai_chat", "m", turns))
    assert said["messages"] == [
        user(text("a")),
        model({"toolUse": {"toolUseId": "t1", "name": "look", "input": {}}}),
        user({"toolResult": {"toolUseId": "t1", "content": [text("c")]}}, text("b"), text("d")),
    ]
    assert losses == ["system=mapped", "name", "tools=mapped"]


def test_a_turn_of_which_nothing_is_left_is_none() -> None:
    turns = [Turn("user", [Text("a")]), Turn("assistant", [Thinking("x")]), Turn("user", [Text("b")])]
    said, losses = write(Ask("openai_chat", "m", turns))
    assert (said["messages"], losses) == ([user(text("a"), text("b"))], ["thinking.blocks"])
    assert write(read({"messages": [user()]}))[0]["messages"] == [user()]


def test_a_prompt_alone_is_the_question() -> None:
    said, losses = write(Ask("openai_chat", "m", [], [Text("Write.")]))
    assert (said, losses) == ({"messages": [user(text("Write."))]}, ["system=mapped"])
    assert write(Ask("openai_chat", "m", []))[0] == {"messages": []}


def test_an_empty_prompt_is_none() -> None:
    assert "system" not in write(ask(Text("a"), system=[Text("")]))[0]


def test_only_the_last_question_holds_files_that_must_cross() -> None:
    far = Media("image", url="https://a.example/b.png")
    turns = [Turn("user", [far, Text("a")]), Turn("assistant", [Text("b")]), Turn("user", [Text("c")])]
    assert write(Ask("openai_chat", "m", turns))[1] == ["images"]
    with pytest.raises(UnsupportedFeature):
        write(Ask("openai_chat", "m", turns[:2]))


def test_a_mark_for_all_of_it_stands_at_the_end_of_the_last_question() -> None:
    turns = [Turn("user", [Text("a")]), Turn("assistant", [Text("b")])]
    said, losses = write(Ask("anthropic_messages", "m", turns, cache=Cache("5m")))
    assert said["messages"][0] == user(text("a"), {"cachePoint": {"type": "default", "ttl": "5m"}})
    assert losses == ["cache=mapped"]


def test_models_without_a_cache_get_no_points() -> None:
    marked = Text("a", cache=Cache())
    asked = ask(marked, system=[marked], tools=[Tool("look", cache=Cache())], cache=Cache())
    said, losses = write(asked, LLAMA)
    assert "cachePoint" not in str(said)
    assert losses == ["cache"]
    assert str(write(asked, NOVA)[0]).count("cachePoint") == 4


def test_numbers_cross_as_they_were_written_and_the_rest_is_lost() -> None:
    sampling = {name: Raw(b"0.70") for name in ("temperature", "top_p", "seed", "frequency_penalty", "min_p")}
    said, losses = write(ask(Text("a"), sampling=sampling), LLAMA)
    assert said["inferenceConfig"] == {"temperature": 0.7, "topP": 0.7}
    assert losses == ["seed", "frequency_penalty", "min_p"]


def test_a_claude_that_thinks_takes_no_temperature() -> None:
    asked = ask(Text("a"), sampling={"temperature": Raw(b"0")}, thinking=Effort(tokens=2000), max_tokens=4000)
    said, losses = write(asked)
    assert said["inferenceConfig"] == {"maxTokens": 4000}
    assert losses == ["temperature"]


def test_a_claude_takes_temperature_or_top_p_and_the_newest_neither() -> None:
    asked = ask(Text("a"), sampling={"temperature": Raw(b"0.7"), "top_p": Raw(b"1")})
    said, losses = write(asked, "anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert (said["inferenceConfig"], losses) == ({"temperature": 0.7}, ["top_p"])
    said, losses = write(asked, "anthropic.claude-opus-4-7")
    assert "inferenceConfig" not in said
    assert losses == ["temperature", "top_p"]


def test_a_claude_takes_no_stop_sequence_of_white_space() -> None:
    said, losses = write(ask(Text("a"), stop=["\n", "END"]), "anthropic.claude-sonnet-4-6")
    assert (said["inferenceConfig"], losses) == ({"stopSequences": ["END"]}, ["stop"])
    assert write(ask(Text("a"), stop=["\n"]), LLAMA)[0]["inferenceConfig"] == {"stopSequences": ["\n"]}
    assert "inferenceConfig" not in write(ask(Text("a"), stop=["\n"]), "anthropic.claude-sonnet-4-6")[0]


def test_what_converse_has_no_word_for_is_lost() -> None:
    asked = ask(Text("a"), logprobs=0, user="u", metadata={"a": "b"}, cache_key="k", other={"store": Raw(b"true")})
    assert write(asked)[1] == ["logprobs", "user", "metadata", "cache_key", "store"]


def test_beta_flags_are_said_once() -> None:
    asked = ask(Text("a"), origin="anthropic_messages", other={"anthropic_beta": js(["a-1"])})
    assert write(asked) == (
        {"messages": [user(text("a"))], "additionalModelRequestFields": {"anthropic_beta": ["a-1"]}},
        [],
    )
    assert write(ask(Text("a"), other={"anthropic_beta": js(["a-1"])}))[1] == ["anthropic_beta"]


def test_several_answers_are_refused() -> None:
    with pytest.raises(UnsupportedFeature) as told:
        write(ask(Text("a"), n=2))
    assert told.value.param == "n"


@pytest.mark.parametrize(
    ("tier", "said", "losses"),
    [("flex", {"type": "flex"}, []), ("auto", None, []), ("", None, []), ("scale", None, ["service_tier"])],
)
def test_a_tier_crosses_where_amazon_has_it(tier: str, said: object, losses: list[str]) -> None:
    body, lost = write(ask(Text("a"), service_tier=tier))
    assert (body.get("serviceTier"), lost) == (said, losses)


def test_json_without_a_schema_is_asked_for_in_words() -> None:
    said, losses = write(ask(Text("a"), system=[Text("b")], format=Format()))
    assert said["system"][0] == text("b")
    assert "JSON" in said["system"][1]["text"]
    assert losses == ["format=mapped"]


def test_a_schema_crosses_as_text_with_its_name() -> None:
    asked = ask(Text("a"), format=Format(Raw(SCHEMA.encode()), "n", "d", strict=True))
    said, losses = write(asked)
    schema = {"schema": SCHEMA, "name": "n", "description": "d"}
    assert said["outputConfig"] == {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    assert losses == []
    bare = write(ask(Text("a"), format=Format(Raw(b"{}"))))[0]["outputConfig"]["textFormat"]["structure"]
    assert bare == {"jsonSchema": {"schema": "{}"}}


def test_a_claude_is_asked_which_sequence_ended_its_answer() -> None:
    asked = ask(Text("a"), stop=["END"])
    assert write(asked)[0]["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert write(asked, PROFILE)[0]["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    for other in (NOVA, LLAMA, "another-model"):
        assert "additionalModelResponseFieldPaths" not in write(asked, other)[0]


def test_a_stream_is_asked_for_it_where_a_stream_has_it() -> None:
    asked = ask(Text("a"), stop=["END"], stream=True)
    assert write(asked)[0]["additionalModelResponseFieldPaths"] == ["/stop_sequence", "/delta/stop_sequence"]


def test_anothers_own_block_is_a_loss() -> None:
    strange = Foreign("gemini", "executableCode", Raw(b"{}"))
    assert write(ask(strange, Text("a"))) == ({"messages": [user(text("a"))]}, ["executableCode"])


def test_an_object_in_a_bucket_is_nobodys_to_name() -> None:
    source = {"s3Location": {"uri": "s3://bucket/x.png"}}
    turn = {"role": "user", "content": [{"image": {"format": "png", "source": source}}]}
    body = json.dumps({"messages": [turn]}).encode()
    for spelling in (body, body.replace(b"s3Location", b"s3\\u004cocation")):
        with pytest.raises(BadRequest, match="bucket") as refused:
            check(Request(read_fields(spelling), "m"))
        assert refused.value.reason == "unsupported_feature"
    words = json.dumps({"messages": [{"role": "user", "content": [{"text": "s3Location \u00fc"}]}]}).encode()
    check(Request(read_fields(words), "m"))
