import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.features import Request
from gateway.wire.gemini.request import check, read_fields, read_request
from gateway.wire.ir import Ask, Effort, Foreign, Text, Tool, ToolChoice, Turn
from gateway.wire.raw import read_fields as split

HI = [{"parts": [{"text": "Hi"}]}]
UPLOAD = "https://generativelanguage.googleapis.com/v1beta/files/abc"


def request(body: object, *, stream: bool = False) -> Request:
    return Request(split(json.dumps(body).encode()), "gemini-3-pro", stream)


def test_a_whole_request_is_read() -> None:
    body = {
        "contents": HI,
        "system_instruction": {"parts": {"text": "Be brief."}},
        "tools": {"function_declarations": [{"name": "f"}], "googleSearch": {}},
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
        "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_level": "low"}},
        "safetySettings": [],
        "serviceTier": "FLEX",
        "labels": {"a": "b"},
        "model": "models/other",
        "cachedContent": None,
    }
    assert read_request(request(body, stream=True)) == Ask(
        "gemini",
        "gemini-3-pro",
        [Turn("user", [Text("Hi")])],
        [Text("Be brief.")],
        stream=True,
        tools=[Tool("f"), Foreign("gemini", "googleSearch", Raw(b'{"googleSearch":{}}'))],
        choice=ToolChoice("required"),
        max_tokens=5,
        thinking=Effort("low"),
        service_tier="flex",
        wants_usage=True,
        other={"safetySettings": Raw(b"[]"), "labels": Raw(b'{"a": "b"}')},
    )


def test_a_request_without_contents_is_none() -> None:
    with pytest.raises(BadRequest) as caught:
        read_fields({}, "m")
    assert (caught.value.param, caught.value.reason) == ("contents", "missing_field")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contents": HI, "tools": [{"googleSearch": {}}], "generationConfig": {"maxOutputTokens": 2**31 - 1}},
        {"contents": [{"parts": [{"text": "see files/abc"}]}, {"role": "model"}], "cachedContent": None},
        {"contents": {"parts": {"fileData": {"fileUri": "https://x.example/files/a.png"}}}},
        {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"fileUri": "files/abc"}}}]}]},
        {"generateContentRequest": {"model": "models/m", "contents": HI}},
        {"tomorrow": "anything", "generationConfig": {"tomorrow": 1, "candidateCount": 128}},
    ],
)
def test_what_the_gateway_does_not_act_on_is_the_backends_to_judge(body: object) -> None:
    check(request(body))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generation_config": {"max_output_tokens": "7"}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"candidateCount": 129}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"topK": 1, "top_k": 2}}, "generationConfig.topK"),
        ({"generationConfig": []}, "generationConfig"),
        ({"tool_config": {}, "toolConfig": {}}, "toolConfig"),
        ({"contents": [{"parts": "a"}]}, "contents"),
        ({"tools": [7]}, "tools[0]"),
        (
            {"generateContentRequest": {"generationConfig": {"maxOutputTokens": -1}}},
            "generateContentRequest.generationConfig.maxOutputTokens",
        ),
    ],
)
def test_what_the_gateway_acts_on_is_checked(body: object, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check(request(body))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"cachedContent": "cachedContents/a"}, "cachedContent"),
        ({"cached_content": "cachedContents/a"}, "cachedContent"),
        ({"tools": [{"file_search": {}}]}, "tools[0].fileSearch"),
        ({"tools": {"retrieval": {}}}, "tools[0].retrieval"),
        ({"contents": [{"parts": [{"fileData": {"fileUri": UPLOAD}}]}]}, "contents"),
        ({"contents": {"parts": {"file_data": {"file_uri": "files/abc"}}}}, "contents"),
        ({"systemInstruction": {"parts": [{"fileData": {"fileUri": UPLOAD}}]}}, "systemInstruction"),
        (
            {"contents": [{"parts": [{"functionResponse": {"parts": [{"fileData": {"file_uri": UPLOAD}}]}}]}]},
            "contents",
        ),
        ({"contents": [{"parts": [{"function_response": {"parts": {"fileData": {"fileUri": UPLOAD}}}}]}]}, "contents"),
        ({"generateContentRequest": {"cachedContent": "a"}}, "generateContentRequest.cachedContent"),
        ({"generateContentRequest": {"tools": {"retrieval": {}}}}, "generateContentRequest.tools[0].retrieval"),
    ],
)
def test_what_is_stored_at_google_is_refused(body: object, param: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        check(request(body))
    assert (caught.value.param, caught.value.reason) == (param, "unsupported_feature")


def test_a_name_written_in_numbers_hides_nothing() -> None:
    body = rb'{"contents":[{"parts":[{"file\u0044ata":{"file\u0055ri":"f\u0069les/abc"}}]}]}'
    with pytest.raises(UnsupportedFeature):
        check(Request(split(body), "m"))


@pytest.mark.parametrize("within", ["", "generateContentRequest."])
def test_a_limit_said_twice_is_refused(within: str) -> None:
    said = b'{"generationConfig": {"maxOutputTokens": 5, "maxOutputTokens": 9}}'
    body = b'{"generateContentRequest":%b}' % said if within else said
    with pytest.raises(BadRequest) as caught:
        check(Request(split(body), "m"))
    assert caught.value.reason == "duplicate_field"
    assert caught.value.param == f"{within}generationConfig.maxOutputTokens"
