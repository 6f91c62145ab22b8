"""TLS: verified always, by the name that was asked for. On real sockets, with an authority of our own."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.errors import UpstreamError, UpstreamSlow, UpstreamTruncated, UpstreamUnreachable
from gateway.upstream.pool import origin_of
from tests.upstream.authority import Authority
from tests.upstream.scripted import FIN, OK, Names, Rig, Step, Upstream, settings_for, sized, turn


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def rig_for(upstream: Upstream, trusted: ssl.SSLContext | None) -> Rig:
    rig = Rig(settings_for(f"https://localhost:{upstream.port}"))
    if trusted is not None:
        rig.client.trust(trusted)
    return rig


async def test_a_server_with_a_good_certificate_answers_and_is_asked_for_by_name(authority: Authority) -> None:
    names: list[str | None] = []
    async with Upstream(tls=authority.server("localhost", asked_for=names.append)) as upstream:
        async with rig_for(upstream, authority.client) as rig:
            assert await rig.ask() == (200, b'{"ok":true}')
            assert await rig.ask() == (200, b'{"ok":true}')
            assert rig.attempt.reused
        assert names == ["localhost"]
        assert b"\r\nhost: localhost:%d\r\n" % upstream.port in upstream.requests[0]


async def refused(upstream: Upstream, trusted: ssl.SSLContext | None) -> None:
    async with rig_for(upstream, trusted) as rig:
        with pytest.raises(UpstreamUnreachable) as caught:
            await rig.send()
        assert caught.value.try_elsewhere
        assert rig.client.open == 0
    assert upstream.requests == []
    await upstream.until_left()


async def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    async with Upstream(tls=authority.server("localhost", expired=True)) as upstream:
        await refused(upstream, authority.client)


async def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    async with Upstream(tls=authority.server("other.example")) as upstream:
        await refused(upstream, authority.client)


async def test_a_self_signed_certificate_is_refused(authority: Authority) -> None:
    async with Upstream(tls=authority.server("localhost", self_signed=True)) as upstream:
        await refused(upstream, authority.client)


async def test_an_authority_nobody_knows_is_refused_by_default(authority: Authority) -> None:
    async with Upstream(tls=authority.server("localhost")) as upstream:
        await refused(upstream, None)


async def test_an_old_protocol_is_refused(authority: Authority) -> None:
    context = authority.server("localhost")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Upstream(tls=context) as upstream:
        await refused(upstream, authority.client)


async def test_a_server_that_speaks_no_tls_is_refused(authority: Authority) -> None:
    async with Upstream(greeting=[OK]) as upstream:
        await refused(upstream, authority.client)


async def test_a_handshake_that_stalls_is_slow_and_ends(authority: Authority) -> None:
    silent = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    rig = Rig(settings_for(f"https://localhost:{silent.sockets[0].getsockname()[1]}"), resolver=Names("127.0.0.1"))
    rig.client.trust(authority.client)
    async with rig, asyncio.TaskGroup() as group:
        sending = group.create_task(failure_of(rig))
        await turn()
        rig.pass_time(1.0)
        assert type(await sending) is UpstreamSlow
        assert rig.client.open == 0
    silent.close()


async def failure_of(rig: Rig) -> UpstreamError:
    try:
        await rig.send()
    except UpstreamError as error:
        return error
    raise AssertionError("it did not fail")


async def test_the_host_is_part_of_what_may_share_a_connection(authority: Authority) -> None:
    """A connection that was verified for one name never serves another, though the address is the same."""
    async with Upstream(tls=authority.server("localhost")) as upstream, rig_for(upstream, authority.client) as rig:
        await rig.ask()
        other = origin_of(f"https://127.0.0.1:{upstream.port}")
        assert rig.client.pool(other).take() is None
        with pytest.raises(UpstreamUnreachable):
            await rig.client.pool(other).connect(1.0)
        assert rig.idle == 1


async def test_a_renewed_certificate_costs_no_request(authority: Authority) -> None:
    async with Upstream(tls=authority.server("localhost")) as upstream, rig_for(upstream, authority.client) as rig:
        await rig.ask()
        port = upstream.port
        upstream.stop_listening()
        async with Upstream(tls=authority.server("localhost"), port=port) as renewed:
            assert await rig.ask() == (200, b'{"ok":true}')
            upstream.last.play([FIN])
            await upstream.until_left()
            assert await rig.ask() == (200, b'{"ok":true}')
            assert len(renewed.requests) == 1


async def test_framing_holds_over_tls_as_well(authority: Authority) -> None:
    script: list[Step] = [b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi", FIN]
    upstream = Upstream(script, sized(b"hi"), tls=authority.server("localhost"))
    async with upstream, rig_for(upstream, authority.client) as rig:
        with pytest.raises(UpstreamTruncated):
            await rig.send()
        assert await rig.ask() == (200, b"hi")
