import pytest
from msgspec import Raw

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import (
    Ask,
    Block,
    Cache,
    Citation,
    Effort,
    Foreign,
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
from gateway.wire.tgi.prompt import lose_what_a_prompt_cannot_say, write_prompt


def prompt(*turns: Turn, system: list[Text] | None = None) -> tuple[str, list[str]]:
    losses = Losses()
    return write_prompt(Ask("openai_chat", "m", [*turns], system=system or []), losses), losses.names()


def said(ask: Ask) -> str:
    losses = Losses()
    lose_what_a_prompt_cannot_say(ask, losses)
    return write_prompt(ask, losses)


def ask(*blocks: Block) -> Ask:
    return Ask("openai_chat", "m", [Turn("user", [*blocks])])


def test_turns_have_headings_and_the_assistant_is_next() -> None:
    text, lost = prompt(
        Turn("user", [Text("Hello")]),
        Turn("assistant", [Text("Hi")]),
        Turn("system", [Text("Now in German.")]),
        Turn("user", [Text("a"), Text("b")]),
        system=[Text("Be brief."), Text("Be kind.")],
    )
    assert text.split("\n\n") == [
        "System: Be brief.",
        "Be kind.",
        "User: Hello",
        "Assistant: Hi",
        "System: Now in German.",
        "User: a",
        "b",
        "Assistant:",
    ]
    assert lost == ["messages=mapped"]


def test_an_assistant_that_spoke_last_goes_on() -> None:
    assert prompt(Turn("user", [Text("a")]), Turn("assistant", [Text("The answer is")]))[0] == (
        "User: a\n\nAssistant: The answer is"
    )


def test_without_turns_the_assistant_begins() -> None:
    assert prompt(system=[Text("s")])[0] == "System: s\n\nAssistant:"


def test_a_document_that_need_not_be_cited_is_a_text() -> None:
    assert prompt(Turn("user", [Media("document", text="words")]))[1] == ["messages=mapped", "documents=mapped"]


def test_what_is_no_text_is_lost_or_becomes_one() -> None:
    text, lost = prompt(
        Turn("user", [Text("old"), Media("image", data="AAAA"), Media("image", file="f")], name="bob"),
        Turn(
            "assistant",
            [
                Thinking("hmm"),
                Refusal("no"),
                Text("x", cache=Cache(), citations=[Citation("gemini", Raw(b"{}"))]),
                Foreign("gemini", "executable_code", Raw(b"{}")),
            ],
        ),
        Turn("user", [Media("document", text="words", name="n", context="c", cites=True, cache=Cache())]),
    )
    assert text == "User: old\n\nAssistant: no\n\nx\n\nUser: n\nc\nwords\n\nAssistant:"
    assert lost == [
        "messages=mapped",
        "name",
        "images",
        "files",
        "thinking.blocks",
        "refusal=mapped",
        "cache",
        "citations",
        "executable_code",
        "documents=mapped",
        "documents.citations",
    ]


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (ask(Media("image", data="AAAA")), "images"),
        (ask(Media("document", data="AAAA")), "documents"),
        (ask(Media("audio", data="AAAA")), "audio"),
        (ask(Media("image", file="f")), "files"),
        (ask(ToolResult("1", [])), "tools"),
        (ask(ToolCall("1", "f")), "tools"),
        (Ask("openai_chat", "m", [], n=2), "n"),
        (Ask("openai_chat", "m", [], tools=[Tool("f")]), "tools"),
        (Ask("openai_chat", "m", [], tools=[Tool("f")], choice=ToolChoice("required")), "tools"),
    ],
)
def test_what_would_change_the_question_is_refused(asked: Ask, word: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        said(asked)
    assert caught.value.param == word


def test_what_has_no_field_is_lost() -> None:
    losses = Losses()
    lose_what_a_prompt_cannot_say(
        Ask(
            "openai_chat",
            "m",
            [],
            tools=[Tool("f")],
            choice=ToolChoice("none"),
            user="u",
            metadata={"a": "b"},
            service_tier="flex",
            cache_key="k",
            cache=Cache(),
            thinking=Effort("low"),
            other={"store": Raw(b"true")},
        ),
        losses,
    )
    assert losses.names() == ["tools", "user", "metadata", "service_tier", "cache_key", "cache", "thinking", "store"]


@pytest.mark.parametrize("thinking", [None, Effort("none")])
def test_no_thinking_is_what_there_is(thinking: Effort | None) -> None:
    losses = Losses()
    lose_what_a_prompt_cannot_say(Ask("openai_chat", "m", [], thinking=thinking), losses)
    assert losses.names() == []
