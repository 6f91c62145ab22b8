"""Answers of our own."""

import pytest

from gateway.settings.keys import digest_of
from gateway.settings.shape import Caller as Key
from tests.doubles.caller import Caller, request
from tests.doubles.inside import CALLER, KEY, Inside, backend, settings_for

OTHER_KEY = "sk-gw-other-0123456789abcdef"
NARROW = Key(name="narrow", team="tests", digest=digest_of(OTHER_KEY, ""), models=("llama-*",))
B = backend("b", "http://127.0.0.1:9")
SETTINGS = settings_for({"llama-1": [B], "gpt": [B], "org/model": [B], "open/*": [B]}, callers=(CALLER, NARROW))


async def asked(path: str, *, key: str = KEY, method: str = "GET", draining: bool = False) -> tuple[int, object]:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        caller.send(request(path=path, method=method, key=key))
        if draining:
            await inside.until_heard(0)
            inside.door.draining = True
        heard = await caller.answer(bodiless=method == "HEAD")
        return heard.status, heard.json if heard.raw_body else None


async def test_models_are_those_with_a_name_of_their_own() -> None:
    status, listed = await asked("/v1/models")
    assert status == 200
    assert isinstance(listed, dict)
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == ["llama-1", "gpt", "org/model"]
    assert {row["object"] for row in listed["data"]} == {"model"}


async def test_a_key_is_only_shown_the_models_it_may_call() -> None:
    _, listed = await asked("/v1/models", key=OTHER_KEY)
    assert isinstance(listed, dict)
    assert [row["id"] for row in listed["data"]] == ["llama-1"]


@pytest.mark.parametrize("name", ["gpt", "org/model", "open/anything", "llama%2D1"])
async def test_one_model_by_its_name(name: str) -> None:
    status, row = await asked(f"/v1/models/{name}")
    assert status == 200
    assert isinstance(row, dict)
    assert row["id"] == name.replace("%2D", "-")


async def test_an_unknown_model_and_a_forbidden_one_answer_alike() -> None:
    assert await asked("/v1/models/none", key=OTHER_KEY) == await asked("/v1/models/gpt", key=OTHER_KEY)
    assert (await asked("/v1/models/gpt", key=OTHER_KEY))[0] == 404


async def test_models_need_a_key_and_health_does_not() -> None:
    assert (await asked("/v1/models", key=""))[0] == 401
    assert await asked("/healthz", key="") == (200, {"status": "ok"})
    assert await asked("/readyz", key="") == (200, {"status": "ready"})


async def test_head_is_get_without_its_body() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        caller.send(request(path="/v1/models", method="GET"))
        whole = await caller.answer()
        caller.send(request(path="/v1/models", method="HEAD") + request(path="/healthz", method="GET"))
        bare = await caller.answer(bodiless=True)
        assert bare.headers["content-length"] == whole.headers["content-length"]
        assert (await caller.answer()).json == {"status": "ok"}


async def test_options_says_what_a_path_takes_without_a_key() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        for path in ("/v1/chat/completions", "*"):
            caller.send(request(path=path, method="OPTIONS", key=""))
            heard = await caller.answer()
            assert (heard.status, heard.raw_body) == (200, b"")
            assert "OPTIONS" in heard.headers["allow"]
            assert "POST" in heard.headers["allow"]


async def test_readiness_ends_with_draining() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        await inside.until_heard(0)
        inside.door.drain()
        caller.send(request(path="/readyz", method="GET", key=""))
        heard = await caller.ends()
        assert (heard.status, heard.json) == (503, {"status": "draining"})
