"""Places to choose among, as tests of the decision need them, and strategies for all that a decision is told."""

from functools import reduce
from typing import TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.candidate import KEPT_FOR_EVER, Candidate
from gateway.routing.chance import mixed
from gateway.routing.facts import Now, Work
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import (
    OBJECTIVES,
    Choice,
    Prefer,
    Require,
    Retry,
    Rules,
    Slo,
    Split,
    Sticky,
)
from gateway.routing.snapshot import Home, Load, Pace, Snapshot

NOW = Now(1000.0)
WORK = Work(tokens_in=1000, tokens_out=200.0)
LATENCY = Rules(prefer=OBJECTIVES["latency"])
COUNTRIES = ("DE", "FR", "US", "JP")
EXPLORING = (1 << 64) - 1  # the draw of those that are sent to look after the forgotten
BACKENDS = ("b0", "b1", "b2", "b3", "b4")


def fleet(*names: str, rtt_ms: float = 10.0, slots: int = 0) -> list[Candidate]:
    """Places that differ in nothing but their names."""
    return [Candidate(at, name, "m", rtt_ms=rtt_ms, slots=slots) for at, name in enumerate(names)]


def names(found: Plan) -> list[str]:
    return [one.backend for one in found.order]


def whys(found: Plan) -> dict[str, str]:
    return {left.candidate.backend: left.why for left in found.out}


def draws(how_many: int, first: int = 1) -> list[int]:
    """Draws that look like chance and are the same each time."""
    return [mixed(number) for number in range(first, first + how_many)]


def decided(
    places: list[Candidate],
    rules: Rules = LATENCY,
    work: Work = WORK,
    draw: int = 0,
    now: Now = NOW,
    **seen: object,
) -> Plan:
    return plan(work, route(places, rules), Snapshot(**seen), now, draw)  # type: ignore[arg-type]  # a snapshot's fields


def tiers(**backends: str) -> tuple[list[Candidate], Rules]:
    """Places by their tiers, which are asked in the order in which they are first named."""
    places = [replace(one, tier=backends[one.backend]) for one in fleet(*backends, slots=10)]
    return places, replace(LATENCY, tiers=tuple(dict.fromkeys(backends.values())))


def ejected(until: float = 2000.0) -> Load:
    return Load(shut="ejected", shut_until=until)


T = TypeVar("T")


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """Three times in four what is usual: where everything is unusual at once, nothing is left to decide."""
    return st.sampled_from([usual] * 3 * len(others) + [*others])


some_places = st.frozensets(st.sampled_from(COUNTRIES), max_size=2)
shares = st.floats(0.0, 1.0)
milliseconds = st.floats(0.0, 2000.0)
nothing: frozenset[str] = frozenset()
targets = st.tuples(st.sampled_from(BACKENDS), mostly("m", "n"))


# What a place may have that is unusual; two or three of it at once are enough.
_ODDITIES: list[dict[str, object]] = [
    {"provider": "q"},
    {"tier": "edge"},
    {"tier": "external"},
    {"order": 1},
    {"region": "us"},
    {"processes_in": frozenset({"FR"})},
    {"processes_in": frozenset({"DE", "US"})},
    {"processes_in": nothing},
    {"retention_days": 30},
    {"retention_days": KEPT_FOR_EVER},
    {"no_training": False},
    {"hardware": "cpu"},
    {"hardware": ""},
    {"quantization": ""},
    {"capabilities": frozenset({"tools"})},
    {"capabilities": frozenset({"vision"})},
    {"window": 1000},
    {"weight": 3.0},
    {"slots": 0},
    {"slots": 1},
    {"priced": False},
    {"usd_per_token_out": 1e-5},
    {"joules_out": 3.0, "grams": (400.0, 100.0)},
    {"rtt_ms": 200.0},
    {"unavailable_from": frozenset({"DE"})},
    {"only_here": True},
]
_USUAL = Candidate(
    at=0,
    backend="",
    model="",
    provider="p",
    tier="self_hosted",
    region="eu",
    processes_in=frozenset({"DE"}),
    retention_days=0,
    no_training=True,
    hardware="gpu",
    quantization="bf16",
    slots=8,
    priced=True,
    rtt_ms=10.0,
)


@st.composite
def candidates(draw: st.DrawFn, least: int = 2, most: int = 7) -> list[Candidate]:
    """Targets of one model, no two of the same backend and model; most of them may and can do most things."""
    many = draw(st.integers(least, most))
    places = draw(st.lists(targets, min_size=many, max_size=many, unique=True))
    oddities = draw(st.lists(st.lists(st.sampled_from(_ODDITIES), max_size=3), min_size=many, max_size=many))
    return [
        replace(_USUAL, at=at, backend=backend, model=model, **merged(odd))
        for at, ((backend, model), odd) in enumerate(zip(places, oddities, strict=True))
    ]


def merged(changes: list[dict[str, object]]) -> dict[str, object]:
    """All changes, the last word of each counting."""
    return {name: value for change in changes for name, value in change.items()}


@st.composite
def demands(draw: st.DrawFn, many: int = 2) -> Require:
    """What some policies require together, each of them one thing."""
    one = st.sampled_from(
        [
            Require(jurisdictions=frozenset({"DE", "FR"})),
            Require(jurisdictions=frozenset({"DE"})),
            Require(jurisdictions=frozenset({"US"})),
            Require(retention_days=0),
            Require(retention_days=30),
            Require(no_training=True),
            Require(providers=Choice(only=frozenset({"p"}))),
            Require(providers=Choice(never=frozenset({"q"}))),
            Require(backends=Choice(never=frozenset({"b1"}))),
            Require(hardware=frozenset({"gpu"})),
            Require(quantization=frozenset({"bf16"})),
            Require(capabilities=frozenset({"tools"})),
            Require(usd_per_request=0.001),
        ]
    )
    return reduce(Require.also, draw(st.lists(one, max_size=many)), Require())


requires = demands()

slos = st.builds(
    Slo,
    ttft_ms=st.none() | st.sampled_from([300.0, 600.0]),
    tpot_ms=st.none() | st.floats(1.0, 50.0),
    at=st.sampled_from(["mean", "p95", "p99"]),
    otherwise=st.sampled_from(["fastest", "next_tier", "refuse"]),
)

splits = st.builds(
    Split,
    name=st.sampled_from(["canary", "shadow", "other"]),
    backend=st.sampled_from(BACKENDS),
    percent=st.sampled_from([5.0, 50.0, 100.0]),
    by_session=st.booleans(),
    copy=st.booleans(),
)


def rules(require: st.SearchStrategy[Require] = requires) -> st.SearchStrategy[Rules]:
    """What policies may say together."""
    return st.builds(
        Rules,
        require=require,
        prefer=mostly(Prefer(), Prefer(0.0), Prefer(0.0, 2000.0), Prefer(regions=frozenset({"us"}))),
        slo=st.none() | slos,
        tiers=st.sampled_from([(), ("edge", "self_hosted"), ("external", "edge", "self_hosted")]),
        overflow=st.sampled_from([0.5, 0.85, 1.0]),
        priority=st.sampled_from(["low", "normal", "high"]),
        split=st.lists(splits, max_size=3, unique_by=lambda one: one.name).map(tuple),
        affinity=st.builds(Sticky, st.sampled_from(["none", "prefix", "session"]), st.just(60.0)),
        retry=st.builds(Retry, st.integers(1, 3)),
    )


# What may be seen of a backend.
_SEEN: list[dict[str, object]] = [
    {"shut": "ejected", "shut_until": 2000.0},
    {"shut": "ejected", "shut_until": 2000.0},
    {"shut": "cooling", "shut_until": 2000.0},
    {"shut": "dead", "shut_until": 0.0},
    {"shut": "", "shut_until": 2000.0},
    {"half_open": True},
    {"half_open": True, "probing": True},
    {"in_flight": 4},
    {"in_flight": 12},
    {"in_flight": 4, "most": 4.0},
    {"waiting_tokens": 5000.0},
    {"reported": 0.0},
    {"reported": 20.0},
    {"queued": 4.0},
    {"kv": 0.7},
    {"since": 990.0},
    {"rtt_ms": 25.0},
    {"held_ms": 500.0},
    {"models": frozenset({"m", "n"})},
    {"models": frozenset({"n"})},
    {"models": frozenset({"n"}), "loadable": frozenset({"m"})},
    {"models": nothing, "loadable": frozenset({"m"}), "adapters": nothing},
    {"only_here": 3},
]
loads = st.lists(st.sampled_from(_SEEN), max_size=3).map(lambda changes: replace(Load(), **merged(changes)))

paces = st.builds(
    Pace,
    slow=st.sampled_from([0.5, 1.0, 5.0]),
    slow_p95=st.sampled_from([0.0, 2.0]),
    slow_p99=st.sampled_from([0.0, 4.0]),
    each=st.sampled_from([0.0, 30.0]),
    each_p99=st.sampled_from([0.0, 90.0]),
    ms_per_token_in=st.sampled_from([0.0, 0.2]),
    at=st.floats(900.0, 1000.0),
)

keys = st.integers(0, 3)
snapshots = st.builds(
    Snapshot,
    loads=st.dictionaries(st.sampled_from(BACKENDS), loads, max_size=4),
    paces=st.dictionaries(targets, paces, max_size=3),
    homes=st.dictionaries(keys, st.builds(Home, st.sampled_from(BACKENDS), st.floats(900.0, 1000.0)), max_size=3),
    ended=mostly(nothing, frozenset({"canary"})),
    refused_here=mostly(frozenset[tuple[str, str]](), frozenset({("b0", "m")}), frozenset({("b3", "m")})),
    cooling=st.sampled_from([{}, {}, {("b1", "m"): 1010.0, ("b2", "n"): 990.0}, {("b0", "m"): 1010.0}]),
)

works = st.builds(
    Work,
    tokens_in=st.sampled_from([0, 1000, 20_000]),
    tokens_out=st.sampled_from([1.0, 200.0]),
    window=mostly(0, 500, 5000),
    capabilities=mostly(nothing, frozenset({"tools"})),
    session=keys,
    prefix=keys,
    left_ms=mostly(600_000.0, 500.0),
    stream=st.booleans(),
)

bits = st.integers(0, (1 << 64) - 1)
