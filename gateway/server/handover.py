"""What this door doesn't speak goes to an aiohttp application on the same port, one exchange a hand-over."""

from typing import TYPE_CHECKING

from gateway.exchange import Call
from gateway.server.head import Head

if TYPE_CHECKING:
    from gateway.server.door import Door
    from gateway.server.protocol import CallerConnection


class Handover:
    """Decides at headers-complete, from the head our own reader has accepted, and gives the transport away."""

    def __init__(self, door: "Door") -> None:
        self._door = door
        self.open = 0

    def takes(self, connection: "CallerConnection", call: Call, head: Head, raw: bytes) -> bool:
        del connection, call, head, raw
        return False
