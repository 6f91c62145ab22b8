"""Whether any backend can be reached at all: asked only when the workers' tables say that every one is failing.

Tables are filled by requests. A gateway that is not ready gets none, so without asking for itself it would never learn
that the backends are back.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from gateway.channel import BackendState

WITHIN_S = 1.0
EVERY_S = 2.0
FAILING = frozenset({"failing", "ejected", "half_open", "dead"})


def all_failing(tables: Iterable[Iterable[BackendState]]) -> bool:
    """Whether every worker sees every backend fail; no table yet is no bad news."""
    rows = [row for table in tables for row in table]
    return bool(rows) and all(row.state in FAILING for row in rows)


def address_of(url: str) -> tuple[str, int]:
    """Host and port a backend is dialled at."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def any_reachable(urls: Iterable[str], within_s: float = WITHIN_S) -> bool:
    """Whether a connection to at least one of them can be made."""
    addresses = sorted({address_of(url) for url in urls})
    answers = await asyncio.gather(*(_reachable(host, port, within_s) for host, port in addresses))
    return any(answers)


async def _reachable(host: str, port: int, within_s: float) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True
    return False
