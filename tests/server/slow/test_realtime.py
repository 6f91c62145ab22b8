"""WebSocket sessions through the gateway: aiohttp's client on one side, a place on the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from msgspec.structs import replace

from gateway.settings.shape import Caps, Deadlines, Listen, Timeouts
from tests.doubles.caller import Caller, request
from tests.doubles.inside import KEY, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.server.slow.places import PLACE_KEY, SlowPlace, Talk, echo

BOUND_S = 0.25
HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
AUTHORIZATION = {"authorization": f"Bearer {KEY}", "openai-beta": "realtime=v1"}


@asynccontextmanager
async def session(
    inside: Inside, *, model: str = "m", headers: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"ws://127.0.0.1:{inside.port}/v1/realtime?model={model}"
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            url,
            headers={**AUTHORIZATION, **(headers or {})},
            protocols=("realtime",),
            max_msg_size=64 << 20,
            compress=15,
        ) as socket,
    ):
        yield socket


@asynccontextmanager
async def relayed(talks: Talk = echo, **settings: Deadlines | Caps) -> AsyncIterator[tuple[SlowPlace, Inside]]:
    deadlines, caps = settings.get("deadlines"), settings.get("caps")
    assert deadlines is None or isinstance(deadlines, Deadlines)
    assert caps is None or isinstance(caps, Caps)
    async with (
        SlowPlace(talks=talks) as place,
        Inside(settings_for({"m": [place.backend()]}, deadlines=deadlines, caps=caps)) as inside,
    ):
        yield place, inside


async def test_messages_cross_both_ways() -> None:
    async with relayed() as (place, inside):
        async with session(inside) as socket:
            assert socket.protocol == "realtime"
            await socket.send_str('{"type":"session.update"}')
            assert await socket.receive_str() == '{"type":"session.update"}'
            await socket.send_bytes(b"\0\1\2")
            assert await socket.receive_bytes() == b"\0\1\2"
            for number in range(50):
                await socket.send_str(f"wörter {number}")
            assert [await socket.receive_str() for _ in range(50)] == [f"wörter {n}" for n in range(50)]
        (dialled,) = place.dialled
        assert dialled.query == {"model": "mock-model"}
        assert dialled.headers["authorization"] == f"Bearer {PLACE_KEY}"
        assert dialled.headers["openai-beta"] == "realtime=v1"
        assert KEY not in str(dialled.headers)
        await inside.until(lambda settled: len(settled) == 1)
        (exchange,) = inside.settled
        assert (exchange.operation, exchange.model, exchange.status) == ("realtime", "m", 101)
        assert (exchange.outcome, exchange.complete) == ("answered", True)
        await inside.until_alone()
        assert (inside.door.busy, inside.bugs) == (0, [])


async def test_no_side_compresses() -> None:
    async with relayed() as (place, inside), session(inside) as socket:
        assert socket.compress == 0
        await socket.send_str("x")
        await socket.receive_str()
        assert "sec-websocket-extensions" not in place.dialled[0].headers


async def test_a_message_may_be_as_large_as_a_body() -> None:
    async with relayed(caps=Caps(json_bytes=6 * 1024 * 1024)) as (place, inside):
        async with session(inside) as socket:
            large = "x" * (5 * 1024 * 1024)
            await socket.send_str(large)
            assert await socket.receive_str() == large
        async with session(inside) as socket:
            with contextlib.suppress(ConnectionError):
                await socket.send_str("x" * (6 * 1024 * 1024 + 1))
            message = await socket.receive()
            assert message.type != WSMsgType.TEXT
        await place.until(lambda: len(place.ended) == 2)


async def test_the_places_goodbye_reaches_the_caller() -> None:
    async with relayed() as (_, inside), session(inside) as socket:
        await socket.send_str("bye")
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 4001)
        await inside.until(lambda settled: any(exchange.complete for exchange in settled))


async def test_the_callers_goodbye_reaches_the_place() -> None:
    async with relayed() as (place, inside):
        async with session(inside) as socket:
            await socket.close(code=4002)
        await place.until(lambda: len(place.ended) == 1)
        assert place.ended[0][0] == 4002
        await inside.until(lambda settled: any(exchange.complete for exchange in settled))


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
async def test_who_leaves_without_a_word_ends_the_places_session_at_once(how: str) -> None:
    async def listen(socket: web.WebSocketResponse) -> None:
        async for _ in socket:
            pass

    async with relayed(listen) as (place, inside), Caller(inside.port) as caller:
        caller.send(request(path="/v1/realtime?model=m", method="GET", headers=HANDSHAKE))
        assert Heard(await caller.hears(b"\r\n\r\n"), "open").status == 101
        left_at = asyncio.get_running_loop().time()
        {"closes": caller.writer.close, "half-closes": caller.half_close, "resets": caller.reset}[how]()
        await place.until(lambda: len(place.ended) == 1, 10 * BOUND_S)
        assert place.ended[0][1] - left_at < BOUND_S
        await inside.until(lambda settled: len(settled) == 1)
        assert inside.settled[0].outcome == "left"
        await inside.until_alone()
        assert inside.bugs == []


async def test_a_place_that_breaks_off_ends_the_callers_session_at_once() -> None:
    async def wait(socket: web.WebSocketResponse) -> None:
        await socket.receive()

    async with relayed(wait) as (place, inside), session(inside) as socket:
        transport = place.dialled[0].transport
        assert transport is not None
        broken_at = asyncio.get_running_loop().time()
        transport.abort()
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
        assert asyncio.get_running_loop().time() - broken_at < BOUND_S
        await inside.until(lambda settled: len(settled) == 1)
        (exchange,) = inside.settled
        assert (exchange.outcome, exchange.complete) == ("upstream_disconnected", False)
        assert exchange.attempts[0].outcome == "upstream_disconnected"


async def test_a_session_in_which_nobody_speaks_is_ended() -> None:
    async with relayed(deadlines=Deadlines(idle_s=0.2)) as (place, inside), session(inside) as socket:
        for _ in range(5):
            await socket.send_str("still here")
            await socket.receive_str()
        message = await socket.receive()
        assert message.type in (WSMsgType.CLOSED, WSMsgType.ERROR, WSMsgType.CLOSE)
        await place.until(lambda: len(place.ended) == 1)


async def test_the_next_place_is_dialled_when_the_first_refuses_or_is_gone() -> None:
    async with SlowPlace() as gone:
        dead = gone.backend("dead")
    async with SlowPlace() as refusing, SlowPlace() as place:
        elsewhere = refusing.backend("refusing", realtime="/v1/nothing")
        async with Inside(settings_for({"m": [dead, elsewhere, place.backend()]})) as inside, session(inside) as socket:
            await socket.send_str("x")
            assert await socket.receive_str() == "x"
            await socket.close()
            await inside.until(lambda settled: len(settled) == 1)
            assert [attempt.outcome for attempt in inside.settled[0].attempts][-1] == "answered"
            assert len(inside.settled[0].attempts) == 3


async def test_a_place_that_takes_the_connection_and_says_nothing_is_passed_over() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with SlowPlace() as place:
        backend = place.backend("silent")
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        rows = [replace(backend, base_urls=(url,)), place.backend()]
        async with (
            Inside(settings_for({"m": rows}, timeouts=Timeouts(first_token_s=0.1))) as inside,
            session(inside) as socket,
        ):
            await socket.send_str("x")
            assert await socket.receive_str() == "x"
            await socket.close()
            await inside.until(lambda settled: len(settled) == 1)
            outcomes = [attempt.outcome for attempt in inside.settled[0].attempts]
            assert outcomes == ["upstream_timeout", "answered"]
    silent.close()


async def test_a_model_in_the_places_path_is_not_repeated_in_its_query() -> None:
    async with SlowPlace() as place:
        backend = place.backend(realtime="/v1/realtime?api-version=1&deployment={model}")
        async with Inside(settings_for({"m": [backend]})) as inside, session(inside) as socket:
            await socket.send_str("x")
            await socket.receive_str()
            assert dict(place.dialled[0].query) == {"api-version": "1", "deployment": "mock-model"}


async def test_a_session_is_handed_over_also_as_a_later_request_of_a_connection() -> None:
    async with relayed() as (_, inside), Caller(inside.port) as caller:
        caller.send(request(path="/healthz", method="GET"))
        await caller.answer()
        caller.send(request(path="/v1/realtime?model=m", method="GET", headers=HANDSHAKE))
        heard = Heard(await caller.hears(b"\r\n\r\n"), "open")
        assert heard.status == 101
        assert heard.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert "server" not in heard.headers
        assert len(heard.headers["x-request-id"]) >= 8
        caller.send(b"\x81\x82\0\0\0\0hi")
        assert await caller.hears(b"hi") == b"\x81\x02hi"


@pytest.mark.parametrize(
    ("path", "changed", "status", "code"),
    [
        ("/v1/realtime?model=m", {"authorization": ""}, 401, "invalid_api_key"),
        ("/v1/realtime?model=none", {}, 404, "model_not_found"),
        ("/v1/realtime", {}, 400, "missing_field"),
        ("/v1/realtime?model=m&model=m", {}, 400, "missing_field"),
        ("/v1/realtime?model=", {}, 400, "missing_field"),
        ("/v1/realtime?model=m", {"upgrade": ""}, 400, "websocket_required"),
        ("/v1/realtime?model=m", {"upgrade": "h2c"}, 400, "websocket_required"),
        ("/v1/realtime?model=m", {"connection": "keep-alive"}, 400, "websocket_required"),
        ("/v1/realtime?model=m", {"sec-websocket-version": "8"}, 400, "invalid_handshake"),
        ("/v1/realtime?model=m", {"sec-websocket-key": "zanzibar7"}, 400, "invalid_handshake"),
        ("/v1/realtime?model=m", {"sec-websocket-key": ""}, 400, "invalid_handshake"),
        ("/v1/realtime?model=m", {"content-length": "5"}, 400, "invalid_handshake"),
        ("/v1/models", {}, 200, ""),
    ],
)
async def test_what_is_refused_is_refused_as_at_our_own_door(
    path: str, changed: dict[str, str], status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with relayed() as (place, inside), Caller(inside.port) as caller:
        caller.send(request(path=path, method="GET", headers={**HANDSHAKE, **changed}))
        heard = await caller.answer()
        assert heard.status == status
        error = heard.json.get("error", {"code": ""})
        assert isinstance(error, dict)
        assert error["code"] == code
        assert (place.dialled, inside.bugs) == ([], [])
        assert b"zanzibar7" not in heard.wire
    assert caplog.messages == []


async def test_the_protocols_a_browser_offers_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Browsers can't set headers, so their clients send the key as a protocol's name."""
    async with relayed() as (_, inside), Caller(inside.port) as caller:
        offered = {"sec-websocket-protocol": f"openai-insecure-api-key.{KEY}"}
        caller.send(request(path="/v1/realtime?model=m", method="GET", headers={**HANDSHAKE, **offered}))
        heard = Heard(await caller.hears(b"\r\n\r\n"), "open")
        assert heard.status == 101
        assert "sec-websocket-protocol" not in heard.headers
    assert caplog.messages == []


async def test_names_hold_for_sessions_too() -> None:
    async with SlowPlace() as place:
        settings = settings_for({"m": [place.backend()]}, listen=Listen(names=("gw.example",)))
        async with Inside(settings) as inside, Caller(inside.port) as caller:
            caller.send(request(path="/v1/realtime?model=m", method="GET", headers=HANDSHAKE))
            assert (await caller.answer()).status == 400
