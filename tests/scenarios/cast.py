"""The cast of a scenario: a gateway, scripted providers behind it, and callers who hear every byte.

async with scene("500", "") as on:              # the first provider breaks, the second is well
    heard = await on.caller_hears(stream=True)
assert heard.text == WORDS
assert on.tries() == [("first", "upstream_invalid_response"), ("second", "answered")]
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import orjson

from gateway.clock import Clock, HandClock, RealClock
from gateway.exchange import Exchange
from gateway.mock.faults import Standing
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.routing.policy import Policy
from gateway.settings.shape import Backend, Caller, Caps, Provider, Timeouts
from gateway.upstream.health import Health
from gateway.upstream.pool import origin_of
from tests.doubles.inside import CALLER, KEY, PROVIDER, Inside, backend, settings_for
from tests.doubles.mock_caller import CHAT, Heard, chat, request
from tests.doubles.mock_transport import turn

CEILING_S = 10.0
NAMES = ("first", "second", "third", "fourth")
MODEL = "story"
# What the stand-in says to a request of 16 tokens.
WORDS = "This is the stand-in model mock-model; no language model is behind it, so here are more"
# Small, so that an event above the limit is quickly made.
CAPS = Caps(event_bytes=64 * 1024)


def draws(seed: int) -> Iterator[int]:
    """64-bit integers without end, the same for the same seed (splitmix64)."""
    state = seed
    mask = (1 << 64) - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        yield mixed ^ (mixed >> 31)


def asked(
    *, key: str = KEY, path: str = CHAT, headers: Mapping[str, str] | None = None, close: bool = False, **fields: object
) -> bytes:
    """The bytes of a chat for the gateway; a field that is None is left out."""
    named = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
    if close:
        named["connection"] = "close"
    said = {name: value for name, value in chat(**{"model": MODEL, **fields}).items() if value is not None}
    return request(said, path=path, headers=named)


class Line:
    """One caller's connection to the gateway."""

    def __init__(self, port: int, receive_bytes: int = 0) -> None:
        self._port = port
        self._receive_bytes = receive_bytes
        self.received = b""

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        if self._receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        self._reader, self._writer = await asyncio.open_connection(sock=sock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def leave(self) -> None:
        """FIN, as a client does that gives up."""
        self._writer.close()

    def vanish(self) -> None:
        """RST where something is unread, as a killed client does."""
        self._writer.transport.abort()

    async def hears(self, part: bytes) -> bytes:
        """Everything up to these bytes and with them; what follows stays for later."""
        async with asyncio.timeout(CEILING_S):
            while part not in self.received:
                data = await self._reader.read(65536)
                assert data, f"the connection ended before {part!r}: {self.received!r}"
                self.received += data
        start, found, self.received = self.received.partition(part)
        return start + found

    async def some(self, size: int) -> None:
        """About so many bytes, or all there are."""
        async with asyncio.timeout(CEILING_S):
            while len(self.received) < size and (data := await self._reader.read(1024)):
                self.received += data

    async def answer(self) -> Heard:
        """The next answer that has a length or chunks; the connection stays."""
        head = await self.hears(b"\r\n\r\n")
        length = Heard(head, "open").headers.get("content-length")
        if length is None:
            return Heard(head + await self.hears(b"\r\n0\r\n\r\n"), "open")
        async with asyncio.timeout(CEILING_S):
            while len(self.received) < int(length):
                data = await self._reader.read(65536)
                assert data, f"the connection ended within a body: {self.received!r}"
                self.received += data
        body, self.received = self.received[: int(length)], self.received[int(length) :]
        return Heard(head + body, "open")

    async def ends(self) -> Heard:
        """Everything until the gateway ends the connection."""
        ending, parts = "fin", [self.received]
        async with asyncio.timeout(CEILING_S):
            try:
                while data := await self._reader.read(1 << 20):
                    parts.append(data)
            except ConnectionResetError:
                ending = "rst"
        return Heard(b"".join(parts), ending)


class RawProvider:
    """A provider that answers each request by its script, which is given the request's body and where to write.

    The connection stays, unless the script raises OSError.
    """

    def __init__(self, script: "Script") -> None:
        self._script = script
        self.requests = 0
        self.connections = 0
        self.asked = asyncio.Event()
        self.said = asyncio.Event()
        self.go = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go.set()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                self.requests += 1
                self.asked.set()
                await self._script(self, body, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


Script = Callable[[RawProvider, bytes, asyncio.StreamWriter], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(content: str | None = None, finish: str | None = None, **more: object) -> bytes:
    """One event of a chat stream."""
    delta = {} if content is None else {"content": content}
    fields = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: %b\n\n" % orjson.dumps({**fields, "choices": choices, **more})


def plays(*parts: bytes, keep: bool = True) -> Script:
    """A script that writes these bytes and keeps the connection, or closes it."""

    async def script(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        del body
        for part in parts:
            writer.write(part)
            await writer.drain()
        provider.said.set()
        if not keep:
            raise ConnectionResetError

    return script


class Scene:
    """A gateway with its stand-ins, the first named `first`."""

    def __init__(self, gateway: Inside, providers: Sequence[MockServer]) -> None:
        self.gateway = gateway
        self.providers = providers
        self.origins = {origin_of(url) for row in gateway.settings.backends.values() for url in row.base_urls}

    @property
    def first(self) -> MockServer:
        return self.providers[0]

    @property
    def second(self) -> MockServer:
        return self.providers[1]

    def line(self, receive_bytes: int = 0) -> Line:
        return Line(self.gateway.port, receive_bytes)

    async def caller_hears(
        self, *, key: str = KEY, path: str = CHAT, headers: Mapping[str, str] | None = None, **fields: object
    ) -> Heard:
        """One request on a connection of its own, and all that came back; settled by then."""
        async with self.line() as line:
            line.send(asked(key=key, path=path, headers=headers, close=True, **fields))
            heard = await line.ends()
        mine = heard.headers["x-request-id"]
        await self.gateway.until(lambda settled: any(exchange.call.request_id == mine for exchange in settled))
        return heard

    @property
    def exchange(self) -> Exchange:
        """The only exchange there was."""
        [exchange] = self.gateway.settled
        return exchange

    def tries(self) -> list[tuple[str, str]]:
        """Where the only exchange went, and what came of each attempt."""
        return [(attempt.target.backend.name, attempt.outcome) for attempt in self.exchange.attempts]

    def failures(self, name: str = "first") -> int:
        """How often this provider's health was charged."""
        return self.gateway.health.row(name).failed

    def forgives(self) -> None:
        """Let no provider be away for what it did before."""
        health, now = self.gateway.health, self.gateway.clock.monotonic()
        fresh = Health(self.gateway.settings.backends, self.gateway.settings.models)
        health._cooling.clear()
        for name, record in fresh._records.items():
            known = health._records[name]
            known.outlier, known.until, known.cooling = record.outlier, record.until, record.cooling
            known.cap, known.throttle, known.load.most = record.cap, record.throttle, record.load.most
            health._take_back(known, now)

    def idle(self, provider: MockServer) -> int:
        """Connections to this provider that wait in the pool."""
        return self.gateway.client.idle(origin_of(provider.url))

    async def is_kept(self, provider: MockServer) -> None:
        """Wait until a connection to this provider is free again."""
        await provider.until(lambda _: self.idle(provider) == 1)

    def passes(self, seconds: float) -> None:
        """Let so much time pass, on a clock moved by hand."""
        assert isinstance(self.gateway.clock, HandClock)
        self.gateway.clock.advance(seconds)
        self.gateway.sweeper.sweep(self.gateway.clock.monotonic())

    async def at_rest(self) -> None:
        """Wait until nothing is under way: each provider has no connection but those that wait in the pool."""
        for provider in self.providers:
            await self._has_let_go(provider)
        async with asyncio.timeout(CEILING_S):
            # A dial that was given up leaves no trace at a provider that never saw it.
            while self.gateway.client.open > sum(map(self.gateway.client.idle, self.origins)):
                await turn()
        assert {row.in_flight for row in self.gateway.health.rows()} == {0}
        assert self.gateway.door.busy == 0
        assert self.gateway.bugs == []

    async def _has_let_go(self, provider: MockServer) -> None:
        await provider.until(lambda ledger: ledger.open_connections == self.idle(provider))

    async def deserted(self) -> None:
        """The same once every caller is gone as well."""
        await self.at_rest()
        async with asyncio.timeout(CEILING_S):
            while self.gateway.door.open:
                await turn()


@asynccontextmanager
async def scene(
    *cast: str | Sequence[str] | Standing | RawProvider,
    timeouts: Timeouts | None = None,
    by_hand: bool = False,
    provider: Provider = PROVIDER,
    options: MockOptions | None = None,
    caps: Caps = CAPS,
    callers: tuple[Caller, ...] = (CALLER,),
    key: str = "",
    policies: tuple[Policy, ...] = (),
) -> AsyncIterator[Scene]:
    """A gateway with a provider for each argument: a stand-in that has these faults, or a raw one that already runs.

    With `by_hand` time stands still.
    """
    clock: Clock = HandClock() if by_hand else RealClock()
    async with AsyncExitStack() as stack:
        providers = []
        rows: list[Backend] = []
        for name, one in zip(NAMES, cast, strict=False):
            if isinstance(one, RawProvider):
                rows.append(backend(name, one.url, provider, key))
                continue
            server = MockServer(options or MockOptions(slots=256))
            if isinstance(one, Standing):
                server.standing = one
            else:
                server.set_faults([one] if isinstance(one, str) else one)
            await stack.enter_async_context(server)
            providers.append(server)
            rows.append(backend(name, server.url, provider, key))
        told = settings_for({MODEL: rows}, timeouts=timeouts, caps=caps, callers=callers, policies=policies)
        gateway = await stack.enter_async_context(Inside(told, clock, sweeps=not by_hand))
        yield Scene(gateway, providers)
