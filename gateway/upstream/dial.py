"""Names to addresses, and whether an address may be dialled.

The address that was checked is the one that is dialled, so a name can't mean something else in between.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.clock import Clock
from gateway.errors import UpstreamUnreachable
from gateway.sweep import Sweeper
from gateway.upstream.deadline import until

FRESH_S = 30.0
STALE_S = 3600.0
# A name that did not resolve is not asked for again at once, and a slow answer is waited for no longer than this where
# an older one will do.
FAILED_S = 1.0
ASK_S = 0.5

Network = IPv4Network | IPv6Network
# The future outlives whoever asked first: the next one waits for the same answer.
Resolver = Callable[[str, int], "asyncio.Future[list[str]]"]

# Reaching these from a configured public name is how keys and metadata leak (reliability 4.5). What the standard
# library calls global still holds ways to wrap a private IPv4 address, and ranges that were withdrawn.
_REFUSED = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        *("::/8", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16"),  # ::/8 has the mapped and NAT64 ones
        *("3fff::/20", "5f00::/16", "fc00::/7", "fe80::/9", "ff00::/8"),
    )
)


def ask_system(host: str, port: int) -> "asyncio.Future[list[str]]":
    """The system's addresses for a name, in its order; OSError where it has none."""
    return asyncio.get_running_loop().run_in_executor(None, _look_up, host, port)


def _look_up(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _Name:
    """What is known of one name."""

    __slots__ = ("addresses", "answered_at", "ask_again_at", "asked_at", "asking")

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked_at = float("-inf")
        self.answered_at = float("-inf")
        self.ask_again_at = float("-inf")
        self.asking: asyncio.Future[list[str]] | None = None


class Addresses:
    """Resolved names. An answer is used for half a minute, and for an hour while asking anew fails or takes long."""

    def __init__(
        self, clock: Clock, sweeper: Sweeper, private_networks: tuple[str, ...], resolver: Resolver = ask_system
    ) -> None:
        self._clock = clock
        self._sweeper = sweeper
        self._private = tuple(ip_network(network, strict=False) for network in private_networks)
        self._resolver = resolver
        self._names: dict[tuple[str, int], _Name] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be dialled, in the system's order. UpstreamUnreachable where none may."""
        if _literal(host) is not None:
            return self._allowed(host, [host])
        name = self._names.setdefault((host, port), _Name())
        now = self._clock.monotonic()
        if now >= name.ask_again_at:
            await self._ask(host, port, name, now)
        if not name.addresses or self._clock.monotonic() - name.answered_at >= STALE_S:
            raise UpstreamUnreachable("The upstream's name did not resolve.")
        return self._allowed(host, name.addresses)

    async def _ask(self, host: str, port: int, name: _Name, now: float) -> None:
        """Wait for an answer; what it says, or that there is none, is noted whether anybody still waits or not."""
        asking = name.asking
        if asking is None:
            name.asked_at = now
            asking = name.asking = self._resolver(host, port)
            asking.add_done_callback(lambda answer: self._note(name, answer))
        has_older = bool(name.addresses) and now - name.answered_at < STALE_S
        with contextlib.suppress(OSError, UnicodeError):
            if has_older:
                async with until(now + ASK_S, self._sweeper):
                    await asyncio.shield(asking)
            else:
                await asyncio.shield(asking)
        if asking.done():
            self._note(name, asking)
        else:
            name.ask_again_at = self._clock.monotonic() + FAILED_S

    def _note(self, name: _Name, answer: "asyncio.Future[list[str]]") -> None:
        if name.asking is not answer:
            return
        name.asking = None
        now = self._clock.monotonic()
        if answer.cancelled() or answer.exception() is not None or not answer.result():
            name.ask_again_at = now + FAILED_S
        else:
            name.addresses = list(dict.fromkeys(answer.result()))
            name.answered_at = now
            name.ask_again_at = now + FRESH_S

    def forget(self, host: str, port: int) -> None:
        """Ask anew next time, once a second at most, keeping the last answer in case that fails."""
        name = self._names.get((host, port))
        if name is not None:
            name.ask_again_at = min(name.ask_again_at, name.asked_at + FAILED_S)

    def prefer(self, host: str, port: int, address: str) -> None:
        """Begin with this address while the answer that holds it is in use."""
        name = self._names.get((host, port))
        if name is not None and address in name.addresses:
            name.addresses.remove(address)
            name.addresses.insert(0, address)

    def _allowed(self, host: str, addresses: list[str]) -> list[str]:
        allowed = [address for address in addresses if self.may_dial(host, address)]
        if not allowed:
            raise UpstreamUnreachable("The upstream's address is not allowed.")
        return allowed

    def may_dial(self, host: str, address: str) -> bool:
        """Public addresses, configured private networks, and loopback where the configuration itself names it."""
        ip = _literal(address)
        if ip is None:
            return False
        if ip.is_loopback:
            return host == "localhost" or ip == _literal(host)
        if any(ip in network for network in self._private):
            return True
        return ip.is_global and not any(ip in network for network in _REFUSED)


def _literal(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
