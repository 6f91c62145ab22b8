"""Configured models as places that can be called: everything that doesn't change from request to request, made once."""

from fnmatch import fnmatchcase
from urllib.parse import quote, urlsplit

from msgspec import Struct

from gateway.settings.shape import Backend, Settings, Target
from gateway.upstream.credentials import header_lines
from gateway.upstream.pool import Origin, origin_of
from gateway.wire import Wire, load

USER_AGENT = "meridian-gateway"


class Place(Struct, frozen=True):
    """One target for one operation: where to write, in which language, with which head.

    `head` ends before the headers that differ by request.
    """

    target: Target
    origin: Origin
    wire: Wire
    head: bytes
    model: str
    ask_usage: bool

    @property
    def name(self) -> str:
        return self.target.backend.name


class Catalogue:
    """What callers may ask for, and the places that serve it."""

    def __init__(self, settings: Settings) -> None:
        self._exact = {name: targets for name, targets in settings.models.items() if "*" not in name}
        self._globs = {name: targets for name, targets in settings.models.items() if "*" in name}
        self._places: dict[tuple[str, str, str], tuple[Place, ...]] = {}

    @property
    def names(self) -> list[str]:
        """Models that can be listed by name."""
        return list(self._exact)

    def targets(self, model: str) -> tuple[Target, ...]:
        """Everything that serves a model, in order; empty where nothing does."""
        found = self._exact.get(model)
        if found is not None:
            return found
        for pattern, targets in self._globs.items():
            if fnmatchcase(model, pattern):
                start = len(pattern.partition("*")[0])
                part = model[start : len(model) - (len(pattern) - start - 1)]
                return tuple(_named(target, part) for target in targets)
        return ()

    def places(self, model: str, operation: str, wire: str) -> tuple[Place, ...]:
        """The places for a model and an operation, in the configured order."""
        key = (model, operation, wire)
        known = self._places.get(key)
        if known is None:
            targets = sorted(self.targets(model), key=lambda target: target.order)
            known = tuple(_place(target, operation, wire) for target in targets if _has(target, operation))
            if model in self._exact:
                self._places[key] = known
        return known


def _named(target: Target, part: str) -> Target:
    """A target whose model is `*` serves what the glob matched, under that name."""
    if target.model != "*":
        return target
    values = {name: getattr(target, name) for name in target.__struct_fields__}
    return Target(**{**values, "model": part})


def _has(target: Target, operation: str) -> bool:
    return operation in target.backend.provider.paths


def _place(target: Target, operation: str, wire: str) -> Place:
    backend = target.backend
    base = backend.base_urls[0]
    path = urlsplit(base).path.rstrip("/") + backend.provider.paths[operation].replace(
        "{model}", quote(target.model, safe="")
    )
    origin = origin_of(base)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {origin.authority}\r\nuser-agent: {USER_AGENT}\r\n"
        f"accept-encoding: identity\r\ncontent-type: application/json\r\n{_credentials(backend)}"
    )
    return Place(
        target=target,
        origin=origin,
        wire=load(wire),
        head=head.encode("latin-1"),
        model=target.model,
        ask_usage=backend.provider.stream_usage == "options",
    )


def _credentials(backend: Backend) -> str:
    return header_lines(backend.provider.auth, backend.api_key)
