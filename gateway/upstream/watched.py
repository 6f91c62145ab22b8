"""A backend that is looked at: by which ways it is reached, what is sent there, and what was read of it last."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from gateway.settings.shape import Backend, Settings
from gateway.upstream.catalogue import EXTERNAL, USER_AGENT
from gateway.upstream.credentials import header_lines
from gateway.upstream.pool import Origin, origin_of
from gateway.upstream.probes import KINDS
from gateway.upstream.probes.reading import UNKNOWN, Ask, Reading, Site

# What a server doesn't tell is noted when this many looks agree: one answer may be lost.
AGREED: Final = 3
_ANY: Final = "*"

# Signals without a name we know, and paths that don't answer.
Untold = tuple[frozenset[str], frozenset[str]]


class Watched:
    """One of them. `due` and `read_at` are monotonic seconds; `read_at` is None before anybody read anything."""

    def __init__(self, backend: Backend, models: tuple[str, ...] = ()) -> None:
        """KeyError for a `probe:` that is no reader's, KeyError or ValueError for a key that can't be sent."""
        self.name = backend.name
        self._key = header_lines(backend.provider.auth, backend.api_key)
        self._ways = [(origin_of(url), urlsplit(url).path.rstrip("/")) for url in backend.base_urls]
        self.reader = KINDS[backend.provider.probe](Site(models, self._ways[0][0].port, backend.metrics_port))
        self.busy = False
        self.due = 0.0
        self.reading = UNKNOWN
        self.read_at: float | None = None
        self._noted: Untold = (frozenset(), frozenset())
        self._seen = self._noted
        self._agreeing = 0

    def requests(self, ask: Ask) -> Iterator[tuple[Origin, bytes]]:
        """The request by each way to the server. Its key goes to no other port."""
        for origin, start in self._ways:
            if ask.port:
                where = Origin(secure=False, host=origin.host, port=ask.port)
                yield where, _request(ask, where, "", "")
            else:
                yield origin, _request(ask, origin, start, self._key)

    def prefer(self, at: int) -> None:
        """Begin with the way that answered."""
        self._ways.insert(0, self._ways.pop(at))

    def take(self, reading: Reading, at: float) -> None:
        """Keep what was read last."""
        self.reading, self.read_at = reading, at

    def news(self, reading: Reading) -> Untold | None:
        """What it doesn't tell, where that is other than it was and some looks agree; else None."""
        now = (reading.unmatched, reading.missing)
        self._agreeing = self._agreeing + 1 if now == self._seen else 1
        self._seen = now
        if self._agreeing < AGREED or now == self._noted:
            return None
        self._noted = now
        return now


def watched(settings: Settings) -> dict[str, Watched]:
    """The backends to look at, by name: servers of one's own, of a kind that there is a reader for."""
    models: dict[str, dict[str, None]] = {}
    for targets in settings.models.values():
        for target in targets:
            if target.model != _ANY:
                models.setdefault(target.backend.name, {})[target.model] = None
    return {
        backend.name: Watched(backend, tuple(models.get(backend.name, ())))
        for backend in settings.backends.values()
        if backend.provider.probe and backend.tier != EXTERNAL and backend.base_urls
    }


def _request(ask: Ask, origin: Origin, start: str, key: str) -> bytes:
    method = "GET" if ask.body is None else "POST"
    lines = (
        f"{method} {start}{ask.path} HTTP/1.1\r\nhost: {origin.authority}\r\n"
        f"user-agent: {USER_AGENT}\r\naccept-encoding: identity\r\n{key}"
    ).encode("latin-1")
    if ask.body is None:
        return lines + b"\r\n"
    return b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (lines, len(ask.body), ask.body)
