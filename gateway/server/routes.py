"""Paths to what answers them. Paths are matched raw and whole: nothing is decoded, normalised or matched by prefix."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from gateway.errors import UnknownRoute, WrongMethod
from gateway.exchange import Call
from gateway.pipeline import Runtime
from gateway.server import local
from gateway.wire import Endpoint, load

LANGUAGES: Final = ("openai_chat", "openai_embeddings", "opaque")

Local = Callable[[Call, Runtime], tuple[int, bytes]]


class Route(Struct, frozen=True):
    """What a path is for: an endpoint of a language, or an answer of our own. `public` needs no key."""

    methods: frozenset[str]
    endpoint: Endpoint | None = None
    local: Local | None = None
    public: bool = False

    @property
    def allow(self) -> str:
        return ", ".join(sorted(self.methods | {"OPTIONS"}))


_READ: Final = frozenset(("GET", "HEAD"))


def _table() -> Mapping[str, Route]:
    table = {
        path: Route(frozenset(("POST",)), endpoint=Endpoint(operation, language))
        for language in LANGUAGES
        for path, operation in load(language).paths.items()
    }
    table["/v1/models"] = Route(_READ, local=local.models)
    table["/healthz"] = Route(_READ, local=local.alive, public=True)
    table["/readyz"] = Route(_READ, local=local.ready, public=True)
    return table


_ROUTES: Final = _table()
_MODEL: Final = Route(_READ, local=local.model)
_MODELS: Final = "/v1/models/"


def find(method: str, path: str) -> Route:
    """The route of a request. UnknownRoute or WrongMethod where there is none."""
    route = _ROUTES.get(path)
    if route is None:
        if not path.startswith(_MODELS) or path == _MODELS:
            raise UnknownRoute("There is nothing at this path.")
        route = _MODEL
    if method not in route.methods and method != "OPTIONS":
        raise WrongMethod("This method is not supported here.", headers=(("allow", route.allow),))
    return route


def error_language(path: str) -> str:
    """The language errors are said in, by the path that was called, before anything else is known."""
    route = _ROUTES.get(path)
    return route.endpoint.wire if route is not None and route.endpoint is not None else "openai_chat"
