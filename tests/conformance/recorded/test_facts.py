"""What two readings of a request are compared by."""

import json

from msgspec import Raw

from gateway.wire.ir import (
    Ask,
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
from tests.conformance.recorded.facts import facts, is_all_spoken


def raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


def ask(*turns: Turn, **more: object) -> Ask:
    return Ask("openai_chat", "m", list(turns), **more)  # type: ignore[arg-type]  # whatever a test says more


def test_texts_side_by_side_of_one_speaker_are_one() -> None:
    apart = ask(Turn("user", [Text("a")]), Turn("user", [Text("b"), Text("")]), Turn("assistant", [Text("c")]))
    together = ask(Turn("user", [Text("ab")]), Turn("assistant", [Text("c")]))
    assert facts(apart).said == facts(together).said


def test_a_picture_between_texts_takes_nothing_from_them() -> None:
    shown = facts(ask(Turn("user", [Text("a"), Media("image", data="eA=="), Text("b")])))
    assert shown.said == [("text", "user", "ab")]
    assert shown.others == {("images", "images"): ["eA=="]}


def test_a_result_is_of_the_call_it_names_whatever_the_ids_are() -> None:
    def turns(first: str, second: str, answered: str) -> Ask:
        calls = [ToolCall(first, "look", '{"b": 1, "a": 2}'), ToolCall(second, "hear", "")]
        return ask(Turn("assistant", list(calls)), Turn("user", [ToolResult(answered, [Text('{"x": 1}')])]))

    assert facts(turns("1", "2", "2")) == facts(turns("a", "b", "b"))
    assert facts(turns("1", "2", "2")).said != facts(turns("1", "2", "1")).said
    assert facts(turns("1", "2", "2")).said == [
        ("call", "look", '{"a": 2, "b": 1}'),
        ("call", "hear", "{}"),
        ("result", "1", '{"x": 1}'),
    ]


def test_what_is_not_set_is_no_fact() -> None:
    assert facts(ask(choice=ToolChoice(), thinking=Effort(), metadata={}, sampling={})).others == {}


def settings(asked: Ask) -> dict[str, object]:
    """The facts whose feature is their word."""
    return {word: value for (feature, word), value in facts(asked).others.items() if feature == word}


def test_what_one_language_alone_can_say_is_lost_by_its_own_name() -> None:
    asked = ask(
        Turn("assistant", [foreign("code"), foreign("code")]), tools=[foreign("search")], other={"store": Raw(b"true")}
    )
    assert facts(asked).others == {
        ("own_fields", "store"): True,
        ("own_tools", "search"): '{"a": 1}',
        ("own_blocks", "code"): ['{"a": 1}', '{"a": 1}'],
    }


def test_every_setting_is_known_by_the_word_of_its_loss() -> None:
    asked = ask(
        stop=["x"],
        sampling={"top_k": Raw(b"3")},
        choice=ToolChoice("tool", ("look",), parallel=False),
        format=Format(raw({"type": "object"}), "f", strict=True),
        thinking=Effort("low", 5, shown=True),
        logprobs=0,
        n=2,
        cache=Cache("1h"),
        max_tokens=7,
        tools=[Tool("look", "where", raw({"type": "object", "properties": {}}), strict=True)],
    )
    assert settings(asked) == {
        "stop": ["x"],
        "top_k": 3,
        "tool_choice": "tool",
        "tool_choice.names": ["look"],
        "tool_choice.parallel": "no",
        "format": ['{"type": "object"}'],
        "format.name": ["f", ""],
        "format.strict": True,
        "thinking": ["low", 5],
        "thinking.shown": True,
        "logprobs": [0],
        "n": 2,
        "cache": 1,
        "cache.ttl": ["1h"],
        "max_tokens": 7,
        "tools.description": {"look": "where"},
        "tools.strict": {"look": True},
    }


def test_every_kind_of_block_is_known_by_the_word_of_its_loss() -> None:
    asked = ask(
        Turn(
            "user",
            [
                Media("image", url="https://a.example/i", detail="low"),
                Media("document", text="d", title="t", context="c", cites=True),
                Media("audio", file="file-1"),
                ToolResult("1", [Media("image", data="eA==")], is_error=True),
                Text("x", Cache(), [Citation("gemini", Raw(b"{}"), url="https://a.example")]),
            ],
            name="Ann",
        ),
        Turn("assistant", [Thinking("t", "s"), Refusal("no"), ToolCall("1", "l", "", "sig")]),
    )
    assert settings(asked) == {
        "name": ["Ann"],
        "images": ["https://a.example/i"],
        "images.detail": ["low"],
        "documents": ["d"],
        "documents.title": [["t", "c"]],
        "documents.citations": ["yes"],
        "files": ["file-1"],
        "tool_results.error": ["yes"],
        "tool_results.images": ["eA=="],
        "citations": [["https://a.example"]],
        "thinking.blocks": [["t", "s", ""]],
        "refusal": ["no"],
        "thinking.signature": ["sig"],
        "cache": 1,
    }


def foreign(kind: str) -> Foreign:
    return Foreign("openai_responses", kind, raw({"a": 1}))


def test_texts_may_change_their_speaker_and_their_place_but_none_may_go() -> None:
    amid = facts(ask(Turn("user", [Text("b c")]), Turn("system", [Text("a")])))
    assert is_all_spoken(amid, facts(ask(Turn("user", [Text("b c")]), system=[Text("a")])))
    assert is_all_spoken(amid, facts(ask(Turn("user", [Text("b ca")]))))
    assert not is_all_spoken(amid, facts(ask(Turn("user", [Text("b c")]))))
    assert not is_all_spoken(amid, facts(ask(Turn("user", [Text("b c"), Text("a"), Text("a")]))))
