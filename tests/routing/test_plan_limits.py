"""How many requests at once a decision lets a backend have."""

import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import Priority, Rules, Split
from gateway.routing.snapshot import Load, Snapshot
from tests.routing.places import NOW, WORK, draws, ejected, fleet, names, whys

WAITS = Rules(queue_s=2.0)


def decided(rules: Rules, *loads: Load, slots: int = 10, draw: int = 1, workers: int = 1) -> Plan:
    """A plan over so many places, each with its load."""
    places: list[Candidate] = fleet(*"abc"[: len(loads)], slots=slots)
    snapshot = Snapshot(loads=dict(zip("abc", loads, strict=False)))
    return plan(WORK, route(places, rules, workers=workers), snapshot, NOW, draw)


def test_who_may_wait_finds_a_server_full_before_it_has_a_long_queue() -> None:
    assert names(decided(WAITS, Load(in_flight=10))) == ["a"]
    assert decided(WAITS, Load(in_flight=11)).refused == "full"
    assert whys(decided(WAITS, Load(in_flight=11))) == {"a": "full"}
    assert names(decided(WAITS, Load(in_flight=11), Load(in_flight=9))) == ["b"]


def test_who_may_not_wait_here_waits_there() -> None:
    assert names(decided(Rules(), Load(in_flight=1000))) == ["a"]


def test_a_server_of_unknown_size_is_never_full() -> None:
    assert names(decided(WAITS, Load(in_flight=1000), slots=0)) == ["a"]


def test_a_worker_has_its_share_and_more_while_the_others_leave_it() -> None:
    assert names(decided(WAITS, Load(in_flight=5), workers=4)) == ["a"]
    assert decided(WAITS, Load(in_flight=5, reported=6.0), workers=4).refused == "full"
    assert names(decided(WAITS, Load(in_flight=2, reported=20.0), workers=4)) == ["a"]


@pytest.mark.parametrize(("priority", "is_full"), [("high", False), ("normal", True), ("low", True), (None, True)])
def test_the_rest_is_for_the_highest_priority(priority: Priority | None, is_full: bool) -> None:
    waiting = replace(WAITS, priority=priority)
    assert bool(decided(waiting, Load(in_flight=11)).refused) is is_full
    assert decided(waiting, Load(in_flight=12)).refused == "full"


@pytest.mark.parametrize(("priority", "is_full"), [("high", False), ("normal", True)])
def test_so_is_the_rest_of_what_refusals_taught(priority: Priority, is_full: bool) -> None:
    learned = Load(in_flight=18, most=20.0)
    assert bool(decided(Rules(priority=priority), learned, slots=0).refused) is is_full
    assert names(decided(Rules(priority=priority), replace(learned, in_flight=17), slots=0)) == ["a"]


def test_who_may_wait_stands_behind_others_and_is_not_shed() -> None:
    busy = Load(in_flight=10)
    shed = [decided(Rules(priority="low"), busy, draw=draw).refused for draw in draws(50)]
    kept = [decided(replace(WAITS, priority="low"), busy, draw=draw).refused for draw in draws(50)]
    assert set(shed) == {"shed"}
    assert set(kept) == {""}


def test_a_full_place_gets_no_share_of_a_split() -> None:
    rules = replace(WAITS, split=(Split("canary", "b", 100.0),))
    assert names(decided(rules, Load(), Load())) == ["b", "a"]
    found = decided(rules, Load(), Load(in_flight=11))
    assert names(found) == ["a"]
    assert whys(found) == {"b": "full"}


def test_panic_fills_nobody_beyond_his_limit() -> None:
    assert names(decided(WAITS, ejected())) == ["a"]
    assert decided(WAITS, replace(ejected(), in_flight=11)).refused != ""
