"""The way of a request: permitted, decided, and packed with all that an attempt needs."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import (
    BadRequest,
    CallerError,
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
from gateway.settings.complexity import is_concrete
from gateway.settings.shape import Caller
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
from gateway.wire.needs import NOTHING, needs

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
        work = self._work(exchange, request, known)
        small = self._small(exchange, request, known) if known.smaller and request is not None else ()
        if rules.require.jurisdictions is not None:
            exchange.stay(rules.require.jurisdictions)
        decided = self.chooser.decide(chosen, work, call.arrived_wall)
        exchange.policies, exchange.reason = rules.names, decided.reason
        if way.shares:
            exchange.split, exchange.splits = decided.split, tuple([split for split, _ in way.shares])
        if not decided.order and not small:
            raise self._nowhere(exchange, decided, known, work, request)
        places = tuple([chosen.places[one.at] for one in decided.order])
        if (known.lends or known.fetching) and places:
            places = self._own(exchange, request, known, places)
        if small:
            places = small + places
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
            smaller=self._smaller(model, served, chosen, caller) if rules.complexity else {},
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

    def _nowhere(
        self, exchange: Exchange, decided: Plan, known: "_Known", work: Work, request: Request | None
    ) -> GatewayError:
        """What a plan without a place means."""
        chosen = known.chosen
        if known.choosy and request is not None:
            try:
                fit(chosen.served.places, needs(known.language, request))
            except BadRequest as missing:  # it says what
                return missing
        if decided.refused == "full" and chosen.rules.queue_s:
            return Full(decided, chosen.route, work, exchange.started + known.total_s)
        return self.chooser.refusal(decided, chosen.rules.require)

    # --- the small model first ----------------------------------------------------------------------------------------

    def _smaller(self, asked: str, served: Served, chosen: Chosen, caller: Caller | None) -> Mapping[str, str]:
        """Which model is for which class of requests: for names that policies match, and none that is a provider's."""
        if caller is not None and caller.may.complexity:
            return chosen.rules.complexity
        is_name = asked in self._catalogue.names
        if not is_name and is_concrete(asked, served.model, [place.target.model for place in served.places]):
            return {}
        return self.chooser.smaller(chosen.rules, served.model)

    def _small(self, exchange: Exchange, request: Request, known: "_Known") -> tuple[Place, ...]:
        """The places of the model that a policy names for requests as simple as this one; none for others.

        A key that may not call that model, or nobody who may serve it now, leaves the request where it asked to go.
        """
        if exchange.operation not in LANGUAGES:
            return ()
        language = known.language
        verdict = complexity(signs_of(exchange.call, request, language, needs(language, request)))
        name = known.smaller.get(verdict.name)
        return self._also(exchange, request, known, name) if name is not None else ()

    # --- other models -------------------------------------------------------------------------------------------------

    def steer(self, way: Way, borrowed: Borrowed, exchange: Exchange, request: Request) -> Way:
        """The way as another gateway's fields narrow and order it; models named beside this one follow it."""
        others = self._others(exchange, request, self._asked(exchange, request.model), borrowed.models)
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

    def named(self, exchange: Exchange, request: Request, borrowed: Borrowed | None) -> Way | None:
        """The way to the other models that a request names itself, where its first one has no place for it."""
        if borrowed is None or not borrowed.models:
            return None
        asked = self._asked(exchange, request.model)
        try:
            way = self.steer(self._bare(exchange, request, asked), borrowed, exchange, request)
        except BadRequest:
            return None  # by what it says itself none is left
        return self._turned(exchange, asked, way)

    def instead(
        self,
        exchange: Exchange,
        model: str,
        error: GatewayError,
        request: Request | None = None,
        borrowed: Borrowed | None = None,
    ) -> Way | None:
        """The way to other models for a request whose own has no place: those it names itself, else its policy's.

        None where `error` is of no cause that other models help against (what isn't permitted never is), or none of
        them may and can serve this now.
        """
        if not cause_of(error):
            return None
        way = self.named(exchange, request, borrowed) if request is not None else None
        if way is not None:
            return way
        asked = self._asked(exchange, model)
        return self._fallen(exchange, asked, self._bare(exchange, request, asked), error, request, borrowed)

    def fall_back(
        self,
        exchange: Exchange,
        model: str,
        way: Way,
        error: GatewayError,
        request: Request | None = None,
        borrowed: Borrowed | None = None,
    ) -> Way | None:
        """The way to the models that a policy names for what went wrong; None where it names none for that."""
        if way.rules.fallback is None:
            return None
        return self._fallen(exchange, self._asked(exchange, model), way, error, request, borrowed)

    def _fallen(
        self,
        exchange: Exchange,
        asked: "_Known",
        way: Way,
        error: GatewayError,
        request: Request | None,
        borrowed: Borrowed | None,
    ) -> Way | None:
        fallback = way.rules.fallback
        if fallback is None or cause_of(error) not in fallback.on:
            return None
        places = self._others(exchange, request, asked, fallback.models)
        if borrowed is not None:
            try:
                places = narrow(places, borrowed, self._price_of)
            except BadRequest:
                return None  # the request itself allows none of them
        return self._turned(exchange, asked, replace(way, places=places, rules=replace(way.rules, fallback=None)))

    def _turned(self, exchange: Exchange, asked: "_Known", way: Way) -> Way | None:
        """The same way, on the record as another one than was asked for; None where it leads nowhere any more."""
        if not way.places or way.total <= self.chooser.now:
            return None
        exchange.model, exchange.reason = asked.model, "fallback"
        if not exchange.attempts:
            exchange.split, exchange.splits = "", ()  # it was part of none
        return way

    def _asked(self, exchange: Exchange, model: str) -> "_Known":
        """What is known of the model that was asked for, which find has been asked for before."""
        known = exchange.call.kept.get(model)
        return known if isinstance(known, _Known) and known.finder is self else self._know(exchange, model)

    def _bare(self, exchange: Exchange, request: Request | None, asked: "_Known") -> Way:
        """A way as find makes it, without any place."""
        return Way(
            (),
            b"x-request-id: %b\r\n%b" % (exchange.call.request_id.encode(), asked.head),
            exchange.started + asked.total_s,
            asked.passed,
            asked.flags,
            (),
            asked.chosen.rules,
            self._work(exchange, request, asked),
            asked.chosen.lines,
        )

    def _work(self, exchange: Exchange, request: Request | None, known: "_Known") -> Work:
        """What is decided by: the prompt by its bytes, the answer by those before it, the rest only where it counts."""
        call = exchange.call
        wants = needs(known.language, request) if known.choosy and request is not None else NOTHING
        session = prefix = 0
        if known.sticky and request is not None:
            session, prefix = keys_of(call, request, known.chosen.rules)
        return Work(
            len(call.body) // BYTES_PER_TOKEN,
            self._lengths.expected(known.caller, known.model),
            wants.tokens,
            wants.capabilities,
            session,
            prefix,
            (known.total_s - exchange.waited_s) * 1e3,
            request is not None and request.stream,
        )

    def _others(
        self, exchange: Exchange, request: Request | None, asked: "_Known", names: Iterable[str]
    ) -> tuple[Place, ...]:
        return tuple([place for name in names for place in self._also(exchange, request, asked, name)])

    def _also(self, exchange: Exchange, request: Request | None, asked: "_Known", name: str) -> tuple[Place, ...]:
        """The places of another model for this request, where its caller may call that and somebody may serve it.

        It is decided by the rules of the model that was asked for; what that one requires holds there too, beside what
        the other one's policies do.
        """
        call = exchange.call
        served: Served = self._catalogue.plan(name, exchange.operation, asked.language)
        if served.model == asked.model or not served.places or not may_call(call.caller, served.model):
            return ()
        try:
            chosen = self.chooser.instead(call, asked.chosen, served, exchange.operation)
            known = replace(asked, model=served.model, chosen=chosen, choosy=served.choosy, fetching=served.fetching)
            decided = self.chooser.decide(chosen, self._work(exchange, request, known), call.arrived_wall)
            places = tuple([replace(chosen.places[one.at], instead=served.model) for one in decided.order])
            if (known.lends or known.fetching) and places:
                places = self._own(exchange, request, known, places)
        except (CallerError, GatewayFault):
            return ()  # what can't serve this stands in for nobody
        if places:
            exchange.stay(chosen.rules.require.jurisdictions)
        return places


class _Known(Struct, frozen=True):
    """What a head and the name of a model decide alone: most clients send the same head with every request.

    `head` are header lines for all upstreams, `passed` and `flags` as in Way. `choosy`: what the request needs decides,
    too; `sticky`: which conversation it belongs to; `lends`: the caller may bring keys; `fetching`: some places fetch
    what a request names. `smaller` are the models of other classes of requests, where the policies' `complexity` holds.
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
    smaller: Mapping[str, str]


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
