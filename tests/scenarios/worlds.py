"""Worlds in which some of what there is must stay somewhere: what may be in them, and what is allowed there.

What is allowed is worked out once more, from what policies and the team say, in the simplest way there is.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Final

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from gateway.routing.geo import countries
from gateway.routing.policy import Fallback, Hedge, Match, Policy, Require, Retry, Split
from gateway.settings.shape import Sinks
from tests.doubles.inside import CALLER
from tests.routing.places import mostly
from tests.scenarios.test_policies import FRA, IAD

MODELS: Final = ("large", "small", "other")
NAMES: Final = ("b0", "b1", "b2", "b3")
POPS: Final = {"fra": FRA, "iad": IAD}
CAUSES: Final = frozenset({"unavailable", "rate_limited", "context_length", "content_policy", "deadline"})


class Somewhere(Struct, frozen=True):
    """A backend: where it stands, where it says that it computes, what is wrong with it, and how it is reached."""

    name: str
    country: str
    processes_in: tuple[str, ...]
    fault: str
    detour: bool  # its first path leads nowhere


class World(Struct, frozen=True):
    """A gateway and all around it, and one request."""

    fleet: tuple[Somewhere, ...]
    models: dict[str, tuple[str, ...]]
    policies: tuple[Policy, ...]
    team: frozenset[str] | None
    tags: dict[str, str]
    pop: str
    sinks: Sinks
    model: str
    also: tuple[str, ...]
    headers: dict[str, str]
    stream: bool


# Mostly of Europe, so that there is something to serve it and something that must not.
demands = mostly(countries(["EU"]), frozenset({"DE"}), frozenset({"US"}))
sinks = st.builds(Sinks, st.sampled_from(["", "DE", "FR", "US"]), st.sampled_from(["", "DE", "FR", "US"]))
matches = st.builds(
    Match,
    models=mostly(None, *((model,) for model in MODELS), MODELS),
    keys=mostly(None, (CALLER.name,), ("somebody-else",)),
    tags=mostly({}, {"data": ("personal",)}),
    headers=mostly({}, {"x-department": ("health",)}),
)
splits = st.builds(
    Split,
    name=st.sampled_from(["one", "two"]),
    backend=st.sampled_from(NAMES),
    percent=st.just(100.0),
    copy=st.booleans(),
)
policies = st.builds(
    Policy,
    name=st.just(""),
    match=matches,
    require=st.none() | st.builds(Require, jurisdictions=demands),
    split=st.none() | st.lists(splits, min_size=1, max_size=2, unique_by=lambda one: one.name).map(tuple),
    retry=st.just(Retry(3, budget=1.0)),
    hedge=mostly(None, Hedge(after_ms=0.0, budget=1.0)),
    fallback=st.sampled_from([None, Fallback(("small", "other"), CAUSES)]),
    complexity=mostly(None, {"simple": "small"}),
    resume=st.sampled_from([None, True]),
)
places = st.builds(
    Somewhere,
    name=st.just(""),
    country=st.sampled_from(["", "DE", "FR", "US"]),
    processes_in=st.sampled_from(
        [("DE",), ("DE",), ("DE",), ("DE", "FR"), ("EU",), ("US",), ("US",), ("DE", "US"), ("anywhere",), ()]
    ),
    fault=mostly("", "500", "429", "cut", "half"),
    detour=mostly(False, True),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    fleet = draw(st.lists(places, min_size=3, max_size=len(NAMES)))
    names = NAMES[: len(fleet)]
    served = st.lists(st.sampled_from(names), min_size=2, unique=True).map(tuple)
    said = draw(st.lists(policies, min_size=1, max_size=3))
    return World(
        fleet=tuple(replace(one, name=name) for name, one in zip(names, fleet, strict=True)),
        models={model: draw(served) for model in MODELS},
        policies=tuple(replace(one, name=f"p{at}") for at, one in enumerate(said)),
        team=draw(mostly(None, countries(["EU"]), frozenset({"US"}))),
        tags=draw(st.sampled_from([{}, {"data": "personal"}])),
        pop=draw(mostly("fra", "iad", "")),
        sinks=draw(sinks),
        model=draw(st.sampled_from(MODELS)),
        also=draw(st.sampled_from([(), (), ("other",), ("small", "other")])),
        headers=draw(st.sampled_from([{}, {"x-gateway-tags": "data=personal"}, {"x-department": "health"}])),
        stream=draw(st.booleans()),
    )


def allowed(world: World, model: str) -> frozenset[str] | None:
    """Where a request for this model must stay, as its team and its policies say; None: anywhere."""
    tags = dict(world.tags)
    if "x-gateway-tags" in world.headers:
        tags["data"] = "personal"
    said = [world.team]
    for policy in world.policies:
        match = policy.match
        if (
            (match.models is None or model in match.models)
            and (match.keys is None or CALLER.name in match.keys)
            and (not match.tags or tags.get("data") == "personal")
            and (not match.headers or world.headers.get("x-department") == "health")
        ):
            said.append(policy.require.jurisdictions if policy.require is not None else None)
    sets = [one for one in said if one is not None]
    return reduce(frozenset.intersection, sets) if sets else None


def is_inside(where: Sequence[str], within: frozenset[str] | None) -> bool:
    return within is None or (bool(where) and countries(where) <= within)
