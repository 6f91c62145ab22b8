"""Answers of our own."""

from tests.doubles.caller import Caller, request
from tests.doubles.inside import KEY, Inside, backend, settings_for

SETTINGS = settings_for({"m": [backend("b", "http://127.0.0.1:9")]})


async def asked(path: str, *, key: str = KEY, method: str = "GET", draining: bool = False) -> tuple[int, object]:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        caller.send(request(path=path, method=method, key=key))
        if draining:
            await inside.until_heard(0)
            inside.door.draining = True
        heard = await caller.answer(bodiless=method == "HEAD")
        return heard.status, heard.json if heard.raw_body else None


async def test_health_needs_no_key() -> None:
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
