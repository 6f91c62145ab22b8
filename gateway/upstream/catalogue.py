"""Configured models as places that can be called: everything that doesn't change from request to request, made once."""

from fnmatch import fnmatchcase
from urllib.parse import quote, urlsplit

from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.settings.shape import Backend, Settings, Target
from gateway.upstream.credentials import header_lines
from gateway.upstream.pool import Origin, origin_of
from gateway.wire import Wire, load
from gateway.wire.raw import text_of

USER_AGENT = "meridian-gateway"
# Names that only a glob knows are the callers' to make up; beyond this many, those are forgotten and made anew.
GLOBBED_MOST = 1000

_Key = tuple[str, str, str]


class Place(Struct, frozen=True):
    """One target for one operation: where to write, in which language, with which head.

    `head` ends before the headers that differ by request; it holds the credentials, so it is never shown. `others` are
    further paths to the same server.
    """

    target: Target
    origin: Origin
    wire: Wire
    head: bytes
    model: str
    model_json: Raw
    ask_usage: bool
    others: tuple["Place", ...] = ()

    @property
    def name(self) -> str:
        return self.target.backend.name

    def __repr__(self) -> str:
        return f"Place({self.name!r}, {self.model!r}, {self.origin!r})"


class Plan(Struct, frozen=True):
    """Where a request may go, the first first, and the seconds all of it may take."""

    places: tuple[Place, ...]
    total_s: float


class Catalogue:
    """What callers may ask for, and the places that serve it.

    KeyError or ValueError for a backend whose credentials can't be sent.
    """

    def __init__(self, settings: Settings) -> None:
        self._exact = {name: targets for name, targets in settings.models.items() if "*" not in name}
        self._globs = {name: targets for name, targets in settings.models.items() if "*" in name}
        self._plans: dict[_Key, Plan] = {}
        self._globbed: dict[_Key, Plan] = {}
        for backend in settings.backends.values():
            header_lines(backend.provider.auth, backend.api_key)

    @property
    def names(self) -> list[str]:
        """Models that can be listed by name."""
        return list(self._exact)

    def targets(self, model: str) -> tuple[Target, ...]:
        """Everything that serves a model, in the order of the configuration; empty where nothing does."""
        found = self._exact.get(model)
        if found is not None:
            return found
        for pattern, targets in self._globs.items():
            if fnmatchcase(model, pattern):
                start = len(pattern.partition("*")[0])
                part = model[start : len(model) - (len(pattern) - start - 1)]
                return tuple(_named(target, part) for target in targets)
        return ()

    def plan(self, model: str, operation: str, wire: str) -> Plan:
        """The places for a model and an operation, in the configured order; none where nothing serves it."""
        key = (model, operation, wire)
        known = self._plans.get(key) or self._globbed.get(key)
        if known is None:
            targets = sorted(self.targets(model), key=lambda target: target.order)
            places = tuple(_place(target, operation, wire) for target in targets if _has(target, operation))
            known = Plan(places, max((place.target.timeouts.total_s for place in places), default=0.0))
            if model in self._exact:
                self._plans[key] = known
            elif places:
                if len(self._globbed) >= GLOBBED_MOST:
                    self._globbed.clear()
                self._globbed[key] = known
        return known


def _named(target: Target, part: str) -> Target:
    """A target whose model is `*` serves what the glob matched, under that name."""
    return replace(target, model=part) if target.model == "*" else target


def _has(target: Target, operation: str) -> bool:
    return operation in target.backend.provider.paths


def _place(target: Target, operation: str, wire: str) -> Place:
    first, *rest = (_by(url, target, operation, wire) for url in target.backend.base_urls)
    return replace(first, others=tuple(rest)) if rest else first


def _by(base: str, target: Target, operation: str, wire: str) -> Place:
    """The place as it is reached by one of its base URLs."""
    backend = target.backend
    origin = origin_of(base)
    path = urlsplit(base).path.rstrip("/") + _path(backend, operation, target.model)
    credentials = header_lines(backend.provider.auth, backend.api_key)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {origin.authority}\r\nuser-agent: {USER_AGENT}\r\n"
        f"accept-encoding: identity\r\ncontent-type: application/json\r\n{credentials}"
    )
    return Place(
        target=target,
        origin=origin,
        wire=load(wire),
        head=head.encode("latin-1"),
        model=target.model,
        model_json=text_of(target.model),
        ask_usage=backend.provider.stream_usage == "options",
    )


def _path(backend: Backend, operation: str, model: str) -> str:
    """The operation's path and query, the model in it as one segment whatever it holds."""
    return backend.provider.paths[operation].replace("{model}", quote(model, safe=""))
