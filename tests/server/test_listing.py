"""Which models a key may call, in the shape of whoever asks."""

from collections.abc import Mapping
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from gateway.settings.keys import digest_of
from gateway.settings.shape import Auth, Backend, Caller, NameRule, Price, Provider, Secret, Settings, Target
from tests.doubles.caller import Caller as Asking
from tests.doubles.caller import request
from tests.doubles.inside import CALLER, KEY, Inside
from tests.doubles.mock_caller import Heard

OTHER_KEY = "sk-gw-other-0123456789abcdef"
NARROW = Caller(name="narrow", team="tests", digest=digest_of(OTHER_KEY, ""), models=("llama-*",))
ANTHROPIC = {"anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-client": "google-genai-sdk/3.4.0"}


def backend(name: str, region: str = "", price_id: str = "", **paths: str) -> Backend:
    row = Provider(
        name=name,
        speaks="openai_chat",
        paths=paths or {"chat": "/chat"},
        auth=Auth("bearer"),
        price_id=price_id,
    )
    return Backend(name=name, provider=row, base_urls=("http://127.0.0.1:9",), api_key=Secret("k"), region=region)


HERE = backend("here", "eu-central")
LISTED = backend("listed", "us-east", "openai")
CLAUDES = backend("claudes", price_id="anthropic", messages="/v1/messages", count_tokens="/v1/messages/count_tokens")
EMBEDS = backend("embeds", embeddings="/embeddings")
MODELS = {
    "llama-1": (
        Target(HERE, "l", context_window=8192, capabilities=("tools",)),
        Target(
            LISTED, "gpt-4o-mini", price=Price(0.01, 2.0, 8.0), context_window=4096, capabilities=("vision", "tools")
        ),
        Target(LISTED, "gpt-4o-mini"),
    ),
    "gpt": (Target(LISTED, "gpt-4o-mini"),),
    "claude": (Target(CLAUDES, "claude-sonnet-4-5", capabilities=("vision", "thinking")),),
    "embed": (Target(EMBEDS, "e"),),
    "org/model": (Target(HERE, "o"),),
    "away": (),
    "open/*": (Target(HERE, "*"),),
}
SETTINGS = Settings(
    models=MODELS,
    backends={one.name: one for one in (HERE, LISTED, CLAUDES, EMBEDS)},
    callers=(CALLER, NARROW),
    state="memory",
    name_rules=(NameRule(ends="[1m]"),),
)


async def heard(
    path: str, headers: Mapping[str, str] | None = None, *, key: str = KEY, settings: Settings = SETTINGS
) -> Heard:
    async with Inside(settings) as inside, Asking(inside.port) as caller:
        prices = inside.runtime.settler.prices
        prices.look_up([target for targets in settings.models.values() for target in targets])
        caller.send(request(path=path, method="GET", key=key, headers=headers))
        return await caller.answer()


async def listed(
    path: str, headers: Mapping[str, str] | None = None, *, key: str = KEY, of: str = "data"
) -> list[dict[str, object]]:
    answer = await heard(path, headers, key=key)
    assert answer.status == 200
    rows = answer.json[of]
    assert isinstance(rows, list)
    return rows


def row(rows: list[dict[str, object]], name: str) -> dict[str, object]:
    (found,) = [one for one in rows if one.get("id", one.get("name")) == name]
    return found


async def test_models_are_those_with_a_name_of_their_own_that_something_serves() -> None:
    rows = await listed("/v1/models")
    assert [one["id"] for one in rows] == ["llama-1", "gpt", "claude", "embed", "org/model"]


@pytest.mark.parametrize("headers", [{}, ANTHROPIC])
async def test_a_key_is_only_shown_the_models_it_may_call(headers: dict[str, str]) -> None:
    assert [one["id"] for one in await listed("/v1/models", headers, key=OTHER_KEY)] == ["llama-1"]
    (only,) = await listed("/v1beta/models", headers, key=OTHER_KEY, of="models")
    assert only["name"] == "models/llama-1"


async def test_openais_shape_has_what_is_known_beside_its_own_fields() -> None:
    rows = await listed("/v1/models")
    assert row(rows, "llama-1") == {
        "id": "llama-1",
        "object": "model",
        "created": 0,
        "owned_by": "meridian",
        "context_window": 128_000,
        "capabilities": ["tools", "vision"],
        "price": {"usd_per_mtok_in": 2.0, "usd_per_mtok_out": 8.0, "usd_per_request": 0.01},
        "regions": ["eu-central", "us-east"],
    }
    assert row(rows, "gpt")["price"] == {
        "usd_per_mtok_in": 0.15,
        "usd_per_mtok_out": 0.6,
        "usd_per_mtok_cached": 0.075,
    }
    assert row(rows, "gpt")["context_window"] == 128_000


async def test_what_is_not_known_is_left_out() -> None:
    bare = {"id": "embed", "object": "model", "created": 0, "owned_by": "meridian"}
    assert row(await listed("/v1/models"), "embed") == bare
    shown = row(await listed("/v1/models", ANTHROPIC), "embed")
    assert shown.keys() == {"type", "id", "display_name", "created_at", "lifecycle"}
    beta = row(await listed("/v1beta/models", of="models"), "models/embed")
    assert beta == {"name": "models/embed", "displayName": "embed", "supportedGenerationMethods": []}


async def test_prices_of_long_prompts_stand_beside_the_usual_one() -> None:
    claude = row(await listed("/v1/models"), "claude")
    price, above = claude["price"], claude["price_above"]
    assert isinstance(price, dict)
    assert isinstance(above, list)
    assert price["usd_per_mtok_cache_written"] > price["usd_per_mtok_in"] > price["usd_per_mtok_cached"]
    assert [tier["input_tokens"] for tier in above] == [200_000]
    assert above[0]["usd_per_mtok_in"] > price["usd_per_mtok_in"]


async def test_anthropics_shape() -> None:
    claude = row(await listed("/v1/models", ANTHROPIC), "claude")
    assert {name: claude[name] for name in ("type", "id", "display_name", "created_at")} == {
        "type": "model",
        "id": "claude",
        "display_name": "claude",
        "created_at": "1970-01-01T00:00:00Z",
    }
    assert claude["max_input_tokens"] == 200_000
    assert claude["capabilities"] == {
        "image_input": {"supported": True},
        "pdf_input": {"supported": False},
        "structured_outputs": {"supported": False},
        "thinking": {"supported": True},
    }


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        ("", ["llama-1", "gpt", "claude", "embed", "org/model"], False),
        ("?limit=2", ["llama-1", "gpt"], True),
        ("?limit=1000", ["llama-1", "gpt", "claude", "embed", "org/model"], False),
        ("?limit=2&after_id=gpt", ["claude", "embed"], True),
        ("?limit=2&after_id=claude", ["embed", "org/model"], False),
        ("?after_id=org%2Fmodel", [], False),
        ("?limit=2&before_id=embed", ["gpt", "claude"], True),
        ("?limit=2&before_id=claude", ["llama-1", "gpt"], False),
        ("?before_id=llama-1", [], False),
        ("?beta=true&limit=1", ["llama-1"], True),
    ],
)
async def test_anthropics_pages(query: str, ids: list[str], more: bool) -> None:
    page = (await heard(f"/v1/models{query}", ANTHROPIC)).json
    rows = page["data"]
    assert isinstance(rows, list)
    assert [one["id"] for one in rows] == ids
    assert page["has_more"] is more
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


async def test_anthropics_usual_page_is_twenty() -> None:
    many = replace(SETTINGS, models={f"m{number}": (Target(HERE, "m"),) for number in range(60)})
    page = (await heard("/v1/models", ANTHROPIC, settings=many)).json
    assert (page["last_id"], page["has_more"]) == ("m19", True)
    beta = (await heard("/v1beta/models", settings=many)).json
    assert beta["nextPageToken"] == "m49"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=1234567890", "limit"),
        ("limit=%D9%A3", "limit"),
        ("after_id=nobody", "after_id"),
        ("before_id=away", "before_id"),
        ("after_id=gpt&before_id=claude", "before_id"),
    ],
)
async def test_a_page_that_can_not_be_is_refused_in_anthropics_shape(query: str, param: str) -> None:
    answer = await heard(f"/v1/models?{query}", ANTHROPIC)
    assert answer.status == 400
    error = answer.json["error"]
    assert isinstance(error, dict)
    assert error["type"] == "invalid_request_error"
    assert f"'{param}'" in str(error["message"])
    assert answer.headers["request-id"] == answer.headers["x-request-id"] == answer.json["request_id"]


@pytest.mark.parametrize(("path", "headers"), [("/v1beta/models", {}), ("/v1/models", GOOGLE)])
async def test_geminis_shape(path: str, headers: dict[str, str]) -> None:
    rows = await listed(path, headers, of="models")
    claude = row(rows, "models/claude")
    assert (claude["displayName"], claude["inputTokenLimit"], claude["thinking"]) == ("claude", 200_000, True)
    assert claude["supportedGenerationMethods"] == ["generateContent", "streamGenerateContent", "countTokens"]
    assert row(rows, "models/gpt")["supportedGenerationMethods"] == ["generateContent", "streamGenerateContent"]
    assert row(rows, "models/llama-1")["thinking"] is False


@pytest.mark.parametrize(
    ("query", "names", "token"),
    [
        ("?pageSize=2", ["llama-1", "gpt"], "gpt"),
        ("?pageSize=2&pageToken=gpt", ["claude", "embed"], "embed"),
        ("?pageSize=2&pageToken=embed", ["org/model"], None),
        ("?pageSize=5000", ["llama-1", "gpt", "claude", "embed", "org/model"], None),
        ("?pageToken=org/model", [], None),
    ],
)
async def test_geminis_pages(query: str, names: list[str], token: str | None) -> None:
    page = (await heard(f"/v1beta/models{query}")).json
    rows = page["models"]
    assert isinstance(rows, list)
    assert [one["displayName"] for one in rows] == names
    assert page.get("nextPageToken") == token


@pytest.mark.parametrize("query", ["pageSize=0", "pageSize=x", "pageToken=nobody"])
async def test_a_page_that_can_not_be_is_refused_in_geminis_shape(query: str) -> None:
    answer = await heard(f"/v1beta/models?{query}")
    error = answer.json["error"]
    assert isinstance(error, dict)
    assert (answer.status, error["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("gpt", "gpt"),
        ("org/model", "org/model"),
        ("org%2Fmodel", "org/model"),
        ("llama%2D1", "llama-1"),
        ("open/anything", "open/anything"),
        ("claude-sonnet-4-5", "claude"),
        ("here/l", "llama-1"),
        ("gpt%5B1m%5D", "gpt"),
    ],
)
async def test_one_model_by_any_of_its_names(asked: str, name: str) -> None:
    found = (await heard(f"/v1/models/{asked}")).json
    assert (found["id"], found["object"]) == (name, "model")
    found = (await heard(f"/v1/models/{asked}", ANTHROPIC)).json
    assert (found["id"], found["type"]) == (name, "model")
    found = (await heard(f"/v1beta/models/{asked}")).json
    assert found["name"] == f"models/{name}"
    assert found == (await heard(f"/v1/models/{asked}", GOOGLE)).json


async def test_a_place_that_is_named_is_what_is_described() -> None:
    found = (await heard("/v1/models/here%2Fl")).json
    assert (found["context_window"], found["regions"]) == (8192, ["eu-central"])


@pytest.mark.parametrize("headers", [{}, ANTHROPIC, GOOGLE])
async def test_an_unknown_model_and_a_forbidden_one_answer_alike(headers: dict[str, str]) -> None:
    def told(answer: Heard) -> tuple[int, str]:
        return answer.status, answer.body.decode().replace(answer.headers["x-request-id"], "")

    unknown = told(await heard("/v1/models/nobody", headers, key=OTHER_KEY))
    assert unknown[0] == 404
    for name in ("gpt", "away", "claude-sonnet-4-5", "claudes/claude-sonnet-4-5", "gpt[1m]", "open/x", "%FF"):
        path = f"/v1/models/{quote(name, safe='%/')}"
        assert told(await heard(path, headers, key=OTHER_KEY)) == unknown


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/models", {}, {"error"}),
        ("/v1/models", ANTHROPIC, {"type", "error", "request_id"}),
        ("/v1/models/m", ANTHROPIC, {"type", "error", "request_id"}),
        ("/v1/models", GOOGLE, {"error"}),
        ("/v1beta/models", {}, {"error"}),
        ("/v1beta/models/m", {}, {"error"}),
    ],
)
async def test_models_need_a_key(path: str, headers: dict[str, str], shape: set[str]) -> None:
    answer = await heard(path, headers, key="")
    assert (answer.status, set(answer.json)) == (401, shape)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ("request-id" in answer.headers) == (headers == ANTHROPIC)
    error = answer.json["error"]
    assert isinstance(error, dict)
    if shape == {"error"} and (headers == GOOGLE or "beta" in path):
        assert error["status"] == "UNAUTHENTICATED"
