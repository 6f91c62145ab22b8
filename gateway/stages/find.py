"""The way of a request: permitted, decided, and packed with all that an attempt needs."""

from typing import Final

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
from gateway.stages.estimate import estimate
from gateway.stages.fit import fit, shun
from gateway.stages.onward import onward, passed_on, patience
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
        endpoint = call.endpoint
        assert endpoint is not None
        served = self._catalogue.plan(model, exchange.operation, endpoint.wire)
        exchange.model = served.model
        permit(call.caller, served.model, model)
        head = onward(call, self._instance)
        passed, flags = passed_on(call.headers, load(endpoint.wire).passes)
        if not served.places:
            raise unserved(self._catalogue, model)
        chosen = self.chooser.chosen(call, served, exchange.operation)
        total_s = chosen.total_s
        asked_ms = call.headers.get(b"x-gateway-timeout-ms")
        if asked_ms is not None:
            total_s = min(total_s, patience(asked_ms))
            head += b"x-gateway-timeout-ms: %b\r\n" % asked_ms
        wants = needs(endpoint.wire, request) if served.choosy and request is not None else NOTHING
        rules = chosen.rules
        length = self._lengths.expected(call.caller.name if call.caller is not None else "", served.model)
        work = estimate(call, request, wants, rules, total_s - exchange.waited_s, length)
        if rules.complexity and request is not None and exchange.operation in LANGUAGES:
            small = self._small(exchange, request, chosen, work, needs(endpoint.wire, request))
        else:
            small = ()
        decided = self.chooser.decide(chosen, work, call.arrived_wall)
        exchange.policies, exchange.reason, exchange.split = rules.names, decided.reason, decided.split
        if chosen.route.shares:
            exchange.splits = tuple([split for split, _ in chosen.route.shares])
        if not decided.order and not small:
            raise self._nowhere(decided, chosen, wants, work, exchange.started + total_s)
        places = (*small, *[chosen.places[one.at] for one in decided.order])
        if call.caller is not None and call.caller.may.byok:
            keys = brought(call.headers, call.caller.may.byok, [place.target.backend.provider for place in places])
            if keys:
                places = lend(places, exchange.operation, endpoint.wire, keys)
        if served.fetching and request is not None and may_name_addresses(endpoint.wire, request):
            places = shun(places, endpoint.wire, request)
        return Way(
            places,
            head,
            exchange.started + total_s,
            passed,
            flags,
            (),
            rules,
            work,
            chosen.lines,
            tuple([chosen.places[one.at] for one in decided.copies]) if decided.copies else (),
        )

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

    def _small(
        self, exchange: Exchange, request: Request, chosen: Chosen, work: Work, wants: Needs
    ) -> tuple[Place, ...]:
        """The places of the model that a policy names for requests as simple as this one; none for others.

        A key that may not call that model, or nobody who may serve it now, leaves the request where it asked to go.
        """
        call = exchange.call
        assert call.endpoint is not None
        verdict = complexity(signs_of(call, request, call.endpoint.wire, wants))
        name = chosen.rules.complexity.get(verdict.name)
        if name is None or not may_call(call.caller, name):
            return ()
        served = self._catalogue.plan(name, exchange.operation, call.endpoint.wire)
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
