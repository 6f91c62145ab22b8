import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken, UpstreamOverloaded, UpstreamRefused
from gateway.features import Request, Usage, Whole
from gateway.wire import load
from gateway.wire.anthropic_meter import AnthropicMeter
from gateway.wire.dialect import Dialect
from gateway.wire.signing import pack

ASKED = Request({}, "m")

WIRE = load("anthropic_messages")
JSON = "application/json"
BODY = b'{"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}], "x": 1.00}'


def test_a_request_is_read_as_far_as_it_must_be() -> None:
    request = WIRE.read_request(BODY)
    assert (request.model, request.stream, request.wants_usage) == ("claude", False, False)
    assert WIRE.read_request(BODY[:-1] + b', "stream": true}').stream


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"model": 7}', b"{}", b'{"model":"m","stream":1}'])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        WIRE.read_request(body)


def test_only_the_model_and_what_is_declared_are_changed() -> None:
    request = WIRE.read_request(BODY)
    written, changed = WIRE.write_request(request, Raw(b'"claude-2"'), Dialect(drop=("x",)), ask_usage=True)
    left = {name: value for name, value in json.loads(BODY).items() if name != "x"}
    assert json.loads(written) == {**left, "model": "claude-2"}
    assert changed == ["x"]
    plain, unchanged = WIRE.write_request(request, Raw(b'"claude"'), Dialect(), ask_usage=True)
    assert (json.loads(plain), unchanged) == (json.loads(BODY), [])
    assert b"1.00" in plain


def test_a_whole_answer_says_its_reason_and_its_usage() -> None:
    body = b'{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4}}'
    assert WIRE.read_whole(ASKED, JSON, body) == Whole(Usage(3, 4), "end_turn")
    assert WIRE.read_whole(ASKED, JSON, b'{"type":"message","content":[]}') == Whole(None, "")


def test_a_count_is_an_answer_without_usage() -> None:
    assert WIRE.read_whole(ASKED, JSON, b'{"input_tokens":14}') == Whole(None, "")


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"{", b'{"error":{"message":"no"}}', b'{"type":"error","error":{"type":"api_error"}}']
)
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        WIRE.read_whole(ASKED, JSON, body)


def test_an_error_in_a_200_says_what_it_is() -> None:
    with pytest.raises(UpstreamOverloaded):
        WIRE.read_whole(ASKED, JSON, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')


def test_a_stream_in_another_form_is_a_failure() -> None:
    WIRE.check_stream("text/event-stream; charset=utf-8")
    with pytest.raises(UpstreamBroken):
        WIRE.check_stream(JSON)


def test_a_refusal_keeps_its_status_and_its_words() -> None:
    told = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}'
    error = WIRE.read_error(400, {}, told)
    assert isinstance(error, UpstreamRefused)
    assert error.message == "max_tokens: too large"


def test_its_streams_have_a_meter_of_their_own() -> None:
    assert isinstance(WIRE.meter(WIRE.read_request(BODY), 1024), AnthropicMeter)


def test_a_thought_that_another_language_signed_is_not_shown_to_its_own_backends() -> None:
    thought = {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": pack("c2ln", "openai_responses", "anthropic_messages"),
    }
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "Hello"}]},
        {"role": "user", "content": "Well?"},
    ]
    request = WIRE.read_request(json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode())
    body, lost = WIRE.write_request(request, Raw(b'"claude"'), Dialect(), ask_usage=False)
    assert b"gw1." not in body
    assert b"Hello" in body
    assert json.loads(body)["model"] == "claude"
    assert lost == ["thinking.blocks"]
