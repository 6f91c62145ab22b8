import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UnsupportedFeature
from gateway.wire.cohere_chat.asking import write_request
from gateway.wire.cohere_chat.words import NAME
from gateway.wire.ir import (
    Ask,
    Block,
    Cache,
    Citation,
    Effort,
    Foreign,
    Format,
    Media,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses

SCHEMA = Raw(b'{"type":"object"}')


def asked(*turns: Turn, **fields: object) -> tuple[dict[str, object], list[str]]:
    """What another language's request becomes, and what it costs."""
    ask = Ask("openai_chat", "m", list(turns) or [Turn("user", [Text("hi")])])
    for name, value in fields.items():
        setattr(ask, name, value)
    losses = Losses()
    return {name: decode(raw) for name, raw in write_request(ask, "command", losses).items()}, losses.names()


def user(*blocks: Block) -> Turn:
    return Turn("user", [*blocks])


def message(*turns: Turn) -> tuple[object, list[str]]:
    fields, lost = asked(*turns)
    messages = fields["messages"]
    assert isinstance(messages, list)
    return messages[0], lost


def refused(*turns: Turn, **fields: object) -> str | None:
    with pytest.raises(UnsupportedFeature) as caught:
        asked(*turns, **fields)
    return caught.value.param


def test_a_plain_request() -> None:
    assert asked() == (
        {"model": "command", "messages": [{"role": "user", "content": "hi"}], "stream": False},
        [],
    )


def test_what_has_no_field_is_lost() -> None:
    _, lost = asked(
        user=Text("u"),
        metadata={"a": "b"},
        service_tier="flex",
        cache_key="k",
        cache=Cache(),
        sampling={"min_p": Raw(b"1"), "repetition_penalty": Raw(b"1"), "temperature": Raw(b"0")},
        other={"store": Raw(b"true")},
    )
    assert lost == ["min_p", "repetition_penalty", "user", "metadata", "service_tier", "cache_key", "cache", "store"]


@pytest.mark.parametrize(
    ("name", "value", "said", "lost"),
    [
        ("frequency_penalty", b"0.5", 0.5, []),
        ("frequency_penalty", b"1", 1, []),
        ("frequency_penalty", b"1.5", 1, ["frequency_penalty=mapped"]),
        ("presence_penalty", b"2", 1, ["presence_penalty=mapped"]),
        ("presence_penalty", b"-0.5", None, ["presence_penalty"]),
        ("top_p", b"0.9", 0.9, []),
        ("top_p", b"1", 0.99, ["top_p=mapped"]),
        ("top_p", b"0", 0.01, ["top_p=mapped"]),
        ("top_k", b"500", 500, []),
        ("top_k", b"1000", 500, ["top_k=mapped"]),
        ("top_k", b"-1", None, ["top_k"]),
        ("presence_penalty", b"-0.0", 0, []),
        ("presence_penalty", b'"high"', "high", []),
        ("temperature", b"2", 2, []),
        ("seed", b"18446744073709551615", 2**64 - 1, []),
        ("seed", b"18446744073709551619", 3, ["seed=mapped"]),
        ("seed", b"-1", 2**64 - 1, ["seed=mapped"]),
        ("seed", b"1e20", 10**20 % 2**64, ["seed=mapped"]),
        ("seed", b"-0.5", -0.5, []),
    ],
)
def test_a_number_beyond_what_cohere_takes_is_a_loss(name: str, value: bytes, said: object, lost: list[str]) -> None:
    fields, told = asked(sampling={name: Raw(value)})
    assert (fields.get({"top_p": "p", "top_k": "k"}.get(name, name)), told) == (said, lost)


def test_coheres_own_numbers_are_coheres_to_judge() -> None:
    own = Ask(NAME, "m", [Turn("user", [Text("hi")])], sampling={"presence_penalty": Raw(b"2")})
    assert write_request(own, "command", Losses())["presence_penalty"] == Raw(b"2")


def test_several_answers_cannot_be_asked_for() -> None:
    assert refused(n=2) == "n"


def test_alternatives_to_tokens_are_not_told() -> None:
    assert asked(logprobs=3)[1] == ["logprobs=mapped"]
    assert asked(logprobs=0)[0]["logprobs"] is True


def test_a_system_turn_amid_the_conversation_is_a_users() -> None:
    fields, lost = asked(user(Text("a")), Turn("system", [Text("b")]), system=[Text("s", cache=Cache()), Text("t")])
    assert fields["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "s"}, {"type": "text", "text": "t"}]},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]
    assert lost == ["cache", "system=mapped"]


def test_results_come_before_the_rest_of_a_turn() -> None:
    result = ToolResult("1", [Text("r"), Media("image", "image/png", data="AAAA")], is_error=True, cache=Cache())
    fields, lost = asked(user(Text("and?"), result, ToolResult("2", [])))
    assert fields["messages"] == [
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "tool", "tool_call_id": "2", "content": ""},
        {"role": "user", "content": "and?"},
    ]
    assert lost == ["cache", "tool_results.error", "tool_results.images"]


def test_documents_of_users_go_beside_the_conversation() -> None:
    fields, lost = asked(
        user(Media("document", "text/plain", text="old", cites=True, cache=Cache()), Text("a")),
        user(Media("document", "text/plain", text="new", title="t")),
    )
    assert fields["messages"] == [{"role": "user", "content": "a"}, {"role": "user", "content": ""}]
    assert fields["documents"] == [{"data": {"text": "old"}}, {"data": {"title": "t", "text": "new"}}]
    assert "citation_options" not in fields
    assert lost == ["cache", "documents.citations=mapped"]


def test_documents_that_are_not_to_be_cited_are_not() -> None:
    fields, _ = asked(user(Media("document", text="d")))
    assert fields["citation_options"] == {"mode": "OFF"}


def test_images_are_addresses_or_data() -> None:
    said, lost = message(
        user(
            Media("image", "image/png", data="AAAA", detail="original", cache=Cache()),
            Media("image", url="https://a.example", detail="low"),
        )
    )
    assert said == {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://a.example", "detail": "low"}},
        ],
    }
    assert lost == ["cache", "images.detail"]


@pytest.mark.parametrize(
    ("media", "word"),
    [
        (Media("document", "application/pdf", data="AAAA"), "documents"),
        (Media("audio", "audio/wav", data="AAAA"), "audio"),
        (Media("video", url="https://a.example"), "video"),
        (Media("image", file="file_1"), "files"),
    ],
)
def test_what_cannot_be_shown_is_refused_where_it_is_asked_about(media: Media, word: str) -> None:
    assert refused(user(Text("what is this?"), media)) == word
    said, lost = message(user(Text("see"), media), user(Text("hi")))
    assert said == {"role": "user", "content": [{"type": "text", "text": "see"}]}
    assert lost == [word]


def test_a_models_earlier_words() -> None:
    said, lost = message(
        Turn(
            "assistant",
            [
                Thinking("unsigned"),
                Thinking("signed", signature="s", origin="anthropic_messages"),
                Thinking(redacted="r", origin="anthropic_messages"),
                Refusal("no"),
                Text("x", citations=[Citation("openai_chat", Raw(b"{}")), Citation(NAME, Raw(b'{"start":1}'))]),
                ToolCall("1", "f", cache=Cache()),
                Foreign("gemini", "executable_code", Raw(b"{}")),
            ],
            name="bob",
        )
    )
    assert said == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "unsigned"},
            {"type": "text", "text": "no"},
            {"type": "text", "text": "x"},
        ],
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "citations": [{"start": 1}],
    }
    assert lost == ["name", "cache", "thinking.blocks", "citations", "refusal=mapped", "executable_code"]


def test_a_result_where_none_can_stand_is_lost() -> None:
    assert asked(Turn("system", [ToolResult("1", [])]))[1] == ["system=mapped", "tool_results"]


def test_tools_of_others_are_lost_and_those_without_parameters_take_none() -> None:
    fields, lost = asked(
        tools=[Tool("f", cache=Cache(), strict=True), Tool("g"), Foreign("openai_responses", "web_search", Raw(b"{}"))]
    )
    nothing = {"type": "object", "properties": {}}
    assert fields["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": nothing}},
        {"type": "function", "function": {"name": "g", "parameters": nothing}},
    ]
    assert lost == ["cache", "web_search", "tools.strict"]


def test_some_are_strict_and_others_are_told_not_to_be() -> None:
    fields, lost = asked(tools=[Tool("f", schema=SCHEMA, strict=False), Tool("g", schema=SCHEMA)])
    assert "strict_tools" not in fields
    assert lost == []


def test_a_tool_of_ours_goes_back_as_it_was() -> None:
    fields, _ = asked(tools=[Foreign(NAME, "web", Raw(b'{"type":"web"}'))])
    assert fields["tools"] == [{"type": "web"}]


@pytest.mark.parametrize(
    ("choice", "said"),
    [(ToolChoice(), None), (ToolChoice("none"), "NONE"), (ToolChoice("required", parallel=True), "REQUIRED")],
)
def test_the_choice_of_tools(choice: ToolChoice, said: str | None) -> None:
    fields, lost = asked(tools=[Tool("f", schema=SCHEMA)], choice=choice)
    assert fields.get("tool_choice") == said
    assert lost == []


def test_only_the_tools_that_are_named_are_shown() -> None:
    fields, lost = asked(
        tools=[Tool("f", schema=SCHEMA), Tool("g", schema=SCHEMA)], choice=ToolChoice("tool", ("g",), parallel=False)
    )
    assert fields["tools"] == [{"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}]
    assert fields["tool_choice"] == "REQUIRED"
    assert lost == ["tool_choice.names=mapped", "tool_choice.parallel"]
    search = Foreign("gemini", "googleSearch", Raw(b"{}"))
    _, lost = asked(tools=[Tool("g"), search], choice=ToolChoice("required", ("g",)))
    assert lost == ["tool_choice.names=mapped", "googleSearch"]


def test_a_tool_that_is_not_there_cannot_be_named() -> None:
    assert refused(tools=[Tool("f")], choice=ToolChoice("tool", ("g",))) == "tool_choice.names"


@pytest.mark.parametrize(
    ("effort", "said", "lost"),
    [
        (Effort("none"), {"type": "disabled"}, []),
        (Effort(tokens=7), {"type": "enabled", "token_budget": 7}, []),
        (Effort("low"), {"type": "enabled", "token_budget": 1024}, ["thinking=mapped"]),
        (Effort("max"), {"type": "enabled"}, ["thinking=mapped"]),
        (Effort(shown=False), {"type": "enabled"}, ["thinking.shown=mapped"]),
    ],
)
def test_how_much_thinking_is_asked_for(effort: Effort, said: object, lost: list[str]) -> None:
    fields, names = asked(thinking=effort)
    assert fields["thinking"] == said
    assert names == lost


def test_the_form_of_the_answer() -> None:
    fields, lost = asked(format=Format(SCHEMA, "n", "d", strict=False))
    assert fields["response_format"] == {"type": "json_object", "json_schema": {"type": "object"}}
    assert lost == ["format.name", "format.strict=mapped"]
    assert asked(format=Format())[0]["response_format"] == {"type": "json_object"}
