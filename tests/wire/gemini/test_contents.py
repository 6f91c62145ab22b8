import json

import msgspec
import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.wire.gemini.contents import Conversation
from gateway.wire.gemini.signature import SKIP
from gateway.wire.ir import (
    Ask,
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
    Turn,
)
from gateway.wire.losses import Losses

NEW = "gemini-3-pro"
OLD = "gemini-2.5-flash"
PICTURE = Media("image", "image/png", "AA==")
SHOWN = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}


def contents(*turns: Turn, model: str = NEW, origin: str = "openai_chat", losses: Losses | None = None) -> object:
    written = Conversation(Ask(origin, "m", list(turns)), model, losses or Losses()).contents()
    return json.loads(msgspec.json.encode(written))


def parts(*blocks: Block, model: str = NEW, origin: str = "openai_chat", losses: Losses | None = None) -> object:
    """The parts of one turn of the model's."""
    written = contents(Turn("assistant", list(blocks)), model=model, origin=origin, losses=losses)
    assert isinstance(written, list)
    return written[0]["parts"]


def test_neighbouring_turns_of_one_speaker_are_one() -> None:
    losses = Losses()
    turns = (
        Turn("user", [Text("a")]),
        Turn("system", [Text("b")]),
        Turn("assistant", [Text("c"), Text("")]),
        Turn("assistant", [Refusal("d")]),
        Turn("user", [Text("e")], name="Ann"),
        Turn("assistant", []),
    )
    assert contents(*turns, losses=losses) == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]
    assert losses.names() == ["system=mapped", "refusal=mapped", "name"]


def test_marks_on_text_are_lost() -> None:
    losses = Losses()
    parts(Text("a", Cache(), [Citation("x", Raw(b"1"))]), losses=losses)
    assert losses.names() == ["cache", "citations"]


def test_thoughts_go_back_where_they_were_signed() -> None:
    losses = Losses()
    assert parts(
        Thinking("a", "c2ln", origin="gemini"),
        Thinking("", "c2ln", origin="gemini"),
        Thinking("", "", "c2ln", "gemini"),
        Thinking("b"),
        Thinking("", origin="gemini"),
        Thinking("c", "sig", origin="anthropic_messages"),
        Thinking("", "", "sealed", "openai_responses"),
        losses=losses,
    ) == [
        {"text": "a", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "", "thoughtSignature": "c2ln"},
        {"text": "", "thoughtSignature": "c2ln"},
        {"text": "b", "thought": True},
    ]
    assert losses.names() == ["thinking.blocks"]


def test_the_first_call_of_a_turn_needs_a_signature_or_the_sentence_for_none() -> None:
    losses = Losses()
    calls = (ToolCall("1", "f", '{"a": 1}'), ToolCall("2", "f", cache=Cache()), ToolCall("3", "f", "{}", "s", "x"))
    assert parts(*calls, losses=losses) == [
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}, "thoughtSignature": SKIP},
        {"functionCall": {"id": "2", "name": "f", "args": {}}},
        {"functionCall": {"id": "3", "name": "f", "args": {}}},
    ]
    assert losses.names() == ["thinking.signature", "cache"]


def test_models_before_3_get_no_sentence() -> None:
    losses = Losses()
    assert parts(ToolCall("1", "f"), model=OLD, losses=losses) == [
        {"functionCall": {"id": "1", "name": "f", "args": {}}}
    ]
    assert not losses.noted


def test_a_signed_call_keeps_its_signature() -> None:
    losses = Losses()
    assert parts(ToolCall("1", "f", "{}", "c2ln", "gemini"), losses=losses) == [
        {"functionCall": {"id": "1", "name": "f", "args": {}}, "thoughtSignature": "c2ln"}
    ]
    assert not losses.noted


def test_arguments_that_are_no_object_stand_in_one() -> None:
    losses = Losses()
    assert parts(ToolCall("", "f", '{"a":'), model=OLD, losses=losses) == [
        {"functionCall": {"name": "f", "args": {"arguments": '{"a":'}}}
    ]
    assert losses.names() == ["arguments=mapped"]


def test_results_are_named_after_their_calls() -> None:
    losses = Losses()
    result = ToolResult(
        "1",
        [Text("a"), PICTURE, Media("image", file="f"), Refusal("b"), Thinking("c"), Foreign("x", "odd", Raw(b"1"))],
        is_error=True,
        cache=Cache(),
    )
    written = contents(Turn("assistant", [ToolCall("1", "f")]), Turn("user", [result, Text("so?")]), losses=losses)
    assert isinstance(written, list)
    assert written[1]["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"error": "a\nb"}, "parts": [SHOWN]}},
        {"text": "so?"},
    ]
    assert losses.names() == ["thinking.signature=mapped", "cache", "files", "tool_results.content", "odd"]


def test_pictures_of_results_stand_beside_them_for_models_that_read_none_in_them() -> None:
    losses = Losses()
    turns = (Turn("assistant", [ToolCall("1", "f")]), Turn("user", [ToolResult("1", [PICTURE]), Text("so?")]))
    written = contents(*turns, model=OLD, losses=losses)
    assert isinstance(written, list)
    assert written[1]["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {}}},
        {"text": "so?"},
        SHOWN,
    ]
    assert losses.names() == ["tool_results.images=mapped"]


def test_a_result_without_its_call_cannot_be_written() -> None:
    with pytest.raises(BadRequest) as caught:
        contents(Turn("user", [Text("a"), ToolResult("1", [])]))
    assert (caught.value.param, caught.value.reason) == ("messages[0].content[1]", "untranslatable")


def test_an_id_may_stand_for_another_call_later() -> None:
    said = [Turn("assistant", [ToolCall("1", "f")]), Turn("user", [ToolResult("1", [Text("a")])])]
    again = [Turn("assistant", [ToolCall("1", "g")]), Turn("user", [ToolResult("1", [Text("b")])])]
    whole = contents(*said, *again)
    assert isinstance(whole, list)
    assert ["'name': 'f'" in str(whole[1]), "'name': 'g'" in str(whole[3])] == [True, True]


def test_a_picture_that_is_asked_about_must_cross() -> None:
    stored = Media("image", file="file-1")
    losses = Losses()
    said = (Turn("user", [stored, Text("what is it?")]), Turn("user", [Text("well?")]))
    assert contents(*said, losses=losses) == [{"role": "user", "parts": [{"text": "what is it?"}, {"text": "well?"}]}]
    assert losses.names() == ["files"]
    with pytest.raises(UnsupportedFeature):
        contents(Turn("user", [stored]))
    assert contents(Turn("user", [PICTURE])) == [{"role": "user", "parts": [SHOWN]}]


def test_what_only_google_knows_is_laid_where_it_stood() -> None:
    code = Foreign("gemini", "executableCode", Raw(b'{"executableCode": {"code": "1"}}'))
    lost = Foreign("gemini", "part.first", Raw(b"0"))
    fps = Foreign("gemini", "part.videoMetadata", Raw(b'{"fps": 1}'))
    other = Foreign("gemini", "content.other", Raw(b"2"))
    written = contents(Turn("user", [lost, code, Text(""), PICTURE, fps, other]), origin="gemini")
    assert written == [
        {
            "role": "user",
            "parts": [
                {"executableCode": {"code": "1"}},
                {"text": ""},
                {**SHOWN, "videoMetadata": {"fps": 1}},
            ],
            "other": 2,
        }
    ]


def test_what_only_google_says_of_a_result_stands_on_it() -> None:
    result = ToolResult("1", [Text("a"), Foreign("gemini", "functionResponse.scheduling", Raw(b'"SILENT"'))])
    written = contents(Turn("assistant", [ToolCall("1", "f")]), Turn("user", [result]))
    assert isinstance(written, list)
    assert written[1]["parts"][0]["functionResponse"]["scheduling"] == "SILENT"


def test_what_only_others_know_is_lost() -> None:
    losses = Losses()
    assert parts(Text("a"), Foreign("openai_responses", "web_search_call", Raw(b"{}")), losses=losses) == [
        {"text": "a"}
    ]
    assert losses.names() == ["web_search_call"]
