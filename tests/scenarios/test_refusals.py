"""A request that can't be served as it stands: said once, in the caller's words where they are the backend's own."""

from typing import NamedTuple

import openai
import orjson
import pytest
from msgspec.structs import replace

from gateway.settings.shape import Caller
from tests.doubles.inside import CALLER, KEY
from tests.doubles.mock_caller import Heard, request
from tests.scenarios.cast import RawProvider, asked, plays, scene

NARROW = replace(CALLER, models=("llama-*", "gpt-4"))


class Said(NamedTuple):
    """An error as OpenAI's clients read it."""

    status: int
    kind: str
    code: str
    param: str | None = None


def error_in(heard: Heard) -> Said:
    error = heard.json["error"]
    assert isinstance(error, dict)
    assert isinstance(error["message"], str)
    assert error["message"]
    return Said(heard.status, error["type"], error["code"], error["param"])


def refusal(status: int, error: object) -> bytes:
    body = orjson.dumps({"error": error})
    return b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


# --- the backend's refusal of the caller's own request ----------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_what_would_fail_anywhere_is_asked_once(status: int, stream: bool) -> None:
    error = {"message": "No such tool.", "type": "whatever", "param": "tools[0]", "code": "no_such_tool"}
    async with RawProvider(plays(refusal(status, error))) as strict, scene(strict, "") as on:
        heard = await on.caller_hears(stream=stream)
        assert on.tries() == [("first", "no_such_tool")]
        assert on.first.ledger.request_count == 0
        assert on.failures() == 0
        assert strict.connections == 1
    assert error_in(heard) == Said(status, "invalid_request_error", "no_such_tool", "tools[0]")
    assert heard.json["error"]["message"] == "No such tool."  # type: ignore[index]  # checked by error_in


async def test_the_backends_words_cross_without_its_secrets() -> None:
    words = (
        "Key sk-live-0123456789abcdef0123 is over its limit at http://10.1.0.7:8000/v1, ask admin@vllm.internal, "
        "host gpu-7.cluster.local or 10.1.0.7:8000."
    )
    error = {"message": words, "type": "bad", "param": "messages", "code": "bad_thing"}
    async with RawProvider(plays(refusal(400, error))) as talkative, scene(talkative) as on:
        heard = await on.caller_hears(stream=False)
    for secret in (b"sk-live", b"10.1.0.7", b"8000", b"vllm.internal", b"gpu-7", b"cluster.local"):
        assert secret not in heard.wire
    assert b"is over its limit" in heard.body
    assert error_in(heard) == Said(400, "invalid_request_error", "bad_thing", "messages")


async def test_long_words_are_cut() -> None:
    error = {"message": "ä" * 10_000, "type": "bad", "param": None, "code": None}
    async with RawProvider(plays(refusal(400, error))) as talkative, scene(talkative) as on:
        heard = await on.caller_hears(stream=False)
    message = heard.json["error"]["message"]  # type: ignore[index]  # as above
    assert 0 < len(message.encode()) <= 2048


@pytest.mark.parametrize(
    ("fault", "code"), [("context_length", "context_length_exceeded"), ("content_policy", "content_policy_violation")]
)
async def test_codes_that_clients_act_on_cross(fault: str, code: str) -> None:
    async with scene(fault, "") as on:
        heard = await on.caller_hears()
        assert on.tries() == [("first", code)]
    assert error_in(heard) == Said(400, "invalid_request_error", code)


async def test_a_refusal_that_is_no_json_is_told_in_our_words() -> None:
    page = b"HTTP/1.1 400 No\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<h1>vllm</h1>"
    async with RawProvider(plays(page)) as strict, scene(strict, "") as on:
        heard = await on.caller_hears()
    assert error_in(heard) == Said(400, "invalid_request_error", "invalid_request")
    assert b"vllm" not in heard.wire


async def test_the_official_client_raises_the_right_class() -> None:
    async with (
        scene("context_length") as on,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{on.gateway.url}/v1", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError) as bad:
            await client.chat.completions.create(model="story", messages=[{"role": "user", "content": "hi"}])
        assert bad.value.code == "context_length_exceeded"
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="nobodys", messages=[{"role": "user", "content": "hi"}])
        assert missing.value.code == "model_not_found"
        on.first.set_faults(["401"])
        with pytest.raises(openai.InternalServerError) as denied:
            await client.chat.completions.create(model="story", messages=[{"role": "user", "content": "hi"}])
        assert denied.value.response.headers["x-should-retry"] == "false"
        on.first.set_faults(["429=3"])
        with pytest.raises(openai.RateLimitError) as busy:
            await client.chat.completions.create(model="story", messages=[{"role": "user", "content": "hi"}])
        assert busy.value.response.headers["retry-after"] == "3"


# --- our own ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_model_nobody_serves_is_not_found(stream: bool) -> None:
    async with scene("") as on:
        heard = await on.caller_hears(model="nobodys", stream=stream)
        assert on.exchange.attempts == []
        assert on.exchange.target is None
        assert on.exchange.outcome == "model_not_found"
        assert on.first.ledger.connections == 0
    assert error_in(heard) == Said(404, "invalid_request_error", "model_not_found", "model")
    assert b"nobodys" not in heard.body


@pytest.mark.parametrize("model", ["story", "nobodys"])
async def test_a_key_may_call_its_models_and_is_not_told_which_others_there_are(model: str) -> None:
    async with scene("", callers=(NARROW,)) as on:
        heard = await on.caller_hears(model=model)
        assert on.exchange.attempts == []
        assert on.first.ledger.connections == 0
    assert error_in(heard) == Said(403, "permission_error", "model_not_allowed", "model")


async def test_a_key_may_call_what_its_globs_match() -> None:
    async with scene("", callers=(replace(CALLER, models=("sto*",)),)) as on:
        heard = await on.caller_hears()
    assert heard.status == 200


async def test_an_operation_the_backend_has_not_is_refused_before_it_is_called() -> None:
    async with scene("") as on:
        heard = await on.caller_hears(path="/v1/rerank", query="hi", documents=["a"], stream=None)
        assert on.first.ledger.connections == 0
    assert error_in(heard) == Said(400, "invalid_request_error", "unsupported_operation", "model")


@pytest.mark.parametrize("key", ["", "sk-gw-wrong", f"{KEY}x", "x" * 4096])
async def test_an_unknown_key_reaches_nobody(key: str) -> None:
    async with scene("") as on:
        heard = await on.caller_hears(key=key)
        assert on.first.ledger.connections == 0
        assert (on.exchange.status, on.exchange.outcome) == (401, "invalid_api_key")
    assert error_in(heard) == Said(401, "invalid_request_error", "invalid_api_key")
    assert heard.headers["www-authenticate"] == "Bearer"


async def test_an_expired_key_is_as_unknown_as_any() -> None:
    expired: Caller = replace(CALLER, expires_at=1_600_000_000.0)
    async with scene("", callers=(expired,)) as on:
        heard = await on.caller_hears()
    assert error_in(heard) == Said(401, "invalid_request_error", "invalid_api_key")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"model": None}, "invalid_type", "model"),
        ({"model": 7}, "invalid_type", "model"),
        ({"stream": False, "stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
        ({"api_base": "http://192.0.2.1"}, "unsupported_field", "api_base"),
    ],
)
async def test_a_body_that_makes_no_sense_reaches_nobody(body: dict[str, object], code: str, param: str) -> None:
    async with scene("") as on:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        async with on.line() as line:
            line.send(request({"model": "story", "messages": [], **body}, headers=headers))
            heard = await line.answer()
        assert on.first.ledger.connections == 0
        assert len(on.gateway.settled) == 1
    assert error_in(heard) == Said(400, "invalid_request_error", code, param)


async def test_a_refused_request_leaves_the_connection_for_the_next_one() -> None:
    async with scene("") as on, on.line() as line:
        line.send(asked(model="nobodys"))
        assert (await line.answer()).status == 404
        line.send(asked(stream=False))
        assert (await line.answer()).status == 200
