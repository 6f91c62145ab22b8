"""Paths to what answers them. Paths are matched raw and whole: nothing is decoded, normalised or matched by prefix."""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import Struct

from gateway.errors import UnknownRoute, WrongMethod
from gateway.exchange import Call
from gateway.pipeline import Runtime
from gateway.server import local
from gateway.settings.shape import Caps
from gateway.wire import Endpoint, load

LANGUAGES: Final = ("openai_chat", "openai_embeddings", "anthropic_messages", "opaque")
UNREAD_BYTES: Final = 64 * 1024  # of a body that nobody reads

Local = Callable[[Call, Runtime], tuple[int, bytes]]
Slow = Literal["", "form", "realtime"]

_JSON: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"


class Route(Struct, frozen=True):
    """What a path is for: an endpoint of a language, or an answer of our own. `public` needs no key.

    `slow` names what aiohttp answers instead (handover.py); `files` are larger than other bodies; `lines` are the
    header lines of our own answer.
    """

    methods: frozenset[str]
    endpoint: Endpoint | None = None
    local: Local | None = None
    public: bool = False
    slow: Slow = ""
    files: bool = False
    lines: bytes = _JSON

    @property
    def allow(self) -> str:
        return ", ".join(sorted(self.methods | {"OPTIONS"}))

    def most_bytes(self, caps: Caps) -> int:
        """How large a body may be."""
        if self.endpoint is None:
            return UNREAD_BYTES
        return caps.files_bytes if self.files else caps.json_bytes


_READ: Final = frozenset(("GET", "HEAD"))
_ASK: Final = frozenset(("POST",))


def _table() -> Mapping[str, Route]:
    table = {
        path: Route(_ASK, endpoint=Endpoint(operation, language))
        for language in LANGUAGES
        for path, operation in load(language).paths.items()
    }
    table["/v1/audio/transcriptions"] = Route(_ASK, Endpoint("audio_transcriptions", "opaque"), slow="form")
    table["/v1/audio/translations"] = Route(_ASK, Endpoint("audio_translations", "opaque"), slow="form")
    table["/v1/images/edits"] = Route(_ASK, Endpoint("image_edits", "opaque"), slow="form", files=True)
    table["/v1/realtime"] = Route(frozenset(("GET",)), Endpoint("realtime", "opaque"), slow="realtime")
    table["/v1/models"] = Route(_READ, local=local.models)
    table["/healthz"] = Route(_READ, local=local.alive, public=True)
    table["/readyz"] = Route(_READ, local=local.ready, public=True)
    return table


def _options(route: Route) -> Route:
    return Route(frozenset(), local=local.nothing, public=True, lines=b"allow: %b\r\n" % route.allow.encode())


_ROUTES: Final = _table()
_MODEL: Final = Route(_READ, local=local.model)
_MODELS: Final = "/v1/models/"
_OPTIONS: Final = {path: _options(route) for path, route in _ROUTES.items()}
_OPTIONS_OF_MODEL: Final = _options(_MODEL)
_OPTIONS_OF_ALL: Final = _options(Route(frozenset(("DELETE", "GET", "HEAD", "POST"))))


def find(method: str, path: str) -> Route:
    """The route of a request. UnknownRoute or WrongMethod where there is none."""
    if method == "OPTIONS":
        return _find_options(path)
    route = _ROUTES.get(path)
    if route is None:
        route = _of_model(path, _MODEL)
    if method not in route.methods:
        raise WrongMethod("This method is not supported here.", headers=(("allow", route.allow),))
    return route


def _find_options(path: str) -> Route:
    if path == "*":
        return _OPTIONS_OF_ALL
    return _OPTIONS.get(path) or _of_model(path, _OPTIONS_OF_MODEL)


def _of_model(path: str, route: Route) -> Route:
    if not path.startswith(_MODELS) or path == _MODELS:
        raise UnknownRoute("There is nothing at this path.")
    return route


def error_language(path: str) -> str:
    """The language errors are said in, by the path that was called, before anything else is known."""
    route = _ROUTES.get(path) or next((_ROUTES[known] for known in _ROUTES if path.startswith(f"{known}/")), None)
    return route.endpoint.wire if route is not None and route.endpoint is not None else "openai_chat"
