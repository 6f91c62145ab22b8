"""Paths to what answers them. Paths are matched raw and whole: nothing is decoded, normalised or matched by prefix."""

from collections.abc import Callable, Mapping
from typing import Final, Literal
from urllib.parse import unquote

from msgspec import Struct

from gateway.errors import BadRequest, UnknownRoute, WrongMethod
from gateway.exchange import Call
from gateway.pipeline import Runtime
from gateway.server import listing, local
from gateway.settings.shape import Caps
from gateway.wire import Endpoint, Pattern, load
from gateway.wire.raw import check_model

LANGUAGES: Final = (
    "openai_chat",
    "openai_embeddings",
    "openai_responses",
    "anthropic_messages",
    "anthropic_count",
    "cohere_chat",
    "opaque",
)
# Languages whose paths hold the model.
PATTERNED: Final = ("gemini", "gemini_count", "bedrock_converse")
UNREAD_BYTES: Final = 64 * 1024  # of a body that nobody reads

Local = Callable[[Call, Runtime], tuple[int, bytes]]
Slow = Literal["", "form", "realtime"]

_JSON: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"


class Route(Struct, frozen=True):
    """What a path is for: an endpoint of a language, or an answer of our own. `public` needs no key.

    `model` is the one that the path names.

    `slow` names what aiohttp answers instead (handover.py); `files` are larger than other bodies; `lines` are the
    header lines of our own answer. `ranks`: it says which POPs are near, which takes more than the request to know.
    """

    methods: frozenset[str]
    endpoint: Endpoint | None = None
    model: str = ""
    local: Local | None = None
    public: bool = False
    slow: Slow = ""
    files: bool = False
    ranks: bool = False
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
    table["/v1/models"] = table["/v1beta/models"] = Route(_READ, local=listing.models)
    table["/v1/pops"] = Route(_READ, ranks=True)
    table["/healthz"] = Route(_READ, local=local.alive, public=True)
    table["/readyz"] = Route(_READ, local=local.ready, public=True)
    return table


def _options(route: Route) -> Route:
    return Route(frozenset(), local=local.nothing, public=True, lines=b"allow: %b\r\n" % route.allow.encode())


def _patterns() -> tuple[tuple[Pattern, Endpoint], ...]:
    rows = [
        (pattern, Endpoint(pattern.operation, language, pattern.stream))
        for language in PATTERNED
        for pattern in load(language).patterns
    ]
    # Azure's client puts the deployment, which is the model here, into OpenAI's paths.
    rows += [
        (Pattern(_DEPLOYMENTS, path.removeprefix("/v1"), route.endpoint.operation), route.endpoint)
        for path, route in _ROUTES.items()
        if route.endpoint is not None and not route.slow and route.endpoint.wire in _OPENAI
    ]
    return tuple(rows)


_DEPLOYMENTS: Final = "/openai/deployments/"
_OPENAI: Final = frozenset(("openai_chat", "openai_embeddings", "openai_responses", "opaque"))
_ROUTES: Final = _table()
_PATTERNS: Final = _patterns()
_MODEL: Final = Route(_READ, local=listing.model)
_MODELS: Final = "/v1/models/"
_NO_HEADERS: Final[Mapping[bytes, bytes]] = {}
# Below these nothing else is spoken.
_STARTS: Final = {"/v1beta/": "gemini", "/model/": "bedrock_converse", "/v2/chat": "cohere_chat"}
_OPTIONS: Final = {path: _options(route) for path, route in _ROUTES.items()}
_OPTIONS_OF_MODEL: Final = _options(_MODEL)
_OPTIONS_OF_ALL: Final = _options(Route(frozenset(("DELETE", "GET", "HEAD", "POST"))))


def find(method: str, path: str) -> Route:
    """The route of a request. UnknownRoute or WrongMethod where there is none."""
    if method == "OPTIONS":
        return _find_options(path)
    route = _ROUTES.get(path)
    if route is None:
        route = _of_pattern(path) or _of_model(path, _MODEL)
    if method not in route.methods:
        raise WrongMethod("This method is not supported here.", headers=(("allow", route.allow),))
    return route


def _find_options(path: str) -> Route:
    if path == "*":
        return _OPTIONS_OF_ALL
    known = _OPTIONS.get(path)
    if known is None:
        pattern = _of_pattern(path)
        known = _options(pattern) if pattern is not None else _of_model(path, _OPTIONS_OF_MODEL)
    return known


def _of_pattern(path: str) -> Route | None:
    for pattern, endpoint in _PATTERNS:
        if path.startswith(pattern.before) and path.endswith(pattern.after):
            named = path[len(pattern.before) : len(path) - len(pattern.after)]
            if named:
                return Route(_ASK, endpoint=endpoint, model=_model_of(named))
    return None


def _model_of(named: str) -> str:
    """The model in a path, as it would stand in a body. BadRequest where it is no model's name."""
    try:
        model = unquote(named, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest("The model in the path is not valid UTF-8.", param="model") from error
    return check_model(model)


def _of_model(path: str, route: Route) -> Route:
    if not path.startswith(listing.ONE) or path in listing.ONE:
        raise UnknownRoute("There is nothing at this path.")
    return route


def error_language(path: str, headers: Mapping[bytes, bytes] = _NO_HEADERS) -> str:
    """The language errors are said in, by the path that was called, before anything else is known."""
    route = _ROUTES.get(path) or next((_ROUTES[known] for known in _ROUTES if path.startswith(f"{known}/")), None)
    if route is not None and route.endpoint is not None:
        return route.endpoint.wire
    for pattern, endpoint in _PATTERNS:
        if path.startswith(pattern.before) and (path.endswith(pattern.after) or pattern.before != _MODELS):
            return endpoint.wire
    if f"{path}/".startswith(_MODELS):
        return listing.asker(path, headers)
    return next((language for start, language in _STARTS.items() if path.startswith(start)), "openai_chat")
