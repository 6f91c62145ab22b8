"""The door: who may connect, which request goes where, and the only place where request tasks are made."""

import asyncio
from http import HTTPStatus

from gateway import pipeline
from gateway.errors import GatewayError, Overloaded
from gateway.exchange import Call
from gateway.pipeline import Runtime
from gateway.server import bytes_out, routes
from gateway.server.handover import Handover
from gateway.server.head import Head, HeadReader
from gateway.server.protocol import CallerConnection
from gateway.sweep import Sweeper
from gateway.wire import load

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")


class Door:
    """Accepts connections for one worker and gives their requests to the pipeline.

    `runtime` may be swapped at any time: a request keeps the one it began with.
    """

    def __init__(self, runtime: Runtime, sweeper: Sweeper) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweeper = sweeper
        self._clock = runtime.clock
        self._connections: set[CallerConnection] = set()
        self._by_address: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids = runtime.clock.draw()
        self._count = 0
        self.handover = Handover(self)
        self.draining = False
        self.use(runtime)

    def use(self, runtime: Runtime) -> None:
        """Serve the next requests under another configuration."""
        self.runtime = runtime
        self.caps = runtime.settings.caps
        self.deadlines = runtime.settings.deadlines
        self.heads = HeadReader(self.caps, runtime.settings.listen.names)

    # --- connections --------------------------------------------------------------------------------------------------

    def connection(self, *, secure: bool = False) -> "asyncio.Protocol":
        """A protocol for a connection just accepted: a caller's, or one that says we are full."""
        if len(self._connections) + self.handover.open >= self.caps.connections:
            return _Full(self)
        return _Counted(self, secure=secure)

    def welcome(self, connection: CallerConnection) -> bool:
        """Count a new connection; whether its address may have one more."""
        address = connection.address
        count = self._by_address.get(address, 0)
        if count >= self.caps.per_address and not _exempt(address):
            return False
        self._by_address[address] = count + 1
        self._connections.add(connection)
        self._sweeper.add(connection)
        return True

    def gone(self, connection: CallerConnection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._sweeper.discard(connection)
        count = self._by_address.get(connection.address, 0) - 1
        if count > 0:
            self._by_address[connection.address] = count
        else:
            self._by_address.pop(connection.address, None)

    @property
    def open(self) -> int:
        return len(self._connections) + self.handover.open

    @property
    def busy(self) -> int:
        """Requests under way."""
        return len(self._tasks) + self.handover.open

    def drain(self) -> None:
        """Say `Connection: close` from now on; idle connections end at once."""
        self.draining = True
        for connection in tuple(self._connections):
            if connection.idle:
                connection.abort()

    async def done(self) -> None:
        """Wait until no request is under way."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def abort(self) -> None:
        """End every connection, whatever it is doing."""
        for connection in tuple(self._connections):
            connection.abort()

    async def flushed(self) -> None:
        """Wait until the last answers were read, as long as lingering lasts."""
        deadline = self._clock.monotonic() + self.deadlines.linger_s
        while self._connections and self._clock.monotonic() < deadline:
            await asyncio.sleep(0.02)

    # --- the desk of each connection ----------------------------------------------------------------------------------

    def now(self) -> float:
        return self._clock.monotonic()

    def wall(self) -> float:
        return self._clock.wall()

    def new_id(self) -> str:
        """An id no other worker gives: a random start, then a count."""
        self._count += 1
        return f"req_{(self._ids + self._count * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF:016x}{self._count:08x}"

    def greet(self, call: Call, head: Head) -> int:
        route = routes.find(call.method, call.path)
        call.endpoint = route.endpoint
        if not route.public and call.method != "OPTIONS":
            pipeline.greet(call, self.runtime)
        del head
        return self.caps.json_bytes

    def takes_over(self, connection: CallerConnection, call: Call, head: Head, raw: bytes) -> bool:
        return self.handover.takes(connection, call, head, raw)

    def serve(self, connection: CallerConnection, call: Call) -> "asyncio.Task[None] | None":
        if call.endpoint is None or call.method == "OPTIONS":
            self._answer_here(connection, call)
            return None
        task = self._loop.create_task(pipeline.serve(call, self.runtime, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def turned_away(self, call: Call | None, error: GatewayError) -> bytes:
        path = call.path if call is not None else ""
        refused = call or Call(method="", path="", query="", headers={}, request_id=self.new_id())
        pipeline.turn_away(refused, self.runtime, error)
        return load(routes.error_language(path)).write_error(error, refused.request_id)

    def _answer_here(self, connection: CallerConnection, call: Call) -> None:
        route = routes.find(call.method, call.path)
        if call.method == "OPTIONS" or route.local is None:
            connection.whole(HTTPStatus.NO_CONTENT, [(b"allow", route.allow.encode())], b"")
            return
        try:
            status, body = route.local(call, self.runtime)
        except GatewayError as error:
            connection.refuse(error, self.turned_away(call, error))
            return
        connection.whole(status, [_JSON, _NO_STORE], body)


class _Counted(CallerConnection):
    """A caller's connection that is counted by its address once that is known."""

    __slots__ = ("_door",)

    def __init__(self, door: Door, *, secure: bool) -> None:
        super().__init__(door, secure=secure)
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._door.welcome(self):
            assert isinstance(transport, asyncio.Transport)
            _say_full(transport, self._door)


class _Full(asyncio.Protocol):
    """A connection above the cap: told so, and ended."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        _say_full(transport, self._door)


def _say_full(transport: asyncio.Transport, door: Door) -> None:
    error = Overloaded("This gateway has too many connections.")
    body = door.turned_away(None, error)
    headers = bytes_out.error_headers(error)
    framing = b"content-length: %d\r\n" % len(body)
    transport.write(bytes_out.head(error.status, headers, framing, close=True) + body)
    transport.close()


def _exempt(address: str) -> bool:
    """The Unix socket and loopback, where many callers share one address."""
    return not address or address.startswith("127.") or address == "::1"
