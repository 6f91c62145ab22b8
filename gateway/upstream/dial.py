"""Names to addresses, and whether an address may be dialled."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.clock import Clock
from gateway.errors import UpstreamUnreachable

FRESH_S = 30.0
STALE_S = 3600.0

Network = IPv4Network | IPv6Network

# Reaching these from a configured public name is how keys and metadata leak (reliability 4.5). What the standard
# library calls global still holds ways to wrap a private IPv4 address.
_WRAPPED = tuple(ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"))


class Addresses:
    """Resolved names. An answer is used for half a minute, and for an hour while asking anew fails."""

    def __init__(self, clock: Clock, private_networks: tuple[str, ...]) -> None:
        self._clock = clock
        self._private = tuple(ip_network(network, strict=False) for network in private_networks)
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be dialled, in the system's order. UpstreamUnreachable where none may."""
        now = self._clock.monotonic()
        known = self._known.get((host, port))
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            if known is not None and now - known[0] < STALE_S:
                return known[1]
            raise UpstreamUnreachable("The upstream's name did not resolve.") from error
        addresses = [str(info[4][0]) for info in found]
        allowed = [address for address in dict.fromkeys(addresses) if self.may_dial(host, address)]
        if not allowed:
            raise UpstreamUnreachable("The upstream's address is not allowed.")
        self._known[host, port] = (now, allowed)
        return allowed

    def forget(self, host: str, port: int) -> None:
        """Ask anew next time, keeping the last answer in case that fails."""
        known = self._known.get((host, port))
        if known is not None:
            self._known[host, port] = (self._clock.monotonic() - FRESH_S, known[1])

    def may_dial(self, host: str, address: str) -> bool:
        """Public addresses, configured private networks, and loopback where the configuration itself names it."""
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if ip.is_loopback:
            return host in ("localhost", "::1") or host.startswith("127.")
        if any(ip in network for network in self._private):
            return True
        return ip.is_global and not ip.is_multicast and not any(ip in network for network in _WRAPPED)
