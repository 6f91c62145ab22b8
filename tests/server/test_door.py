"""The door: who may come in, who is told to go, and how it closes."""

import asyncio

import orjson
from msgspec.structs import replace

from gateway.errors import Bug, Overloaded
from gateway.exchange import Exchange
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.pipeline import Runtime
from gateway.server.protocol import CallerConnection
from gateway.settings.shape import Caps, Deadlines, Listen, TrustedProxy
from gateway.stages.settle import Settler
from gateway.upstream.catalogue import Catalogue
from gateway.upstream.prices import Prices
from tests.doubles.caller import Caller, chat, request
from tests.doubles.inside import Inside, backend, settings_for
from tests.server.desk import Wire, settle_down

B = backend("b", "http://127.0.0.1:9")
SETTINGS = settings_for({"m": [B]})
HEALTH = request(path="/healthz", method="GET")


def come(inside: Inside) -> tuple[CallerConnection, Wire]:
    """A caller from 203.0.113.7, without a socket."""
    connection, wire = inside.door.connection(), Wire()
    assert isinstance(connection, CallerConnection)
    connection.connection_made(wire)
    return connection, wire


async def test_one_address_may_have_so_many_connections_and_is_told_when_there_are_too_many() -> None:
    async with Inside(settings_for({"m": [B]}, caps=Caps(per_address=2))) as inside:
        first, _ = come(inside)
        come(inside)
        third, wire = come(inside)
        assert wire.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"x-request-id: req_" in wire.written
        assert b"connection: close\r\n" in wire.written
        assert orjson.loads(wire.written.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"
        assert wire.ended == "eof"
        assert isinstance(inside.settled[0].error, Overloaded)
        first.connection_lost(None)
        third.connection_lost(None)
        fourth, wire = come(inside)
        assert (wire.written, fourth.under_way) == (b"", True)


async def test_trusted_proxies_may_have_as_many_as_there_is_room_for() -> None:
    settings = replace(
        settings_for({"m": [B]}, caps=Caps(per_address=1)), trusted_proxies=(TrustedProxy("203.0.113.0/24"),)
    )
    async with Inside(settings) as inside:
        assert [come(inside)[1].written for _ in range(3)] == [b""] * 3


async def test_the_process_has_a_limit_for_everyone() -> None:
    async with (
        Inside(settings_for({"m": [B]}, caps=Caps(connections=2))) as inside,
        Caller(inside.port) as first,
        Caller(inside.port),
    ):
        await inside.until_so(lambda: inside.door.open == 2)
        async with Caller(inside.port) as third:
            third.send(HEALTH)
            heard = await third.ends()
            assert (heard.status, heard.ending) == (503, "fin")
            assert heard.headers["retry-after"] == "2"
        await first.close()
        await inside.until_so(lambda: inside.door.open == 1)
        async with Caller(inside.port) as fourth:
            fourth.send(HEALTH)
            assert (await fourth.answer()).status == 200


async def test_connections_are_counted_right_however_they_end() -> None:
    async with MockServer(MockOptions(tpot_s=0.01, tokens=10_000)) as upstream:
        deadlines = Deadlines(headers_s=0.1, idle_s=0.1, linger_s=0.1, body_s=0.1)
        settings = settings_for({"m": [backend("b", upstream.url)]}, deadlines=deadlines, caps=Caps(connections=1))
        async with Inside(settings) as inside:
            endings: dict[str, bytes] = {
                "nothing": b"",
                "half a head": HEALTH[:9],
                "half a body": request(chat())[:-3],
                "malformed": b"\r\n\r\n",
                "refused": request(chat(), path="/v1/nothing")[:-3],
                "answered and closed": request(path="/healthz", method="GET", headers={"connection": "close"}),
                "answered and idle": HEALTH,
                "left while reading": request(chat(stream=True)),
            }
            for name, sent in endings.items():
                async with Caller(inside.port) as caller:
                    caller.send(sent)
                    if name == "left while reading":
                        await caller.hears(b"data: ")
                        caller.reset()
                    else:
                        await caller.ends()
                await inside.until_alone()
                assert len(inside.sweeper) == inside.client.open, name


async def test_many_above_the_limit_are_closed_without_a_word() -> None:
    async with Inside(settings_for({"m": [B]}, caps=Caps(connections=0))) as inside:
        wires = [come(inside)[1] for _ in range(300)]
        assert sum(wire.ended == "abort" for wire in wires) == 44
        assert sum(b"503" in wire.written for wire in wires) == 256


async def test_ids_are_never_given_twice_nor_by_two_workers() -> None:
    async with Inside(SETTINGS) as one, Inside(SETTINGS) as other:
        ids = [inside.door.new_id() for inside in (one, other) for _ in range(1000)]
        assert len(set(ids)) == 2000
        assert all(8 <= len(number) <= 64 for number in ids)


# --- closing ----------------------------------------------------------------------------------------------------------


async def test_drain_ends_what_is_idle_and_finishes_what_is_not() -> None:
    async with (
        MockServer(MockOptions(tpot_s=0.01, tokens=20)) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside,
        Caller(inside.port) as idle,
        Caller(inside.port) as busy,
        Caller(inside.port) as sending,
    ):
        idle.send(HEALTH)
        await idle.answer()
        busy.send(request(chat(stream=True)))
        await busy.hears(b"data: ")
        upload = request(chat())
        sending.send(upload[:-5])
        await inside.until_heard(len(HEALTH + upload) - 5 + len(request(chat(stream=True))))
        inside.door.drain()
        assert (await idle.ends()).ending == "fin"
        done = asyncio.ensure_future(inside.door.done())  # noqa: TID251  (it must wait while the test goes on)
        await settle_down(5)
        assert not done.done()
        sending.send(upload[-5:])
        answered = await sending.ends()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert (await busy.ends()).wire.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        async with asyncio.timeout(10):
            await done
        for caller in (idle, busy, sending):
            await caller.close()
        began = inside.clock.monotonic()
        await inside.door.flushed()
        assert inside.clock.monotonic() - began < inside.settings.deadlines.linger_s / 2
        assert inside.door.open == 0


async def test_whoever_keeps_his_end_open_is_not_waited_for_longer_than_lingering_lasts() -> None:
    async with (
        Inside(settings_for({"m": [B]}, deadlines=Deadlines(linger_s=0.05)), sweeps=False) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(request(path="/healthz", method="GET", headers={"connection": "close"}))
        await caller.ends()
        async with asyncio.timeout(0.5):
            await inside.door.done()
            await inside.door.flushed()
        assert inside.door.open == 1
        inside.door.abort()
        await inside.until_alone()


async def test_abort_ends_everything_and_settles_it() -> None:
    async with (
        MockServer(MockOptions(ttft_s=60.0)) as upstream,
        Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(request(chat()))
        await upstream.until(lambda ledger: len(ledger.requests) == 1)
        assert inside.door.busy == 1
        inside.door.abort()
        async with asyncio.timeout(10):
            await inside.door.done()
        assert (inside.door.busy, inside.settled[0].left) == (0, True)
        await caller.ends()


# --- bugs and reloads -------------------------------------------------------------------------------------------------


class Broken:
    """Somebody who is told of settlements and fails."""

    def settle(self, exchange: Exchange) -> None:
        raise ZeroDivisionError


def changed(inside: Inside, **fields: object) -> Runtime:
    return replace(inside.runtime, **fields)


async def test_a_settlement_that_fails_is_told_and_hurts_nobody_else() -> None:
    async with MockServer() as upstream, Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside:
        inside.door.use(changed(inside, settler=Settler(Prices(), (Broken(),))))
        async with Caller(inside.port) as first:
            first.send(request(chat()))
            await first.ends()
            await inside.until_so(lambda: len(inside.bugs) == 1)
        assert isinstance(inside.bugs[0], ZeroDivisionError)
        inside.door.use(inside.runtime)
        async with Caller(inside.port) as second:
            second.send(request(chat()))
            assert (await second.answer()).status == 200
        await inside.until_alone()
        assert inside.door.busy == 0


class Unlistable(Catalogue):
    """A catalogue that can't say what is in it."""

    @property
    def names(self) -> list[str]:
        raise ZeroDivisionError


async def test_a_bug_in_an_answer_of_our_own_is_an_answer() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        inside.door.use(changed(inside, catalogue=Unlistable(SETTINGS)))
        caller.send(request(path="/v1/models", method="GET"))
        heard = await caller.answer()
        assert (heard.status, heard.headers["x-should-retry"]) == (500, "false")
        assert [type(error) for error in inside.bugs] == [ZeroDivisionError]
        assert isinstance(inside.settled[0].error, Bug)


async def test_a_reload_applies_to_the_next_request_of_an_open_connection() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        caller.send(HEALTH)
        assert (await caller.answer()).status == 200
        stricter = settings_for({"m": [B]}, caps=Caps(uri_bytes=5), listen=Listen(names=("gw.example",)))
        inside.door.use(changed(inside, settings=stricter))
        caller.send(HEALTH)
        assert (await caller.answer()).status == 414
