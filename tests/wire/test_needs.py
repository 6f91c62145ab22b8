"""What a request needs, in each language callers speak."""

import json

import pytest

from gateway.features import Request
from gateway.wire.needs import BYTES_PER_TOKEN, Needs, needs
from gateway.wire.raw import read_fields

PICTURE = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}


def asked(language: str, **fields: object) -> Needs:
    return needs(language, Request(read_fields(json.dumps(fields).encode()), "m"))


@pytest.mark.parametrize(
    ("language", "fields", "needed"),
    [
        ("openai_chat", {"messages": [{"role": "user", "content": [PICTURE]}]}, {"vision"}),
        ("openai_chat", {"messages": [{"content": [{"type": "input_audio"}]}]}, {"audio"}),
        ("openai_chat", {"messages": [{"content": [{"type": "file"}]}]}, {"documents"}),
        ("openai_chat", {"messages": [], "tools": [{"type": "function"}]}, {"tools"}),
        ("openai_chat", {"messages": [], "functions": [{"name": "f"}]}, {"tools"}),
        ("openai_chat", {"messages": [], "tools": [], "logprobs": False}, set()),
        ("openai_chat", {"messages": [], "logprobs": True}, {"logprobs"}),
        ("openai_chat", {"messages": [], "response_format": {"type": "json_schema"}}, {"json_schema"}),
        ("openai_chat", {"messages": [], "response_format": {"type": "json_object"}}, set()),
        ("openai_responses", {"input": [{"content": [{"type": "input_image"}]}]}, {"vision"}),
        ("openai_responses", {"input": "hi", "top_logprobs": 0}, set()),
        ("openai_responses", {"input": "hi", "top_logprobs": 3}, {"logprobs"}),
        ("openai_responses", {"input": "hi", "text": {"format": {"type": "json_schema"}}}, {"json_schema"}),
        ("anthropic_messages", {"messages": [{"content": [{"type": "image"}]}]}, {"vision"}),
        ("anthropic_messages", {"messages": [{"content": [{"type": "document"}]}]}, {"documents"}),
        ("anthropic_messages", {"messages": [], "thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinking"}),
        ("anthropic_messages", {"messages": [], "thinking": {"type": "disabled"}}, set()),
        ("gemini", {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png"}}]}]}, {"vision"}),
        ("gemini", {"contents": [{"parts": [{"inline_data": {"mime_type": "audio/wav"}}]}]}, {"audio"}),
        ("gemini", {"contents": [], "generationConfig": {"responseSchema": {}}}, {"json_schema"}),
        ("bedrock_converse", {"messages": [{"content": [{"image": {"format": "png"}}]}]}, {"vision"}),
        ("bedrock_converse", {"messages": [], "toolConfig": {"tools": []}}, {"tools"}),
        ("cohere_chat", {"messages": [], "tools": [{}]}, {"tools"}),
        ("opaque", {"tools": [1]}, set()),
    ],
)
def test_a_request_says_what_it_needs(language: str, fields: dict[str, object], needed: set[str]) -> None:
    assert asked(language, **fields).capabilities == needed


@pytest.mark.parametrize("language", ["openai_chat", "anthropic_messages", "gemini", "bedrock_converse"])
def test_words_about_pictures_are_no_picture(language: str) -> None:
    text = json.dumps({"type": "image_url", "image": {}, "inlineData": {"mimeType": "image/png"}})
    assert asked(language, messages=[{"content": text}], contents=[{"parts": [{"text": text}]}]).capabilities == set()


def test_the_least_it_can_be_is_its_bytes_and_the_answer_it_asks_for() -> None:
    messages = [{"role": "user", "content": "x" * 6000}]
    most = len(json.dumps(messages)) // BYTES_PER_TOKEN
    assert 1000 <= asked("openai_chat", messages=messages, max_tokens=50).tokens <= most + 50
    assert asked("openai_chat", messages=messages, max_tokens="many").tokens <= most


def test_a_picture_counts_as_nothing() -> None:
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 60_000}}
    assert asked("openai_chat", messages=[{"role": "user", "content": [data]}]).tokens == 0
