"""An upstream that says what it is told to, byte by byte, and a client of it on a clock that is moved by hand."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Self, cast

import httptools

from gateway.clock import HandClock
from gateway.errors import Draining, GatewayError
from gateway.exchange import Attempt
from gateway.mock.wreck import reset
from gateway.outbox import Outbox
from gateway.settings.shape import Backend, Caps, Provider, Secret, Settings, Target, Timeouts
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Catalogue, Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.dial import Resolver, ask_system

CEILING_S = 10.0
PROVIDER = Provider(name="scripted", speaks="openai_chat", paths={"chat": "/v1/chat/completions"})
OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def sized(body: bytes, *, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, more, len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class End(Enum):
    FIN = "the connection ends"
    RST = "the connection is reset"


Step = bytes | End
FIN, RST = End.FIN, End.RST


class Peer(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._request = b""
        self.transport: asyncio.Transport
        self.server_name: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._upstream.accepted(self)

    def data_received(self, data: bytes) -> None:
        self._request += data
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        request, self._request = self._request, b""
        self._upstream.asked(self, request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.ended(self)

    def play(self, steps: Sequence[Step]) -> None:
        data = b"".join(step for step in steps if isinstance(step, bytes))
        if data:
            self.transport.write(data)
        if FIN in steps:
            self.transport.close()
        elif RST in steps:
            reset(self.transport, asyncio.get_running_loop())


class Upstream:
    """Answers the n-th request with the n-th script, and `OK` after the last; an empty script says nothing.

    A script is bytes, then perhaps FIN or RST. `greeting` is played to each connection before it asks anything.
    """

    def __init__(
        self,
        *scripts: Sequence[Step] | bytes,
        greeting: Sequence[Step] = (),
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.scripts = [[script] if isinstance(script, bytes) else script for script in scripts]
        self._greeting = greeting
        self._tls = tls
        self.host = host
        self.port = port
        self.peers: list[Peer] = []
        self.open: set[Peer] = set()
        self.requests: list[bytes] = []
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.stop_listening()
        for peer in tuple(self.open):
            peer.transport.abort()
        await self.until(lambda: not self.open)

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def last(self) -> Peer:
        return self.peers[-1]

    def accepted(self, peer: Peer) -> None:
        self.peers.append(peer)
        self.open.add(peer)
        peer.play(self._greeting)
        self._changed.set()

    def asked(self, peer: Peer, request: bytes) -> None:
        self.requests.append(request)
        number = len(self.requests) - 1
        peer.play(self.scripts[number] if number < len(self.scripts) else [OK])
        self._changed.set()

    def ended(self, peer: Peer) -> None:
        self.open.discard(peer)
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for what `true` says of this upstream."""
        async with asyncio.timeout(CEILING_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def until_asked(self, times: int = 1) -> Peer:
        await self.until(lambda: len(self.requests) >= times)
        return self.last

    async def until_left(self) -> None:
        """Wait until no client is connected."""
        await self.until(lambda: not self.open)


def settings_for(
    *urls: str,
    provider: Provider = PROVIDER,
    timeouts: Timeouts | None = None,
    caps: Caps | None = None,
    key: str = "",
    private_networks: tuple[str, ...] = (),
) -> Settings:
    """One backend with these paths to it, which serves one model."""
    backend = Backend(name="scripted", provider=provider, base_urls=urls, api_key=Secret(key))
    target = Target(backend=backend, model="small", timeouts=timeouts or Timeouts())
    return Settings(
        models={"small": (target,)},
        backends={"scripted": backend},
        callers=(),
        state="memory",
        caps=caps or Caps(),
        private_networks=private_networks,
    )


class Rig:
    """A client of one place; `pass_time` moves its clock and sweeps."""

    def __init__(self, settings: Settings, *, resolver: Resolver = ask_system) -> None:
        self.clock = HandClock()
        self.sweeper = Sweeper()
        self.client = UpstreamClient(
            settings,
            self.clock,
            self.sweeper,
            Outbox(self.clock.monotonic, asyncio.get_running_loop().call_soon),
            resolver=resolver,
        )
        self.place: Place = Catalogue(settings).plan("small", "chat", "openai_chat").places[0]
        self.attempt = self.new_attempt()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.client.close()
        self.client.break_off(Draining("The test is over."))
        async with asyncio.timeout(CEILING_S):
            while self.client.open:
                await turn()

    def new_attempt(self) -> Attempt:
        return Attempt(self.place.target, self.clock.monotonic())

    @property
    def idle(self) -> int:
        return self.client.idle(self.place.origin)

    async def send(
        self,
        *,
        stream: bool = False,
        body: bytes = b"{}",
        total_s: float = 590.0,
        place: Place | None = None,
        jurisdictions: frozenset[str] | None = None,
    ) -> UpstreamConnection:
        """One request, on a new attempt, under the ceiling."""
        self.attempt = self.new_attempt()
        async with asyncio.timeout(CEILING_S):
            return await self.client.send(
                place or self.place,
                self.attempt,
                b"x-request-id: r\r\n",
                body,
                stream=stream,
                total=self.clock.monotonic() + total_s,
                jurisdictions=jurisdictions,
            )

    async def ask(self, **how: bool) -> tuple[int, bytes]:
        """One whole answer: its status and body."""
        connection = await self.send()
        status, body = connection.status, connection.body()
        connection.settle_down()
        return status, body

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sweeper.sweep(self.clock.monotonic())


@asynccontextmanager
async def rigged(
    upstream: Upstream, *, timeouts: Timeouts | None = None, caps: Caps | None = None
) -> AsyncIterator[Rig]:
    """A rig for an upstream that is started with it; nothing inside takes longer than three ceilings."""
    async with (
        asyncio.timeout(3 * CEILING_S),
        upstream,
        Rig(settings_for(upstream.url, timeouts=timeouts, caps=caps)) as rig,
    ):
        yield rig


class Hearing:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.body = b""
        self.error: GatewayError | None = None
        self.over = False
        self._changed = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.body += data
        self._changed.set()

    def ended(self) -> None:
        self.over = True
        self._changed.set()

    def broke(self, error: GatewayError) -> None:
        self.error = error
        self.ended()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(CEILING_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def hears(self, body: bytes) -> None:
        await self.until(lambda: body in self.body)

    async def ends(self) -> None:
        await self.until(lambda: self.over)


class Blackhole:
    """An address that takes no connection and refuses none: its queue is full."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._socket.listen(0)
        self.host, self.port = self._socket.getsockname()
        self._waiting = [socket.socket() for _ in range(4)]
        for waiting in self._waiting:
            waiting.setblocking(False)
            waiting.connect_ex((self.host, self.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in (self._socket, *self._waiting):
            one.close()


class Names:
    """A resolver that answers what it is told to, as soon as `hold` lets it."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = [*addresses]
        self.asked: list[str] = []
        self.holds = False
        self._held: list[asyncio.Future[list[str]]] = []

    def __call__(self, host: str, port: int) -> "asyncio.Future[list[str]]":
        del port
        self.asked.append(host)
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._held.append(answer)
        if not self.holds:
            self.answer()
        return answer

    def answer(self) -> None:
        """Answer everyone who has asked; OSError where there are no addresses."""
        for answer in self._held:
            if self.addresses:
                answer.set_result([*self.addresses])
            else:
                answer.set_exception(OSError("no such name"))
        self._held.clear()


async def turn() -> None:
    """Let the loop do what is ready, sockets included."""
    loop = asyncio.get_running_loop()
    turned = loop.create_future()
    loop.call_later(0, turned.set_result, None)
    await turned
