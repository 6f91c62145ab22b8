import json
from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import UpstreamOverloaded
from gateway.features import Usage
from gateway.wire.gemini.answer import read_answer, write_answer
from gateway.wire.gemini.fields import raw_of
from gateway.wire.gemini.turns import read_contents
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

ASK = Ask("gemini", "mine", [])
TOKENS = raw_of([{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}])


def written(answer: Answer, losses: Losses | None = None) -> dict[str, object]:
    told = json.loads(write_answer(answer, ASK, losses or Losses()))
    assert isinstance(told, dict)
    return told


def parts(*blocks: Block, losses: Losses | None = None) -> object:
    told = json.loads(write_answer(Answer(list(blocks)), ASK, losses or Losses()))
    return told["candidates"][0]["content"]["parts"]


def test_a_whole_answer_is_read() -> None:
    body = {
        "candidates": [
            {
                "content": {"parts": [{"text": "hm", "thought": True}, {"text": "Hel"}, {"text": "lo"}]},
                "finishReason": "STOP",
                "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1}]},
                "citationMetadata": {"citations": [{"startIndex": 1, "endIndex": 2, "uri": "https://a.example"}]},
                "avgLogprobs": -0.1,
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "serviceTier": "standard"},
        "modelVersion": "gemini-3-pro",
        "responseId": "r1",
        "createTime": "1970-01-01T00:00:07Z",
    }
    answer = read_answer(json.dumps(body).encode(), Losses())
    text = answer.content[1]
    assert isinstance(text, Text)
    (citation,) = text.citations
    assert (citation.url, citation.start, citation.end) == ("https://a.example", 1, 2)
    text.citations = []
    assert answer == Answer(
        [Thinking("hm", origin="gemini"), Text("Hello")],
        "stop",
        "",
        "r1",
        "gemini-3-pro",
        7,
        Usage(1, 2),
        TOKENS,
        "standard",
    )


def test_an_end_that_is_not_told_is_another() -> None:
    assert read_answer(b'{"candidates":[{}]}', Losses()) == Answer([], "other")


def test_a_prompt_that_is_not_let_through_is_an_answer() -> None:
    assert read_answer(b'{"promptFeedback":{"blockReason":"SAFETY"}}', Losses()) == Answer([], "filter")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"candidates":[]}', b'{"usageMetadata":{"promptTokenCount":1}}'])
def test_what_has_no_candidate_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_answer(body, Losses())


def test_an_error_inside_is_raised() -> None:
    with pytest.raises(UpstreamOverloaded):
        read_answer(b'{"error":{"code":503,"status":"UNAVAILABLE"}}', Losses())


def test_a_whole_answer_is_written() -> None:
    answer = Answer(
        [Text("Hi"), ToolCall("1", "f", '{"a":1}')], "tools", "", "r1", "m1", 7, Usage(3, 2, 1, 0, 1), TOKENS, "default"
    )
    assert written(answer) == {
        "candidates": [
            {
                "content": {
                    "parts": [{"text": "Hi"}, {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}}],
                    "role": "model",
                },
                "index": 0,
                "finishReason": "STOP",
                "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1.0}]},
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 1,
            "totalTokenCount": 5,
            "cachedContentTokenCount": 1,
            "thoughtsTokenCount": 1,
            "serviceTier": "standard",
        },
        "modelVersion": "m1",
        "createTime": "1970-01-01T00:00:07Z",
        "responseId": "r1",
    }


def test_an_empty_answer_has_an_empty_part_and_the_callers_model() -> None:
    assert written(Answer([], "filter")) == {
        "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0, "finishReason": "SAFETY"}],
        "modelVersion": "mine",
    }


def test_citations_are_counted_over_all_text() -> None:
    cited = Text("bé", citations=[Citation("openai_chat", Raw(b"1"), "https://a.example", start=1, end=2)])
    losses = Losses()
    (candidate,) = json.loads(write_answer(Answer([Text("é"), Refusal("no"), cited]), ASK, losses))["candidates"]
    assert candidate["groundingMetadata"] == {
        "groundingChunks": [{"web": {"uri": "https://a.example"}}],
        "groundingSupports": [{"segment": {"startIndex": 5, "endIndex": 7, "text": "é"}, "groundingChunkIndices": [0]}],
    }
    assert losses.names() == ["refusal=mapped", "citations=mapped"]


def test_thoughts_of_others_are_shown_with_what_the_caller_keeps() -> None:
    thoughts: list[Block] = [
        Thinking("a", "sig", origin="anthropic_messages"),
        Thinking("", "", "sealed", "anthropic_messages"),
        Thinking("b"),
        Thinking("", "c2ln", origin="gemini"),
        Thinking(""),
    ]
    shown = parts(*thoughts, ToolCall("1", "f", "{}", "sig", "x"))
    assert isinstance(shown, list)
    assert [part.get("thought") for part in shown] == [True, True, True, None, None]
    assert b64decode(shown[0]["thoughtSignature"], validate=True).startswith(b"gw1.anthropic_messages.")
    (turn,) = read_contents(raw_of([{"role": "model", "parts": shown}]), "contents")
    assert turn.content == [*thoughts[:4], ToolCall("1", "f", "{}", "sig", "x")]


def test_all_else_is_shown_or_lost() -> None:
    losses = Losses()
    assert parts(
        Media("image", "image/png", "AA=="),
        Media("image", file="f"),
        Refusal("no"),
        Foreign("gemini", "executableCode", Raw(b'{"executableCode":{"code":"1"}}')),
        Foreign("openai_responses", "web_search_call", Raw(b"{}")),
        ToolResult("1", []),
        losses=losses,
    ) == [
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"text": "no"},
        {"executableCode": {"code": "1"}},
    ]
    assert losses.names() == ["files", "refusal=mapped", "web_search_call", "tool_results"]


WORDS = st.text(min_size=1, max_size=8)
BASE64 = st.sampled_from(["c2ln", "QUJD", "AAAA"])
BLOCKS = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Thinking, WORDS, BASE64, origin=st.just("gemini")),
    st.builds(Thinking, st.just(""), BASE64, origin=st.just("gemini")),
    st.builds(ToolCall, WORDS, WORDS, st.sampled_from(["{}", '{"a":[1.00,"}"]}'])),
    st.builds(ToolCall, WORDS, WORDS, st.just("{}"), BASE64, st.just("gemini")),
    st.builds(Media, st.just("image"), st.just("image/png"), BASE64),
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(BLOCKS, max_size=5),
    st.sampled_from(["stop", "length", "filter", "malformed", "other"]),
    st.none()
    | st.builds(Usage, st.integers(0, 9), st.integers(5, 9), st.integers(0, 9), reasoning_tokens=st.integers(0, 5)),
)
def test_an_answer_comes_back_as_it_went(blocks: list[Block], finish: Finish, usage: Usage | None) -> None:
    one: list[Block] = []
    for block in blocks:
        last = one[-1] if one else None
        # Neighbouring texts are one; a mark on a text comes behind it all.
        if not (isinstance(block, Text) and (isinstance(last, Text) or (isinstance(last, Thinking) and not last.text))):
            one.append(block)
    calls = any(isinstance(block, ToolCall) for block in one)
    answer = Answer(one, "tools" if calls and finish == "stop" else finish, "", "r1", "m", 7, usage)
    assert read_answer(write_answer(answer, ASK, Losses()), Losses()) == answer
