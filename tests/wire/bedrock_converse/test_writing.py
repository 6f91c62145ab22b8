import pytest
from msgspec import Raw

from gateway.errors import UnsupportedFeature
from gateway.wire.bedrock_converse.writing import Writing, input_of, point
from gateway.wire.ir import (
    Block,
    Cache,
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
from tests.wire.bedrock_converse.said import NAME, Json, blocks_of, js

PICTURE = Media("image", "image/png", "AA==")
FAR = Media("image", "image/png", url="https://a.example/b.png")


def told(*content: Block, asking: bool = True, own: bool = False, **more: bool) -> tuple[Json, list[str]]:
    """The blocks as JSON, and what they lost."""
    losses = Losses()
    writing = Writing(losses, asking=asking, own=own, caches=True)
    pieces = writing.blocks(list(content), **more)
    return [{kind: _plain(value) for kind, value in piece.items()} for piece in pieces], losses.names()


def _plain(value: object) -> Json:
    from msgspec.json import decode, encode

    return decode(encode(value))


@pytest.mark.parametrize(
    "said",
    [
        {"text": "hi"},
        {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"a": 1}}},
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "a"}], "status": "error"}},
        {"image": {"format": "png", "source": {"bytes": "AA=="}}},
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqkC"}}},
        {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        {"reasoningContent": {"redactedContent": "RXRrRQ=="}},
        {"reasoningContent": {"redactedContent": "/w=="}},
        {"citationsContent": {"content": [{"text": "a"}], "citations": [{"title": "T", "location": {}}]}},
        {"tomorrow": {"a": 1}},
        {"guardContent": {"text": {"text": "hi", "qualifiers": ["query"]}}},
        {"searchResult": {"source": "a", "title": "T", "content": [{"text": "a"}]}},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/a", "bucketOwner": "1"}}}},
        {"document": {"format": "txt", "name": "a", "source": {"content": [{"text": "a"}]}}},
        {"toolUse": {"toolUseId": "t1", "name": "nova", "input": {}, "type": "server_tool_use"}},
        {
            "toolResult": {
                "toolUseId": "t1",
                "content": [{"searchResult": {"source": "a", "title": "T", "content": [{"text": "a"}]}}],
            }
        },
    ],
)
def test_what_was_read_is_written_as_it_was(said: object) -> None:
    assert told(*blocks_of(said), own=True) == ([said], [])


def test_a_mark_is_a_cache_point_after_its_block() -> None:
    said = [{"text": "a"}, {"cachePoint": {"type": "default", "ttl": "5m"}}, {"text": "b"}]
    assert told(*blocks_of(*said), own=True) == (said, [])
    guarded = [{"guardContent": {"text": {"text": "a"}}}, {"cachePoint": {"type": "default"}}]
    assert told(*blocks_of(*guarded), own=True) == (guarded, [])


def test_a_mark_that_has_nothing_before_it_is_lost() -> None:
    assert told(Text("", cache=Cache()), Text("b")) == ([{"text": "b"}], ["cache"])


def test_a_mark_inside_a_result_stands_after_it() -> None:
    result = ToolResult("t1", [Text("a", cache=Cache("1h")), Thinking("x")])
    pieces, losses = told(result)
    assert pieces[1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert "cache=mapped" in losses


def test_a_time_that_converse_does_not_know_is_lost() -> None:
    losses = Losses()
    assert point(Cache("24h"), losses, known=True) == [{"cachePoint": {"type": "default"}}]
    assert losses.names() == ["cache.ttl"]


def test_a_model_without_a_cache_gets_no_point() -> None:
    losses = Losses()
    assert point(Cache(), losses, known=False) == []
    assert losses.names() == ["cache"]


@pytest.mark.parametrize("arguments", ['{"a": 1.0, "b": [18446744073709551616]}', "{}", ' {"a":1}\n'])
def test_arguments_that_are_an_object_stay_the_text_they_are(arguments: str) -> None:
    losses = Losses()
    assert bytes(input_of(arguments, losses)).decode() == arguments
    assert losses.names() == []


@pytest.mark.parametrize("arguments", ["", " "])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    assert input_of(arguments, Losses()) == Raw(b"{}")


@pytest.mark.parametrize("arguments", ["[1]", '"a"', "{", "null", '{"a":' + "[" * 3000 + "]" * 3000 + "}"])
def test_arguments_that_are_none_are_kept_inside_an_object(arguments: str) -> None:
    losses = Losses()
    said = {"toolUse": {"toolUseId": "t1", "name": "look", "input": input_of(arguments, losses)}}
    assert losses.names() == ["tools.arguments=mapped"]
    assert blocks_of(said) == [ToolCall("t1", "look", arguments)]


def test_an_id_that_converse_refuses_is_replaced_in_call_and_result() -> None:
    call, result = ToolCall("call|1", "look"), ToolResult("call|1", [])
    pieces, _ = told(call, ToolCall("ok", "look"), result)
    assert [piece[kind]["toolUseId"] for piece in pieces for kind in piece] == ["tooluse_1", "ok", "tooluse_1"]


def test_an_id_in_an_answer_is_the_models_own() -> None:
    pieces, _ = told(ToolCall("call|1", "look"), ToolCall("", "look"), asking=False)
    assert [piece["toolUse"]["toolUseId"] for piece in pieces] == ["call|1", "tooluse_1"]


def test_which_tools_were_called_is_known_afterwards() -> None:
    writing = Writing(Losses(), asking=True)
    writing.blocks([ToolCall("1", "b"), ToolCall("2", "a"), ToolCall("3", "b")])
    assert list(writing.calls) == ["b", "a"]


def test_an_empty_text_is_only_said_where_nothing_else_is() -> None:
    assert told(Text(""), ToolCall("t1", "look"))[0] == [{"toolUse": {"toolUseId": "t1", "name": "look", "input": {}}}]
    assert told(Text(""))[0] == [{"text": ""}]


@pytest.mark.parametrize(
    ("thought", "kept"),
    [
        (Thinking("hm", "sig", origin="anthropic_messages"), True),
        (Thinking("", "sig", origin="anthropic_messages"), True),
        (Thinking(redacted="x", origin="anthropic_messages"), True),
        (Thinking("hm", origin="anthropic_messages"), False),
        (Thinking("hm"), False),
        (Thinking("hm", "sig", origin="gemini"), False),
        (Thinking(redacted="x", origin="openai_responses"), False),
    ],
)
def test_a_thought_goes_into_a_request_only_where_it_was_signed(thought: Thinking, kept: bool) -> None:
    pieces, losses = told(thought)
    assert (bool(pieces), losses) == ((True, []) if kept else (False, ["thinking.blocks"]))


@pytest.mark.parametrize(
    "thought",
    [
        Thinking("hm", "sig", origin="gemini"),
        Thinking("hm", "", "hidden", "openai_responses", "rs_1", summary=True),
        Thinking("", "", "hidden", "openai_responses", "rs_1"),
        Thinking("hm", "sig", origin="anthropic_messages"),
        Thinking(redacted="EtkE", origin="anthropic_messages"),
        Thinking("unsigned", origin=NAME),
    ],
)
def test_an_answers_thought_comes_back_as_it_was(thought: Thinking) -> None:
    pieces, losses = told(thought, asking=False)
    assert (blocks_of(*pieces), losses) == ([thought], [])


def test_an_empty_thought_is_none() -> None:
    assert told(Thinking(origin="openai_chat"), asking=False) == ([], [])


def test_citations_of_others_are_said_by_what_all_know() -> None:
    cited = Text("a", citations=[Citation("gemini", Raw(b"{}"), "https://a.example", "T", "q")])
    said = {
        "citationsContent": {
            "content": [{"text": "a"}],
            "citations": [
                {
                    "title": "T",
                    "sourceContent": [{"text": "q"}],
                    "location": {"web": {"url": "https://a.example"}},
                }
            ],
        }
    }
    assert told(cited, asking=False) == ([said], ["citations=mapped"])
    assert told(cited) == ([{"text": "a"}], ["citations"])


def test_a_citation_of_nothing_known_is_lost() -> None:
    assert told(Text("a", citations=[Citation("gemini", Raw(b"{}"))]), asking=False) == (
        [{"text": "a"}],
        ["citations"],
    )


def test_a_refusal_is_words() -> None:
    assert told(Refusal("No."), asking=False) == ([{"text": "No."}], ["refusal=mapped"])


def test_what_another_language_alone_says_is_lost() -> None:
    strange = Foreign("anthropic_messages", "web_search_tool_result", Raw(b"{}"))
    assert told(strange, Text("a")) == ([{"text": "a"}], ["web_search_tool_result"])


def test_a_calls_signature_has_no_place() -> None:
    assert told(ToolCall("t1", "look", signature="s", origin="gemini"))[1] == ["thinking.signature"]


def test_a_file_in_the_last_turn_is_never_left_out() -> None:
    with pytest.raises(UnsupportedFeature) as refused:
        told(FAR, last=True)
    assert refused.value.param == "images"
    with pytest.raises(UnsupportedFeature) as refused:
        told(Media("document", file="file-1"), last=True)
    assert refused.value.param == "files"


def test_a_file_in_an_earlier_turn_is_a_loss() -> None:
    assert told(FAR, Text("a")) == ([{"text": "a"}], ["images"])


def test_a_file_that_a_model_made_is_not_given_back() -> None:
    assert told(PICTURE, mine=True) == ([], ["images"])
    assert told(PICTURE, mine=True, own=True)[1] == []
    assert told(PICTURE, asking=False)[1] == []


@pytest.mark.parametrize(
    ("inside", "losses"),
    [
        (FAR, ["tool_results.images"]),
        (Media("audio", "audio/wav", "AA=="), ["tool_results.audio"]),
        (Media("document", "application/zip", "AA=="), ["tool_results.documents"]),
        (Foreign("gemini", "executableCode", Raw(b"{}")), ["executableCode"]),
        (Thinking("x"), ["tool_results"]),
        (Text(""), []),
    ],
)
def test_what_a_result_cannot_hold_is_a_loss(inside: Block, losses: list[str]) -> None:
    assert told(ToolResult("t1", [inside])) == ([{"toolResult": {"toolUseId": "t1", "content": []}}], losses)


def test_a_result_holds_pictures_words_and_what_was_amazons() -> None:
    own = Foreign(NAME, "tomorrow", js({"tomorrow": 1}))
    pieces, losses = told(ToolResult("t1", [PICTURE, Refusal("No."), own]))
    assert pieces[0]["toolResult"]["content"] == [
        {"image": {"format": "png", "source": {"bytes": "AA=="}}},
        {"text": "No."},
        {"tomorrow": 1},
    ]
    assert losses == []
