"""A connection without a socket: a transport that keeps what is written, and a desk that answers everything at once."""

import asyncio

from gateway.clock import HandClock
from gateway.errors import GatewayError
from gateway.exchange import Call
from gateway.server import routes
from gateway.server.head import Head, HeadReader, check_size
from gateway.server.protocol import CallerConnection
from gateway.server.routes import Route
from gateway.settings.shape import Caps, Deadlines
from tests.doubles.outgoing import at_once

LINES = b"content-type: application/json\r\n"


class Wire(asyncio.Transport):
    """Everything that was written, and how the connection was ended (eof, close, abort)."""

    def __init__(self) -> None:
        super().__init__({"peername": ("203.0.113.7", 4711)})
        self.written = b""
        self.ended = ""
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.ended == "", "written after the end"
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.ended = "eof"

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def is_closing(self) -> bool:
        return self.ended in ("close", "abort")

    def get_write_buffer_size(self) -> int:
        return self.unsent


class AnsweringDesk:
    """Serves every request the routes know with `answer`; `served` is what it was asked, `refused` what it was not."""

    def __init__(self, caps: Caps | None = None, names: tuple[str, ...] = ()) -> None:
        self.clock = HandClock()
        self.caps = caps or Caps()
        self.deadlines = Deadlines()
        self.heads = HeadReader(self.caps, names)
        self.draining = False
        self.now = self.clock.monotonic
        self.outbox = at_once()
        self.wall = self.clock.wall
        self.served: list[Call] = []
        self.refused: list[GatewayError] = []
        self.handed: list[tuple[Call, bytes, bytes]] = []
        self.holds = False
        self.left = 0

    def new_id(self) -> str:
        return f"req_{len(self.served) + len(self.refused):08}"

    def welcome(self, connection: CallerConnection) -> None: ...

    def greet(self, call: Call, head: Head) -> Route:
        route = routes.find(call.method, call.path)
        check_size(head, route.most_bytes(self.caps))
        return route

    def hand_over(self, connection: CallerConnection, call: Call, head: Head, raw: bytes, rest: bytes) -> None:
        connection.release()
        self.handed.append((call, raw, rest))

    def serve(self, connection: CallerConnection, call: Call, route: Route) -> None:
        self.served.append(call)
        if not self.holds:
            connection.whole(200, LINES, call.path.encode())

    def turned_away(self, call: Call, error: GatewayError) -> bytes:
        self.refused.append(error)
        return b"{}"

    def lingers(self, connection: CallerConnection) -> None: ...

    def gone(self, connection: CallerConnection) -> None:
        self.left += 1


def connected(desk: AnsweringDesk) -> tuple[CallerConnection, Wire]:
    connection, wire = CallerConnection(desk), Wire()
    connection.connection_made(wire)
    return connection, wire


async def settle_down(turns: int = 300) -> None:
    """Let the loop do what is ready, pipelined requests one by one."""
    loop = asyncio.get_running_loop()
    for _ in range(turns):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned
