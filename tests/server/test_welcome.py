"""The same head again is not looked at again; but a reload that takes a key away is noticed, and so is its expiry."""

import asyncio

from gateway.clock import HandClock
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.settings.shape import Caller
from gateway.stages.authenticate import Keys
from tests.doubles.inside import CALLER, KEY, Inside, backend, settings_for

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer %b\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (KEY.encode(), len(BODY), BODY)
)


class Kept:
    """One kept-open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def status(self, request: bytes = REQUEST) -> int:
        """The status of one more request; its answer is read to its end."""
        self._writer.write(request)
        async with asyncio.timeout(10):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await self._reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def test_a_key_that_a_reload_takes_away_is_refused_on_a_connection_that_had_it() -> None:
    async with MockServer(MockOptions()) as up, Inside(settings_for({"m": [backend("a", up.url)]})) as gateway:
        kept = Kept(*await asyncio.open_connection("127.0.0.1", gateway.port))
        assert [await kept.status(), await kept.status()] == [200, 200]
        fields = {name: getattr(gateway.runtime, name) for name in gateway.runtime.__struct_fields__}
        gateway.door.use(type(gateway.runtime)(**{**fields, "keys": Keys((), "")}))
        assert await kept.status() == 401
        await kept.close()


async def test_a_key_that_expires_is_refused_on_a_connection_that_had_it() -> None:
    clock = HandClock()
    caller = Caller(CALLER.name, CALLER.team, CALLER.digest, expires_at=clock.wall() + 60)
    async with (
        MockServer(MockOptions()) as up,
        Inside(settings_for({"m": [backend("a", up.url)]}, callers=(caller,)), clock) as gateway,
    ):
        kept = Kept(*await asyncio.open_connection("127.0.0.1", gateway.port))
        assert [await kept.status(), await kept.status()] == [200, 200]
        clock.advance(61)
        assert await kept.status() == 401
        await kept.close()


async def test_another_length_is_read_and_capped_as_at_the_first_time() -> None:
    async with MockServer(MockOptions()) as up, Inside(settings_for({"m": [backend("a", up.url)]})) as gateway:
        kept = Kept(*await asyncio.open_connection("127.0.0.1", gateway.port))
        longer = BODY[:-1] + b', "max_tokens": 3}'
        again = REQUEST.replace(b"length: %d" % len(BODY), b"length: %d" % len(longer)).replace(BODY, longer)
        assert [await kept.status(), await kept.status(again), await kept.status()] == [200, 200, 200]
        assert [exchange.bytes_in for exchange in gateway.settled] == [len(BODY), len(longer), len(BODY)]
        huge = REQUEST.partition(b"content-length")[0] + b"content-length: %d\r\n\r\n" % (10**9)
        assert await kept.status(huge) == 413
        await kept.close()
