"""Which places serve a request, and in which order: its policies looked up, the decision asked, the answer carried out.

What policies and configuration alone decide is worked out once for all requests that are alike; what is left for each
is one call of `routing.plan`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from gateway.clock import Clock
from gateway.errors import BadRequest, DeadlineExceeded, Forbidden, GatewayError, NoRoute, Overloaded
from gateway.exchange import Call
from gateway.routing.facts import Asker, Local, Now, Work
from gateway.routing.filters import within
from gateway.routing.match import Book
from gateway.routing.plan import Plan, Route, plan, route
from gateway.routing.policy import PRIORITIES, Patience, Require, Rules
from gateway.routing.snapshot import Snapshot
from gateway.settings.complexity import smaller
from gateway.settings.shape import Caller, Pop, Settings, Timeouts
from gateway.upstream.catalogue import Place
from gateway.upstream.catalogue import Plan as Served
from gateway.wire.bridge import LANGUAGES
from gateway.wire.counting import COUNTS

_KEPT_MOST: Final = 10_000
_MINUTE_S: Final = 60.0
_STEP: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1
_STEERING: Final = frozenset((b"x-gateway-policy", b"x-gateway-tags", b"x-gateway-priority"))
_PAIRS_MOST: Final = 16
# What no backend has that may serve a request, where others have it; the code that says so.
_LACKING: Final[Mapping[str, tuple[str, str]]] = {
    "context": (
        "The request is longer than the context window of every backend of this model that may serve it.",
        "context_length_exceeded",
    ),
    "capability": (
        "No backend of this model that may serve this request has all that it needs.",
        "unsupported_feature",
    ),
}
_REASONS: Final = (
    "nearest fastest cheapest greenest affinity overflow fallback hedge canary only_allowed"  # CONTRACT.md's
)
REASONS: Final[Mapping[str, bytes]] = {
    "": b"",
    **{reason: f"x-gateway-reason: {reason}\r\n".encode() for reason in _REASONS.split()},
}
# What policies call an operation: a conversation is one, in whatever language, and so is counting its tokens.
WORDS: Final[Mapping[str, str]] = {
    **{operation: "chat" for operation in (*LANGUAGES, *COUNTS) if operation != "responses"},
}


class Chosen(Struct, frozen=True):
    """What is the same for all requests that are alike: where they may go, under which rules, and for how long.

    `places` are by `Candidate.at`; `lines` are the header lines that say so to the caller. `served` is what it was made
    from, and `also` are others it was: as long as it is kept, so are they, and what was their identity stays theirs.
    """

    served: Served
    route: Route
    places: tuple[Place, ...]
    total_s: float
    lines: bytes
    also: tuple["Chosen", ...] = ()

    @property
    def rules(self) -> Rules:
        return self.route.rules


class Chooser:
    """Knows the policies, where this gateway stands, and what is known of every backend."""

    def __init__(self, settings: Settings, snapshot: Snapshot, clock: Clock) -> None:
        self._book = Book(settings.policies)
        self._policies = {policy.name: policy for policy in settings.policies}
        self._clock = clock
        self._snapshot = snapshot
        self._draw = clock.draw()
        self._pops = settings.pops
        self._here: Pop | None = settings.pops.get(settings.pop)
        self._pop = settings.pop
        self._workers = settings.workers
        self._local: dict[str, Local] = {}
        self._local_until = 0.0
        # Where nothing but who asks, from where, and for what decides, that is what it is kept by.
        self._is_plain = not (self._book.headers or self._book.zones)
        self._kept: dict[tuple[object, ...], Chosen] = {}

    @property
    def is_timeless(self) -> bool:
        """Whether what is chosen for a call now would be chosen for the same one at any time."""
        return not self._book.zones

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    def smaller(self, rules: Rules, model: str) -> Mapping[str, str]:
        """Which model these policies have for which class of requests for `model`."""
        return smaller(self._policies, rules, model)

    def chosen(self, call: Call, served: Served, operation: str) -> Chosen:
        """What holds for this call. Forbidden where a header asks for what the key may not steer."""
        caller = call.caller
        who = caller.name if caller is not None else ""
        key: tuple[object, ...] = (id(served), operation, who, call.country)
        is_plain = self._is_plain and _STEERING.isdisjoint(call.headers)
        if is_plain and (found := self._kept.get(key)) is not None:
            return found
        rules = self._rules(call, served.model, operation)
        if not is_plain:
            # Policies by their names, and who asks: all the rest follows from these.
            key = (id(served), rules.names, rules.priority, who)
            if (found := self._kept.get(key)) is not None:
                return found
        made = self._made(served, rules)
        if len(self._kept) >= _KEPT_MOST:
            self._kept.clear()
        self._kept[key] = made
        return made

    def instead(self, call: Call, chosen: Chosen, served: Served, operation: str) -> Chosen:
        """The same for another model that stands in: under the rules of the one asked for, and what its own require."""
        own = self.chosen(call, served, operation)
        key = (id(chosen), id(own))
        found = self._kept.get(key)
        if found is None:
            rules = replace(chosen.rules, require=chosen.rules.require.also(own.rules.require))
            found = self._kept[key] = self._made(served, rules, (chosen, own))
        return found

    def _made(self, served: Served, rules: Rules, also: tuple["Chosen", ...] = ()) -> Chosen:
        here = self._here
        candidates = [place.candidate for place in served.places]
        way = route(candidates, rules, here.egress_country if here else "", self._workers)
        places = served.places
        if rules.timeouts != Patience():
            places = tuple(_patient(place, rules.timeouts) for place in places)
        lines = f"x-gateway-policy: {rules.names[0]}\r\n" if rules.names else ""
        total_s = rules.timeouts.total_s or served.total_s
        return Chosen(served, way, places, total_s, lines.encode("ascii", "replace"), also)

    # --- what holds ---------------------------------------------------------------------------------------------------

    def _rules(self, call: Call, model: str, operation: str) -> Rules:
        caller = call.caller
        headers = call.headers
        asker = Asker(
            model,
            WORDS.get(operation, operation),
            caller.name if caller is not None else "",
            caller.team if caller is not None else "",
            call.country,
            self._pop,
            tags_of(caller, headers.get(b"x-gateway-tags")),
            {name: headers[name.encode()].decode("latin-1") for name in self._book.headers if name.encode() in headers},
            self._now_in_zones(call.arrived_wall) if self._book.zones else {},
        )
        rules = self._book.rules(asker, self._named(caller, headers.get(b"x-gateway-policy")))
        return priority_of(with_team(rules, caller), caller, headers.get(b"x-gateway-priority"))

    def _named(self, caller: Caller | None, said: bytes | None) -> str:
        if said is None:
            return ""
        name = said.decode("latin-1")
        if caller is None or name not in caller.may.policies or name not in self._book:
            raise Forbidden("This API key may not choose this policy.", code="policy_not_allowed")
        return name

    def _now_in_zones(self, wall: float) -> Mapping[str, Local]:
        """Weekday and minute of the day in every zone that a policy names; looked up once a minute."""
        if wall >= self._local_until:
            self._local_until = wall - wall % _MINUTE_S + _MINUTE_S
            moment = datetime.fromtimestamp(wall, UTC)
            self._local = {}
            for zone in self._book.zones:
                there = moment.astimezone(ZoneInfo(zone))
                self._local[zone] = (there.weekday(), there.hour * 60 + there.minute)
        return self._local

    # --- what is decided ----------------------------------------------------------------------------------------------

    def decide(self, chosen: Chosen, work: Work, wall: float) -> Plan:
        """The places in their order; none, and a word for why, where nobody may or can. Forbidden outside this POP."""
        now = Now(self._clock.monotonic(), wall)
        require = chosen.rules.require
        if require.jurisdictions is not None:
            self.stand_in(require)
        # Weyl's sequence: evenly spread whatever bits are taken of it, and as cheap as an addition. Nobody gains by
        # foreseeing it: what must be fair to its last bit is mixed once more where it is used.
        self._draw = (self._draw + _STEP) & _MASK
        return plan(work, chosen.route, self._snapshot, now, self._draw)

    def stand_in(self, require: Require) -> None:
        """Forbidden where this POP may not serve whoever this is required for, naming those that may."""
        allowed = require.jurisdictions
        if allowed is None or (self._here is not None and self._here.country in allowed):
            return
        raise self._elsewhere(allowed)

    def _elsewhere(self, allowed: frozenset[str]) -> Forbidden:
        urls = [pop.url for pop in self._pops.values() if pop.country in allowed]
        where = f" Call one of: {', '.join(urls)}." if urls else ""
        return Forbidden(f"This request may not be processed in this place.{where}", code="residency_violation")

    def refusal(self, found: Plan, require: Require) -> GatewayError:
        """What a plan without a place means to the caller."""
        match found.refused:
            case "residency_violation":
                if self._here is not None and require.jurisdictions is not None:
                    places = sorted(require.jurisdictions)
                    return Forbidden(
                        f"No backend of this model may process this request: it must stay in {', '.join(places)}.",
                        code="residency_violation",
                    )
                return self._elsewhere(require.jurisdictions or frozenset())
            case "full" | "shed":
                return Overloaded("Every backend of this model is busy.", retry_after_s=1.0)
            case "deadline":
                return DeadlineExceeded("No backend can answer within the time that is left.")
            case "price":
                return Forbidden("No backend serves this request at the price its policy allows.", code="price_limit")
            case "context" | "capability" as lacking:
                words, code = _LACKING[lacking]
                return BadRequest(words, code=code)
            case "not_allowed" if all(left.why != "egress" for left in found.out):
                return Forbidden("No backend of this model satisfies this request's policy.", code="policy_violation")
            case _:  # also where nobody forbids it, but nobody who may serve it can be called from this country
                return NoRoute("No backend serves this model now.")


def with_team(rules: Rules, caller: Caller | None) -> Rules:
    """What a key's team requires holds beside every policy; its priority where no policy says one."""
    if caller is None:
        return replace(rules, priority=rules.priority or "normal")
    require = rules.require if caller.require == _NOTHING else rules.require.also(caller.require)
    return replace(rules, require=require, priority=rules.priority or caller.priority)


def priority_of(rules: Rules, caller: Caller | None, said: bytes | None) -> Rules:
    """A caller may lower his priority, and raise it as far as his key may. BadRequest where it is none."""
    if said is None:
        return rules
    wanted = said.decode("latin-1")
    if wanted not in PRIORITIES:
        raise BadRequest("The header 'x-gateway-priority' must be high, normal or low.", code="invalid_header")
    may = PRIORITIES[caller.may.priority if caller is not None else "normal"]
    if PRIORITIES[wanted] > max(may, PRIORITIES[rules.priority or "normal"]):
        raise Forbidden("This API key may not ask for this priority.", code="priority_not_allowed")
    return replace(rules, priority=wanted)


def tags_of(caller: Caller | None, said: bytes | None) -> Mapping[str, str]:
    """A key's tags and those a header adds; it may not say another value for one that the key has."""
    tags = caller.tags if caller is not None else {}
    if said is None:
        return tags
    pairs = said.decode("latin-1").split(",")
    added: dict[str, str] = {}
    for pair in pairs[: _PAIRS_MOST + 1]:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or len(pairs) > _PAIRS_MOST:
            raise BadRequest("The header 'x-gateway-tags' must be a list of k=v.", code="invalid_header")
        if tags.get(name, value) != value:
            raise Forbidden("This API key has another value for a tag of 'x-gateway-tags'.", code="tag_not_allowed")
        added[name] = value
    return {**tags, **added}


def may_compute(place: Place, require: Require) -> bool:
    """Whether a place may see this request at all; asked once more before anything is sent to it."""
    return require.jurisdictions is None or within(place.candidate.processes_in, require.jurisdictions)


_NOTHING: Final = Require()


def _patient(place: Place, patience: Patience) -> Place:
    """A place with its policy's patience where that says something."""
    usual = place.target.timeouts
    timeouts = Timeouts(
        connect_s=patience.connect_s or usual.connect_s,
        first_token_s=patience.first_token_s or usual.first_token_s,
        idle_s=patience.idle_s or usual.idle_s,
        total_s=patience.total_s or usual.total_s,
    )
    others = tuple(_patient(other, patience) for other in place.others)
    return replace(place, target=replace(place.target, timeouts=timeouts), others=others)
