"""Addresses towards servers that would fetch them from within our own network, in each language."""

import json

import pytest

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.addresses import MOST_MEDIA, check_addresses, may_name_addresses
from gateway.wire.raw import read_fields

HOST = "http://169.254.169.254/latest/meta-data"
DATA = "data:image/png;base64,aGk="


def openai(url: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def asked(fields: object) -> Request:
    return Request(read_fields(json.dumps(fields).encode()), "m")


ADDRESSED = [
    ("openai_chat", openai(HOST)),
    ("openai_chat", {"messages": [{"role": "user", "content": [{"type": "hologram", "hologram_url": HOST}]}]}),
    ("openai_responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": HOST}]}]}),
    ("openai_responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": HOST}]}]}),
    (
        "anthropic_messages",
        {
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": HOST}}]}],
        },
    ),
    (
        "gemini",
        {"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": HOST, "mimeType": "image/png"}}]}]},
    ),
    (
        "bedrock_converse",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/x.png"}}}}],
                }
            ]
        },
    ),
    ("cohere_chat", openai(HOST)),
]


@pytest.mark.parametrize(("language", "fields"), ADDRESSED)
def test_an_address_is_found_and_refused(language: str, fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="fetch this address itself") as refused:
        check_addresses(language, asked(fields))
    assert refused.value.reason == "unsupported_feature"


@pytest.mark.parametrize(
    "url",
    [
        "http://[::ffff:10.0.0.1]/x",
        "http://2130706433/",
        "http://127.1/",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "gopher://a.example/",
        "http://ok@evil.example/",
        "http://ok\\@evil.example/",
        "https://a.example/x.svg",
    ],
)
def test_however_an_address_is_written(url: str) -> None:
    with pytest.raises(BadRequest):
        check_addresses("openai_chat", asked(openai(url)))


def test_escapes_hide_nothing() -> None:
    body = json.dumps(openai(HOST))
    hidden = body.replace("http://", "http:\\/\\/").replace("image_url", "image\\u005furl")
    with pytest.raises(BadRequest):
        check_addresses("openai_chat", Request(read_fields(hidden.encode()), "m"))


def test_a_tools_result_is_looked_into() -> None:
    block = {"type": "image", "source": {"type": "url", "url": HOST}}
    messages = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [block]}]},
    ]
    with pytest.raises(BadRequest):
        check_addresses("anthropic_messages", asked({"max_tokens": 9, "messages": messages}))


@pytest.mark.parametrize(
    ("language", "fields"),
    [
        ("openai_chat", openai(DATA)),
        ("openai_chat", {"messages": [{"role": "user", "content": f'Read {HOST} and "url": "{HOST}"'}]}),
        ("openai_embeddings", {"input": HOST}),
        (
            "anthropic_messages",
            {
                "max_tokens": 9,
                "messages": [
                    {"role": "user", "content": "fetch it"},
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"url": HOST}}],
                    },
                ],
            },
        ),
    ],
)
def test_words_data_and_what_a_tool_is_given_are_no_addresses(language: str, fields: dict[str, object]) -> None:
    check_addresses(language, asked(fields))


def test_most_conversations_are_not_looked_through() -> None:
    assert not may_name_addresses("openai_chat", asked({"messages": [{"role": "user", "content": f"see {HOST}"}]}))
    assert not may_name_addresses("openai_chat", asked(openai(DATA)))
    assert not may_name_addresses("openai_chat", asked({"messages": [{"role": "user", "content": "x" * 100_000}]}))


def test_more_pictures_than_a_server_bears_are_refused() -> None:
    part = {"type": "image_url", "image_url": {"url": DATA + "A" * 128}}
    many = {"messages": [{"role": "user", "content": [part] * (MOST_MEDIA + 1)}]}
    with pytest.raises(BadRequest, match="too many pictures"):
        check_addresses("openai_chat", asked(many))
    few = {"messages": [{"role": "user", "content": [part] * MOST_MEDIA}]}
    check_addresses("openai_chat", asked(few))


def test_what_can_not_be_read_is_not_shown_to_a_server_that_fetches() -> None:
    with pytest.raises(BadRequest):
        check_addresses("openai_chat", asked({"messages": [{"role": "nobody", "content": [{"image_url": HOST}]}]}))
