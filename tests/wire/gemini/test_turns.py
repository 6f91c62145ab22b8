from base64 import b64encode

import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.gemini.fields import raw_of
from gateway.wire.gemini.signature import show
from gateway.wire.gemini.turns import read_contents, read_system
from gateway.wire.ir import Block, Foreign, Media, Text, Thinking, ToolCall, ToolResult, Turn


def turns(*contents: object) -> list[Turn]:
    return read_contents(raw_of(contents), "contents")


def blocks(*parts: object, role: str = "model") -> list[Block]:
    return turns({"role": role, "parts": parts})[0].content


def test_roles_are_google_s_and_none_is_the_user() -> None:
    said = {"parts": {"text": "a"}}
    assert [turn.role for turn in turns(said, {"role": "model", **said}, {"role": "function", **said})] == [
        "user",
        "assistant",
        "user",
    ]


def test_one_turn_may_stand_for_a_list() -> None:
    assert read_contents(raw_of({"parts": [{"text": "a"}]}), "contents") == [Turn("user", [Text("a")])]


@pytest.mark.parametrize(
    ("contents", "param", "reason"),
    [
        ([], "contents", "invalid_value"),
        (["a"], "contents[0]", "invalid_type"),
        ([{"role": "system"}], "contents[0].role", "invalid_value"),
        ([{"parts": "a"}], "contents[0].parts", "invalid_type"),
        ([{"parts": [{"text": 1}]}], "contents[0].parts[0].text", "invalid_type"),
        ([{"parts": [{"functionCall": {}}]}], "contents[0].parts[0].functionCall.name", "missing_field"),
        (
            [{"parts": [{"functionCall": {"name": "f", "args": "{}"}}]}],
            "contents[0].parts[0].functionCall.args",
            "invalid_type",
        ),
        (
            [{"parts": [{"functionCall": {"name": "f", "id": "1"}}, {"functionCall": {"name": "f", "id": "1"}}]}],
            "contents[0].parts[1].functionCall.id",
            "untranslatable",
        ),
        (
            [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}],
            "contents[0].parts[0].functionResponse",
            "untranslatable",
        ),
        (
            [{"parts": [{"functionCall": {"name": "f"}}, {"functionResponse": {"name": "f", "response": []}}]}],
            "contents[0].parts[1].functionResponse.response",
            "invalid_type",
        ),
        ([{"parts": [{"inlineData": {"mimeType": "a/b"}}]}], "contents[0].parts[0].inlineData.data", "missing_field"),
    ],
)
def test_what_cannot_be_understood_is_named(contents: object, param: str, reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_contents(raw_of(contents), "contents")
    assert (caught.value.param, caught.value.reason) == (param, reason)


def test_text_and_media_are_read_in_both_spellings() -> None:
    assert blocks(
        {"text": "a"},
        {"inline_data": {"mime_type": "image/png", "data": "AA=="}},
        {"fileData": {"fileUri": "https://x/a.pdf"}},
        {},
    ) == [Text("a"), Media("image", "image/png", "AA=="), Media("document", url="https://x/a.pdf")]


def test_thoughts_keep_their_signature() -> None:
    assert blocks(
        {"text": "hm", "thought": True},
        {"text": "so", "thought": True, "thought_signature": "c2ln"},
        {"text": "a", "thoughtSignature": "c2ln"},
        {"text": "", "thoughtSignature": "c2ln"},
        {"thoughtSignature": "c2ln"},
        {"text": ""},
    ) == [
        Thinking("hm"),
        Thinking("so", "c2ln", origin="gemini"),
        Text("a"),
        Thinking("", "c2ln", origin="gemini"),
        Thinking("", "c2ln", origin="gemini"),
        Thinking("", "c2ln", origin="gemini"),
    ]
    assert blocks({"text": ""}) == [Text("")]


def test_pieces_of_a_thought_another_model_signed_are_one() -> None:
    signed = Thinking("let me see", "sig", origin="anthropic_messages")
    sealed = Thinking("", "", "sealed", "anthropic_messages")
    assert blocks(
        {"text": "x"},
        {"text": "let ", "thought": True},
        {"text": "me see", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": show(signed)},
        {"text": "", "thought": True, "thoughtSignature": show(sealed)},
    ) == [Text("x"), signed, sealed]


def test_what_only_google_knows_stays_as_it_is() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "c2ln"}
    picture = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AA=="}}
    found = blocks(code, picture, {"thought": True}, {"text": "a", "partMetadata": {"k": 1}})
    assert found == [
        Foreign("gemini", "executableCode", raw_of(code)),
        Foreign("gemini", "inlineData", raw_of(picture)),
        Foreign("gemini", "thought", raw_of({"thought": True})),
        Text("a"),
        Foreign("gemini", "part.partMetadata", raw_of({"k": 1})),
    ]
    assert turns({"parts": [], "other": 1})[0].content == [Foreign("gemini", "content.other", raw_of(1))]


def test_what_is_said_of_a_film_stands_behind_it() -> None:
    assert blocks({"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 1}}) == [
        Media("video", url="https://youtu.be/x"),
        Foreign("gemini", "part.videoMetadata", raw_of({"fps": 1})),
    ]


def test_a_call_keeps_its_arguments_as_they_were_written() -> None:
    call = b'{"functionCall":{"id":"1","name":"f","args":{"a": 1.00}},"thoughtSignature":"c2ln"}'
    (turn,) = read_contents(Raw(b'[{"role":"model","parts":[%b]}]' % call), "contents")
    assert turn.content == [ToolCall("1", "f", '{"a": 1.00}', "c2ln", "gemini")]


def test_results_find_their_calls_by_id_or_by_name() -> None:
    asked, told = turns(
        {"role": "model", "parts": [{"functionCall": {"name": name}} for name in ("f", "g", "f")]},
        {
            "parts": [
                {"functionResponse": {"name": name, "response": {"output": at}}}
                for at, name in (("1", "f"), ("2", "f"), ("3", "g"))
            ]
        },
    )
    assert asked.content == [ToolCall(f"call_{at}", name, "{}") for at, name in enumerate("fgf")]
    assert told.content == [
        ToolResult("call_0", [Text("1")], "f"),
        ToolResult("call_2", [Text("2")], "f"),
        ToolResult("call_1", [Text("3")], "g"),
    ]


def test_a_result_without_an_id_answers_a_call_that_has_one() -> None:
    calls = [{"functionCall": {"name": "f", "id": at}} for at in ("a", "b")]
    results = [{"functionResponse": {"name": "f", "response": {"output": at}}} for at in ("1", "2")]
    _, told = turns({"role": "model", "parts": calls}, {"parts": results})
    assert told.content == [ToolResult("a", [Text("1")], "f"), ToolResult("b", [Text("2")], "f")]
    result = {"functionResponse": {"name": "f", "id": "b", "response": {"output": "3"}}}
    _, told = turns({"role": "model", "parts": calls}, {"parts": [result, result, results[0]]})
    assert told.content == [
        ToolResult("b", [Text("3")], "f"),
        ToolResult("b", [Text("3")], "f"),
        ToolResult("a", [Text("1")], "f"),
    ]


def test_an_id_nobody_gave_is_of_a_call_without_one_or_of_none() -> None:
    result = {"functionResponse": {"name": "f", "id": "x", "response": {}}}
    _, told = turns({"role": "model", "parts": [{"functionCall": {"name": "f"}}]}, {"parts": [result]})
    assert told.content == [ToolResult("call_0", [], "f")]
    with pytest.raises(BadRequest):
        turns({"role": "model", "parts": [{"functionCall": {"name": "f", "id": "y"}}]}, {"parts": [result]})


def test_chunks_that_come_back_as_turns_are_one() -> None:
    signed = Thinking("let me see", "sig", origin="anthropic_messages")
    chunks: list[dict[str, object]] = [
        {"text": "let ", "thought": True},
        {"text": "me see", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": show(signed)},
        {"text": "Hel"},
        {"text": "lo"},
        {"functionCall": {"name": "f"}},
        {"text": ""},
    ]
    said = [{"role": "model", "parts": [chunk]} for chunk in chunks]
    assert turns({"parts": {"text": "Hi"}}, {"role": "model"}, *said) == [
        Turn("user", [Text("Hi")]),
        Turn("assistant", [signed, Text("Hello"), ToolCall("call_0", "f", "{}")]),
    ]


def test_a_result_may_hold_pictures_and_tell_of_an_error() -> None:
    call = {"functionCall": {"name": "f", "id": "1"}}
    answer = {
        "functionResponse": {
            "name": "f",
            "id": "1",
            "response": {"error": "no"},
            "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "videoMetadata": {"fps": 1}},
                {"odd": 1},
                {},
            ],
            "scheduling": "SILENT",
        }
    }
    _, turn = turns({"role": "model", "parts": [call]}, {"parts": [answer]})
    assert turn.content == [
        ToolResult(
            "1",
            [
                Text("no"),
                Media("image", "image/png", "AA=="),
                Foreign("gemini", "part.videoMetadata", raw_of({"fps": 1})),
                Foreign("gemini", "odd", raw_of({"odd": 1})),
                Foreign("gemini", "functionResponse.scheduling", raw_of("SILENT")),
            ],
            "f",
            is_error=True,
        )
    ]


def test_a_result_may_say_nothing() -> None:
    call = {"functionCall": {"name": "f", "id": "1"}}
    silent = {"functionResponse": {"name": "f", "id": "1", "response": {}}}
    without = {"functionResponse": {"name": "f", "id": "1"}}
    _, turn = turns({"parts": [call]}, {"parts": [silent, without]})
    assert turn.content == [ToolResult("1", [], "f"), ToolResult("1", [], "f")]


def test_an_instruction_is_text() -> None:
    assert read_system(raw_of({"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}), "s") == [Text("a"), Text("b")]
    with pytest.raises(BadRequest) as caught:
        read_system(raw_of({"parts": [{"inlineData": {}}]}), "s")
    assert (caught.value.param, caught.value.reason) == ("s.parts[0]", "untranslatable")


def test_a_signature_in_base64_of_no_thought_is_geminis() -> None:
    mark = b64encode(b"anything").decode()
    assert blocks({"text": "a", "thought": True, "thoughtSignature": mark}) == [Thinking("a", mark, origin="gemini")]
