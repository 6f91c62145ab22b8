"""Keys as clients send them: which is ours, what becomes of the others, and how each is refused in its language."""

import json
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from gateway.settings.keys import digest_of
from gateway.settings.shape import Auth, Backend, Caller, May, Provider, Secret, Settings, Target
from tests.bench.bodies import chat_answer
from tests.doubles.caller import Caller as Asking
from tests.doubles.caller import request
from tests.doubles.inside import CALLER, KEY, Inside
from tests.doubles.mock_caller import Heard
from tests.scenarios.test_anthropic_callers import ANSWER, JSON
from tests.upstream.scripted import LAST_CHUNK, STREAM_HEAD, Upstream, chunk, sized
from tests.wire.test_anthropic_meter import WHOLE

BRINGER_KEY = "sk-gw-bringer-0123456789abcdef"
BRINGER = Caller(
    name="bringer", team="tests", digest=digest_of(BRINGER_KEY, ""), may=May(byok=("claude", "first", "second"))
)
ONE_KEY = "sk-gw-bringer-of-one-0123456789abcdef"
OF_ONE = Caller(name="one", team="tests", digest=digest_of(ONE_KEY, ""), may=May(byok=("claude",)))

CLAUDE = Provider(
    name="claude",
    speaks="anthropic_messages",
    paths={"messages": "/v1/messages"},
    auth=Auth("header", header="x-api-key"),
    price_id="anthropic",
)
FIRST = Provider(name="first", speaks="openai_chat", paths={"chat": "/chat"}, auth=Auth("bearer"))
SECOND = replace(FIRST, name="second")

HI = [{"role": "user", "content": "Hi"}]
PATHS: Mapping[str, object] = {
    "/v1/chat/completions": {"model": "claude", "messages": HI},
    "/v1/messages": {"model": "claude", "max_tokens": 9, "messages": HI},
    "/v1/messages?beta=true": {"model": "claude", "max_tokens": 9, "messages": HI},
    "/v1beta/models/claude:generateContent": {"contents": [{"parts": [{"text": "Hi"}]}]},
    "/model/claude/converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    "/openai/deployments/claude/chat/completions?api-version=2024-10-21": {"messages": HI},
}


def settings(claude: Upstream, first: Upstream | None = None, second: Upstream | None = None) -> Settings:
    backends = {
        row.name: Backend(name=row.name, provider=row, base_urls=(upstream.url,), api_key=Secret("sk-of-the-house"))
        for row, upstream in ((CLAUDE, claude), (FIRST, first), (SECOND, second))
        if upstream is not None
    }
    targets = tuple(Target(one, f"m-{one.name}", order=at) for at, one in enumerate(backends.values()))
    return Settings(
        models={"claude": targets[:1], "both": targets[1:], "all": targets},
        backends=backends,
        callers=(CALLER, BRINGER, OF_ONE),
        state="memory",
    )


async def heard(inside: Inside, path: str, headers: Mapping[str, str], **fields: object) -> Heard:
    body = PATHS.get(path, {})
    assert isinstance(body, dict)
    async with Asking(inside.port) as caller:
        caller.send(request({**body, **fields}, path=path, headers=headers, key=""))
        return await caller.answer()


def credentials(upstream: Upstream) -> dict[str, str]:
    """The header lines of the only request in which anything secret could stand."""
    (asked,) = upstream.requests
    lines = asked.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    told = {"host", "user-agent", "accept-encoding", "content-type", "content-length", "x-request-id", "x-gateway-hop"}
    return {name: value for name, value in found.items() if name not in told}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"x-gateway-key": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"x-goog-api-key": KEY},
        {"authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20261122/us-east-1/bedrock/aws4_request, Signature=0"},
        {"x-gateway-key": KEY, "authorization": "Bearer theirs", "x-api-key": "theirs", "x-goog-api-key": "theirs"},
        {"x-gateway-key": KEY, "authorization": "Basic dGhlaXJz"},
    ],
    ids=str,
)
async def test_every_place_for_a_key_works_in_every_language_and_goes_no_further(
    path: str, headers: dict[str, str]
) -> None:
    async with Upstream(sized(ANSWER, more=JSON)) as claude, Inside(settings(claude)) as inside:
        answer = await heard(inside, path, headers)
        assert answer.status == 200
        assert credentials(claude) == {"x-api-key": "sk-of-the-house"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"authorization": "Bearer sk-gw-nobody"}, ""),
        ({"x-api-key": "sk-gw-nobody"}, ""),
        ({"x-gateway-key": "sk-gw-nobody", "authorization": f"Bearer {KEY}"}, ""),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/bedrock/aws4_request"}, ""),
        ({}, "key"),
        ({}, "api_key"),
        ({"authorization": f"Bearer {KEY}"}, "key"),
    ],
    ids=str,
)
async def test_who_has_no_key_is_told_so_in_his_language(path: str, headers: dict[str, str], query: str) -> None:
    async with Upstream() as claude, Inside(settings(claude)) as inside:
        asked = f"{path}{'&' if '?' in path else '?'}{query}={KEY}" if query else path
        answer = await heard(inside, asked, headers, **(json.loads(json.dumps(PATHS[path]))))
        assert claude.requests == []
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert KEY not in answer.body.decode()
    assert ("query string" in answer.body.decode()) == bool(query)
    if query:
        assert "Authorization: Bearer" in answer.body.decode()
    told = answer.json
    error = told.get("error", told)
    assert isinstance(error, dict)
    if "messages" in path:
        assert (told["type"], error["type"]) == ("error", "authentication_error")
        assert told["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
        return
    assert "request-id" not in answer.headers
    if "v1beta" in path:
        assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
    elif "converse" in path:
        assert answer.headers["x-amzn-errortype"]
        assert set(told) == {"message"}
    else:
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")


async def test_anthropics_callers_find_the_requests_name_in_whole_answers_streams_and_refusals() -> None:
    stream = STREAM_HEAD + chunk(WHOLE) + LAST_CHUNK
    answers = [[sized(ANSWER, more=JSON)], [stream], [sized(b'{"input_tokens":1}', more=JSON)]]
    counted = replace(CLAUDE, paths={"messages": "/v1/messages", "count_tokens": "/v1/messages/count_tokens"})
    async with Upstream(*answers) as claude:
        told = settings(claude)
        backend = replace(told.backends["claude"], provider=counted)
        served = replace(told, models={"claude": (Target(backend, "m"),)})
        async with Inside(served) as inside:
            key = {"x-api-key": KEY, "x-request-id": "mine-0123456789"}
            body = {"model": "claude", "max_tokens": 9, "messages": HI}
            for path, fields in (
                ("/v1/messages", body),
                ("/v1/messages", {**body, "stream": True}),
                ("/v1/messages/count_tokens", body),
                ("/v1/messages", {**body, "model": "nobody"}),
                ("/v1/messages/nothing", body),
            ):
                answer = await heard(inside, path, key, **fields)
                assert answer.headers["request-id"] == answer.headers["x-request-id"] == "mine-0123456789"
            other = await heard(inside, "/v1/chat/completions", key, model="nobody")
            assert "request-id" not in other.headers


# --- keys of the caller's own -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/messages", {"x-gateway-key": BRINGER_KEY, "x-api-key": "sk-ant-theirs"}),
        ("/v1/messages", {"x-gateway-key": BRINGER_KEY, "x-api-key": "sk-ant-theirs", "authorization": "Bearer other"}),
        ("/v1/chat/completions", {"x-gateway-key": ONE_KEY, "authorization": "Bearer sk-ant-theirs"}),
        ("/v1beta/models/claude:generateContent", {"x-gateway-key": ONE_KEY, "x-goog-api-key": "sk-ant-theirs"}),
    ],
)
async def test_a_key_that_may_be_brought_takes_the_place_of_ours(path: str, headers: dict[str, str]) -> None:
    async with Upstream(sized(ANSWER, more=JSON)) as claude, Inside(settings(claude)) as inside:
        answer = await heard(inside, path, headers)
        assert answer.status == 200
        assert credentials(claude) == {"x-api-key": "sk-ant-theirs"}
    assert inside.settled[0].cost_usd == 0.0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-gateway-key": KEY, "x-api-key": "sk-ant-theirs"},
        {"x-gateway-key": BRINGER_KEY, "x-goog-api-key": "sk-ant-theirs"},
        {"x-gateway-key": BRINGER_KEY, "authorization": "Bearer sk-ant-theirs"},
        {"x-gateway-key": BRINGER_KEY},
        {"x-api-key": BRINGER_KEY},
        {"x-gateway-key": BRINGER_KEY, "x-api-key": BRINGER_KEY},
    ],
)
async def test_any_other_key_is_dropped(headers: dict[str, str]) -> None:
    async with Upstream(sized(ANSWER, more=JSON)) as claude, Inside(settings(claude)) as inside:
        assert (await heard(inside, "/v1/messages", headers)).status == 200
        assert credentials(claude) == {"x-api-key": "sk-of-the-house"}


async def test_a_key_for_one_provider_is_never_shown_to_the_next() -> None:
    busy = sized(b"{}", status=b"529 Overloaded", more=JSON)
    answer = sized(chat_answer(), more=JSON)
    async with Upstream(busy) as claude, Upstream(answer) as first, Upstream() as second:
        async with Inside(settings(claude, first, second)) as inside:
            told = await heard(
                inside, "/v1/messages", {"x-gateway-key": BRINGER_KEY, "x-api-key": "sk-ant-theirs"}, model="all",
                max_tokens=9, messages=HI,
            )  # fmt: skip
        assert told.status == 200
        assert credentials(claude) == {"x-api-key": "sk-ant-theirs"}
        assert credentials(first) == {"authorization": "Bearer sk-of-the-house"}


async def test_a_key_two_providers_want_is_given_to_the_one_that_is_named() -> None:
    headers = {"x-gateway-key": BRINGER_KEY, "authorization": "Bearer sk-theirs"}
    chat = {"messages": HI}
    async with Upstream() as claude, Upstream() as first, Upstream(sized(chat_answer(), more=JSON)) as second:
        told = settings(claude, first, second)
        async with Inside(replace(told, models={"both": told.models["both"]})) as inside:
            refused = await heard(inside, "/v1/chat/completions", headers, **chat, model="both")
            error = refused.json["error"]
            assert isinstance(error, dict)
            assert (refused.status, error["code"]) == (400, "ambiguous_credentials")
            assert first.requests == second.requests == []
            answer = await heard(inside, "/v1/chat/completions", headers, **chat, model="second/m-second")
        assert (answer.status, answer.headers["x-gateway-model"]) == (200, "both")
        assert credentials(second) == {"authorization": "Bearer sk-theirs"}


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_a_brought_key_that_is_refused_is_its_owners_to_hear(status: bytes) -> None:
    refusal = sized(b'{"error":{"message":"invalid x-api-key sk-ant-theirs"}}', status=status, more=JSON)
    async with Upstream(refusal) as claude, Inside(settings(claude)) as inside:
        headers = {"x-gateway-key": BRINGER_KEY, "x-api-key": "sk-ant-theirs"}
        answer = await heard(inside, "/v1/messages", headers)
        assert inside.health.row("claude").failed == 0
    error = answer.json["error"]
    assert isinstance(error, dict)
    assert (answer.status, error["type"]) == (401, "authentication_error")
    assert "sk-ant-theirs" not in answer.body.decode()
    assert inside.settled[0].outcome == "provider_key_refused"


async def test_the_same_connection_serves_one_request_with_each_key() -> None:
    whole = [sized(ANSWER, more=JSON)]
    async with Upstream(whole, whole, whole) as claude, Inside(settings(claude)) as inside:
        for theirs in ("", "sk-ant-theirs", ""):
            own = {"x-api-key": theirs} if theirs else {}
            assert (await heard(inside, "/v1/messages", {"x-gateway-key": BRINGER_KEY, **own})).status == 200
        assert len(claude.peers) == 1
        sent = [b"sk-ant-theirs" in asked for asked in claude.requests]
        assert sent == [False, True, False]
        assert all(
            (b"sk-of-the-house" in asked) != brought for asked, brought in zip(claude.requests, sent, strict=True)
        )
