"""How far backends are: once a second, what the kernel measured of connections to them that were used since.

A round trip of TCP is the way alone, without anything a server does, and costs nobody a packet. It is the least one of
the last minutes where the kernel knows it (gateway/tcp_info.py), so acknowledgements that were held back don't count.
"""

from typing import Final, Protocol

from gateway.settings.shape import Backend
from gateway.upstream.pool import Origin, Pool, origin_of

EVERY_S: Final = 1.0


class Pools(Protocol):
    """Who has the connections."""

    def pool(self, origin: Origin) -> Pool: ...


class Reached(Protocol):
    """Who wants to know."""

    def reached(self, backend: str, rtt_s: float) -> None:
        """A round trip was measured on a connection to it."""
        ...


class Distances:
    """The backends of one configuration, by where they are reached: several may be at one place."""

    def __init__(self, backends: dict[str, Backend], pools: Pools, told: Reached) -> None:
        self._pools = pools
        self._told = told
        self._due = float("-inf")
        self._there: dict[Origin, list[str]] = {}
        for backend in backends.values():
            for origin in {origin_of(url) for url in backend.base_urls}:
                self._there.setdefault(origin, []).append(backend.name)

    def tick(self, now: float) -> None:
        """Ask one connection of each place, where a second has passed."""
        if now < self._due:
            return
        self._due = now + EVERY_S
        for origin, names in self._there.items():
            rtt_ms = self._pools.pool(origin).rtt_ms()
            if rtt_ms is not None:
                for name in names:
                    self._told.reached(name, rtt_ms / 1e3)
