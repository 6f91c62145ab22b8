"""What holds of every decision, whatever the fleet, the rules, the failures and the draw."""

from collections import Counter
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Work
from gateway.routing.filters import closed, forbidden, unfit
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import Require, Rules
from gateway.routing.snapshot import IDLE, Load, Snapshot
from tests.routing.places import NOW, bits, candidates, requires, rules, snapshots, some_places, works

pytestmark = pytest.mark.slow

# Whom the last resort asks, where there is nobody else.
HOPES = {"ejected", "cooling", "half_open", "dead", "loading"}
REASONS = {"nearest", "fastest", "cheapest", "greenest", "affinity", "overflow", "canary", "only_allowed"}


def reached(found: Plan) -> list[Candidate]:
    """Everybody who sees something of the request."""
    return [*found.order, *found.copies]


def _cooling(one: Candidate, snapshot: Snapshot) -> str:
    return "cooling" if snapshot.cooling.get((one.backend, one.model), 0.0) > NOW.monotonic else ""


def keys(places: list[Candidate]) -> list[tuple[str, str]]:
    return [(one.backend, one.model) for one in places]


@given(candidates(), rules(), works, snapshots, bits, st.sampled_from(["", "DE"]))
def test_nobody_who_may_not_or_can_not_is_ever_reached_and_panic_only_takes_back_the_ejected(
    places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, draw: int, country: str
) -> None:
    found = plan(work, route(places, said, country), snapshot, NOW, draw)
    for one in reached(found):
        load = snapshot.loads.get(one.backend, IDLE)
        assert not forbidden(one, said.require, country)
        assert not unfit(one, work, said.require)
        assert (one.backend, one.model) not in snapshot.refused_here
        assert load.models is None or one.model in load.models | load.loadable
        assert load.in_flight < load.most
    usual = found.order[bool(found.split) :]
    why = {closed(snapshot.loads.get(one.backend, IDLE), NOW.monotonic) or _cooling(one, snapshot) for one in usual}
    assert why <= {"", "ejected"} or (why <= HOPES and not any(left.why == "full" for left in found.out))


@given(candidates(), rules(), works, snapshots, bits)
def test_a_copy_or_a_split_never_goes_to_whom_only_panic_would_ask(
    places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, draw: int
) -> None:
    found = plan(work, route(places, said), snapshot, NOW, draw)
    for one in [*found.copies, *found.order[: bool(found.split)]]:
        assert not _cooling(one, snapshot)
        assert not closed(snapshot.loads.get(one.backend, IDLE), NOW.monotonic)


@given(candidates(), rules(), works, bits)
def test_where_all_is_well_everybody_who_may_and_can_is_in_the_plan(
    places: list[Candidate], said: Rules, work: Work, draw: int
) -> None:
    rules_ = replace(said, slo=None, split=())
    found = plan(replace(work, left_ms=1e9), route(places, rules_), Snapshot(), NOW, draw)
    fit = [one for one in places if not forbidden(one, said.require, "") and not unfit(one, work, said.require)]
    assert sorted(one.at for one in found.order) == [one.at for one in fit]


@given(candidates(), rules(), works, snapshots, bits)
def test_the_same_question_has_the_same_answer_and_asking_changes_nothing(
    places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, draw: int
) -> None:
    before = deepcopy(snapshot)
    way = route(places, said)
    assert plan(work, way, snapshot, NOW, draw) == plan(work, route(places, said), snapshot, NOW, draw)
    snapshot.lanes.clear()  # which are its own, and say nothing that isn't in the rest
    assert snapshot == before


@given(st.data(), candidates(), rules(), works, snapshots, bits)
def test_the_order_in_which_places_are_written_does_not_matter(
    data: st.DataObject, places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, draw: int
) -> None:
    shuffled = [replace(one, at=at) for at, one in enumerate(data.draw(st.permutations(places)))]
    found = plan(work, route(places, said), snapshot, NOW, draw)
    other = plan(work, route(shuffled, said), snapshot, NOW, draw)
    assert keys([*other.order]) == keys([*found.order])
    assert keys([*other.copies]) == keys([*found.copies])
    assert (other.reason, other.refused, other.split) == (found.reason, found.refused, found.split)
    assert {(*keys([left.candidate]), left.why) for left in other.out} == {
        (*keys([left.candidate]), left.why) for left in found.out
    }


@given(candidates(), rules(), works, snapshots, bits)
def test_every_place_is_in_the_order_or_gets_a_copy_or_is_out_with_a_reason(
    places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, draw: int
) -> None:
    found = plan(work, route(places, said), snapshot, NOW, draw)
    told = Counter(one.at for one in [*reached(found), *(left.candidate for left in found.out)])
    assert told == Counter(one.at for one in places)
    assert all(left.why for left in found.out)


@given(candidates(), rules(), works, snapshots, bits)
def test_a_plan_either_leads_somewhere_and_says_why_or_is_refused_and_says_why(
    places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, draw: int
) -> None:
    found = plan(work, route(places, said), snapshot, NOW, draw)
    if found.order:
        assert found.reason in REASONS
        assert not found.refused
        assert bool(found.split) == (found.reason == "canary")
    else:
        assert found.refused
        assert (found.reason, found.copies, found.split) == ("", (), "")


broken = st.builds(
    Load,
    shut=st.sampled_from(["ejected", "ejected", "dead"]),
    shut_until=st.sampled_from([2000.0, 2000.0, 0.0]),
    in_flight=st.sampled_from([0, 50]),
)


@given(
    candidates(),
    rules(st.builds(Require, jurisdictions=some_places)),
    works,
    snapshots,
    st.dictionaries(st.sampled_from(["b0", "b1", "b2", "b3", "b4"]), broken),
    bits,
)
def test_what_must_stay_in_a_place_stays_there_whatever_fails(
    places: list[Candidate], said: Rules, work: Work, snapshot: Snapshot, failing: dict[str, Load], draw: int
) -> None:
    """Whoever panics, whatever a split, a conversation or a fallback asks for; unknown places are outside."""
    seen = replace(snapshot, loads={**snapshot.loads, **failing})
    found = plan(work, route(places, said), seen, NOW, draw)
    allowed = said.require.jurisdictions
    assert allowed is not None
    for one in reached(found):
        assert one.processes_in
        assert one.processes_in <= allowed
    if not found.order and places and all(not one.processes_in <= allowed for one in places):
        assert found.refused == "residency_violation"


@given(candidates(), requires, requires)
def test_what_two_policies_require_allows_no_more_than_either(
    places: list[Candidate], one: Require, other: Require
) -> None:
    both = one.also(other)
    for place in places:
        if not forbidden(place, both, ""):
            assert not forbidden(place, one, "")
            assert not forbidden(place, other, "")
