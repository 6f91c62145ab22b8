"""Two languages joined, told with Anthropic's callers before OpenAI's backends."""

import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UnsupportedFeature, UpstreamBroken, UpstreamRefused
from gateway.features import Request, Usage
from gateway.wire import Addressed, load
from gateway.wire.addresses import check_addresses
from gateway.wire.bridge import CONVERSATIONS, LANGUAGES, between
from gateway.wire.dialect import Dialect

MODEL = Raw(b'"gpt-x"')
WIRE = between("anthropic_messages", "openai_chat")
ANSWER = {
    "id": "chatcmpl-1",
    "model": "gpt-x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}},
}


def asked(**fields: object) -> Request:
    body = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return WIRE.read_request(json.dumps(body).encode())


def test_a_request_is_written_in_the_backends_language_and_its_losses_are_named() -> None:
    body, lost = WIRE.write_request(asked(top_k=3, system="Be brief."), MODEL, Dialect(), ask_usage=True)
    assert json.loads(body) == {
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": False,
        "max_completion_tokens": 64,
    }
    assert lost == ["top_k"]


def test_the_hosts_dialect_is_applied_to_what_was_written() -> None:
    dialect = Dialect(rename={"max_completion_tokens": "max_tokens"}, drop=("temperature",))
    body, lost = WIRE.write_request(asked(temperature=0.5), MODEL, dialect, ask_usage=True)
    assert json.loads(body)["max_tokens"] == 64
    assert lost == ["temperature", "max_completion_tokens"]


@pytest.mark.parametrize(("ask_usage", "options"), [(True, {"include_usage": True}), (False, None)])
def test_a_streams_usage_is_asked_for_where_it_must_be(ask_usage: bool, options: object) -> None:
    body, lost = WIRE.write_request(asked(stream=True), MODEL, Dialect(drop=("stream_options",)), ask_usage=False)
    assert (json.loads(body).get("stream_options"), lost) == (None, [])
    body, _ = WIRE.write_request(asked(stream=True), MODEL, Dialect(), ask_usage=ask_usage)
    assert json.loads(body).get("stream_options") == options


def test_the_inner_form_is_made_once_for_all_attempts() -> None:
    request = asked()
    WIRE.write_request(request, MODEL, Dialect(), ask_usage=False)
    inner = request.inner
    between("anthropic_messages", "gemini").write_request(request, MODEL, Dialect(), ask_usage=False)
    assert request.inner is inner is not None


def test_a_form_that_somebody_else_made_before_knows_how_a_stream_is_wanted() -> None:
    wire = between("gemini", "openai_chat")
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "Grüße"}]}]})
    address = Addressed("m", stream=True, query="alt=sse")
    request = wire.read_request(body.encode(), address)
    check_addresses("gemini", request)  # what JSON escapes is looked at closely
    assert request.inner is not None
    assert wire.meter(request, 1000).media_type == b"text/event-stream"


def test_a_whole_answer_is_written_in_the_callers_language() -> None:
    whole = WIRE.read_whole(asked(), "application/json", json.dumps(ANSWER).encode())
    assert (whole.usage, whole.finish, whole.lost) == (Usage(5, 4, 2), "length", ())
    told = json.loads(whole.body or b"")
    assert told["content"] == [{"type": "text", "text": "Hello"}]
    assert told["stop_reason"] == "max_tokens"
    assert told["usage"]["input_tokens"] == 3


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"error":{"message":"Broken"}}'])
def test_an_answer_that_is_none_is_broken(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        WIRE.read_whole(asked(), "application/json", body)


def test_a_stream_is_of_the_backends_form_and_the_callers_media_type() -> None:
    WIRE.check_stream("text/event-stream; charset=utf-8")
    with pytest.raises(UpstreamBroken):
        WIRE.check_stream("application/json")
    assert between("bedrock_converse", "openai_chat").meter(asked_converse(), 4096).media_type.endswith(b"eventstream")


def asked_converse() -> Request:
    return Request({"messages": Raw(b'[{"role":"user","content":[{"text":"Hi"}]}]')}, "m", stream=True)


def test_errors_are_read_in_one_language_and_said_in_the_other() -> None:
    error = WIRE.read_error(400, {}, b'{"error":{"message":"Too long.","type":"invalid_request_error"}}')
    assert isinstance(error, UpstreamRefused)
    assert json.loads(WIRE.write_error(error, "req_1"))["type"] == "error"
    assert WIRE.error_headers(error) == ()


def test_what_would_change_the_question_is_refused() -> None:
    wire = between("openai_chat", "anthropic_messages")
    request = wire.read_request(b'{"model":"m","n":2,"messages":[{"role":"user","content":"Hi"}]}')
    with pytest.raises(UnsupportedFeature):
        wire.write_request(request, MODEL, Dialect(), ask_usage=False)


def test_what_can_not_be_understood_is_refused_with_its_place() -> None:
    with pytest.raises(BadRequest) as refused:
        WIRE.write_request(
            asked(messages=[{"role": "user", "content": [{"type": "text"}]}]), MODEL, Dialect(), ask_usage=False
        )
    assert "messages[0].content[0]" in (refused.value.param or "")


CALLERS = [name for name in CONVERSATIONS if name not in ("bedrock_invoke", "ollama", "tgi", "triton_generate")]


@pytest.mark.parametrize("inbound", CALLERS)
@pytest.mark.parametrize("outbound", CONVERSATIONS)
def test_there_is_a_bridge_between_any_two(inbound: str, outbound: str) -> None:
    wire = between(inbound, outbound)
    assert wire is between(inbound, outbound)
    assert wire.passes == ()
    assert load(inbound).write_error(BadRequest("No."), "r") == wire.write_error(BadRequest("No."), "r")
    assert LANGUAGES[CONVERSATIONS[outbound]] == outbound


CALLED = [
    {"role": "user", "content": "How is the weather?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "call_0", "name": "f", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "Fine."}]},
]
CALLS = [{"function": {"name": "f", "arguments": {}}}]
CALLING = {"message": {"role": "assistant", "content": "Hm.", "tool_calls": CALLS}, "done": True}


def test_a_call_without_a_name_of_its_own_gets_none_that_an_earlier_one_has() -> None:
    wire = between("anthropic_messages", "ollama")
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": CALLED}).encode()
    whole = wire.read_whole(wire.read_request(body), "application/json", json.dumps(CALLING).encode())
    assert json.loads(whole.body or b"")["content"][1]["id"] == "call_0_1"
    meter = wire.meter(wire.read_request(body), 1000)
    assert b'"id":"call_0_1"' in meter.feed(json.dumps(CALLING).encode() + b"\n")
