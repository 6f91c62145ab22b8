"""What must stay somewhere stays there: whatever fleet, policies and failures there are, over real sockets."""

from collections.abc import Mapping
from typing import Final

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.errors import Bug, Forbidden
from gateway.exchange import Exchange
from gateway.routing.filters import forbidden
from gateway.routing.geo import countries
from gateway.routing.policy import Fallback, Hedge, Match, Policy, Require, Retry, Split
from gateway.routing.snapshot import Snapshot
from gateway.settings.shape import Sinks
from gateway.stages.choose import Chooser
from gateway.telemetry.log import place_of
from gateway.upstream.catalogue import Catalogue
from gateway.wire import Endpoint
from tests.scenarios.watched import Seen, run, told_of
from tests.scenarios.worlds import CAUSES, MODELS, POPS, Somewhere, World, allowed, is_inside, policies, worlds
from tests.stages.kept import call


def check(world: World, seen: Seen) -> None:
    """Nothing has left where it must stay: no bytes, no connection, no line, no span."""
    within = allowed(world, world.model)
    at_pop = POPS[world.pop].country if world.pop else ""
    if within is not None and at_pop not in within:
        assert seen.status == 403
        assert not any(seen.connections.values())
    for one in world.fleet:
        if not is_inside(one.processes_in, within):
            assert (seen.connections[one.name], seen.heard[one.name]) == (0, [])
        for model in seen.heard[one.name]:
            assert is_inside(one.processes_in, allowed(world, model))
    gateway = seen.gateway
    [exchange] = gateway.settled
    # Who is refused by his key alone is no further looked at.
    known = within if exchange.model else world.team
    for record in (exchange, *gateway.copies):
        stays = record.jurisdictions
        if known is not None:
            assert stays is not None
            assert stays <= known
        for attempt in record.attempts:
            if attempt.sent:
                other = allowed(world, attempt.target.model)
                assert is_inside(attempt.target.backend.processes_in, within)
                assert other is None or (stays is not None and stays <= other)
    if within is None and exchange.target is not None and exchange.model == world.model and not world.also:
        assert exchange.jurisdictions is None or any(one.fallback or one.complexity for one in world.policies)
    stays = exchange.jurisdictions
    is_kept = stays is None or world.sinks.access_log in stays
    assert (len(gateway.lines.lines), gateway.lines_withheld.value) == ((1, 0.0) if is_kept else (0, 1.0))
    is_sent = stays is None or world.sinks.otlp in stays
    spans = len(gateway.spans.get_finished_spans())
    assert (spans, gateway.spans_withheld.value) == ((1 + len(exchange.attempts), 0.0) if is_sent else (0, 1.0))
    for line in gateway.lines.lines:
        names_every_place(orjson.loads(line), exchange)


def names_every_place(line: Mapping[str, object], exchange: Exchange) -> None:
    """Whoever reads a line knows of each attempt where it was."""
    made = [(one.target.backend.name, *place_of(one.target.backend)) for one in exchange.attempts]
    listed = line.get("attempts")
    if listed is None:
        assert len(made) <= 1
        listed = [line] if made else []
    assert isinstance(listed, list)
    found = [(one["backend"], one.get("country", ""), tuple(one.get("processes_in", ()))) for one in listed]
    assert found == made


# --- one at a time ----------------------------------------------------------------------------------------------------

STAYS: Final = Policy("p0", require=Require(jurisdictions=countries(["EU"])), retry=Retry(3, budget=1.0))
USUAL: Final = World(
    fleet=(
        Somewhere("b0", "DE", ("DE",), "", detour=True),
        Somewhere("b1", "US", ("US",), "", detour=True),
        Somewhere("b2", "", ("DE", "FR"), "", detour=False),
        Somewhere("b3", "DE", (), "", detour=False),
    ),
    models={"large": ("b1", "b3", "b0"), "small": ("b3", "b1", "b2"), "other": ("b1", "b2")},
    policies=(STAYS,),
    team=None,
    tags={},
    pop="fra",
    sinks=Sinks("FR", "DE"),
    model="large",
    also=(),
    headers={},
    stream=True,
)
ALL: Final = replace(USUAL, models=dict.fromkeys(MODELS, ("b0", "b1", "b2", "b3")))
BREAKING: Final = replace(ALL, fleet=(replace(USUAL.fleet[0], fault="half"), *USUAL.fleet[1:]))
BROKEN_UP: Final = replace(USUAL, fleet=(replace(USUAL.fleet[0], fault="500"), *USUAL.fleet[1:]))
COPIES: Final = tuple(Split(f"to-{name}", name, 100.0, copy=True) for name in ("b1", "b2", "b3"))


def under(world: World, **more: object) -> World:
    """The same world, its policy with something more to say."""
    return replace(world, policies=(replace(STAYS, **more),))


CASES: Final = {
    "plain": (USUAL, {"b0"}),
    "canary": (under(USUAL, split=(Split("new", "b1", 100.0),)), {"b0"}),
    "copies": (under(ALL, split=COPIES), {"b0", "b2"}),
    "hedge": (under(ALL, hedge=Hedge(after_ms=0.0, budget=1.0)), {"b0", "b2"}),
    "resume": (under(BREAKING, resume=True), {"b0", "b2"}),
    "fallback": (under(BROKEN_UP, fallback=Fallback(("small", "other"), CAUSES)), {"b0", "b2"}),
    "fallback that stays": (
        replace(
            BROKEN_UP,
            policies=(
                Policy("p0", retry=STAYS.retry, fallback=Fallback(("other",), CAUSES), split=(COPIES[0],)),
                Policy("p1", match=Match(models=("other",)), require=Require(jurisdictions=frozenset({"DE", "FR"}))),
            ),
            models={**USUAL.models, "large": ("b0",)},
        ),
        {"b0", "b2"},
    ),
    "small first": (under(USUAL, match=Match(models=("large",)), complexity={"simple": "small"}), {"b2"}),
    "named beside": (replace(BROKEN_UP, also=("other",)), {"b0", "b2"}),
    "team": (replace(USUAL, policies=(), team=countries(["EU"])), {"b0"}),
    "away": (replace(USUAL, pop="iad"), set()),
    "key away": (replace(USUAL, pop="iad", policies=(), team=countries(["EU"])), set()),
    "nowhere": (replace(USUAL, models={**USUAL.models, "large": ("b1", "b3")}), set()),
    "told outside": (replace(USUAL, sinks=Sinks("US", "US")), {"b0"}),
    "told nowhere": (replace(USUAL, sinks=Sinks()), {"b0"}),
}


@pytest.mark.parametrize("is_careless", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_what_happens_inside_happens_and_nothing_else(case: str, *, is_careless: bool) -> None:
    world, asked_at = CASES[case]
    seen = run(world, is_careless=is_careless)
    check(world, seen)
    if not is_careless:
        assert {name for name, models in seen.heard.items() if models} == asked_at
        assert not isinstance(seen.gateway.settled[0].error, Bug)


# --- the laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(worlds())
def test_nothing_is_ever_reached_outside_and_nothing_is_told_there(world: World) -> None:
    seen = run(world)
    check(world, seen)
    assert seen.gateway.bugs == []
    assert not isinstance(seen.gateway.settled[0].error, Bug)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(worlds())
def test_not_even_where_the_decision_is_wrong(world: World) -> None:
    check(world, run(world, is_careless=True))


def open_to(world: World) -> set[tuple[str, str]]:
    """The places that requests like this one may be sent to, by model and backend."""
    told = told_of(world, {one.name: (f"http://{one.name}.example",) for one in world.fleet})
    chooser, catalogue = Chooser(told, Snapshot(), HandClock()), Catalogue(told)
    asking = call(headers={name.encode(): value.encode() for name, value in world.headers.items()})
    asking.endpoint, asking.caller = Endpoint("chat", "openai_chat"), told.callers[0]
    found = set()
    for model in MODELS:
        try:
            chosen = chooser.chosen(asking, catalogue.plan(model, "chat", "openai_chat"), "chat")
            chooser.stand_in(chosen.rules.require)
        except Forbidden:
            continue
        found |= {(model, one.name) for one in chosen.places if not forbidden(one.candidate, chosen.rules.require, "")}
    return found


@pytest.mark.slow
@given(worlds(), policies)
def test_another_policy_never_opens_a_place(world: World, more: Policy) -> None:
    grown = replace(world, policies=(*world.policies, replace(more, name="more")))
    assert open_to(grown) <= open_to(world)


@pytest.mark.slow
@given(
    worlds(),
    st.sampled_from(
        [
            {"x-gateway-tags": "data=personal"},
            {"x-gateway-tags": "data=public"},
            {"x-gateway-tags": "data=personal,more=yes"},
            {"x-department": "health"},
            {"x-gateway-policy": "p0"},
            {"x-gateway-policy": "p1"},
            {"x-gateway-priority": "high"},
            {"x-gateway-session": "s"},
        ]
    ),
)
def test_another_tag_or_header_never_opens_a_place(world: World, more: dict[str, str]) -> None:
    assume(more.keys().isdisjoint(world.headers))
    assert open_to(replace(world, headers=world.headers | more)) <= open_to(world)


@pytest.mark.slow
@given(worlds())
def test_a_tag_of_the_teams_never_opens_a_place(world: World) -> None:
    assert open_to(replace(world, tags=world.tags | {"data": "personal"})) <= open_to(world)
