"""Policy files as routing's policies: one a file, every name in it looked up, ties between them found."""

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.routing import policy as routing
from gateway.routing.geo import countries
from gateway.routing.match import ties
from gateway.routing.policy import OBJECTIVES, Policy
from gateway.settings.callers import check_choice, choice
from gateway.settings.fields import Row
from gateway.settings.findings import Findings, is_blank, suggestion
from gateway.settings.policy_rows import (
    DAYS,
    NOT_BUILT,
    NOT_BUILT_WHEN,
    ExampleRow,
    HoursRow,
    MatchRow,
    PolicyFile,
    PreferRow,
    RequireRow,
    SplitRow,
)
from gateway.settings.salvage import validated
from gateway.settings.words import STAND_IN, is_name
from gateway.settings.yaml import Document, Place, Value

# Tiers that a backend gets where nobody names one.
USUAL_TIERS = ("self_hosted", "external")
EVERYTHING = 100.0


class Known(Struct):
    """The names that policies may use. `dev`: models and keys come on top when it is served."""

    models: Collection[str]
    backends: Collection[str]
    providers: Collection[str]
    tiers: Collection[str]
    regions: Collection[str]
    keys: Collection[str]
    teams: Collection[str]
    pops: Collection[str]
    dev: bool = False


class Proof(Struct):
    """The examples of one policy, with the file they stand in."""

    document: Document
    policy: str
    examples: tuple[ExampleRow, ...]


class PolicyReader:
    """Makes the policies of one configuration. `proofs` gathers their examples."""

    def __init__(self, findings: Findings, known: Known) -> None:
        self._findings = findings
        self._known = known
        self._files: dict[str, Document] = {}
        self._splits: dict[str, str] = {}
        self.proofs: list[Proof] = []

    def policies(self, documents: Sequence[Document]) -> tuple[Policy, ...]:
        """The policies in the order of their files; findings where one is wrong, or two of them are."""
        found = [policy for document in documents if (policy := self._policy(document)) is not None]
        self._ties(found)
        return tuple(found)

    @property
    def names(self) -> Collection[str]:
        """What the policies are called, the wrong ones too."""
        return self._files.keys()

    def _policy(self, document: Document) -> Policy | None:
        before = len(self._findings.problems)
        self._not_built(document)
        row = validated(document, PolicyFile, self._findings)
        if row is None:
            return None
        name = self._name(document, row)
        for place in _rows((), row):
            if is_blank(document, place):
                self._wrong(document, place, "is empty", "write a key into it, or remove it")
        self._look_up(document, row)
        self._make_sense(document, row)
        self.proofs.append(Proof(document, name, row.examples))
        # A policy that is wrong may tie with others only for that.
        return policy(name, row) if len(self._findings.problems) == before else None

    def _wrong(self, document: Document, place: Place, what: str, mend: str) -> None:
        self._findings.wrong(document, place, what, mend)

    def _not_built(self, document: Document) -> None:
        """Refuse what nothing keeps yet, and read on without it."""
        rows: list[tuple[Place, Value, tuple[str, ...]]] = [((), document.value, NOT_BUILT)]
        rows += [(("examples", at, "when"), when, NOT_BUILT_WHEN) for at, when in enumerate(_whens(document.value))]
        for place, row, keys in rows:
            for key in keys:
                if isinstance(row, dict) and key in row:
                    self._wrong(document, (*place, key), "is not built yet", "leave it out until it is")
                    del row[key]

    def _name(self, document: Document, row: PolicyFile) -> str:
        stem = Path(document.file).stem
        name = row.name or stem
        if row.name is None and not is_name(stem):
            self._wrong(document, ("name",), "is missing, and the file's isn't a name", "add name: …")
        if name in self._files:
            what = f"{name} is the name of {self._files[name].file} too"
            self._wrong(document, ("name",), what, "give each its own")
        self._files.setdefault(name, document)
        return name

    def _ties(self, policies: Sequence[Policy]) -> None:
        for tie in ties(policies):
            document = self._files[tie.other]
            what = (
                f"{tie.other} and {tie.one} ({self._files[tie.one].file}) can match one request, "
                f"and nothing says whose {', '.join(map(written, tie.keys))} counts"
            )
            problem = document.problem(("rank",), what, "add rank: 1 to the one that counts, or narrow its match")
            # It may tie with more than one.
            self._findings.add(problem, also=True)

    # --- names --------------------------------------------------------------------------------------------------------

    def _look_up(self, document: Document, row: PolicyFile) -> None:
        known = self._known
        if row.match is not None:
            self._match(document, row.match)
        if row.require is not None:
            place: Place = ("require",)
            given = row.require
            check_choice(document, (*place, "providers"), given.providers, self._findings, known.providers, "provider")
            check_choice(document, (*place, "backends"), given.backends, self._findings, known.backends, "backend")
        if row.prefer is not None:
            self._each(document, ("prefer", "regions"), row.prefer.regions, known.regions, "region")
        self._each(document, ("tiers",), row.tiers, {*known.tiers, *USUAL_TIERS}, "tier")
        for at, split in enumerate(row.split or ()):
            self._one(document, ("split", at, "to", "backend"), split.to.backend, known.backends, "backend")
        for kind, model in (row.complexity or {}).items():
            self._model(document, ("complexity", kind), model)
        if row.fallback is not None:
            for at, model in enumerate(row.fallback.models):
                self._model(document, ("fallback", "models", at), model)

    def _match(self, document: Document, row: MatchRow) -> None:
        known = self._known
        for at, name in enumerate(row.models or ()):
            self._model(document, ("match", "models", at), name, globs=True)
        self._each(document, ("match", "pops"), row.pops, known.pops, "POP")
        if not known.dev:
            self._each(document, ("match", "keys"), row.keys, known.keys, "key")
            self._each(document, ("match", "teams"), row.teams, known.teams, "team")

    def _each(
        self, document: Document, place: Place, names: Sequence[str] | None, known: Collection[str], what: str
    ) -> None:
        for at, name in enumerate(names or ()):
            self._one(document, (*place, at), name, known, what)

    def _one(self, document: Document, place: Place, name: str, known: Collection[str], what: str) -> None:
        if name not in known:
            self._wrong(document, place, f"{name} isn't a {what}", suggestion(name, sorted(known), what))

    def _model(self, document: Document, place: Place, name: str, *, globs: bool = False) -> None:
        known = self._known
        if "*" in name:
            if not globs:
                self._wrong(document, place, f"{name} is a glob", "write one model's name")
            elif not any(fnmatchcase(one, name) or fnmatchcase(name, one) for one in known.models) and not known.dev:
                self._findings.note(document, place, f"{name} matches no model here")
        elif not any(fnmatchcase(name, one) for one in known.models) and not self._comes_with_dev(name):
            self._wrong(document, place, f"{name} isn't a model", suggestion(name, sorted(known.models), "model"))

    def _comes_with_dev(self, name: str) -> bool:
        return self._known.dev and (name.startswith(STAND_IN) or name.partition("/")[0] in self._known.providers)

    # --- sense --------------------------------------------------------------------------------------------------------

    def _make_sense(self, document: Document, row: PolicyFile) -> None:
        hours = row.match.hours if row.match is not None else None
        if hours is not None and hours.from_ == hours.to:
            self._wrong(document, ("match", "hours"), "begins when it ends", "leave hours out for the whole day")
        if row.prefer is not None and row.prefer.objective and row.prefer.trade:
            self._wrong(document, ("prefer", "trade"), "beside an objective", "keep one of them")
        if row.slo is not None and row.slo.ttft is None and row.slo.tpot is None:
            self._wrong(document, ("slo",), "promises nothing", "add ttft or tpot")
        for at, tier in enumerate(row.tiers or ()):
            if row.tiers is not None and tier in row.tiers[:at]:
                self._wrong(document, ("tiers", at), f"{tier} stands there already", "remove it")
        for at, split in enumerate(row.split or ()):
            self._split(document, ("split", at), split)
        if row.complexity is not None and (row.match is None or row.match.models is None):
            what = "is for no name, since match has no models: it holds for keys with may: {complexity: true} only"
            self._findings.note(document, ("complexity",), what, "add models to match")
        total = sum(split.percent for split in row.split or () if not split.copy_)
        if total > EVERYTHING:
            self._wrong(document, ("split",), f"gives away {total:g} percent", "let it be 100 at most")

    def _split(self, document: Document, place: Place, row: SplitRow) -> None:
        if row.name in self._splits:
            # It is by its name that one is stopped.
            what = f"{row.name} is a split of {self._splits[row.name]} too"
            self._wrong(document, (*place, "name"), what, "give each its own")
        self._splits.setdefault(row.name, document.file)
        if row.stop is not None and row.stop.model_fields_set == {"after"}:
            self._wrong(document, (*place, "stop"), "stops at nothing", "add errors: 1.5x or ttft_p95: 1.5x")


def _whens(value: Value) -> Iterator[Value]:
    examples = value.get("examples") if isinstance(value, dict) else None
    for example in examples if isinstance(examples, list) else ():
        yield example.get("when") if isinstance(example, dict) else None


def _rows(place: Place, row: Row) -> Iterator[Place]:
    """Where the mappings within one stand."""
    for name, field in type(row).model_fields.items():
        if name in row.model_fields_set:
            value = getattr(row, name)
            here = (*place, field.alias or name)
            listed = [((*here, at), inner) for at, inner in enumerate(value)] if isinstance(value, tuple) else []
            for within, inner in listed or [(here, value)]:
                if isinstance(inner, Row):
                    yield within
                    yield from _rows(within, inner)


def written(key: str) -> str:
    """A key of routing's policy as the file has it."""
    return {"queue_s": "queue", "strict": "fidelity"}.get(key, key)


# --- rows as structs --------------------------------------------------------------------------------------------------


def policy(name: str, row: PolicyFile) -> Policy:
    """A checked file as the policy it says."""
    return Policy(
        name=name,
        rank=row.rank,
        match=match(row.match) if row.match else routing.Match(),
        require=require(row.require) if row.require else None,
        prefer=prefer(row.prefer) if row.prefer else None,
        slo=routing.Slo(_ms(row.slo.ttft), _ms(row.slo.tpot), row.slo.at, row.slo.otherwise) if row.slo else None,
        tiers=row.tiers,
        overflow=row.overflow,
        priority=row.priority,
        queue_s=row.queue.wait if row.queue else None,
        split=tuple(map(split, row.split)) if row.split else None,
        affinity=routing.Sticky(row.affinity.by, row.affinity.ttl) if row.affinity else None,
        complexity={str(kind): model for kind, model in row.complexity.items()} if row.complexity else None,
        strict=row.fidelity == "strict" if row.fidelity else None,
        timeouts=_patience(row),
        retry=routing.Retry(row.retry.attempts, row.retry.budget) if row.retry else None,
        hedge=_hedge(row),
        fallback=routing.Fallback(row.fallback.models, frozenset(row.fallback.on)) if row.fallback else None,
        resume=row.resume == "prefill" if row.resume else None,
    )


def match(row: MatchRow) -> routing.Match:
    return routing.Match(
        models=row.models,
        keys=row.keys,
        teams=row.teams,
        operations=row.operations,
        countries=row.countries,
        pops=row.pops,
        tags=dict(row.tags or {}),
        headers=dict(row.headers or {}),
        hours=hours(row.hours) if row.hours else None,
    )


def hours(row: HoursRow) -> routing.Hours:
    return routing.Hours(row.from_, row.to, row.zone, frozenset(map(DAYS.index, row.days or ())))


def require(row: RequireRow) -> routing.Require:
    return routing.Require(
        jurisdictions=countries(row.jurisdictions) if row.jurisdictions else None,
        retention_days=row.retention,
        no_training=row.training == "no",
        providers=choice(row.providers),
        backends=choice(row.backends),
        hardware=frozenset(row.hardware) if row.hardware else None,
        quantization=frozenset(row.quantization) if row.quantization else None,
        capabilities=frozenset(row.capabilities or ()),
        usd_per_request=row.usd_per_request,
    )


def prefer(row: PreferRow) -> routing.Prefer:
    """An objective is only a name for a trade."""
    trade = (
        routing.Prefer(row.trade.ms_per_usd, row.trade.ms_per_gram)
        if row.trade
        else OBJECTIVES[row.objective or "balanced"]
    )
    return replace(trade, regions=frozenset(row.regions or ()))


def split(row: SplitRow) -> routing.Split:
    stop = row.stop
    return routing.Split(
        name=row.name,
        backend=row.to.backend,
        percent=row.percent,
        by_session=row.by == "session",
        copy=row.copy_,
        stop=routing.Stop(stop.errors, stop.ttft_p95, stop.after) if stop else None,
    )


def _patience(row: PolicyFile) -> routing.Patience | None:
    times = row.timeouts
    return routing.Patience(times.connect, times.first_token, times.idle, times.total) if times else None


def _hedge(row: PolicyFile) -> routing.Hedge | None:
    if row.hedge is None:
        return None
    after, budget = row.hedge.after, row.hedge.budget
    if isinstance(after, float):
        return routing.Hedge(after_ms=after * 1e3, budget=budget)
    return routing.Hedge(at="p99" if after == "p99" else "p95", budget=budget)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
