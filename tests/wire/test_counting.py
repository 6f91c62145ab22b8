"""Counts asked in one language and made in the other."""

import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken, UpstreamRefused
from gateway.wire import Addressed, load
from gateway.wire.anthropic_count import WIRE as ANTHROPIC
from gateway.wire.counting import COUNTS, counting
from gateway.wire.dialect import Dialect
from gateway.wire.gemini_count import WIRE as GEMINI

JSON = "application/json"
MESSAGES = b'{"model":"claude","messages":[{"role":"user","content":"hi"}]}'
CONTENTS = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
PLACED = Addressed("gemini-x", stream=False)


def test_a_count_in_one_language_crosses_as_it_was_written() -> None:
    asked = ANTHROPIC.read_request(MESSAGES)
    body, changed = ANTHROPIC.write_request(asked, Raw(b'"claude-x"'), Dialect(), ask_usage=False)
    assert (json.loads(body), changed) == (json.loads(MESSAGES) | {"model": "claude-x"}, [])
    assert ANTHROPIC.read_whole(asked, JSON, b'{"input_tokens":14}').body is None
    asked = GEMINI.read_request(CONTENTS, PLACED)
    assert GEMINI.write_request(asked, Raw(b'"x"'), Dialect(), ask_usage=False) == (CONTENTS, [])


def test_a_count_crosses_between_languages() -> None:
    wire = counting("anthropic_messages", "gemini")
    asked = wire.read_request(MESSAGES)
    body, _ = wire.write_request(asked, Raw(b'"gemini-x"'), Dialect(), ask_usage=False)
    assert json.loads(body)["contents"][0]["parts"] == [{"text": "hi"}]
    assert wire.read_whole(asked, JSON, b'{"totalTokens":14}').body == b'{"input_tokens":14}'
    wire = counting("gemini", "anthropic_messages")
    asked = wire.read_request(CONTENTS, PLACED)
    body, _ = wire.write_request(asked, Raw(b'"claude-x"'), Dialect(), ask_usage=False)
    assert json.loads(body)["model"] == "claude-x"
    assert wire.read_whole(asked, JSON, b'{"input_tokens":14}').body == b'{"totalTokens":14}'


@pytest.mark.parametrize("operation", COUNTS)
def test_every_language_that_counts_says_its_errors(operation: str) -> None:
    wire = counting(COUNTS[operation], COUNTS[operation])
    error = wire.read_error(400, {}, b'{"error":{"message":"Bad"}}')
    assert isinstance(error, UpstreamRefused)
    assert wire.write_error(error, "req_1") == load(COUNTS[operation]).write_error(error, "req_1")
    assert wire.error_headers(error) == ()


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"totalTokens":-1}', b'{"totalTokens":"many"}'])
def test_an_answer_without_a_count_is_broken(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        GEMINI.read_whole(GEMINI.read_request(CONTENTS, PLACED), JSON, body)


def test_a_count_is_never_a_stream() -> None:
    with pytest.raises(UpstreamBroken):
        ANTHROPIC.check_stream("text/event-stream")
    assert not ANTHROPIC.meter(ANTHROPIC.read_request(MESSAGES), 100).done


def test_what_the_gateway_acts_on_is_checked() -> None:
    with pytest.raises(BadRequest):
        ANTHROPIC.read_request(b'{"model":"claude","messages":[]}')


@pytest.mark.parametrize("spelling", ["generateContentRequest", "generate_content_request"])
def test_a_whole_request_that_is_counted_names_the_places_model(spelling: str) -> None:
    inner = {"model": "models/ours", "contents": [{"parts": [{"text": "hi"}]}]}
    asked = GEMINI.read_request(json.dumps({spelling: inner}).encode(), PLACED)
    body, _ = GEMINI.write_request(asked, Raw(b'"theirs"'), Dialect(), ask_usage=False)
    assert json.loads(body)[spelling] == inner | {"model": "models/theirs"}
