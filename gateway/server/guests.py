"""Who is connected: how many in all, how many from one address, and who may still come in.

Loopback, the Unix socket and trusted proxies are places where many callers share an address, so only the whole process
limits them. An IPv6 caller owns at least a /64, so that is what is counted of his address.
"""

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from gateway.settings.proxies import Network, networks
from gateway.settings.shape import Caps, TrustedProxy
from gateway.sweep import Sweeper

REFUSED_MOST: Final = 256  # connections above the cap that are told so; more than these are only closed


class Guest(Protocol):
    """A connection, in whatever phase it is."""

    address: str

    @property
    def under_way(self) -> bool:
        """Whether somebody waits for an answer, or is about to ask for one."""

    def sweep(self, now: float) -> None: ...

    def finish(self) -> None:
        """End, as soon as nothing is lost by it."""

    def abort(self) -> None: ...


class Guests:
    """Everyone who is connected, each swept while he is."""

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper
        self._inside: dict[Guest, str] = {}
        self._by_place: dict[str, int] = {}
        self._refused: set[Guest] = set()
        self._exempt: tuple[Network, ...] = ()
        self._most = self._most_per_place = 0

    def use(self, caps: Caps, proxies: tuple[TrustedProxy, ...]) -> None:
        """Apply these limits to whoever comes from now on. A proxy whose networks are unknown has none to exempt."""
        self._most = caps.connections
        self._most_per_place = caps.per_address
        self._exempt = tuple(network for proxy in proxies for network in networks(proxy))

    def __len__(self) -> int:
        """Connections there are, those that were refused included."""
        return len(self._inside) + len(self._refused)

    def __iter__(self) -> Iterator[Guest]:
        """Everyone as of now: who leaves meanwhile is no harm."""
        return iter([*self._inside, *self._refused])

    def enter(self, guest: Guest) -> bool:
        """Count a new connection; False where there are too many, and it isn't counted."""
        place = self._place_of(guest.address)
        count = self._by_place.get(place, 0) if place else 0
        if len(self._inside) >= self._most or count >= self._most_per_place:
            return False
        if place:
            self._by_place[place] = count + 1
        self._inside[guest] = place
        self._sweeper.add(guest)
        return True

    def refuse(self, guest: Guest) -> bool:
        """Let a connection stay until it has heard that there are too many; False where even these are."""
        if len(self._refused) >= REFUSED_MOST:
            return False
        self._refused.add(guest)
        self._sweeper.add(guest)
        return True

    def replace(self, guest: Guest, successor: Guest) -> None:
        """The same connection is led by somebody else from now on."""
        self._inside[successor] = self._inside.pop(guest)
        self._sweeper.discard(guest)
        self._sweeper.add(successor)

    def leave(self, guest: Guest) -> None:
        """A connection has ended; saying so twice is no harm."""
        self._sweeper.discard(guest)
        self._refused.discard(guest)
        place = self._inside.pop(guest, "")
        if not place:
            return
        count = self._by_place[place] - 1
        if count:
            self._by_place[place] = count
        else:
            del self._by_place[place]

    def _place_of(self, address: str) -> str:
        """What is counted of an address, "" where nothing is."""
        if not address:
            return ""
        ip = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if ip.is_loopback or any(ip in network for network in self._exempt):
            return ""
        return f"{int(ip) >> 64:x}::/64" if isinstance(ip, IPv6Address) else str(ip)
