"""Policies' examples: each is a request at a moment and what must come of it, proven by the decision itself.

An example is proven against the configuration that loads its policy, for several draws, so that chance hides nothing.
Nothing but that configuration counts: no backend was measured, and no price is known that isn't written there.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import ConfigProblem
from gateway.routing.candidate import Candidate, Left
from gateway.routing.chance import mixed
from gateway.routing.facts import Asker, Local, Now, Work
from gateway.routing.filters import within
from gateway.routing.geo import countries
from gateway.routing.match import Book
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import Require, Rules
from gateway.routing.snapshot import FOR_EVER, Load, Snapshot
from gateway.settings.candidates import alone, candidate
from gateway.settings.complexity import is_concrete, smaller
from gateway.settings.findings import Findings, suggestion
from gateway.settings.policies import Proof
from gateway.settings.policy_rows import ExampleRow, ThenRow, WhenRow
from gateway.settings.shape import Backend, Caller, Settings, Target
from gateway.settings.yaml import Document, Place

DRAWS: Final = tuple(map(mixed, range(64)))
NOON: Final = datetime(2026, 1, 7, 12, tzinfo=UTC).timestamp()  # a Wednesday
DOWN: Final = "down"
KV_FULL: Final = 0.8  # of its cache, where a server counts as full
ANY: Final = "*"  # as a target's model: what a glob's own `*` stands for
MEND: Final = "mend the policy, or the example"

NOT_THIS_MODEL: Final = "model_not_allowed"
RESIDENCY: Final = "residency_violation"
REFUSALS: Final = (
    RESIDENCY,
    "not_allowed",
    NOT_THIS_MODEL,
    "unavailable",
    "full",
    "shed",
    "deadline",
    "slo",
    "context",
    "capability",
    "price",
    "nobody",
)

# The settings as the POP of that name reads them.
At = Callable[[str], Settings]


class Outcome(Struct):
    """What comes of an example: the model that is served, one plan a draw, and the policies that were heard.

    `why` is what decided before any plan was made.
    """

    model: str
    plans: list[Plan]
    policies: tuple[str, ...]
    why: str = ""


def prove(proofs: Sequence[Proof], settings: Settings, at: At, providers: Collection[str]) -> list[ConfigProblem]:
    """What is wrong with the examples, or with the policies they are of; `providers` are the catalogue's."""
    findings = Findings()
    stands: dict[str, _Stand] = {}
    for proof in proofs:
        for number, example in enumerate(proof.examples):
            place: Place = ("examples", number)
            if not _names_are_known(findings, proof.document, place, example, settings, providers):
                continue
            pop = example.when.pop or settings.pop
            if pop not in stands:
                stands[pop] = _Stand(settings if pop == settings.pop else at(pop))
            outcome = stands[pop].outcome(example.when)
            for key, what in wrong(example.then, outcome):
                findings.wrong(proof.document, (*place, "then", *key), f"{what}{_besides(outcome)}", MEND)
    return findings.sorted()


# --- names ------------------------------------------------------------------------------------------------------------


def _names_are_known(
    findings: Findings,
    document: Document,
    place: Place,
    example: ExampleRow,
    settings: Settings,
    providers: Collection[str],
) -> bool:
    when, then = example.when, example.then
    backends = list(settings.backends)
    models = list(settings.models)
    regions = sorted({backend.region for backend in settings.backends.values()} - {""})
    teams = sorted({caller.team for caller in settings.callers} | ({when.team} if settings.dev else set()))
    keys = [caller.name for caller in settings.callers]
    pops = [*settings.pops] or [settings.pop]
    never = then.never
    asked: list[tuple[Place, Sequence[str], Sequence[str], str]] = [
        (("when", "key"), [when.key] if when.key else [], keys, "key"),
        (("when", "team"), [when.team] if when.team else [], teams, "team"),
        (("when", "pop"), [when.pop] if when.pop else [], pops, "POP"),
        (("when", "down"), when.down, backends, "backend"),
        (("when", "load"), list(when.load), backends, "backend"),
        (("then", "first"), then.first or (), backends, "backend"),
        (("then", "order"), then.order or (), backends, "backend"),
        (("then", "never", "backends"), (never and never.backends) or (), backends, "backend"),
        (("then", "never", "regions"), (never and never.regions) or (), regions, "region"),
        (("then", "never", "providers"), (never and never.providers) or (), sorted(providers), "provider"),
        (("then", "refused"), [then.refused] if then.refused else [], REFUSALS, "refusal"),
    ]
    before = len(findings.problems)
    for key, names, known, what in asked:
        for name in names:
            if name not in known:
                problem = f"{name} isn't a {what} of this configuration"
                findings.add(document.problem((*place, *key), problem, suggestion(name, list(known), what)), also=True)
    for key, model in ((("when", "model"), when.model), (("then", "model"), then.model)):
        if model is not None and not _targets(settings, model):
            what = f"{model} isn't a model of this configuration"
            findings.wrong(document, (*place, *key), what, suggestion(model, models, "model"))
    caller = next((one for one in settings.callers if one.name == when.key), None)
    for name, value in when.tags.items():
        own = caller.tags.get(name, value) if caller is not None else value
        if own != value:
            what = f"is {own} for every request of {when.key}"
            findings.wrong(document, (*place, "when", "tags", name), what, "a tag can be added, and never changed")
    return len(findings.problems) == before


def _targets(settings: Settings, model: str) -> Sequence[Target]:
    """Who serves a name: a configured one, or one that a configured glob matches."""
    if model in settings.models:
        return settings.models[model]
    return next((targets for glob, targets in settings.models.items() if fnmatchcase(model, glob)), ())


# --- the decision -----------------------------------------------------------------------------------------------------


class _Stand:
    """The view from one POP."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._book = Book(settings.policies)
        self._policies = {policy.name: policy for policy in settings.policies}
        self._here = settings.pops.get(settings.pop)
        self._callers: Mapping[str, Caller] = {caller.name: caller for caller in settings.callers}

    def outcome(self, when: WhenRow) -> Outcome:
        """What comes of a request, draw by draw."""
        moment = datetime.fromtimestamp(NOON if when.at is None else when.at, UTC)
        caller = self._callers.get(when.key) if when.key else None
        asker = self._asker(when, caller, moment)
        rules = self._book.rules(asker)
        model = self._classes(when.model, rules, caller).get(when.complexity or "", when.model)
        if model != when.model:
            # What another name protects isn't lifted by taking it for this one.
            rules = _with(rules, self._book.rules(replace(asker, model=model)).require)
        if caller is not None:
            rules = _with(rules, caller.require)
            if caller.models and not any(fnmatchcase(when.model, glob) for glob in caller.models):
                why = f"the team of {caller.name} may call {', '.join(caller.models)}"
                return Outcome(model, [Plan((), refused=NOT_THIS_MODEL)], rules.names, why)
        allowed = rules.require.jurisdictions
        if allowed is not None and (self._here is None or self._here.country not in allowed):
            here = self._here
            why = f"the POP {here.name} is in {here.country}" if here is not None else "nobody knows where this POP is"
            return Outcome(model, [Plan((), refused=RESIDENCY)], rules.names, why)
        return Outcome(model, self._plans(model, rules, when, moment), rules.names)

    def _classes(self, model: str, rules: Rules, caller: Caller | None) -> Mapping[str, str]:
        """Which model is for which class of requests."""
        if caller is not None and caller.may.complexity:
            return rules.complexity
        served_as = [target.model.replace(ANY, model) for target in _targets(self._settings, model)]
        if model not in self._settings.models and is_concrete(model, model, served_as):
            return {}
        return smaller(self._policies, rules, model)

    def _plans(self, model: str, rules: Rules, when: WhenRow, moment: datetime) -> list[Plan]:
        targets = sorted(_targets(self._settings, model), key=lambda target: target.order)
        only_here = alone(targets)
        places = [replace(candidate(target, at, self._here), only_here=only_here) for at, target in enumerate(targets)]
        way = route(places, rules, self._here.egress_country if self._here is not None else "")
        tokens = when.tokens
        work = Work(tokens_in=tokens.in_, tokens_out=float(tokens.out), window=tokens.in_ + tokens.out)
        snapshot = Snapshot(loads=_loads(when, self._settings.backends))
        now = Now(0.0, moment.timestamp())
        return [plan(work, way, snapshot, now, draw) for draw in DRAWS]

    def _asker(self, when: WhenRow, caller: Caller | None, moment: datetime) -> Asker:
        return Asker(
            model=when.model,
            operation=when.operation,
            key=when.key or "",
            team=caller.team if caller is not None else when.team,
            country=when.country or "",
            pop=self._settings.pop,
            tags={**(caller.tags if caller is not None else {}), **when.tags},
            headers=when.headers,
            local={zone: _local(moment, zone) for zone in self._book.zones},
        )


def _with(rules: Rules, require: Require) -> Rules:
    return replace(rules, require=rules.require.also(require))


def _local(moment: datetime, zone: str) -> Local:
    there = moment.astimezone(ZoneInfo(zone))
    return there.weekday(), there.hour * 60 + there.minute


def _loads(when: WhenRow, backends: Mapping[str, Backend]) -> dict[str, Load]:
    """Every backend that isn't healthy and idle: a load is a share of its slots, else of its cache."""
    loads = {}
    for name, share in when.load.items():
        slots = backends[name].slots
        loads[name] = Load(reported=share * slots) if slots else Load(kv=share * KV_FULL)
    for name in when.down:
        loads[name] = Load(shut=DOWN, shut_until=FOR_EVER)
    return loads


# --- what was promised ------------------------------------------------------------------------------------------------


def wrong(then: ThenRow, outcome: Outcome) -> Iterator[tuple[Place, str]]:
    """Each promise that isn't kept, by its key, and what came out instead.

    A split's own share goes where the split says, so `first`, `order` and `refused` are promises to all the others.
    """
    plans = outcome.plans
    usual = [found for found in plans if not found.split] or plans
    refused = [found for found in usual if not found.order]
    if then.refused is not None:
        other = [found for found in usual if found.order or found.refused != then.refused]
        if other:
            yield ("refused",), f"{_shown(other[0])}{_of(other, usual)}, not refused: {then.refused}"
        return
    if refused:
        yield (), f"{_shown(refused[0])}{_of(refused, usual)}"
        return
    if then.model is not None and outcome.model != then.model:
        yield ("model",), f"{outcome.model} is served, not {then.model}"
    if then.first is not None:
        other = [found for found in usual if found.order[0].backend not in then.first]
        if other:
            came, wanted = other[0].order[0].backend, " or ".join(then.first)
            yield ("first",), f"{came} came first{_of(other, usual)}, not {wanted}"
    if then.order is not None:
        other = [found for found in usual if _backends(found.order) != list(then.order)]
        if other:
            yield ("order",), f"{_shown(other[0])}{_of(other, usual)}"
    touched = {one.backend: one for found in plans for one in (*found.order, *found.copies)}
    yield from _strays(then, list(touched.values()))


def _strays(then: ThenRow, touched: Sequence[Candidate]) -> Iterator[tuple[Place, str]]:
    """Places that were promised not to be asked, not even after the others."""
    if then.only_in is not None:
        allowed = countries(then.only_in)
        out = [f"{one.backend} ({_places(one)})" for one in touched if not within(one.processes_in, allowed)]
        if out:
            yield ("only_in",), f"may go to {', '.join(out)}"
    never = then.never
    if never is not None:
        for key, names in (("backends", never.backends), ("regions", never.regions), ("providers", never.providers)):
            out = [one.backend for one in touched if getattr(one, key.removesuffix("s")) in (names or ())]
            if out:
                yield ("never", key), f"may go to {', '.join(out)}"


def _shown(found: Plan) -> str:
    return f"came out as {', '.join(_backends(found.order))}" if found.order else f"refused: {found.refused}"


def _of(some: Sequence[Plan], plans: Sequence[Plan]) -> str:
    return f" in {len(some)} of {len(plans)} draws" if len(some) < len(plans) else ""


def _backends(order: Sequence[Candidate]) -> list[str]:
    return [one.backend for one in order]


def _places(one: Candidate) -> str:
    return ", ".join(sorted(one.processes_in)) or "nobody knows where it is"


def _besides(outcome: Outcome) -> str:
    """Who was left out and why, and whose rules these are."""
    out: dict[str, Left] = {left.candidate.backend: left for found in outcome.plans for left in found.out}
    told = f"; {outcome.why}" if outcome.why else ""
    if out:
        told += f"; out: {', '.join(f'{name} ({left.why})' for name, left in out.items())}"
    return f"{told}; policies: {', '.join(outcome.policies) or 'none'}"
