"""TLS: handshakes, those that never end, and what came with their last packet."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.server.arrival import Arrival, Begun
from gateway.server.protocol import CallerConnection
from gateway.settings.shape import Caps, Deadlines
from tests.doubles.caller import Caller, chat, request
from tests.doubles.inside import Inside, backend, settings_for
from tests.upstream.authority import Authority

B = backend("b", "http://127.0.0.1:9")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secure(authority: Authority, *, caps: Caps | None = None, deadlines: Deadlines | None = None) -> Inside:
    return Inside(settings_for({"m": [B]}, caps=caps, deadlines=deadlines), context=authority.server("localhost"))


async def test_a_secure_connection_is_served_like_any_other(authority: Authority) -> None:
    async with MockServer() as upstream:
        inside = Inside(settings_for({"m": [backend("b", upstream.url)]}), context=authority.server("localhost"))
        async with inside, Caller(inside.port, context=authority.client) as caller:
            for stream in (False, True):
                caller.send(request(chat(stream=stream)))
                heard = await caller.answer()
                assert (heard.status, heard.whole) == (200, True)
            await inside.until(lambda settled: len(settled) == 2)
            assert all(exchange.call.secure for exchange in inside.settled)
            assert all(exchange.call.address == "127.0.0.1" for exchange in inside.settled)


async def test_a_request_in_the_handshakes_last_packet_is_not_lost(authority: Authority) -> None:
    await first_words(authority)


async def first_words(authority: Authority) -> None:
    """By memory, so that the client's Finished and its request travel in one write."""
    async with secure(authority) as inside:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", inside.port)
        async with asyncio.timeout(10):
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))
            tls.write(request(path="/healthz", method="GET") * 2)
            writer.write(outgoing.read())
            heard = b""
            while heard.count(b'{"status":"ok"}') < 2:
                try:
                    heard += tls.read(65536)
                except ssl.SSLWantReadError:
                    incoming.write(await reader.read(65536))
        writer.close()
        await inside.until_alone()


async def test_many_may_shake_hands_at_once(authority: Authority) -> None:
    async with secure(authority) as inside:

        async def ask() -> int:
            async with Caller(inside.port, context=authority.client) as caller:
                caller.send(request(path="/healthz", method="GET"))
                return (await caller.answer()).status

        assert await asyncio.gather(*(ask() for _ in range(30))) == [200] * 30
        await inside.until_alone()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"], ids=["nothing", "half a hello"])
async def test_a_handshake_that_never_ends_is_ended(authority: Authority, said: bytes) -> None:
    async with secure(authority, deadlines=Deadlines(tls_s=0.1)) as inside, Caller(inside.port) as caller:
        caller.send(said)
        heard = await caller.ends()
        assert heard.wire == b""
        await inside.until_alone()


async def test_no_tls_on_a_tls_port_is_no_connection(authority: Authority) -> None:
    async with secure(authority) as inside, Caller(inside.port) as caller:
        caller.send(request(path="/healthz", method="GET"))
        heard = await caller.ends()
        assert b"HTTP/1.1" not in heard.wire
        await inside.until_alone()
        assert inside.settled == []


@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_who_leaves_in_the_middle_of_his_handshake_is_counted_no_longer(authority: Authority, how: str) -> None:
    async with secure(authority) as inside, Caller(inside.port) as caller:
        caller.send(b"\x16\x03\x01")
        await inside.until_so(lambda: inside.door.open == 1)
        if how == "closes":
            caller.writer.close()
        else:
            caller.reset()
        await inside.until_alone()


async def test_handshakes_count_as_connections(authority: Authority) -> None:
    async with secure(authority, caps=Caps(connections=2)) as inside, Caller(inside.port) as first, Caller(inside.port):
        await inside.until_so(lambda: inside.door.open == 2)
        async with Caller(inside.port) as third:
            assert (await third.ends()).wire == b""
        await first.close()
        await inside.until_so(lambda: inside.door.open == 1)
        async with Caller(inside.port, context=authority.client) as fourth:
            fourth.send(request(path="/healthz", method="GET"))
            assert (await fourth.answer()).status == 200
            assert inside.door.open == 2


async def test_a_tls_caller_who_leaves_is_worked_for_no_longer(authority: Authority) -> None:
    async with MockServer(MockOptions(ttft_s=60.0)) as upstream:
        inside = Inside(settings_for({"m": [backend("b", upstream.url)]}), context=authority.server("localhost"))
        async with inside, Caller(inside.port, context=authority.client) as caller:
            caller.send(request(chat()))
            await upstream.until(lambda ledger: len(ledger.requests) == 1)
            left_at = upstream.clock.monotonic()
            caller.writer.transport.abort()
            await upstream.until(lambda ledger: ledger.last.left_at is not None, 2.5)
            assert upstream.ledger.last.left_at is not None
            assert upstream.ledger.last.left_at - left_at < 0.25


async def test_a_tls_caller_who_reads_nothing_is_seen_below_the_tls(authority: Authority) -> None:
    """uvloop encrypts all of an answer at once: what he hasn't taken waits in the transport below."""
    async with MockServer(MockOptions(tokens=1_000_000)) as upstream:
        settings = settings_for({"m": [backend("b", upstream.url)]}, deadlines=Deadlines(write_stall_s=0.2, idle_s=0.1))
        async with (
            Inside(settings, context=authority.server("localhost")) as inside,
            Caller(inside.port, context=authority.client, receive_bytes=8192) as caller,
        ):
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
            caller.send(request(chat()))
            await inside.until(lambda settled: len(settled) == 1)
            (connection,) = inside.door.guests
            assert isinstance(connection, CallerConnection)
            assert connection.unread.size > 1_000_000
            await inside.until_alone()


async def test_an_answer_that_ends_a_tls_connection_arrives_whole(authority: Authority) -> None:
    async with MockServer(MockOptions(tokens=300_000)) as upstream:
        settings = settings_for({"m": [backend("b", upstream.url)]}, deadlines=Deadlines(linger_s=0.1))
        async with (
            Inside(settings, context=authority.server("localhost")) as inside,
            Caller(inside.port, context=authority.client, receive_bytes=16384) as caller,
        ):
            caller.send(request(chat(), headers={"connection": "close"}))
            async with asyncio.timeout(20):
                head = await caller.reader.readuntil(b"\r\n\r\n")
                body = await caller.reader.read()
            assert b"content-length: %d\r\n" % len(body) in head


async def test_a_handshake_is_not_waited_for_when_the_door_closes(authority: Authority) -> None:
    async with secure(authority) as inside, Caller(inside.port) as caller:
        caller.send(b"\x16\x03\x01")
        await inside.until_so(lambda: inside.door.open == 1)
        inside.sweeper.sweep(inside.clock.monotonic() + 1e6)
        assert inside.door.open == 1
        inside.door.drain()
        await inside.door.done()
        await inside.until_alone()


async def test_an_end_that_comes_while_the_connection_changes_hands_is_passed_on(authority: Authority) -> None:
    async with secure(authority) as inside, Caller(inside.port, context=authority.client):
        await inside.until_so(lambda: any(isinstance(guest, CallerConnection) for guest in inside.door.guests))
        (connection,) = inside.door.guests
        assert isinstance(connection, CallerConnection)
        arrival = Arrival(inside.door, authority.server("localhost"))
        arrival._connection = connection
        arrival.connection_lost(None)
        assert (inside.door.open, connection.under_way) == (0, False)


def test_the_first_request_is_served_on_a_loop_that_tells_of_it_early_too(authority: Authority) -> None:
    """asyncio's own loop gives the handshake's waiter no turn before it reads on."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(first_words(authority))


async def test_a_begun_coroutine_goes_on_where_it_is_awaited() -> None:
    loop = asyncio.get_running_loop()
    steps: list[str] = []

    async def work() -> str:
        steps.append("first")
        future = loop.create_future()
        loop.call_soon(future.set_result, "second")
        steps.append(await future)
        await asyncio.sleep(0)
        return "third"

    begun = Begun(work())
    assert steps == ["first"]
    assert await begun == "third"
    assert steps == ["first", "second"]


async def test_a_begun_coroutine_is_cancelled_with_its_waiter() -> None:
    future = asyncio.get_running_loop().create_future()
    ended: list[str] = []

    async def work() -> None:
        try:
            await future
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def wait(begun: Begun[None]) -> None:
        await begun

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wait(Begun(work()))
    assert ended == ["cancelled"]
