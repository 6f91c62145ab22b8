import json

import pytest
from hypothesis import given, settings
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UpstreamBroken, UpstreamOverloaded
from gateway.features import Usage
from gateway.wire.answer_id import answer_id
from gateway.wire.anthropic_messages import answer as language
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    Citation,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import PLACES, answers, cited

ASK = Ask("openai_chat", "asked-for", [])


def read(**said: object) -> tuple[Answer, list[str]]:
    losses = Losses()
    return language.read(
        encode({"type": "message", "role": "assistant", "content": [], **said}), losses
    ), losses.names()


def write(answer: Answer) -> tuple[dict[str, object], list[str]]:
    losses = Losses()
    said: dict[str, object] = json.loads(language.write(answer, ASK, losses))
    return said, losses.names()


def written(block: Block) -> tuple[object, list[str]]:
    said, lost = write(Answer([block]))
    content = said["content"]
    assert isinstance(content, list)
    return (content[0] if content else None), lost


@pytest.mark.slow
@settings(deadline=None)  # an example takes as long as the machine lets it
@given(answers())
def test_what_is_written_is_read_as_it_was(answer: Answer) -> None:
    losses = Losses(strict=True)
    answer.id = answer.id or "msg_1"
    assert language.read(language.write(answer, ASK, losses), losses) == answer


def test_a_whole_answer() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "Eq"},
        {"type": "redacted_thinking", "data": "Er"},
        {"type": "text", "text": "So:", "citations": PLACES[:1]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "u", "name": "g", "caller": None},
        {"type": "server_tool_use", "id": "s"},
    ]
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": "priority"}
    read_answer, lost = read(
        id="msg_1", model="claude", content=content, stop_reason="stop_sequence", stop_sequence="END", usage=usage
    )
    assert read_answer == Answer(
        [
            Thinking("hm", "Eq", origin=NAME),
            Thinking(redacted="Er", origin=NAME),
            Text("So:", citations=[cited(PLACES[0])]),
            ToolCall("t", "f", '{"a":1}'),
            ToolCall("u", "g", "{}"),
            Foreign(NAME, "server_tool_use", Raw(b'{"type":"server_tool_use","id":"s"}')),
        ],
        "sequence",
        "END",
        "msg_1",
        "claude",
        usage=Usage(1, 2),
        service_tier="priority",
    )
    assert lost == []


def test_what_a_host_leaves_out_or_misspells_does_not_matter() -> None:
    assert read(stop_reason=None, usage=None, id=7, content=[{"type": "text", "citations": None}]) == (
        Answer([Text("")], "other"),
        [],
    )
    called = read(content=[{"type": "tool_use", "name": "f"}])[0]
    assert called.finish == "tools"


def test_what_has_no_place_elsewhere_is_a_loss() -> None:
    caller = {"type": "code_execution_20260120"}
    content = [{"type": "tool_use", "id": "t", "name": "f", "caller": caller}, {"type": "text", "text": "x", "tint": 1}]
    assert read(content=content, container={"id": "c"}, diagnostics=None)[1] == [
        "tool_use.caller",
        "text.tint",
        "container",
    ]
    assert read(content=[{"type": "tool_use", "id": "t", "name": "f", "caller": 7}])[1] == ["tool_use.caller"]


def test_a_refusal_says_why_in_its_own_words() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    refused, lost = read(stop_reason="refusal", stop_details=details)
    assert (refused.content, refused.finish) == ([Refusal("Not this.")], "refusal")
    assert lost == ["stop_details.category"]
    assert read(stop_reason="refusal", stop_details={"type": "refusal", "category": None})[0].content == []


@pytest.mark.parametrize("body", [b'{"type":"message"}', b'{"content":null}'])
def test_an_answer_without_content_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="no content"):
        language.read(body, Losses())


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"content":7}', b'{"content":["x"]}'])
def test_what_is_no_answer_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        language.read(body, Losses())


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        b'{"error":{"type":"overloaded_error"},"content":[]}',
    ],
)
def test_an_error_inside_is_what_it_says(body: bytes) -> None:
    with pytest.raises(UpstreamOverloaded):
        language.read(body, Losses())


def test_the_least_answer_is_whole_for_official_clients() -> None:
    assert write(Answer([Text("")])) == (
        {
            "id": answer_id("", ASK, "msg"),
            "type": "message",
            "role": "assistant",
            "model": "asked-for",
            "content": [],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        },
        [],
    )


@pytest.mark.parametrize(
    ("block", "said", "lost"),
    [
        (Text("x"), {"type": "text", "text": "x"}, []),
        (ToolCall("a.b", "f", '{"a": 1}'), {"type": "tool_use", "id": "a.b", "name": "f", "input": {"a": 1}}, []),
        (
            ToolCall("t", "f", "", "CiQ=", "gemini"),
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            ["thinking.signature"],
        ),
        (Thinking("hm"), {"type": "thinking", "thinking": "hm", "signature": "gw1.nobody.nobody"}, []),
        (
            Thinking("hm", "CiQ=", origin="gemini"),
            {"type": "thinking", "thinking": "hm", "signature": "gw1.gemini.CiQ="},
            [],
        ),
        (
            Thinking(redacted="gAAA", origin="openai_responses"),
            {"type": "redacted_thinking", "data": "gw1.openai_responses.gAAA"},
            [],
        ),
        (
            Thinking("hm", redacted="gAAA", origin="openai_responses", id="rs"),
            {"type": "thinking", "thinking": "hm", "signature": "gw1.openai_responses.rs~~gAAA~"},
            [],
        ),
        (Refusal("no"), {"type": "text", "text": "no"}, ["refusal=mapped"]),
        (Foreign(NAME, "k", Raw(b'{"type":"k"}')), {"type": "k"}, []),
        (Foreign("gemini", "executableCode", Raw(b"{}")), None, ["executableCode"]),
        (Media("image", data="x"), None, ["images"]),
        (ToolResult("t", []), None, ["tool_results"]),
        (Text("x", citations=[Citation("cohere_chat", Raw(b"{}"))]), {"type": "text", "text": "x"}, ["citations"]),
    ],
)
def test_blocks_as_a_caller_gets_them(block: Block, said: object, lost: list[str]) -> None:
    assert written(block) == (said, lost)


@pytest.mark.parametrize(("tier", "said", "lost"), [("default", "standard", []), ("flex", None, ["service_tier"])])
def test_tiers_are_said_in_anthropics_words(tier: str, said: str | None, lost: list[str]) -> None:
    answer, noted = write(Answer([], service_tier=tier))
    usage = answer["usage"]
    assert isinstance(usage, dict)
    assert (usage.get("service_tier"), noted) == (said, lost)


def test_logprobs_have_no_place() -> None:
    assert write(Answer([], logprobs=Raw(b"[]")))[1] == ["logprobs"]
