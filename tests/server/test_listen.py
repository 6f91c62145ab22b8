"""Listening sockets, and the context their TLS is made of."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from gateway.server.listen import SEND_BUFFER_BYTES, listen, tls_context
from gateway.settings.shape import Caps, Tls
from tests.doubles.caller import Caller, request
from tests.doubles.inside import Inside, backend, settings_for
from tests.upstream.authority import Authority

SETTINGS = settings_for({"m": [backend("b", "http://127.0.0.1:9")]})


def files(directory: Path, *names: str) -> tuple[Authority, Tls]:
    """A certificate file for these names, holding its key too."""
    authority = Authority(directory)
    authority.server(*names)
    return authority, Tls(certificate=str(directory / "1.pem"), key=str(directory / "1.pem"))


async def test_what_is_written_to_a_caller_who_doesnt_read_stays_small_in_the_kernel() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port):
        await inside.until_heard(0)
        (connection,) = inside.door.guests
        sock: socket.socket = connection._transport._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # a CallerConnection
        # The kernel doubles what it is told, and grows no buffer that was set.
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_unix_socket_is_served_without_tls_and_without_an_address(tmp_path: Path) -> None:
    authority, tls = files(tmp_path, "localhost")
    path = str(tmp_path / "door")
    settings = settings_for({"m": [backend("b", "http://127.0.0.1:9")]}, caps=Caps(per_address=1))
    async with (
        Inside(settings, context=tls_context(tls), unix=path) as inside,
        Caller(unix=path) as first,
        Caller(unix=path) as second,
        Caller(inside.port, context=authority.client) as third,
    ):
        for caller in (first, second, third):
            caller.send(request(path="/v1/nothing"))
            assert (await caller.answer()).status == 404
        assert [exchange.call.address for exchange in inside.settled] == ["", "", "127.0.0.1"]
        assert [exchange.call.secure for exchange in inside.settled] == [False, False, True]


async def test_tls_from_files_offers_http_1_1_and_nothing_old(tmp_path: Path) -> None:
    authority, tls = files(tmp_path, "localhost")
    async with Inside(SETTINGS, context=tls_context(tls)) as inside:
        client = authority.client
        client.set_alpn_protocols(["h2", "http/1.1"])
        async with Caller(inside.port, context=client) as caller:
            tls_object: ssl.SSLObject = caller.writer.get_extra_info("ssl_object")
            assert tls_object.selected_alpn_protocol() == "http/1.1"
            assert tls_object.version() == "TLSv1.3"
    assert tls_context(tls).minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_certificate_that_is_loaded_again_is_shown_to_the_next_caller(tmp_path: Path) -> None:
    authority, tls = files(tmp_path, "localhost")
    context = tls_context(tls)
    async with Inside(SETTINGS, context=context) as inside:

        async def shown() -> str:
            async with Caller(inside.port, context=authority.client) as caller:
                return str(caller.writer.get_extra_info("peercert")["serialNumber"])

        first = await shown()
        assert await shown() == first
        authority.server("localhost")
        context.load_cert_chain(tmp_path / "2.pem")
        assert await shown() != first


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_files_that_are_no_certificate_are_an_os_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "x.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OSError):  # noqa: PT011  (ssl says it in words of OpenSSL's)
        tls_context(Tls(certificate=str(path), key=str(path)))


async def test_a_second_socket_leads_to_the_same_door() -> None:
    async with Inside(SETTINGS) as inside:
        other = await listen(inside.door, socket.create_server(("127.0.0.1", 0)))
        async with Caller(inside.port), Caller(other.sockets[0].getsockname()[1]):
            await inside.until_so(lambda: inside.door.open == 2)
        other.close()
        await asyncio.wait_for(other.wait_closed(), 10)
