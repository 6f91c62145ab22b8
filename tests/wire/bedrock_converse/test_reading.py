from binascii import b2a_base64

import pytest

from gateway.wire.bedrock_converse.reading import redacted
from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, Text, Thinking, ToolCall, ToolResult
from tests.wire.bedrock_converse.said import NAME, blocks_of, js

CITED = {
    "title": "Doc",
    "sourceContent": [{"text": "one "}, {"text": "two"}],
    "location": {"web": {"url": "https://a.example/b"}},
}
POINT = {"cachePoint": {"type": "default"}}
CALL = {"toolUseId": "t1", "name": "look", "input": {"a": 1}}


def base64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode()


@pytest.mark.parametrize(
    ("said", "block"),
    [
        ({"text": "hi"}, Text("hi")),
        ({"text": "hi", "image": None}, Text("hi")),
        ({"toolUse": CALL}, ToolCall("t1", "look", '{"a":1}')),
        ({"toolUse": {**CALL, "type": "tool_use"}}, ToolCall("t1", "look", '{"a":1}')),
        ({"toolUse": {"toolUseId": "t1", "name": "look"}}, ToolCall("t1", "look", "")),
        ({"toolUse": {**CALL, "input": None}}, ToolCall("t1", "look", "")),
        (
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqkC"}}},
            Thinking("hm", "EqkC", origin="anthropic_messages"),
        ),
        ({"reasoningContent": {"reasoningText": {"text": "hm"}}}, Thinking("hm", origin=NAME)),
        (
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "gw1.gemini.abc"}}},
            Thinking("hm", "abc", origin="gemini"),
        ),
        (
            {"reasoningContent": {"redactedContent": base64("EtkECkgI")}},
            Thinking(redacted="EtkECkgI", origin="anthropic_messages"),
        ),
        (
            {"reasoningContent": {"redactedContent": base64("gw1.openai_responses.gAAA")}},
            Thinking(redacted="gAAA", origin="openai_responses"),
        ),
        ({"image": {"format": "png", "source": {"bytes": "AA=="}}}, Media("image", "image/png", "AA==")),
        (
            {"citationsContent": {"content": [{"text": "It "}, {"text": "is."}], "citations": [CITED]}},
            Text("It is.", citations=[Citation(NAME, js(CITED), "https://a.example/b", "Doc", "one two")]),
        ),
        ({"citationsContent": {}}, Text("")),
        ({"tomorrow": {"a": 1}}, Foreign(NAME, "tomorrow", js({"tomorrow": {"a": 1}}))),
        ({"reasoningContent": {"new": 1}}, Foreign(NAME, "reasoningContent", js({"reasoningContent": {"new": 1}}))),
        (
            {"toolUse": {**CALL, "type": "server_tool_use"}},
            Foreign(NAME, "server_tool_use", js({"toolUse": {**CALL, "type": "server_tool_use"}})),
        ),
    ],
)
def test_a_block_is_read(said: object, block: Block) -> None:
    assert blocks_of(said) == [block]


@pytest.mark.parametrize("blob", ["/w==", "no base64!", ""])
def test_a_hidden_thought_that_is_no_text_is_amazons_own(blob: str) -> None:
    assert redacted(blob) == Thinking(redacted=blob, origin=NAME)


def test_arguments_are_the_models_own_text() -> None:
    assert blocks_of({"toolUse": {**CALL, "input": js({"z": 1.0, "a": [1]})}}) == [
        ToolCall("t1", "look", '{"z":1.0,"a":[1]}')
    ]


def test_what_the_writer_wrapped_is_unwrapped() -> None:
    assert blocks_of({"toolUse": {**CALL, "input": {"unparsed_arguments": "{"}}}) == [ToolCall("t1", "look", "{")]
    other = {"unparsed_arguments": "{", "a": 1}
    assert blocks_of({"toolUse": {**CALL, "input": other}}) == [
        ToolCall("t1", "look", '{"unparsed_arguments":"{","a":1}')
    ]


def test_a_result_holds_blocks_and_json_as_text() -> None:
    said = {"toolUseId": "t1", "content": [{"text": "a"}, {"json": {"b": 2}}], "status": "error"}
    assert blocks_of({"toolResult": said}) == [ToolResult("t1", [Text("a"), Text('{"b":2}')], is_error=True)]
    assert blocks_of({"toolResult": {"toolUseId": "t1", "content": [], "status": "success"}}) == [ToolResult("t1", [])]


def test_a_result_in_an_answer_is_amazons_own_tools() -> None:
    said = {"toolResult": {"toolUseId": "t1", "content": []}}
    assert blocks_of(said, asked=False) == [Foreign(NAME, "toolResult", js(said))]


def test_a_cache_point_is_a_mark_on_the_block_before() -> None:
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert blocks_of({"text": "a"}, POINT, {"text": "b"}, hour) == [
        Text("a", cache=Cache()),
        Text("b", cache=Cache("1h")),
    ]


@pytest.mark.parametrize(
    ("before", "point"),
    [
        ([], POINT),
        ([{"text": "a"}, POINT], POINT),
        ([{"tomorrow": 1}], POINT),
        ([{"text": "a"}], {"cachePoint": {"type": "new"}}),
        ([{"text": "a"}], {"cachePoint": {"type": "default", "more": 1}}),
    ],
)
def test_a_cache_point_that_is_no_mark_stays_as_it_is(before: list[object], point: object) -> None:
    assert blocks_of(*before, point)[-1] == Foreign(NAME, "cachePoint", js(point))


def test_guarded_content_crosses_with_its_guard_before_it() -> None:
    said = {"guardContent": {"text": {"text": "hi", "qualifiers": ["query"]}}}
    assert blocks_of(said) == [Foreign(NAME, "guardContent", js(said)), Text("hi")]
    image = {"guardContent": {"image": {"format": "png", "source": {"bytes": "AA=="}}}}
    assert blocks_of(image) == [Foreign(NAME, "guardContent", js(image)), Media("image", "image/png", "AA==")]


def test_a_search_result_is_a_document_to_others() -> None:
    found = {"source": "https://a.example", "title": "T", "content": [{"text": "a"}, {"text": "b"}]}
    media = Media("document", "text/plain", text="a\nb", name="T", title="T", context="https://a.example")
    assert blocks_of({"searchResult": found}) == [Foreign(NAME, "searchResult", js({"searchResult": found})), media]
    cited = blocks_of({"searchResult": {**found, "citations": {"enabled": True}}})[1]
    assert isinstance(cited, Media)
    assert cited.cites


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"text": "a", "image": {}},
        {"text": 1},
        {"toolUse": {"name": "look"}},
        {"guardContent": {}},
        {"searchResult": {}},
        {"toolResult": {"toolUseId": "t1", "content": [{}]}},
        {"citationsContent": {"content": 1}},
    ],
)
def test_what_is_no_block_is_not_understood(said: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        blocks_of(said)
