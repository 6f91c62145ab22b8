import json

import pytest

from gateway.features import Usage
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    Citation,
    Finish,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.codec import CODEC
from gateway.wire.openai_chat.request import FunctionsAsk
from tests.wire.openai_chat.saying import CALL, raw

ASK = Ask("openai_chat", "asked", [])
OLD = FunctionsAsk("openai_chat", "asked", [])
PICTURE = Media("image", "image/png", "aGk=")


def wrote(answer: Answer, ask: Ask = ASK, losses: Losses | None = None) -> dict[str, object]:
    said: dict[str, object] = json.loads(CODEC.write_answer(answer, ask, losses or Losses()))
    return said


def choice(*blocks: Block, ask: Ask = ASK, finish: Finish = "stop") -> tuple[dict[str, object], list[str]]:
    losses = Losses()
    choices = wrote(Answer(list(blocks), finish, id="chat-1"), ask, losses)["choices"]
    assert isinstance(choices, list)
    return choices[0], losses.names()


def message(*blocks: Block) -> tuple[dict[str, object], list[str]]:
    """What is beside what is always there."""
    said, lost = choice(*blocks)
    inner = said["message"]
    assert isinstance(inner, dict)
    empty: dict[str, object] = {"role": "assistant", "refusal": None, "annotations": []}
    return {name: value for name, value in inner.items() if (name, value) not in empty.items()}, lost


def test_an_answer_is_a_completion() -> None:
    answer = Answer(
        [Text("hi")], "stop", "", "chat-1", "m-1", 7, Usage(9, 5, 3, 2, 1), raw([{"token": "hi"}]), "default"
    )
    assert wrote(answer) == {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None, "annotations": []},
                "logprobs": {"content": [{"token": "hi"}], "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        "service_tier": "default",
    }


def test_the_model_asked_for_is_shown_where_none_is_told() -> None:
    assert wrote(Answer([]))["model"] == "asked"


@pytest.mark.parametrize(
    ("tier", "said", "lost"),
    [
        ("flex", "flex", []),
        ("on_demand", "default", ["service_tier=mapped"]),
        ("STANDARD", "default", ["service_tier=mapped"]),
        ("provisioned", None, ["service_tier"]),
        ("", None, []),
    ],
)
def test_a_tier_is_said_in_openais_words(tier: str, said: str | None, lost: list[str]) -> None:
    losses = Losses()
    assert wrote(Answer([], service_tier=tier), losses=losses).get("service_tier") == said
    assert losses.names() == lost


def test_texts_and_thoughts_are_joined() -> None:
    said, lost = message(Thinking("h"), Text("a"), Thinking("m"), Text("b"))
    assert said == {"content": "ab", "reasoning_content": "hm"}
    assert lost == []
    assert message() == ({"content": ""}, [])
    assert message(Refusal("no")) == ({"content": None, "refusal": "no"}, [])


def test_what_is_signed_is_kept_by_the_caller() -> None:
    said, _ = message(Thinking("h", "s", origin="anthropic_messages"), Thinking("", "", "d", "anthropic_messages"))
    assert said["reasoning_content"] == "h"
    assert said["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "text": "h",
            "signature": "gw1.anthropic_messages.s",
            "format": "anthropic-claude-v1",
            "index": 0,
        },
        {
            "type": "reasoning.encrypted",
            "data": "gw1.anthropic_messages.d",
            "format": "anthropic-claude-v1",
            "index": 1,
        },
    ]
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "s"}}}
    assert message(ToolCall("c1", "look", "{}", "s", "gemini"))[0]["tool_calls"] == [signed]
    packed, _ = message(ToolCall("c1", "look", "{}", "s", "other"))
    assert packed["tool_calls"] == [{**CALL, "extra_content": {"google": {"thought_signature": "gw1.other.s"}}}]


def test_calls_have_ids_and_arguments() -> None:
    said, _ = message(ToolCall("c1", "look"), ToolCall("", "look"))
    assert said == {"content": None, "tool_calls": [CALL, {**CALL, "id": "chat-1_call_1"}]}


def test_sources_are_annotations() -> None:
    cited = Text("b", citations=[Citation("anthropic_messages", raw({}), "https://a", "A", "q", 0, 1)])
    source = {"start_index": 1, "end_index": 2, "url": "https://a", "title": "A", "content": "q"}
    said, lost = message(Text("a"), cited)
    assert said == {"content": "ab", "annotations": [{"type": "url_citation", "url_citation": source}]}
    assert lost == ["citations=mapped"]


def test_pictures_and_what_is_ours_are_said() -> None:
    said, lost = message(PICTURE, Foreign("openai_chat", "message.executed_tools", raw([1])))
    assert said == {
        "content": "",
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}],
        "executed_tools": [1],
    }
    assert lost == []


def test_what_can_not_be_said_is_noted() -> None:
    _, lost = message(
        Foreign("anthropic_messages", "server_tool_use", raw({})),
        Foreign("openai_chat", "reference", raw({})),
        Media("image"),
        Media("document", "application/pdf", "aGk="),
        ToolResult("c1", []),
    )
    assert lost == ["server_tool_use", "reference", "images", "documents", "tool_results"]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("sequence", "stop"),
        ("length", "length"),
        ("tools", "tool_calls"),
        ("filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
        ("context", "length"),
        ("malformed", "stop"),
        ("other", "stop"),
    ],
)
def test_every_end_has_a_word_that_clients_know(finish: Finish, reason: str) -> None:
    assert choice(Text("a"), finish=finish)[0]["finish_reason"] == reason


def test_who_asks_with_functions_is_answered_with_one() -> None:
    called, lost = choice(ToolCall("c1", "look", "{}"), ToolCall("c2", "hear"), ask=OLD, finish="tools")
    inner = called["message"]
    assert isinstance(inner, dict)
    assert inner["function_call"] == {"name": "look", "arguments": "{}"}
    assert "tool_calls" not in inner
    assert called["finish_reason"] == "function_call"
    assert lost == ["tool_choice.parallel"]
    one, lost = choice(ToolCall("c1", "look", "{}"), ask=OLD, finish="length")
    assert (one["finish_reason"], lost) == ("length", [])
