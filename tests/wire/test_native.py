"""A language carried by its codec alone, told with Gemini's and Converse's."""

import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamBroken, UpstreamBusy, UpstreamRefused
from gateway.features import Usage
from gateway.wire import Addressed, load
from gateway.wire.dialect import Dialect
from gateway.wire.signing import pack

GEMINI = load("gemini")
COHERE = load("cohere_chat")
BODY = (
    b'{"contents":[{"parts":[{"text":"hi"}]}],"tomorrow":{"n":18446744073709551617},"generationConfig":{"topK":1.00}}'
)
TO_STREAM = Addressed("gemini-x", stream=True, query="alt=sse")
CHUNK = (
    b'data: {"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":2,"candidatesTokenCount":1,"totalTokenCount":3}}\n\n'
)


def test_a_body_crosses_as_it_was_written_its_model_in_the_path() -> None:
    request = GEMINI.read_request(BODY, TO_STREAM)
    assert (request.model, request.stream) == ("gemini-x", True)
    assert GEMINI.write_request(request, Raw(b'"other"'), Dialect(), ask_usage=True) == (BODY, [])


def test_a_model_in_the_body_is_replaced() -> None:
    request = COHERE.read_request(b'{"model":"ours","messages":[{"role":"user","content":"hi"}],"stream":true}')
    assert request.stream
    body, changed = COHERE.write_request(request, Raw(b'"theirs"'), Dialect(drop=("seed",)), ask_usage=True)
    assert json.loads(body)["model"] == "theirs"
    assert changed == []


def test_what_the_gateway_acts_on_is_checked() -> None:
    with pytest.raises(BadRequest, match="stored at a provider"):
        GEMINI.read_request(b'{"contents":[],"cachedContent":"cachedContents/1"}', TO_STREAM)


def test_a_stream_crosses_byte_for_byte_and_is_known() -> None:
    meter = GEMINI.meter(GEMINI.read_request(BODY, TO_STREAM), 4096)
    assert meter.media_type == b""
    assert meter.feed(CHUNK[:40]) == b""
    assert meter.feed(CHUNK[40:]) == CHUNK
    assert meter.finish_up() == b""
    assert (meter.done, meter.finish, meter.usage) == (True, "stop", Usage(2, 1))


def test_a_caller_who_asked_for_an_array_gets_one() -> None:
    asked = Addressed("gemini-x", stream=True)
    meter = GEMINI.meter(GEMINI.read_request(BODY, asked), 4096)
    out = meter.feed(CHUNK) + meter.finish_up()
    assert meter.media_type == b"application/json; charset=UTF-8"
    chunks = json.loads(out)
    assert chunks[0]["candidates"][0]["content"]["parts"][0]["text"] == "Hello"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"nothing":1}'])
def test_a_whole_answer_that_is_none_is_broken(body: bytes) -> None:
    request = GEMINI.read_request(BODY, Addressed("gemini-x", stream=False))
    with pytest.raises(UpstreamBroken):
        GEMINI.read_whole(request, "application/json", body)


def test_a_whole_answer_is_known_and_stays_as_it_was() -> None:
    request = GEMINI.read_request(BODY, Addressed("gemini-x", stream=False))
    whole = GEMINI.read_whole(request, "application/json; charset=UTF-8", CHUNK[6:].strip())
    assert (whole.usage, whole.finish, whole.body) == (Usage(2, 1), "stop", None)


def test_a_stream_in_another_form_is_broken() -> None:
    GEMINI.check_stream("text/event-stream; charset=utf-8")
    with pytest.raises(UpstreamBroken):
        GEMINI.check_stream("application/json")


def test_errors_are_read_and_said_in_the_language() -> None:
    said = GEMINI.read_error(400, {}, b'{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT"}}')
    assert isinstance(said, UpstreamRefused)
    assert json.loads(GEMINI.write_error(said, "req_1"))["error"]["status"] == "INVALID_ARGUMENT"
    assert GEMINI.error_headers(said) == ()
    assert load("bedrock_converse").error_headers(UpstreamBusy("Busy.")) == (
        ("x-amzn-ErrorType", "ThrottlingException"),
    )


def test_a_thought_that_another_language_signed_is_not_shown_to_its_own_backends() -> None:
    wire = load("openai_responses")
    sealed = pack("c2ln", "anthropic_messages", "openai_responses")
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
    said = [thought, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Well?"}]
    request = wire.read_request(json.dumps({"model": "m", "input": said}).encode())
    body, lost = wire.write_request(request, Raw(b'"gpt"'), Dialect(), ask_usage=False)
    assert (b"gw1." in body, b"Hello" in body, json.loads(body)["model"]) == (False, True, "gpt")
    assert lost == ["thinking.blocks"]
