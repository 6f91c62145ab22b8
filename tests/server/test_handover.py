"""Which requests are given away, and with what head. What becomes of them is told in slow/."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import BadRequest, UnsupportedMedia
from gateway.server.handover import check_form, check_websocket
from tests.doubles.caller import Caller, request
from tests.doubles.inside import Inside, settings_for
from tests.server.slow.places import SlowPlace
from tests.server.slow.test_form import upload
from tests.upstream.authority import Authority

GOOD = {
    b"connection": b"keep-alive, Upgrade",
    b"upgrade": b"WebSocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


def test_aiohttp_is_not_imported_with_the_door() -> None:
    """It would cost every start a third of a second, and every worker its memory."""
    program = "import sys, gateway.server.door; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "kind", [b"multipart/form-data; boundary=x", b'Multipart/Form-Data ; charset=utf-8; Boundary = "x"']
)
def test_a_form_is_what_says_so(kind: bytes) -> None:
    check_form({b"content-type": kind})
    check_form({b"content-type": kind, b"content-encoding": b"identity"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-type": b"application/json"},
        {b"content-type": b"multipart/form-data"},
        {b"content-type": b"multipart/mixed; boundary=x"},
        {b"content-type": b"multipart/form-data; boundary=x", b"content-encoding": b"gzip"},
    ],
)
def test_anything_else_is_no_form(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(UnsupportedMedia):
        check_form(headers)


def test_a_whole_handshake_is_accepted() -> None:
    check_websocket(GOOD)
    check_websocket({**GOOD, b"content-length": b"0"})


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({b"upgrade": b"h2c"}, "websocket_required"),
        ({b"upgrade": b""}, "websocket_required"),
        ({b"connection": b"keep-alive"}, "websocket_required"),
        ({b"connection": b"upgraded"}, "websocket_required"),
        ({b"sec-websocket-version": b"12"}, "invalid_handshake"),
        ({b"sec-websocket-key": b"short"}, "invalid_handshake"),
        ({b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==x"}, "invalid_handshake"),
        ({b"content-length": b"1"}, "invalid_handshake"),
        ({b"transfer-encoding": b"chunked"}, "invalid_handshake"),
    ],
)
def test_half_a_handshake_is_refused(changed: dict[bytes, bytes], code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_websocket({**GOOD, **changed})
    assert refused.value.reason == code


async def test_hand_overs_are_counted_while_they_last() -> None:
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]})) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(upload()[:-5])
        await inside.until_so(lambda: inside.door.busy == 1)
        assert inside.door.open == 1
        caller.send(upload()[-5:])
        assert (await caller.ends()).status == 200
        await inside.until_alone()
        assert inside.door.busy == 0


async def test_many_may_ask_before_aiohttp_is_there() -> None:
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        callers = [Caller(inside.port) for _ in range(5)]
        for caller in callers:
            await caller.__aenter__()
            caller.send(upload())
        assert [(await caller.ends()).status for caller in callers] == [200] * 5
        for caller in callers:
            await caller.close()


async def test_who_leaves_before_aiohttp_is_there_is_let_go() -> None:
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]})) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(upload())
        await inside.until_heard(len(upload()))
        inside.door.abort()
        await inside.until_alone()
        async with Caller(inside.port) as other:
            other.send(upload() + request(path="/healthz", method="GET"))
            assert (await other.ends()).status == 200
        assert (inside.door.busy, inside.bugs) == (0, [])


async def test_forms_and_sessions_are_handed_over_from_tls_and_from_a_unix_socket_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = str(tmp_path / "door")
    handshake = {name.decode(): value.decode() for name, value in GOOD.items()}
    async with SlowPlace() as place:
        inside = Inside(settings_for({"m": [place.backend()]}), context=authority.server("localhost"), unix=path)
        async with (
            inside,
            Caller(inside.port, context=authority.client) as secure,
            Caller(unix=path) as local,
        ):
            for caller in (secure, local):
                caller.send(request(path="/healthz", method="GET"))
                assert (await caller.answer()).status == 200
                caller.send(upload())
                heard = await caller.ends()
                assert (heard.status, heard.json) == (200, {"text": "hello"})
            assert [exchange.call.secure for exchange in inside.settled] == [True, False]
        inside = Inside(settings_for({"m": [place.backend()]}), context=authority.server("localhost"))
        async with inside, Caller(inside.port, context=authority.client) as session:
            session.send(request(path="/v1/realtime?model=m", method="GET", headers=handshake))
            assert b"HTTP/1.1 101 " in await session.hears(b"\r\n\r\n")
            session.send(b"\x81\x82\0\0\0\0hi")
            assert await session.hears(b"hi") == b"\x81\x02hi"
