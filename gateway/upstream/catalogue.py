"""Configured models as places that can be called: everything that doesn't change from request to request, made once."""

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.settings.candidates import alone, candidate
from gateway.settings.shape import Pop, Price, Provider, Secret, Settings, Target
from gateway.upstream import orca
from gateway.upstream.credentials import header_lines
from gateway.upstream.names import Named, Names
from gateway.upstream.pool import Origin, origin_of
from gateway.upstream.probes import reports_load
from gateway.wire import Wire, load
from gateway.wire.bridge import CONVERSATIONS, LANGUAGES, between
from gateway.wire.codec import codec
from gateway.wire.counting import COUNTS, counting
from gateway.wire.raw import text_of

USER_AGENT = "meridian-gateway"
# The tier of what isn't ours: nobody looks at it, and nobody asks it how loaded it is.
EXTERNAL = "external"
# What isn't a configured name is the callers' to make up; beyond this many, those are forgotten and made anew.
SPELLED_MOST = 1000
# What costs its caller elsewhere costs nothing here.
_FREE = Price()

_Key = tuple[str, str, str]
# What a million tokens in and out cost in US dollars; None where no price is known.
PriceOf = Callable[[Target], tuple[float, float] | None]


class Place(Struct, frozen=True):
    """One target for one operation: where to write, in which language, with which head.

    `candidate` is what deciding knows of it. `head` ends before the headers that differ by request; it holds the
    credentials, so it is never shown; `stream_head` is the one for streams. `native`: it speaks the caller's language.
    `instead` names the model it serves where that isn't the one asked for. `fetches`: it would fetch addresses in a
    request from within our network. `others` are further paths to the same server. `lent`: the credentials are the
    caller's own. `assumes` are the lines it gets where a caller of its language left them out, each by its name with
    the colon. `reports`: its whole answers are asked for a load report (orca.py).
    """

    target: Target
    candidate: Candidate
    origin: Origin
    wire: Wire
    head: bytes
    stream_head: bytes
    model: str
    model_json: Raw
    ask_usage: bool
    native: bool = True
    instead: str = ""
    fetches: bool = False
    others: tuple["Place", ...] = ()
    lent: bool = False
    assumes: tuple[tuple[bytes, bytes], ...] = ()
    reports: bool = False

    @property
    def name(self) -> str:
        return self.target.backend.name

    def passed(self, lines: bytes) -> bytes:
        """What a caller's header lines become here: his as they are, and what he should have sent (row E1).

        Anthropic answers 400 without its version, and all its kits send one; nothing but the version can be meant.
        """
        if not self.native:
            return b""
        for name, line in self.assumes:
            if name not in lines:
                lines += line
        return lines

    def __repr__(self) -> str:
        return f"Place({self.name!r}, {self.model!r}, {self.origin!r})"


class Plan(Struct, frozen=True):
    """Where a request may go, the first first, and the seconds all of it may take.

    `choosy`: some place says what it can't do, so what a request needs must be looked at; `fetching`: some place
    fetches addresses. `model` is the configured name that was meant, on which permissions are checked; where nothing
    has what was asked for, just that.
    """

    places: tuple[Place, ...]
    total_s: float
    choosy: bool = False
    fetching: bool = False
    model: str = ""


class Catalogue:
    """What callers may ask for, and the places that serve it.

    KeyError or ValueError for a backend whose credentials can't be sent.
    """

    def __init__(self, settings: Settings, price_of: PriceOf | None = None) -> None:
        self._here: Pop | None = settings.pops.get(settings.pop)
        self._price_of: PriceOf = price_of or (lambda _: None)
        self._names = Names(settings.models, settings.name_rules)
        self._plans: dict[_Key, Plan] = {}
        self._spelled: dict[_Key, Plan] = {}
        # Imported now, not while the first caller waits.
        for language in CONVERSATIONS:
            codec(language)
        for backend in settings.backends.values():
            header_lines(backend.provider.auth, backend.api_key)

    @property
    def names(self) -> list[str]:
        """Models that can be listed by name."""
        return list(self._names.exact)

    def find(self, model: str) -> Named | None:
        """The configured name that is meant, and what serves it; None where nothing does."""
        found = self._names.find(model)
        return found if found is not None and found.targets else None

    def plan(self, model: str, operation: str, wire: str) -> Plan:
        """The places for a model and an operation, in the configured order; none where nothing serves it."""
        key = (model, operation, wire)
        known = self._plans.get(key) or self._spelled.get(key)
        if known is None:
            named = self.find(model) or Named(model, ())
            targets = sorted(named.targets, key=lambda target: target.order)
            places = self._made(targets, operation, wire)
            known = Plan(
                places,
                max((place.target.timeouts.total_s for place in places), default=0.0),
                any(place.target.capabilities or place.target.context_window for place in places),
                any(place.fetches for place in places),
                named.name,
            )
            if model in self._names.exact:
                self._plans[key] = known
            elif places:
                if len(self._spelled) >= SPELLED_MOST:
                    self._spelled.clear()
                self._spelled[key] = known
        return known

    def forget(self) -> None:
        """Make everything anew: prices were learned since."""
        self._plans.clear()
        self._spelled.clear()

    def _made(self, targets: list[Target], operation: str, wire: str) -> tuple[Place, ...]:
        places: list[Place] = []
        only = alone(targets)
        for target in targets:
            known = candidate(target, len(places), self._here, self._price_of(target))
            places += _places(target, replace(known, only_here=only), operation, wire)
        return tuple(places)


def lend(places: tuple[Place, ...], operation: str, wire: str, keys: Mapping[str, Secret]) -> tuple[Place, ...]:
    """The same places, those of the providers (by their rows' names) with a key of the caller's called with that.

    Made for one request and kept nowhere. ValueError for a key that can't be sent.
    """
    return tuple(
        _lent(place, operation, wire, keys[place.target.backend.provider.name])
        if place.target.backend.provider.name in keys
        else place
        for place in places
    )


def _lent(place: Place, operation: str, wire: str, key: Secret) -> Place:
    backend = replace(place.target.backend, api_key=key)
    (made,) = _places(replace(place.target, backend=backend, price=_FREE), place.candidate, operation, wire)
    return replace(made, lent=True)


class Speech(Struct, frozen=True):
    """How a provider does an operation: under which name, in which wire, and whether that is the caller's language."""

    operation: str
    wire: Wire
    native: bool = True


def speech(provider: Provider, operation: str, wire: str) -> Speech | None:
    """How a provider does what a caller asks in this language; None where it can't.

    A conversation can cross into any language the provider has a path for, the one it speaks first.
    """
    if operation in provider.paths:
        return Speech(operation, load(wire))
    if operation in COUNTS:
        for other, language in COUNTS.items():
            if other in provider.paths:
                return Speech(other, counting(COUNTS[operation], language), native=False)
    if operation in LANGUAGES:
        for theirs in (CONVERSATIONS.get(provider.speaks, ""), *provider.paths):
            if theirs in LANGUAGES and theirs in provider.paths:
                return Speech(theirs, between(wire, LANGUAGES[theirs]), native=False)
    return None


def _places(target: Target, known: Candidate, operation: str, wire: str) -> tuple[Place, ...]:
    """The place of a target, none where it can't do this."""
    speaks = speech(target.backend.provider, operation, wire)
    if speaks is None:
        return ()
    first, *rest = (_by(url, target, known, speaks) for url in target.backend.base_urls)
    return (replace(first, others=tuple(rest)) if rest else first,)


def _by(base: str, target: Target, known: Candidate, speaks: Speech) -> Place:
    """The place as it is reached by one of its base URLs."""
    backend = target.backend
    provider = backend.provider
    origin = origin_of(base)
    start = urlsplit(base).path.rstrip("/")
    lines = (
        f" HTTP/1.1\r\nhost: {origin.authority}\r\nuser-agent: {USER_AGENT}\r\n"
        f"accept-encoding: identity\r\ncontent-type: application/json\r\n"
        f"{header_lines(provider.auth, backend.api_key)}"
    )
    if not speaks.native:
        lines += "".join(f"{name}: {value}\r\n" for name, value in provider.crossing.items())

    def head(path: str) -> bytes:
        # The model is one segment of it, whatever it holds.
        return f"POST {start}{path.replace('{model}', quote(target.model, safe=''))}{lines}".encode("latin-1")

    path = provider.paths[speaks.operation]
    reports = backend.tier != EXTERNAL and reports_load(provider.probe)
    return Place(
        target=target,
        candidate=known,
        origin=origin,
        wire=speaks.wire,
        head=head(path) + orca.REQUEST_LINE if reports else head(path),
        stream_head=head(provider.paths.get(f"{speaks.operation}_stream", path)),
        model=target.model,
        model_json=text_of(target.model),
        ask_usage=provider.stream_usage == "options",
        native=speaks.native,
        fetches=(provider.fetches_urls or backend.tier) == "self_hosted",
        assumes=tuple(
            (f"{name.lower()}:".encode("latin-1"), f"{name.lower()}: {value}\r\n".encode("latin-1"))
            for name, value in provider.crossing.items()
            if speaks.native
        ),
        reports=reports,
    )
