import base64
import gzip
import json
from pathlib import Path

import pytest

from tests.conformance.recorded.corpus import Answered, Asked, Exchange, Recording, Skipped, read, sort


def exchange(url: str, answer: str = "{}", **changed: object) -> Exchange:
    told = {
        "source": "s#0",
        "provider": "p",
        "operation": "o",
        "stream": False,
        "request": Asked("POST", url, "{}"),
        "response": Answered(200, "application/json", answer),
        **changed,
    }
    return Exchange(**told)  # type: ignore[arg-type]  # a row of told fields


@pytest.mark.parametrize(
    ("url", "language"),
    [
        ("https://a.example/openai/v1/chat/completions", "openai_chat"),
        ("https://a.example/openai/deployments/x/chat/completions?api-version=1", "openai_chat"),
        ("https://a.example/v1/responses", "openai_responses"),
        ("https://a.example/v1/messages?beta=true", "anthropic_messages"),
        ("https://a.example/v1/p/publishers/anthropic/models/claude:streamRawPredict", "anthropic_messages"),
        ("https://a.example/v1beta/models/g-2:streamGenerateContent?alt=sse", "gemini"),
        ("https://a.example/model/us.amazon.nova%3A0/converse-stream", "bedrock_converse"),
        ("https://a.example/model/eu.anthropic.claude-v1:0/invoke", "bedrock_invoke"),
        ("https://a.example/v2/chat", "cohere_chat"),
    ],
)
def test_a_chat_is_known_by_its_path(url: str, language: str) -> None:
    found = sort(7, exchange(url))
    assert isinstance(found, Recording)
    assert (found.language, found.number) == (language, 7)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (exchange("https://a.example/v1/responses/compact"), "no chat: o"),
        (exchange("https://a.example/v1/responses", request=Asked("GET", "https://a.example/v1/responses")), "no chat"),
        (exchange("https://a.example/model/amazon.titan-embed/invoke"), "isn't Claude"),
        (exchange("https://a.example/v1/responses", '{"status": "queued"}'), "no answer yet: queued"),
        (exchange("https://a.example/v2/chat", "no JSON"), "no JSON object"),
        (exchange("https://a.example/v2/chat", response=Answered(503, "", "")), "status 503"),
    ],
)
def test_what_proves_nothing_is_skipped_with_its_reason(one: Exchange, why: str) -> None:
    found = sort(0, one)
    assert isinstance(found, Skipped)
    assert why in found.why


def test_some_providers_own_client_is_another_than_their_languages() -> None:
    url = "https://a.example/v1/chat/completions"
    ours, theirs = sort(0, exchange(url)), sort(0, exchange(url, provider="mistral"))
    assert isinstance(ours, Recording)
    assert isinstance(theirs, Recording)
    assert (ours.reader, theirs.reader) == ("openai_chat", "mistral")


@pytest.mark.parametrize(
    ("url", "body", "stream"),
    [
        ("https://a.example/v1/responses", '{"stream": true}', True),
        ("https://a.example/v1/responses", '{"stream": false}', False),
        ("https://a.example/v1/responses", "[]", False),
        ("https://a.example/model/m/converse-stream", "{}", True),
    ],
)
def test_a_refused_stream_is_known_by_how_it_was_asked_for(url: str, body: str, *, stream: bool) -> None:
    found = sort(0, exchange(url, request=Asked("POST", url, body), response=Answered(400, "", "{}")))
    assert isinstance(found, Recording)
    assert found.stream is stream


def test_a_corpus_is_read_packed_or_not_and_binary_bodies_with_it(tmp_path: Path) -> None:
    line = {
        "source": "s",
        "provider": "bedrock",
        "operation": "converse",
        "stream": True,
        "request": {"method": "POST", "url": "https://a.example/model/m/converse-stream", "body": None},
        "response": {"status": 200, "content_type": "x", "body_b64": base64.b64encode(b"\0\1").decode()},
    }
    plain, packed = tmp_path / "c.jsonl", tmp_path / "c.jsonl.gz"
    plain.write_text(json.dumps(line))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        [found] = read(path)
        assert isinstance(found, Recording)
        assert (found.answer, found.row) == (b"\0\1", "bedrock bedrock_converse stream")
