"""Callers who speak Anthropic's language, in front of places that speak it too."""

import json
from collections.abc import Mapping

import pytest

from gateway.features import Usage
from gateway.settings.shape import Auth, Backend, Provider, Secret
from gateway.wire.anthropic_meter import STOP
from tests.doubles.caller import Caller, request
from tests.doubles.inside import KEY, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.upstream.scripted import FIN, LAST_CHUNK, STREAM_HEAD, Upstream, chunk, sized
from tests.wire.test_anthropic_meter import DELTA, ERROR, HELLO, OPEN, START, YOU

PATHS = {"messages": "/v1/messages", "count_tokens": "/v1/messages/count_tokens"}
PROVIDER = Provider(
    name="claude", speaks="anthropic_messages", paths=PATHS, auth=Auth(scheme="header", header="x-api-key")
)
JSON = b"content-type: application/json\r\n"
VERSION = {"anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07", "x-api-key": KEY}
ASKED = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = b'{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn",'
ANSWER += b'"usage":{"input_tokens":3,"cache_read_input_tokens":2,"output_tokens":4},"new":1.00}'


def place(name: str, upstream: Upstream) -> Backend:
    return Backend(
        name=name, provider=PROVIDER, base_urls=(f"http://127.0.0.1:{upstream.port}",), api_key=Secret("sk-ant-ours")
    )


async def heard(
    inside: Inside, path: str = "/v1/messages", headers: Mapping[str, str] | None = None, **fields: object
) -> Heard:
    named = {**VERSION, **(headers or {})}
    async with Caller(inside.port) as caller:
        caller.send(request({**ASKED, **fields}, path=path, headers=named, key=""))
        return await caller.answer()


def kind_of(answer: Heard) -> object:
    """The type of the error that an answer tells."""
    error = answer.json["error"]
    assert isinstance(error, dict)
    return error["type"]


async def test_a_whole_answer_crosses_as_it_was_written() -> None:
    async with Upstream(sized(ANSWER, more=JSON)) as upstream:
        async with Inside(settings_for({"claude": [place("first", upstream)]})) as inside:
            answer = await heard(inside)
        assert (answer.status, answer.body) == (200, ANSWER)
        sent = upstream.requests[0].lower()
    assert sent.startswith(b"post /v1/messages http/1.1\r\n")
    assert b"\r\nx-api-key: sk-ant-ours\r\n" in sent
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in sent
    assert b"\r\nanthropic-beta: context-1m-2025-08-07\r\n" in sent
    assert KEY.encode() not in sent
    assert json.loads(sent.partition(b"\r\n\r\n")[2])["model"] == "mock-model"
    [exchange] = inside.settled
    assert (exchange.usage, exchange.finish) == (Usage(5, 4, 2), "end_turn")


@pytest.mark.parametrize(
    "broken",
    [
        [sized(b'{"type":"error","error":{"type":"overloaded_error"}}', status=b"529 Overloaded", more=JSON)],
        [STREAM_HEAD + chunk(START + OPEN), FIN],
        [STREAM_HEAD + chunk(START + ERROR)],
        [sized(ANSWER, more=JSON)],
    ],
    ids=["529", "cut", "an error first", "no stream"],
)
async def test_a_stream_that_breaks_before_its_content_is_unseen(broken: list[bytes]) -> None:
    whole = START + OPEN + HELLO + YOU + DELTA + STOP
    async with (
        Upstream(broken) as first,
        Upstream(STREAM_HEAD + chunk(whole) + LAST_CHUNK) as second,
        Inside(settings_for({"claude": [place("first", first), place("second", second)]})) as inside,
    ):
        answer = await heard(inside, stream=True)
        assert (answer.status, answer.body) == (200, whole)
        assert [len(first.requests), len(second.requests)] == [1, 1]
        assert inside.settled[0].usage == Usage(10, 7)


async def test_a_stream_that_breaks_after_it_ends_in_an_event_named_error() -> None:
    async with (
        Upstream([STREAM_HEAD + chunk(START + OPEN + HELLO), FIN]) as first,
        Inside(settings_for({"claude": [place("first", first)]})) as inside,
    ):
        answer = await heard(inside, stream=True)
    start, _, frame = answer.body.partition(b"event: error\ndata: ")
    assert start == START + OPEN + HELLO
    assert json.loads(frame)["error"]["type"] == "api_error"
    assert STOP not in answer.body


async def test_tokens_are_counted_where_the_place_counts_them() -> None:
    async with (
        Upstream(sized(b'{"input_tokens":14}', more=JSON)) as first,
        Inside(settings_for({"claude": [place("first", first)]})) as inside,
    ):
        answer = await heard(inside, "/v1/messages/count_tokens")
        assert (answer.status, answer.body) == (200, b'{"input_tokens":14}')
        assert first.requests[0].startswith(b"POST /v1/messages/count_tokens ")


async def test_the_places_refusal_comes_in_anthropics_shape() -> None:
    told = b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}'
    async with (
        Upstream(sized(told, status=b"400 Bad Request", more=JSON)) as first,
        Inside(settings_for({"claude": [place("first", first)]})) as inside,
    ):
        answer = await heard(inside)
    assert answer.status == 400
    assert answer.json["type"] == "error"
    assert answer.json["error"] == {"type": "invalid_request_error", "message": "max_tokens: too large"}


@pytest.mark.parametrize(
    ("path", "headers", "fields", "status", "kind"),
    [
        ("/v1/messages", {"x-api-key": "sk-gw-wrong"}, {}, 401, "authentication_error"),
        ("/v1/messages", {"x-api-key": ""}, {}, 401, "authentication_error"),
        ("/v1/messages", {}, {"model": "nobody"}, 404, "not_found_error"),
        ("/v1/messages", {}, {"model": 7}, 400, "invalid_request_error"),
        ("/v1/messages", {"content-type": "text/plain"}, {}, 415, "invalid_request_error"),
        ("/v1/messages/batches", {}, {}, 404, "not_found_error"),
    ],
)
async def test_what_is_refused_here_is_refused_in_anthropics_shape(
    path: str, headers: dict[str, str], fields: dict[str, object], status: int, kind: str
) -> None:
    async with (
        Upstream() as first,
        Inside(settings_for({"claude": [place("first", first)]})) as inside,
    ):
        answer = await heard(inside, path, headers, **fields)
        assert first.requests == []
    assert answer.status == status
    assert answer.json["type"] == "error"
    assert kind_of(answer) == kind
    assert answer.json["request_id"] == answer.headers["x-request-id"]
