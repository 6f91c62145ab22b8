import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.errors import UnsupportedFeature
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
from gateway.wire.ollama.request import write_request

SCHEMA = Raw(b'{"type":"object"}')


def asked(*turns: Turn, **fields: object) -> tuple[dict[str, object], list[str]]:
    ask = Ask("openai_chat", "m", list(turns) or [Turn("user", [Text("hi")])])
    for name, value in fields.items():
        setattr(ask, name, value)
    losses = Losses()
    return {name: decode(raw) for name, raw in write_request(ask, "llama3.2", losses).items()}, losses.names()


def user(*blocks: Block) -> Turn:
    return Turn("user", [*blocks])


def refused(*turns: Turn, **fields: object) -> str | None:
    with pytest.raises(UnsupportedFeature) as caught:
        asked(*turns, **fields)
    return caught.value.param


def test_a_plain_request_says_whether_it_streams() -> None:
    plain = {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    assert asked() == (plain, [])
    assert asked(stream=True)[0]["stream"] is True


def test_numbers_are_options_under_its_own_names() -> None:
    names = ("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty")
    fields, lost = asked(
        max_tokens=9,
        stop=["a"],
        sampling=dict.fromkeys((*names, "repetition_penalty", "typical_p"), Raw(b"0.50")),
    )
    assert fields["options"] == {
        "num_predict": 9,
        **dict.fromkeys(names, 0.5),
        "repeat_penalty": 0.5,
        "stop": ["a"],
    }
    assert lost == ["typical_p"]


def test_what_has_no_field_is_lost() -> None:
    _, lost = asked(
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        cache_key="k",
        cache=Cache(),
        other={"store": Raw(b"true")},
    )
    assert lost == ["user", "metadata", "service_tier", "cache_key", "cache", "store"]


def test_several_answers_cannot_be_asked_for() -> None:
    assert refused(n=2) == "n"


def test_a_conversation_with_tools() -> None:
    fields, lost = asked(
        Turn("user", [Text("a", cache=Cache()), Text("b")], name="bob"),
        Turn(
            "assistant",
            [
                Thinking("hmm"),
                Thinking("signed", signature="s", origin="gemini"),
                Thinking(redacted="r", origin="anthropic_messages"),
                Text("c", citations=[Citation("gemini", Raw(b"{}"))]),
                Refusal("d"),
                ToolCall("1", "f", '{"x": 1.50}', signature="s", origin="gemini", cache=Cache()),
                ToolCall("2", "g"),
                Foreign("gemini", "executable_code", Raw(b"{}")),
            ],
        ),
        user(
            ToolResult("1", [Text("r"), Media("image", data="AAAA")], is_error=True, cache=Cache()),
            ToolResult("2", [Media("document", text="doc")], name="named"),
            ToolResult("9", []),
            Text("and?"),
        ),
        Turn("system", [Text("s")]),
        system=[Text("t"), Text("u")],
    )
    assert fields["messages"] == [
        {"role": "system", "content": "t\n\nu"},
        {"role": "user", "content": "a\n\nb"},
        {
            "role": "assistant",
            "content": "c\n\nd",
            "thinking": "hmm",
            "tool_calls": [
                {"id": "1", "function": {"name": "f", "arguments": {"x": 1.5}}},
                {"id": "2", "function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "1"},
        {"role": "tool", "content": "doc", "tool_name": "named", "tool_call_id": "2"},
        {"role": "tool", "content": "", "tool_call_id": "9"},
        {"role": "user", "content": "and?"},
        {"role": "system", "content": "s"},
    ]
    assert lost == [
        "name",
        "cache",
        "thinking.blocks",
        "citations",
        "refusal=mapped",
        "thinking.signature",
        "executable_code",
        "tool_results.error",
        "tool_results.images",
        "documents=mapped",
    ]


def test_arguments_are_carried_as_they_were_written() -> None:
    ask = Ask("openai_chat", "m", [Turn("assistant", [ToolCall("1", "f", '{"x": 12345678901234567890123}')])])
    raw = write_request(ask, "m", Losses())["messages"]
    assert b'"arguments":{"x": 12345678901234567890123}' in bytes(raw)


def test_arguments_that_are_no_object_stand_inside_one() -> None:
    fields, lost = asked(Turn("assistant", [ToolCall("1", "f", "{not json")]))
    messages = fields["messages"]
    assert isinstance(messages, list)
    assert messages[0]["tool_calls"][0]["function"]["arguments"] == {"arguments": "{not json"}
    assert lost == ["tool_calls.arguments=mapped"]


def test_images_are_base64_beside_the_text() -> None:
    fields, lost = asked(user(Text("see"), Media("image", "image/png", data="AAAA", detail="low", cache=Cache())))
    assert fields["messages"] == [{"role": "user", "content": "see", "images": ["AAAA"]}]
    assert asked(user(Media("image", data="AAAA")))[1] == []
    assert lost == ["cache", "images.detail"]


def test_a_document_with_a_text_is_said_in_it() -> None:
    fields, lost = asked(user(Media("document", text="words", title="t", context="c"), Text("?")))
    assert fields["messages"] == [{"role": "user", "content": "t\nc\nwords\n\n?"}]
    assert lost == ["documents=mapped"]
    assert asked(user(Media("document", text="words", cites=True)))[1] == ["documents=mapped", "documents.citations"]


@pytest.mark.parametrize(
    ("media", "word"),
    [
        (Media("image", url="https://a.example"), "images"),
        (Media("image", file="file_1"), "files"),
        (Media("document", "application/pdf", data="AAAA"), "documents"),
        (Media("audio", "audio/wav", data="AAAA"), "audio"),
        (Media("video", url="https://a.example"), "video"),
    ],
)
def test_what_cannot_be_shown_is_refused_where_it_is_asked_about(media: Media, word: str) -> None:
    assert refused(user(media)) == word
    assert asked(user(media, Text("old")), user(Text("new")))[1] == [word]


def test_a_result_where_none_can_stand_is_lost() -> None:
    losses = Losses()
    inner = ToolResult("1", [ToolResult("2", [])])
    write_request(Ask("openai_chat", "m", [user(inner)]), "m", losses)
    assert losses.names() == ["tool_results"]


def test_tools() -> None:
    fields, lost = asked(
        tools=[
            Tool("f", "d", SCHEMA, strict=True, cache=Cache()),
            Tool("g"),
            Foreign("openai_responses", "web_search", Raw(b"{}")),
        ]
    )
    assert fields["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert lost == ["cache", "tools.strict", "web_search"]


@pytest.mark.parametrize(
    ("choice", "shown", "lost"),
    [
        (ToolChoice(), True, []),
        (ToolChoice("none"), False, ["tool_choice=mapped"]),
        (ToolChoice("required", parallel=False), True, ["tool_choice.parallel", "tool_choice"]),
    ],
)
def test_there_is_no_choice_among_tools(choice: ToolChoice, shown: bool, lost: list[str]) -> None:
    fields, names = asked(tools=[Tool("f")], choice=choice)
    assert ("tools" in fields) is shown
    assert names == lost


def test_no_tools_is_no_loss_where_none_are_wanted() -> None:
    assert asked(choice=ToolChoice("none"))[1] == []


def test_a_tool_cannot_be_named() -> None:
    assert refused(tools=[Tool("f")], choice=ToolChoice("tool", ("f",))) == "tool_choice.names"


@pytest.mark.parametrize(
    ("effort", "said", "lost"),
    [
        (Effort("none"), False, []),
        (Effort(), True, []),
        (Effort("medium"), "medium", []),
        (Effort("max"), "high", ["thinking=mapped"]),
        (Effort(tokens=512), True, ["thinking=mapped"]),
        (Effort("low", shown=False), "low", ["thinking=mapped"]),
    ],
)
def test_how_much_thinking_is_asked_for(effort: Effort, said: object, lost: list[str]) -> None:
    fields, names = asked(thinking=effort)
    assert fields["think"] == said
    assert names == lost


def test_the_form_of_the_answer_and_how_likely_it_is() -> None:
    assert asked(format=Format(SCHEMA))[0]["format"] == {"type": "object"}
    assert asked(format=Format())[0]["format"] == "json"
    fields, _ = asked(logprobs=2)
    assert (fields["logprobs"], fields["top_logprobs"]) == (True, 2)
