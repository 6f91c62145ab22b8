"""Callers of one language in front of places that speak another: nothing lost in silence, and nothing else noticed."""

import json
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from gateway.features import Usage
from gateway.settings.shape import Backend, Provider, Secret
from gateway.wire.eventstream import Messages
from tests.bench.bodies import chat_answer, stream_events
from tests.doubles.caller import Caller, request
from tests.doubles.inside import KEY, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.scenarios.test_anthropic_callers import ANSWER, JSON, place
from tests.upstream.scripted import FIN, LAST_CHUNK, STREAM_HEAD, Upstream, chunk, sized
from tests.wire.test_anthropic_meter import WHOLE

OPENAI = Provider(name="o", speaks="openai_chat", paths={"chat": "/v1/chat/completions"})
EVENTS = b"".join(stream_events())
DONE = b"data: [DONE]\n\n"
MESSAGE = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def other(name: str, upstream: Upstream, provider: Provider = OPENAI) -> Backend:
    return Backend(
        name=name, provider=provider, base_urls=(f"http://127.0.0.1:{upstream.port}",), api_key=Secret("sk-theirs")
    )


async def heard(inside: Inside, path: str, fields: object, headers: Mapping[str, str] | None = None) -> Heard:
    async with Caller(inside.port) as caller:
        caller.send(request(fields, path=path, headers=headers))
        return await caller.answer()


def event_texts(answer: Heard) -> str:
    """What an Anthropic client would put together."""
    events = [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


SPOKEN = "".join(
    choice["delta"].get("content", "") for event in stream_events() for choice in json.loads(event[6:])["choices"]
)


async def test_a_whole_answer_comes_in_the_callers_language() -> None:
    async with Upstream(sized(chat_answer(), more=JSON)) as upstream:
        async with Inside(settings_for({"m": [other("o", upstream)]})) as inside:
            answer = await heard(inside, "/v1/messages", MESSAGE | {"top_k": 5}, {"anthropic-beta": "one,two"})
        head, _, sent = upstream.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions ")
    assert b"anthropic" not in head.lower()
    assert json.loads(sent)["messages"] == MESSAGE["messages"]
    assert answer.status == 200
    assert answer.headers["x-gateway-dropped"] == "top_k, anthropic-beta.one, anthropic-beta.two"
    assert answer.json["type"] == "message"
    assert answer.json["stop_reason"] == "end_turn"
    assert inside.settled[0].usage == Usage(57, 42)


async def test_a_stream_comes_in_the_callers_language() -> None:
    async with Upstream(STREAM_HEAD + chunk(EVENTS[:777]) + chunk(EVENTS[777:] + DONE) + LAST_CHUNK) as upstream:
        async with Inside(settings_for({"m": [other("o", upstream)]})) as inside:
            answer = await heard(inside, "/v1/messages", MESSAGE | {"stream": True})
        assert json.loads(upstream.requests[0].partition(b"\r\n\r\n")[2])["stream_options"] == {"include_usage": True}
    assert answer.headers["content-type"] == "text/event-stream"
    assert event_texts(answer) == SPOKEN
    assert answer.body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    [exchange] = inside.settled
    assert (exchange.usage, exchange.finish, exchange.complete) == (Usage(57, 62), "stop", True)


async def test_a_stream_that_breaks_after_its_content_ends_in_the_callers_error() -> None:
    async with (
        Upstream([STREAM_HEAD + chunk(EVENTS[:777]), FIN]) as upstream,
        Inside(settings_for({"m": [other("o", upstream)]})) as inside,
    ):
        answer = await heard(inside, "/v1/messages", MESSAGE | {"stream": True})
    assert json.loads(answer.body.partition(b"event: error\ndata: ")[2])["error"]["type"] == "api_error"
    assert b"message_stop" not in answer.body


@pytest.mark.parametrize("stream", [True, False])
async def test_the_next_place_may_speak_another_language_and_the_caller_does_not_notice(stream: bool) -> None:
    plain = STREAM_HEAD + chunk(WHOLE) + LAST_CHUNK if stream else sized(ANSWER, more=JSON)
    async with (
        Upstream(sized(b"{}", status=b"529 Overloaded", more=JSON)) as first,
        Upstream(plain) as second,
        Inside(settings_for({"m": [other("o", first), place("claude", second)]})) as inside,
    ):
        answer = await heard(inside, "/v1/chat/completions", CHAT | {"stream": stream})
        assert [len(first.requests), len(second.requests)] == [1, 1]
    assert answer.status == 200
    if stream:
        assert answer.events[-1] == b"[DONE]"
    else:
        assert answer.json["object"] == "chat.completion"
    assert b"Hello" in answer.body


async def test_what_one_place_can_not_say_goes_to_one_that_can() -> None:
    async with (
        Upstream(sized(ANSWER, more=JSON)) as claude,
        Upstream(sized(chat_answer(), more=JSON)) as chat,
        Inside(settings_for({"m": [place("claude", claude), other("o", chat)]})) as inside,
    ):
        answer = await heard(inside, "/v1/chat/completions", CHAT | {"n": 2})
        assert (answer.status, len(claude.requests), len(chat.requests)) == (200, 0, 1)
        refused = await heard(inside, "/v1/chat/completions", CHAT | {"n": "two"})
        assert refused.status == 400


async def test_what_no_place_can_say_is_refused_and_nothing_is_sent() -> None:
    async with (
        Upstream() as claude,
        Inside(settings_for({"m": [place("claude", claude)]})) as inside,
    ):
        answer = await heard(inside, "/v1/chat/completions", CHAT | {"n": 2})
        assert claude.requests == []
    assert answer.status == 400
    assert answer.json["error"]["code"] == "unsupported_feature"  # type: ignore[index]  # a JSON object
    assert inside.settled[0].attempts == []


async def test_a_gemini_caller_gets_events_or_an_array_as_he_asks() -> None:
    answers = STREAM_HEAD + chunk(EVENTS + DONE) + LAST_CHUNK
    async with (
        Upstream(answers, answers) as upstream,
        Inside(settings_for({"m": [other("o", upstream)]})) as inside,
    ):
        events = await heard(inside, "/v1beta/models/m:streamGenerateContent?alt=sse", CONTENTS)
        array = await heard(inside, "/v1beta/models/m:streamGenerateContent", CONTENTS)
    assert events.headers["content-type"] == "text/event-stream"
    assert array.headers["content-type"].startswith("application/json")
    chunks = json.loads(array.body)
    said = "".join(part["text"] for one in chunks for part in one["candidates"][0]["content"]["parts"])
    assert said == SPOKEN
    assert [json.loads(event) for event in events.body.decode().replace("data: ", "").split("\r\n\r\n")[:-1]] == chunks


async def test_a_bedrock_caller_gets_binary_frames() -> None:
    async with (
        Upstream(STREAM_HEAD + chunk(EVENTS + DONE) + LAST_CHUNK) as upstream,
        Inside(settings_for({"eu.m:0": [other("o", upstream)]})) as inside,
    ):
        answer = await heard(inside, "/model/eu.m%3A0/converse-stream", CONVERSE)
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    frames = Messages(1 << 20).feed(answer.body)
    assert [name for name, _, _ in (frames[0], *frames[-2:])] == ["messageStart", "messageStop", "metadata"]
    texts = [json.loads(payload)["delta"]["text"] for name, payload, _ in frames if name == "contentBlockDelta"]
    assert "".join(texts) == SPOKEN


async def test_a_deployments_path_names_the_model() -> None:
    async with (
        Upstream(sized(chat_answer(), more=JSON)) as upstream,
        Inside(settings_for({"gpt-4o": [other("o", upstream)]})) as inside,
    ):
        answer = await heard(
            inside, "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", CHAT, {"api-key": KEY}
        )
        assert json.loads(upstream.requests[0].partition(b"\r\n\r\n")[2])["model"] == "mock-model"
    assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "fields", "shape"),
    [
        ("/v1beta/models/nobody:generateContent", CONTENTS, {"error": "status"}),
        ("/v1/models/nobody:generateContent", CONTENTS, {"error": "status"}),
        ("/model/nobody/converse", CONVERSE, {"message": ""}),
        ("/v2/chat", CHAT | {"model": "nobody"}, {"message": ""}),
        ("/v1/responses", {"model": "nobody", "input": "Hi"}, {"error": "code"}),
    ],
)
async def test_each_language_has_its_errors(path: str, fields: object, shape: dict[str, str]) -> None:
    async with Upstream() as upstream, Inside(settings_for({"m": [other("o", upstream)]})) as inside:
        answer = await heard(inside, path, fields)
        assert upstream.requests == []
    assert answer.status == 404
    for name, inner in shape.items():
        assert name in answer.json
        if inner:
            assert inner in answer.json[name]  # type: ignore[operator]  # a JSON object


async def test_a_count_crosses_where_the_place_counts_and_is_refused_elsewhere() -> None:
    counts = Provider(name="g", speaks="gemini", paths={"gemini_count": "/models/{model}:countTokens"})
    async with (
        Upstream(sized(b'{"totalTokens":14}', more=JSON)) as gemini,
        Upstream() as chat,
        Inside(
            settings_for({"m": [other("o", chat), other("g", gemini, counts)], "only": [other("o", chat)]})
        ) as inside,
    ):
        answer = await heard(inside, "/v1/messages/count_tokens", MESSAGE)
        assert (answer.status, answer.body) == (200, b'{"input_tokens":14}')
        assert gemini.requests[0].startswith(b"POST /models/mock-model:countTokens ")
        answer = await heard(inside, "/v1/messages/count_tokens", MESSAGE | {"model": "only"})
        assert answer.status == 400
        assert chat.requests == []


async def test_an_address_never_goes_to_a_server_of_our_own() -> None:
    picture = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}
    asked = {"model": "m", "messages": [{"role": "user", "content": [picture]}]}
    async with Upstream() as own, Upstream(sized(chat_answer(), more=JSON)) as provider:
        near = replace(other("near", own), tier="self_hosted")
        async with Inside(settings_for({"m": [near, other("far", provider)], "near": [near]})) as inside:
            assert (await heard(inside, "/v1/chat/completions", asked)).status == 200
            answer = await heard(inside, "/v1/chat/completions", asked | {"model": "near"})
        assert own.requests == []
        assert len(provider.requests) == 1
    assert answer.status == 400
    assert answer.json["error"]["code"] == "unsupported_feature"  # type: ignore[index]  # a JSON object
