"""What this door doesn't speak goes to an aiohttp application on the same port, one exchange a hand-over.

Decided at headers-complete, from a head our own reader has accepted, so aiohttp never sees another. aiohttp costs a
third of a second and some megabytes to import: that is done in a thread, when the first such request comes.
"""

import asyncio
import re
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway.errors import BadRequest, UnsupportedMedia
from gateway.exchange import Call
from gateway.server import bytes_out
from gateway.server.head import Head
from gateway.server.loan import Loan
from gateway.server.routes import Route

if TYPE_CHECKING:
    from gateway.server.door import Door
    from gateway.server.protocol import CallerConnection

_APPLICATION: Final = "gateway.server.slow.application"
_UPGRADE: Final = re.compile(rb"(\r\n)upgrade(?=:)", re.IGNORECASE)
_PROTOCOL: Final = re.compile(rb"(\r\n)sec-websocket-protocol(?=:)", re.IGNORECASE)
_BOUNDARY: Final = re.compile(rb";\s*boundary\s*=", re.IGNORECASE)
_WEBSOCKET_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==\Z")


class Application(Protocol):
    """The aiohttp side: a protocol for each exchange."""

    def protocol(self) -> asyncio.Protocol: ...


class Handover:
    """Gives transports away. `open` counts the exchanges that others are answering."""

    def __init__(self, door: "Door") -> None:
        self._door = door
        self._application: Application | None = None
        self.open = 0

    def greet(self, call: Call, route: Route) -> None:
        """Accept by its head what aiohttp is going to answer: the same keys, and what only it understands."""
        call.endpoint = route.endpoint
        call.caller = self._door.runtime.keys.caller(call.headers, call.arrived_wall)
        if route.slow == "form":
            check_form(call.headers)
        else:
            check_websocket(call.headers)

    def take(self, connection: "CallerConnection", call: Call, head: Head, raw: bytes, rest: bytes) -> None:
        """Give a connection away until its one answer is out. `rest` is what followed the head `raw` so far."""
        door = self._door
        transport = connection.release()
        route = connection.route
        if route.slow == "form":
            # Java's client asks for h2c with every POST; nobody may take that for a body that isn't there.
            raw = _UPGRADE.sub(rb"\1x-upgra", raw)
        elif b"realtime" not in _words(call.headers.get(b"sec-websocket-protocol", b"")):
            # aiohttp logs protocols it doesn't know, and browsers send their keys as one.
            raw = _PROTOCOL.sub(rb"\1x-c-websocket-protocol", raw)
        loan = Loan(door, connection, transport, call, route, head)
        door.guests.replace(connection, loan)
        transport.set_protocol(loan)
        self.open += 1
        if head.expects_continue and not rest:
            transport.write(bytes_out.CONTINUE)
        loan.data_received(rest)
        if self._application is not None:
            loan.begin(self._application.protocol(), raw)
        else:
            transport.pause_reading()
            door.spawn(self._load(loan, raw))

    async def _load(self, loan: Loan, raw: bytes) -> None:
        loop = asyncio.get_running_loop()
        module = await loop.run_in_executor(None, import_module, _APPLICATION)
        if self._application is None:
            self._application = cast("Application", await module.open_application(self._door.deadlines.linger_s))
        loan.begin(self._application.protocol(), raw)
        loan.resume()

    def returned(self) -> None:
        """One exchange is over."""
        self.open -= 1


def check_form(headers: dict[bytes, bytes]) -> None:
    """A form with files, as it was made: not compressed."""
    kind, found, parameters = headers.get(b"content-type", b"").partition(b";")
    if kind.strip().lower() != b"multipart/form-data" or not _BOUNDARY.search(found + parameters):
        raise UnsupportedMedia("The content type must be multipart/form-data.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMedia("Compressed request bodies are not accepted.")


def check_websocket(headers: dict[bytes, bytes]) -> None:
    """A whole and correct opening handshake (RFC 6455, section 4.2.1): aiohttp's own refusals would repeat it."""
    upgrades = b"upgrade" in _words(headers.get(b"connection", b"").lower())
    if not upgrades or headers.get(b"upgrade", b"").lower() != b"websocket":
        raise BadRequest("This path speaks WebSocket only.", code="websocket_required")
    if (
        headers.get(b"sec-websocket-version") != b"13"
        or not _WEBSOCKET_KEY.match(headers.get(b"sec-websocket-key", b""))
        or headers.get(b"content-length", b"0") != b"0"
        or b"transfer-encoding" in headers
    ):
        raise BadRequest("The WebSocket handshake is not valid.", code="invalid_handshake")


def _words(value: bytes) -> list[bytes]:
    return [word.strip() for word in value.split(b",")]
