"""A TLS connection until its handshake is done.

It counts as a connection from its first packet, so whoever fills us with handshakes that never end meets the same
limits as everyone, and one address too many is refused before a handshake was paid for.
"""

import asyncio
import ssl
from collections.abc import Coroutine, Generator
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from gateway.server.protocol import CallerConnection

if TYPE_CHECKING:
    from gateway.server.door import Door


T = TypeVar("T")


class Arrival(asyncio.Protocol):
    """Shakes hands, then leaves the connection to a CallerConnection."""

    def __init__(self, door: "Door", context: ssl.SSLContext) -> None:
        self._door = door
        self._context = context
        self._wire: asyncio.Transport
        self._connection: CallerConnection | None = None
        self._early = b""
        self._lost = False
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport  # type: ignore[assignment]  # a stream's transport reads and writes
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        if not self._door.guests.enter(self):
            self._wire.abort()
            return
        # Its first step now, not in a task's first turn: by then uvloop may have read the client's first words.
        handshake = Begun(
            asyncio.get_running_loop().start_tls(
                self._wire, self, self._context, server_side=True, ssl_handshake_timeout=self._door.deadlines.tls_s
            )
        )
        self._door.spawn(self._let_in(handshake))

    def data_received(self, data: bytes) -> None:
        """What came in the same packet as the handshake's end."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._connection is not None:
            self._connection.connection_lost(exc)
        else:
            self._door.gone(self)

    async def _let_in(self, handshake: "Begun[asyncio.Transport | None]") -> None:
        try:
            transport = await handshake
        except OSError:  # no TLS, or not in time: ssl.SSLError, ConnectionAbortedError
            transport = None
        if transport is None or transport.is_closing() or self._lost:
            self._wire.abort()
            self._door.gone(self)
            return
        connection = self._connection = CallerConnection(self._door, self._wire)
        self._door.guests.replace(self, connection)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._early:
            connection.data_received(self._early)

    # --- for the door -------------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        """Whoever still shakes hands has asked for nothing."""
        return False

    def sweep(self, now: float) -> None:
        """The handshake has its own deadline."""

    def finish(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._wire.abort()


class Begun(Generic[T]):
    """A coroutine whose first step has been taken, to be awaited once."""

    def __init__(self, coroutine: Coroutine[object, None, T]) -> None:
        self._coroutine = coroutine
        self._awaited = coroutine.send(None)

    def __await__(self) -> Generator[object, None, T]:
        awaited = self._awaited
        while True:
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001  (a cancellation is the coroutine's to deal with)
                step = partial(self._coroutine.throw, error)
            else:
                step = partial(self._coroutine.send, None)
            try:
                awaited = step()
            except StopIteration as end:
                return cast("T", end.value)
