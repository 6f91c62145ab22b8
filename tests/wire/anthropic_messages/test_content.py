import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import BadRequest
from gateway.wire.anthropic_messages.content import Content
from gateway.wire.anthropic_messages.kept import Kept
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import Block, Cache, Foreign, Media, Text, Thinking, ToolCall, ToolResult, Turn
from tests.wire.anthropic_messages.asks import PLACES, cited

MARK = {"type": "ephemeral"}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}


def read(messages: object) -> tuple[list[Turn], dict[str, Raw]]:
    kept = Kept()
    return Content(kept).turns(Raw(encode(messages))), kept.fields()


def block(said: object, role: str = "user") -> Block:
    [turn], kept = read([{"role": role, "content": [said]}])
    assert kept == {}
    return turn.content[0]


def refused(messages: object) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as error:
        read(messages)
    return error.value.reason, error.value.param


def test_content_is_a_string_or_blocks() -> None:
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "Ho"}]},
        {"role": "system", "content": ""},
    ]
    assert read(said)[0] == [Turn("user", [Text("Hi")]), Turn("assistant", [Text("Ho")]), Turn("system", [])]


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ({"type": "text", "text": "Hi", "cache_control": MARK}, Text("Hi", Cache())),
        ({"type": "text", "text": "Hi", "cache_control": {**MARK, "ttl": "1h"}}, Text("Hi", Cache("1h"))),
        ({"type": "text", "text": "Hi", "cache_control": None, "citations": None}, Text("Hi")),
        ({"type": "text", "text": "Hi", "citations": PLACES}, Text("Hi", citations=[cited(one) for one in PLACES])),
        ({"type": "image", "source": {"type": "url", "url": "u"}}, Media("image", url="u")),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, Media("image", file="f")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iV"}},
            Media("image", "image/png", "iV"),
        ),
        (
            {"type": "document", "source": PDF, "title": "T", "context": "C", "citations": {"enabled": True}},
            Media("document", "application/pdf", "JVBE", title="T", context="C", cites=True),
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "words"}, "citations": {"enabled": False}},
            Media("document", "text/plain", text="words"),
        ),
        (
            {"type": "server_tool_use", "id": "s"},
            Foreign(NAME, "server_tool_use", Raw(b'{"type":"server_tool_use","id":"s"}')),
        ),
        (
            {"type": "image", "source": {"type": "text", "data": "x"}},
            Foreign(NAME, "image", Raw(b'{"type":"image","source":{"type":"text","data":"x"}}')),
        ),
        (
            {"type": "document", "source": {"type": "drive"}},
            Foreign(NAME, "document", Raw(b'{"type":"document","source":{"type":"drive"}}')),
        ),
    ],
)
def test_blocks_of_a_question(said: object, understood: Block) -> None:
    assert block(said) == understood


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ({"type": "thinking", "thinking": "hm", "signature": "EqQB"}, Thinking("hm", "EqQB", origin=NAME)),
        (
            {"type": "thinking", "thinking": "hm", "signature": "gw1.gemini.CiQ="},
            Thinking("hm", "CiQ=", origin="gemini"),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": None}, Thinking("hm")),
        ({"type": "redacted_thinking", "data": "EqQB"}, Thinking(redacted="EqQB", origin=NAME)),
        (CALL, ToolCall("t1", "look", '{"at":1}')),
        ({"type": "tool_use", "id": "t", "name": "n", "caller": {"type": "direct"}}, ToolCall("t", "n", "{}")),
    ],
)
def test_blocks_of_an_answer(said: object, understood: Block) -> None:
    assert block(said, "assistant") == understood


def test_arguments_are_the_text_as_it_was_sent() -> None:
    call = b'{"type":"tool_use","id":"t","name":"n","input":{ "n" : 1.0e3 },"caller":{ "type":"direct"}}'
    said = b'[{"role":"assistant","content":[%b]}]' % call
    kept = Kept()
    [turn] = Content(kept).turns(Raw(said))
    assert turn.content == [ToolCall("t", "n", '{ "n" : 1.0e3 }')]
    assert kept.fields() == {}


def test_a_result_has_the_name_of_its_call() -> None:
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "5"}], "is_error": True},
        {"type": "tool_result", "tool_use_id": "t2"},
        {"type": "tool_result", "tool_use_id": "t3", "content": "7", "cache_control": MARK},
    ]
    calls = [{**CALL, "id": name} for name in ("t1", "t2", "t3")]
    turns, _ = read([{"role": "assistant", "content": calls}, {"role": "user", "content": results}])
    assert turns[1].content == [
        ToolResult("t1", [Text("5")], "look", is_error=True),
        ToolResult("t2", [], "look"),
        ToolResult("t3", [Text("7")], "look", cache=Cache()),
    ]


def test_what_only_anthropic_says_of_a_block_is_kept_with_its_place() -> None:
    content = [
        {**CALL, "caller": {"type": "code_execution_20260120", "tool_id": "s"}},
        {"type": "text", "text": "x", "tint": 1},
    ]
    _, kept = read([{"role": "assistant", "content": content, "mood": "calm"}])
    assert kept == {
        "messages.mood": Raw(b'{"messages[0]":"calm"}'),
        "tool_calls.caller": Raw(b'{"messages[0].content[0]":{"type":"code_execution_20260120","tool_id":"s"}}'),
        "text.tint": Raw(b'{"messages[0].content[1]":1}'),
    }


@pytest.mark.parametrize("mark", [{**MARK, "scope": "global"}, {"type": "eternal"}])
def test_a_mark_that_says_more_is_kept_whole(mark: dict[str, str]) -> None:
    [turn], kept = read([{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": mark}]}])
    assert turn.content == [Text("x", Cache())]
    assert kept == {"cache.cache_control": Raw(b'{"messages[0].content[0]":%b}' % encode(mark))}


def test_a_source_that_says_more_is_kept_whole() -> None:
    source = {**PDF, "pages": [1]}
    [turn], kept = read([{"role": "user", "content": [{"type": "document", "source": source}]}])
    assert turn.content == [Media("document", "application/pdf", "JVBE")]
    assert kept == {"documents.source": Raw(b'{"messages[0].content[0]":%b}' % encode(source))}


def test_a_document_of_blocks_is_its_text_elsewhere() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "u"}}
    source = {"type": "content", "content": [{"type": "text", "text": "a"}, picture, {"type": "text", "text": "b"}]}
    [turn], kept = read([{"role": "user", "content": [{"type": "document", "source": source}]}])
    assert turn.content == [Media("document", "text/plain", text="a\nb")]
    assert list(kept) == ["documents.source"]


def test_a_search_result_is_a_document_elsewhere() -> None:
    found = {
        "type": "search_result",
        "source": "https://a.example",
        "title": "T",
        "content": [{"type": "text", "text": "a", "tint": 1}, {"type": "text", "text": "b"}],
        "citations": {"enabled": True},
    }
    [turn], kept = read([{"role": "user", "content": [found]}])
    document = Media("document", "text/plain", text="a\nb", title="T", context="https://a.example", cites=True)
    assert turn.content == [document]
    assert kept == {"search_results.whole": Raw(b'{"messages[0].content[0]":%b}' % encode(found))}


def test_an_id_may_come_again_once_it_was_answered() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "5"}
    once = [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [result]}]
    assert len(read(once * 2)[0]) == 4


RESULT = {"type": "tool_result", "tool_use_id": "t1"}


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        (7, "invalid_type", "messages"),
        ([7], "invalid_type", "messages[0]"),
        ([{"role": "user"}], "missing_field", "messages[0].content"),
        ([{"role": "tool", "content": "x"}], "invalid_value", "messages[0].role"),
        ([{"role": "user", "content": 7}], "invalid_type", "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "invalid_type", "messages[0].content[0]"),
        ([{"role": "user", "content": [{"text": "x"}]}], "missing_field", "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "missing_field", "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "text", "text": 7}]}], "invalid_type", "messages[0].content[0].text"),
        (
            [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}],
            "missing_field",
            "messages[0].content[0].source.url",
        ),
        ([{"role": "user", "content": [RESULT]}], "untranslatable", "messages[0].content[0].tool_use_id"),
        ([{"role": "assistant", "content": [CALL, CALL]}], "untranslatable", "messages[0].content[1].id"),
        (
            [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT, RESULT]}],
            "untranslatable",
            "messages[1].content[1].tool_use_id",
        ),
        ([{"role": "assistant", "content": [CALL, RESULT]}], "untranslatable", "messages[0].content[1]"),
        ([{"role": "user", "content": [CALL]}], "untranslatable", "messages[0].content[0]"),
        (
            [{"role": "assistant", "content": [{**CALL, "input": "x"}]}],
            "invalid_type",
            "messages[0].content[0].input",
        ),
        (
            [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [{**RESULT, "content": [CALL]}]}],
            "untranslatable",
            "messages[1].content[0].content[0]",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_place(messages: object, code: str, param: str) -> None:
    assert refused(messages) == (code, param)


@pytest.mark.parametrize("content", [b'"\\ud800"', b'[{"type":"text","text":"\\ud800"}]'])
def test_half_a_surrogate_pair_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest) as error:
        Content(Kept())._blocks(Raw(content), "messages[0].content", "user")
    assert error.value.reason == "invalid_json"


def test_the_system_prompt_is_text() -> None:
    content = Content(Kept())
    assert content.texts(Raw(b'"Be kind."')) == [Text("Be kind.")]
    assert content.texts(Raw(b'[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"5m"}}]')) == [
        Text("x", Cache("5m"))
    ]
    with pytest.raises(BadRequest) as error:
        content.texts(Raw(b'[{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"u"}}]'))
    assert error.value.param == "system[1].type"
