"""A connection on loan: what passes to the one who has it, what doesn't, and when it is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import GatewayError, MalformedHttp, ReceiveTimeout, TooLarge
from gateway.exchange import Call
from gateway.server import routes
from gateway.server.head import Head
from gateway.server.loan import Loan
from gateway.server.protocol import LINGER_BYTES, CallerConnection
from gateway.settings.shape import Caps
from tests.doubles.inside import Inside, backend, settings_for
from tests.server.desk import Wire

HEAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: a\r\n\r\n"
CAPS = Caps(json_bytes=1000)


class Borrower(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class Lent:
    """A loan with everything around it."""

    def __init__(self, inside: Inside, *, length: int | None = 10, path: str = "/v1/audio/transcriptions") -> None:
        connection = inside.door.connection()
        assert isinstance(connection, CallerConnection)
        self.wire = Wire()
        connection.connection_made(self.wire)
        method = "GET" if path.endswith("realtime") else "POST"
        call = Call(method=method, path=path, query="", headers={})
        head = Head(method, path, "", {}, length, length is None, True, False, False)
        self.loan = Loan(inside.door, connection, self.wire, call, routes.find(method, path), head)
        inside.door.guests.replace(connection, self.loan)
        inside.door._handover.open += 1
        self.borrower = Borrower()

    def begin(self) -> None:
        self.loan.begin(self.borrower, HEAD)


@asynccontextmanager
async def lending() -> AsyncIterator[Inside]:
    """A gateway whose loans are over when the test is."""
    settings = settings_for({"m": [backend("b", "http://127.0.0.1:9")]}, caps=CAPS)
    async with Inside(settings, sweeps=False) as inside:
        yield inside
        for guest in inside.door.guests:
            assert isinstance(guest, Loan)
            guest.connection_lost(None)


async def test_the_borrower_hears_the_head_and_the_body_and_no_byte_more() -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.loan.data_received(b"0123")
        lent.begin()
        lent.loan.data_received(b"4567")
        lent.loan.data_received(b"89GET / HTTP/1.1\r\n\r\n")
        lent.loan.data_received(b"more")
        assert (lent.borrower.told, lent.borrower.received) == (["made"], HEAD + b"0123456789")


async def test_a_chunked_body_passes_as_it_came_and_ends_where_it_ends() -> None:
    async with lending() as inside:
        lent = Lent(inside, length=None)
        lent.begin()
        body = b"3;e\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
        for byte in body + b"GET /":
            lent.loan.data_received(bytes([byte]))
        assert lent.borrower.received == HEAD + body


async def test_a_session_has_no_end() -> None:
    async with lending() as inside:
        lent = Lent(inside, length=None, path="/v1/realtime")
        lent.begin()
        lent.loan.data_received(b"\x81\x05hello" * 1000)
        assert lent.borrower.received == HEAD + b"\x81\x05hello" * 1000


async def test_a_paused_caller_is_a_paused_borrower() -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.loan.pause_writing()
        lent.loan.resume_writing()
        lent.loan.pause_writing()
        lent.begin()
        lent.loan.resume_writing()
        lent.loan.pause_writing()
        assert lent.borrower.told == ["made", "pause", "resume", "pause"]


async def test_a_fin_ends_the_loan_and_the_borrower_hears_of_it_once() -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.begin()
        assert lent.loan.eof_received() is False
        assert (lent.wire.ended, lent.loan.under_way) == ("abort", True)
        lent.loan.connection_lost(None)
        lent.loan.connection_lost(None)
        assert (lent.borrower.told, lent.loan.under_way, inside.door.open) == (["made", "lost"], False, 0)


async def test_a_loan_that_ended_before_it_began_never_begins() -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.loan.connection_lost(None)
        lent.begin()
        lent.loan.resume()
        assert lent.borrower.told == []


# --- the body ---------------------------------------------------------------------------------------------------------


async def failing(lent: Lent, fed: bytes) -> GatewayError:
    """What somebody who is reading is told when these bytes come."""
    never = asyncio.get_running_loop().create_future()

    async def read() -> None:
        asyncio.get_running_loop().call_soon(lent.loan.data_received, fed)
        await never

    with pytest.raises(GatewayError) as refused:
        await lent.loan.reading(read)
    return refused.value


@pytest.mark.parametrize(("fed", "kind"), [(b"zz\r\n", MalformedHttp), (b"3e9\r\n", TooLarge)])
async def test_who_reads_a_bad_body_is_told_what_was_wrong_with_it(fed: bytes, kind: type[GatewayError]) -> None:
    async with lending() as inside:
        lent = Lent(inside, length=None)
        lent.begin()
        assert isinstance(await failing(lent, fed), kind)
        assert lent.borrower.received == HEAD
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_who_comes_to_read_a_bad_body_later_is_told_too() -> None:
    async with lending() as inside:
        lent = Lent(inside, length=None)
        lent.begin()
        lent.loan.data_received(b"zz\r\n")

        async def read() -> None:
            raise AssertionError

        with pytest.raises(MalformedHttp):
            await lent.loan.reading(read)


async def test_what_follows_a_refusal_is_thrown_away_up_to_a_limit() -> None:
    async with lending() as inside:
        lent = Lent(inside, length=None)
        lent.begin()
        await failing(lent, b"zz\r\n")
        piece = bytes(1 << 20)
        for _ in range(LINGER_BYTES // len(piece)):
            lent.loan.data_received(piece)
        assert (lent.borrower.received, lent.wire.ended) == (HEAD, "")
        lent.loan.data_received(b"x")
        assert lent.wire.ended == "abort"


async def test_a_reader_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.begin()
        never = asyncio.get_running_loop().create_future()

        async def read() -> None:
            await never

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lent.loan.reading(read)


async def test_reading_gives_what_was_read() -> None:
    async with lending() as inside:

        async def read() -> str:
            return "a form"

        assert await Lent(inside).loan.reading(read) == "a form"


# --- time -------------------------------------------------------------------------------------------------------------


async def test_a_body_has_its_deadline_and_one_that_is_here_has_none() -> None:
    async with lending() as inside:
        late, whole = Lent(inside), Lent(inside)
        for lent in (late, whole):
            lent.begin()
        whole.loan.data_received(b"0123456789")
        overdue = inside.clock.monotonic() + inside.settings.deadlines.body_s + 1.0
        for lent in (late, whole):
            lent.loan.sweep(overdue - 2.0)
        loop = asyncio.get_running_loop()

        async def read() -> None:
            loop.call_soon(late.loan.sweep, overdue)
            await loop.create_future()

        with pytest.raises(ReceiveTimeout):
            await late.loan.reading(read)
        whole.loan.sweep(overdue + 1e6)
        assert (late.wire.ended, whole.wire.ended) == ("", "")


async def test_a_session_ends_when_nobody_has_spoken_for_too_long() -> None:
    async with lending() as inside:
        lent = Lent(inside, length=None, path="/v1/realtime")
        lent.begin()
        idle_s = inside.settings.deadlines.idle_s
        lent.loan.sweep(inside.clock.monotonic() + idle_s - 1.0)
        assert lent.wire.ended == ""
        lent.loan.sweep(inside.clock.monotonic() + idle_s + 1.0)
        assert lent.wire.ended == "abort"


@pytest.mark.parametrize("why", ["paused", "closing"])
async def test_a_caller_who_stands_still_ends_the_loan(why: str) -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.begin()
        lent.loan.data_received(b"0123456789")
        lent.wire.unsent = 1000
        if why == "paused":
            lent.loan.pause_writing()
        else:
            lent.loan.hang_up()
            lent.loan.sweep(inside.clock.monotonic())
        now = inside.clock.monotonic()
        lent.loan.sweep(now + inside.settings.deadlines.write_stall_s - 1.0)
        assert lent.wire.ended != "abort"
        lent.loan.sweep(now + inside.settings.deadlines.write_stall_s + 1.0)
        assert lent.wire.ended == "abort"


async def test_a_loan_is_finished_by_its_one_exchange() -> None:
    async with lending() as inside:
        lent = Lent(inside)
        lent.begin()
        lent.loan.finish()
        assert (lent.wire.ended, lent.loan.under_way) == ("", True)
