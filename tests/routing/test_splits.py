"""Canaries and shadows: who gets how many, and always the same ones."""

from math import sqrt

import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import Rules, Split
from gateway.routing.snapshot import Load, Snapshot
from tests.routing.places import LATENCY, NOW, WORK, draws, ejected, fleet, names, whys

pytestmark = pytest.mark.slow

CANARY = Split("canary", "new", 5.0)
SHADOW = Split("shadow", "shade", 20.0, copy=True)
PLACES = fleet("old", "new", "shade")
MANY = 10_000


def splitting(*splits: Split) -> Rules:
    return replace(LATENCY, split=splits)


def decided(rules: Rules, draw: int = 0, session: int = 0, places: list[Candidate] = PLACES, **seen: object) -> Plan:
    return plan(replace(WORK, session=session), route(places, rules), Snapshot(**seen), NOW, draw)  # type: ignore[arg-type]  # a snapshot's fields


def shares(rules: Rules, places: list[Candidate] = PLACES, **seen: object) -> dict[str, int]:
    """How many of many requests each place gets."""
    way, snapshot = route(places, rules), Snapshot(**seen)  # type: ignore[arg-type]  # a snapshot's fields
    firsts = [plan(WORK, way, snapshot, NOW, draw).order[0].backend for draw in draws(MANY)]
    return {one.backend: firsts.count(one.backend) for one in places}


def about(percent: float) -> object:
    """So many of many, give or take four standard deviations of a binomial."""
    share = percent / 100.0
    return pytest.approx(share * MANY, abs=4 * sqrt(MANY * share * (1 - share)))


def test_a_canary_gets_its_share_within_the_binomial_bound() -> None:
    assert shares(splitting(CANARY))["new"] == about(5.0)


def test_a_canary_by_session_gets_its_share_of_sessions_and_each_of_them_always_or_never() -> None:
    way = route(PLACES, splitting(CANARY))
    chosen = set()
    for session in draws(MANY):
        work = replace(WORK, session=session)
        firsts = {plan(work, way, Snapshot(), NOW, draw).order[0].backend for draw in draws(3, first=session % 1000)}
        assert len(firsts & {"new"}) * len(firsts) in {0, 1}
        if "new" in firsts:
            chosen.add(session)
    assert len(chosen) == about(5.0)


def test_a_canary_that_grows_keeps_the_sessions_it_has() -> None:
    few, more = (splitting(replace(CANARY, percent=percent)) for percent in (5.0, 20.0))
    sessions = draws(2000)
    of_few = {session for session in sessions if decided(few, session=session).split}
    assert of_few < {session for session in sessions if decided(more, session=session).split}


def test_a_canary_that_is_not_by_session_gets_its_share_of_each_sessions_requests() -> None:
    rules = splitting(replace(CANARY, percent=50.0, by_session=False))
    assert {decided(rules, draw, session=7).split for draw in draws(50)} == {"", "canary"}


def test_who_is_set_aside_for_a_split_gets_nothing_else() -> None:
    found = decided(splitting(CANARY, SHADOW), draw=3)
    assert (names(found), whys(found), found.split) == (["old"], {"new": "split", "shade": "split"}, "")


def test_behind_a_canary_come_all_the_others() -> None:
    found = decided(splitting(replace(CANARY, percent=100.0)))
    assert (names(found), found.reason, found.split) == (["new", "old", "shade"], "canary", "canary")


def test_a_canary_serves_where_nobody_else_can() -> None:
    found = decided(splitting(replace(CANARY, percent=100.0)), places=PLACES[1:2])
    assert (names(found), found.reason) == (["new"], "canary")


def test_where_only_a_canary_is_left_those_not_drawn_are_refused() -> None:
    found = decided(splitting(replace(CANARY, percent=0.0)), places=PLACES[1:2])
    assert (names(found), found.refused, whys(found)) == ([], "not_allowed", {"new": "split"})


def test_several_splits_each_get_their_share_of_all() -> None:
    """Not the second half of what the first one leaves: two halves leave nothing."""
    halves = Split("one", "new", 50.0), Split("two", "shade", 50.0)
    assert shares(splitting(*halves)) == {"old": 0, "new": about(50.0), "shade": about(50.0)}
    tenths = Split("one", "new", 10.0), Split("two", "shade", 30.0)
    assert shares(splitting(*tenths)) == {"old": about(60.0), "new": about(10.0), "shade": about(30.0)}


def test_splits_of_more_than_all_are_cut_off() -> None:
    assert shares(splitting(Split("one", "new", 80.0), Split("two", "shade", 80.0)))["old"] == 0


def test_what_becomes_of_one_split_moves_nobody_into_or_out_of_another() -> None:
    rules = splitting(Split("one", "new", 30.0), Split("two", "shade", 30.0))
    for draw in draws(500):
        usual = decided(rules, draw)
        without = decided(rules, draw, ended=frozenset({"one"}))
        assert (without.split == "two") == (usual.split == "two")


def test_a_split_that_ended_sends_nobody_there_any_more() -> None:
    found = decided(splitting(replace(CANARY, percent=100.0)), ended=frozenset({"canary"}))
    assert (names(found), whys(found)) == (["old", "shade"], {"new": "split"})


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (Load(shut="cooling", shut_until=2000.0), "cooling"),
        (ejected(), "ejected"),
        (Load(in_flight=1, most=1.0), "full"),
        (Load(models=frozenset()), "not_served"),
    ],
)
def test_a_canary_that_takes_no_requests_gets_none_and_no_error_reaches_a_caller(load: Load, why: str) -> None:
    found = decided(splitting(replace(CANARY, percent=100.0)), loads={"new": load})
    assert (names(found), found.split, whys(found)) == (["old", "shade"], "", {"new": why})


def test_a_canary_whose_provider_refuses_this_country_gets_none() -> None:
    found = decided(splitting(replace(CANARY, percent=100.0)), refused_here=frozenset({("new", "m")}))
    assert (names(found), whys(found)) == (["old", "shade"], {"new": "egress"})


def test_a_canary_that_can_not_do_the_work_gets_none() -> None:
    places = [PLACES[0], replace(PLACES[1], window=10)]
    way = route(places, splitting(replace(CANARY, percent=100.0)))
    found = plan(replace(WORK, window=20), way, Snapshot(), NOW, 0)
    assert (names(found), whys(found)) == (["old"], {"new": "context"})


def test_a_split_between_the_models_of_one_backend_takes_the_one_that_can() -> None:
    places = [PLACES[0], replace(PLACES[1], window=10), Candidate(3, "new", "n", window=100)]
    way = route(places, splitting(replace(CANARY, percent=100.0)))
    found = plan(replace(WORK, window=20), way, Snapshot(), NOW, 0)
    assert [(one.backend, one.model) for one in found.order] == [("new", "n"), ("old", "m")]


def test_a_shadow_sees_its_share_and_is_never_asked() -> None:
    way = route(PLACES, splitting(SHADOW))
    found = [plan(WORK, way, Snapshot(), NOW, draw) for draw in draws(MANY)]
    assert not any("shade" in names(one) for one in found)
    assert all(one.split == "" for one in found)
    assert sum(bool(one.copies) for one in found) == about(20.0)


def test_a_request_can_be_a_canarys_and_be_copied() -> None:
    rules = splitting(replace(CANARY, percent=100.0), replace(SHADOW, percent=100.0))
    found = decided(rules)
    assert (names(found), [one.backend for one in found.copies]) == (["new", "old"], ["shade"])


def test_nobody_gets_the_same_request_twice() -> None:
    copies = (replace(SHADOW, percent=100.0), replace(SHADOW, name="again", percent=100.0))
    assert [one.backend for one in decided(splitting(*copies)).copies] == ["shade"]
    both = splitting(replace(CANARY, percent=100.0), Split("copy", "new", 100.0, copy=True))
    found = decided(both)
    assert (names(found)[0], found.copies) == ("new", ())


def test_what_is_refused_is_not_copied_either() -> None:
    rules = splitting(replace(SHADOW, percent=100.0))
    found = decided(rules, loads=dict.fromkeys(("old", "new"), Load(shut="drained", shut_until=2000.0)))
    assert (found.refused, found.copies) == ("unavailable", ())
    assert whys(found) == {"old": "drained", "new": "drained", "shade": "split"}


def test_a_split_to_a_place_that_may_not_serve_or_is_none_is_no_split() -> None:
    strict = replace(splitting(replace(CANARY, percent=100.0)), require=replace(LATENCY.require, no_training=True))
    places = [replace(PLACES[0], no_training=True), PLACES[1]]
    found = decided(strict, places=places)
    assert (names(found), whys(found)) == (["old"], {"new": "training"})
    assert names(decided(splitting(Split("canary", "nowhere", 100.0)))) == ["new", "old", "shade"]  # by name
