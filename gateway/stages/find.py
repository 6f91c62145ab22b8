"""The way of a request: permitted, decided, and packed with all that an attempt needs."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import (
    BadRequest,
    DeadlineExceeded,
    GatewayError,
    GatewayFault,
    NoRoute,
    Overloaded,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
)
from gateway.exchange import Exchange
from gateway.features import Request
from gateway.routing.complexity import complexity
from gateway.routing.estimate import Lengths
from gateway.routing.facts import Work
from gateway.routing.plan import Plan
from gateway.stages.authenticate import brought
from gateway.stages.borrow import Borrowed, narrow
from gateway.stages.choose import Chooser, Chosen
from gateway.stages.conversation import keys_of
from gateway.stages.fit import fit, shun
from gateway.stages.onward import hops, passed_on, patience
from gateway.stages.permit import may_call, permit, unserved
from gateway.stages.signs import signs_of
from gateway.stages.trial import Way
from gateway.stages.waiting import Full
from gateway.upstream.catalogue import Catalogue, Place, PriceOf, lend
from gateway.upstream.catalogue import Plan as Served
from gateway.wire import load
from gateway.wire.addresses import may_name_addresses
from gateway.wire.bridge import LANGUAGES
from gateway.wire.needs import NOTHING, Needs, needs

# What backends call a prompt that is too long, and one that they won't answer.
_TOO_LONG: Final = "context_length_exceeded"
_REFUSED_CONTENT: Final = frozenset(("content_filter", "content_policy_violation"))
# English prompts run at about four bytes a token, their JSON included.
BYTES_PER_TOKEN: Final = 4
# Models that one client asks for by turns on one connection.
_KEPT_MOST: Final = 16


class Finder:
    """Finds ways; all it knows is made from one reading of the configuration."""

    def __init__(
        self, instance: str, catalogue: Catalogue, chooser: Chooser, price_of: PriceOf, lengths: Lengths
    ) -> None:
        self._instance = instance
        self._catalogue = catalogue
        self._price_of = price_of
        self._lengths = lengths
        self.chooser = chooser

    def find(self, exchange: Exchange, model: str, request: Request | None = None) -> Way:
        """Where a request for this model may go. Raises what its caller is to be answered with where it may not."""
        call = exchange.call
        known = call.kept.get(model)
        if not isinstance(known, _Known) or known.finder is not self:
            known = self._know(exchange, model)
        exchange.model = known.model
        chosen, way, total_s = known.chosen, known.chosen.route, known.total_s
        rules = way.rules
        wants = needs(known.language, request) if known.choosy and request is not None else NOTHING
        session, prefix = keys_of(call, request, rules) if known.sticky and request is not None else (0, 0)
        work = Work(
            len(call.body) // BYTES_PER_TOKEN,
            self._lengths.expected(known.caller, known.model),
            wants.tokens,
            wants.capabilities,
            session,
            prefix,
            (total_s - exchange.waited_s) * 1e3,
            request is not None and request.stream,
        )
        small = self._small(exchange, request, chosen, work) if rules.complexity and request is not None else ()
        decided = self.chooser.decide(chosen, work, call.arrived_wall)
        exchange.policies, exchange.reason = rules.names, decided.reason
        if way.shares:
            exchange.split, exchange.splits = decided.split, tuple([split for split, _ in way.shares])
        if not decided.order and not small:
            raise self._nowhere(decided, chosen, wants, work, exchange.started + total_s)
        places = tuple([chosen.places[one.at] for one in decided.order])
        if small:
            places = small + places
        if known.lends or known.fetching:
            places = self._own(exchange, request, known, places)
        return Way(
            places,
            b"x-request-id: %b\r\n%b" % (call.request_id.encode(), known.head),
            exchange.started + total_s,
            known.passed,
            known.flags,
            (),
            rules,
            work,
            chosen.lines,
            tuple([chosen.places[one.at] for one in decided.copies]) if decided.copies else (),
        )

    def _know(self, exchange: Exchange, model: str) -> "_Known":
        """What find works out only once for requests with the same head. Raises what find raises, but for the plan."""
        call = exchange.call
        endpoint, caller, headers = call.endpoint, call.caller, call.headers
        assert endpoint is not None
        served = self._catalogue.plan(model, exchange.operation, endpoint.wire)
        exchange.model = served.model
        permit(caller, served.model, model)
        head = hops(headers, self._instance)
        passed, flags = passed_on(headers, load(endpoint.wire).passes)
        if not served.places:
            raise unserved(self._catalogue, model)
        chosen = self.chooser.chosen(call, served, exchange.operation)
        rules, total_s = chosen.rules, chosen.total_s
        asked_ms = headers.get(b"x-gateway-timeout-ms")
        if asked_ms is not None:
            total_s = min(total_s, patience(asked_ms))
            head += b"x-gateway-timeout-ms: %b\r\n" % asked_ms
        known = _Known(
            finder=self,
            model=served.model,
            caller=caller.name if caller is not None else "",
            language=endpoint.wire,
            chosen=chosen,
            total_s=total_s,
            head=head,
            passed=passed,
            flags=flags,
            choosy=served.choosy,
            sticky=rules.affinity.by != "none" or bool(rules.split),
            lends=caller is not None and bool(caller.may.byok),
            fetching=served.fetching,
        )
        if self.chooser.is_timeless:
            if len(call.kept) >= _KEPT_MOST:
                call.kept.clear()
            call.kept[model] = known
        return known

    def _own(
        self, exchange: Exchange, request: Request | None, known: "_Known", places: tuple[Place, ...]
    ) -> tuple[Place, ...]:
        """The places with keys that the caller has brought for them, and without those that he may not send around."""
        call = exchange.call
        if known.lends and call.caller is not None:
            keys = brought(call.headers, call.caller.may.byok, [place.target.backend.provider for place in places])
            if keys:
                places = lend(places, exchange.operation, known.language, keys)
        if known.fetching and request is not None and may_name_addresses(known.language, request):
            places = shun(places, known.language, request)
        return places

    def _nowhere(self, decided: Plan, chosen: Chosen, wants: Needs, work: Work, total: float) -> GatewayError:
        """What a plan without a place means."""
        if wants is not NOTHING:
            try:
                fit(chosen.served.places, wants)
            except BadRequest as missing:  # it says what
                return missing
        if decided.refused == "full" and chosen.rules.queue_s:
            return Full(decided, chosen.route, work, total)
        return self.chooser.refusal(decided, chosen.rules.require)

    def _small(self, exchange: Exchange, request: Request, chosen: Chosen, work: Work) -> tuple[Place, ...]:
        """The places of the model that a policy names for requests as simple as this one; none for others.

        A key that may not call that model, or nobody who may serve it now, leaves the request where it asked to go.
        """
        call = exchange.call
        assert call.endpoint is not None
        if exchange.operation not in LANGUAGES:
            return ()
        language = call.endpoint.wire
        verdict = complexity(signs_of(call, request, language, needs(language, request)))
        name = chosen.rules.complexity.get(verdict.name)
        if name is None or not may_call(call.caller, name):
            return ()
        served = self._catalogue.plan(name, exchange.operation, language)
        if not served.places or served.model == exchange.model:
            return ()
        other = self.chooser.instead(call, chosen, served, exchange.operation)
        decided = self.chooser.decide(other, work, call.arrived_wall)
        return tuple([replace(other.places[one.at], instead=served.model) for one in decided.order])

    def steer(self, way: Way, borrowed: Borrowed, exchange: Exchange, request: Request) -> Way:
        """The way as another gateway's fields narrow and order it; models named beside this one follow it."""
        others: list[Place] = []
        for name in borrowed.models:
            others += self._also(exchange, request, name)
        total = way.total
        if borrowed.timeout_s is not None:
            total = min(total, exchange.started + borrowed.timeout_s)
        return replace(
            way,
            places=narrow((*way.places, *others), borrowed, self._price_of),
            total=total,
            dropped=borrowed.dropped,
            copies=narrow(way.copies, borrowed, self._price_of),
        )

    def fall_back(self, exchange: Exchange, request: Request, way: Way, error: GatewayError) -> Way | None:
        """The way to the models that a policy names for what went wrong; None where it names none for that."""
        fallback = way.rules.fallback
        if fallback is None or cause_of(error) not in fallback.on:
            return None
        places = tuple(place for name in fallback.models for place in self._also(exchange, request, name))
        return replace(way, places=places, rules=replace(way.rules, fallback=None)) if places else None

    def _also(self, exchange: Exchange, request: Request, name: str) -> list[Place]:
        """The places of another model for this request, where its caller may call that and somebody may serve it."""
        call = exchange.call
        assert call.endpoint is not None
        served: Served = self._catalogue.plan(name, exchange.operation, call.endpoint.wire)
        known = exchange.model, exchange.policies, exchange.reason, exchange.split, exchange.splits
        if served.model == exchange.model or not served.places or not may_call(call.caller, served.model):
            return []
        try:
            found = self.find(exchange, name, request)
        except (BadRequest, GatewayFault):
            return []  # what can't serve this is no place to fall back to
        finally:
            exchange.model, exchange.policies, exchange.reason, exchange.split, exchange.splits = known
        return [replace(place, instead=served.model) for place in found.places]


class _Known(Struct, frozen=True):
    """What a head and the name of a model decide alone: most clients send the same head with every request.

    `head` are header lines for all upstreams, `passed` and `flags` as in Way. `choosy`: what the request needs decides,
    too; `sticky`: which conversation it belongs to; `lends`: the caller may bring keys; `fetching`: some places fetch
    what a request names.
    """

    finder: Finder
    model: str
    caller: str
    language: str
    chosen: Chosen
    total_s: float
    head: bytes
    passed: bytes
    flags: tuple[str, ...]
    choosy: bool
    sticky: bool
    lends: bool
    fetching: bool


def cause_of(error: GatewayError) -> str:
    """What went wrong, in the words of a policy's `fallback.on`; "" where no other model would change it."""
    if error.reason == _TOO_LONG:
        return "context_length"
    if error.reason in _REFUSED_CONTENT:
        return "content_policy"
    match error:
        case DeadlineExceeded():
            return "deadline"
        case UpstreamBusy():
            return "rate_limited"
        case UpstreamRefused():
            return ""
        case NoRoute() | Overloaded() | UpstreamError():
            return "unavailable"
        case _:
            return ""
