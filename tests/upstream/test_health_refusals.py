"""What the table makes of a backend's refusals: because of its load, and of where we are."""

from math import inf

import pytest

from gateway.errors import UpstreamBusy
from gateway.routing.filters import closed
from gateway.routing.throttle import GROWS_AFTER
from gateway.settings.shape import Target
from gateway.upstream.health import COOLING_MOST_S, HELD_MOST_MS, HELD_MS, REFUSED_HERE_S, Health
from tests.upstream.table import BUSY, FULL, FULL_UNTIL, LATER, NOT_HERE, OURS, Table, backend


@pytest.fixture
def table() -> Table:
    return Table("a", "b", "c")


# --- refusals because of load -----------------------------------------------------------------------------------------


def test_a_backend_is_left_alone_for_as_long_as_it_says(table: Table) -> None:
    table.asked(1000.0, error=LATER)
    row = table.health.row("a")
    assert (closed(table.load(), 1010.0), row.state, row.why) == ("cooling", "cooling", "retry_after")
    assert table.health.cooled_until("a") == 1020.01
    assert closed(table.load(), 1020.1) == ""
    table.health.tick(1020.1)
    assert (table.load().shut, table.health.row("a").state) == ("", "unknown")


def test_of_several_words_the_latest_holds(table: Table) -> None:
    table.asked(1000.0, error=LATER)
    table.asked(1001.0, error=UpstreamBusy("Soon.", upstream_status=429, retry_after_s=1.0))
    assert table.load().shut_until == 1020.01


def test_nobody_is_left_alone_for_hours(table: Table) -> None:
    table.asked(1000.0, error=UpstreamBusy("Tomorrow.", upstream_status=429, retry_after_s=86_400.0))
    assert table.load().shut_until == 1000.01 + COOLING_MOST_S


def test_a_limit_of_one_model_leaves_the_others_be() -> None:
    table = Table("a", models=("m", "n"))
    table.fail(table.begin(1000.0, model="m"), 1000.0, LATER)
    assert closed(table.load(), 1001.0) == ""
    assert table.health.snapshot.cooling == {("a", "m"): 1020.0}
    table.health.tick(1019.0)
    assert ("a", "m") in table.health.snapshot.cooling
    table.health.tick(1020.0)
    assert table.health.snapshot.cooling == {}


def test_all_limits_of_a_backend_together_shut_it() -> None:
    table = Table("a", models=("m", "n"))
    table.fail(table.begin(1000.0, model="m"), 1000.0, LATER)
    table.fail(table.begin(1005.0, model="n"), 1005.0, LATER)
    assert (closed(table.load(), 1006.0), table.load().shut_until) == ("cooling", 1020.0)


def test_a_place_that_is_full_is_full_for_every_model() -> None:
    table = Table("a", models=("m", "n"))
    table.fail(table.begin(1000.0), 1000.0, FULL_UNTIL)
    assert closed(table.load(), 1001.0) == "cooling"
    assert table.load().shut_until == 1020.0


def test_what_cools_is_forgotten_where_an_operator_says_so_or_it_is_another_server() -> None:
    table = Table("a", "b", models=("m", "n"))
    for name in "ab":
        table.fail(table.begin(1000.0, name), 1000.0, LATER)
    table.health.resume("a", 1001.0)
    assert table.health.snapshot.cooling == {("b", "m"): 1020.0}
    table.backends["b"] = backend("b", "http://10.1.0.8")
    moved = Health(table.backends, table.models)
    moved.inherit(table.health, 1002.0)
    assert moved.snapshot.cooling == {}


def test_where_models_are_a_glob_one_stands_for_all() -> None:
    table = Table("a")
    target = Target(backend=table.backends["a"], model="*")
    table.health = Health(table.backends, {"p/*": (target,)})
    table.fail(table.begin(1000.0, model="x"), 1000.0, LATER)
    assert closed(table.load(), 1001.0) == "cooling"


def test_a_refusal_that_names_no_time_lowers_what_it_is_asked_at_once(table: Table) -> None:
    under_way = [table.begin(1000.0) for _ in range(100)]
    table.fail(under_way.pop(), 1000.5, BUSY)
    load = table.load()
    assert (load.most, load.held_ms, load.shut) == (90.0, HELD_MS, "")
    assert closed(load, 1000.5) == "full"
    for attempt in under_way[:GROWS_AFTER]:
        table.answer(attempt, 1001.0)
    assert (load.most, closed(load, 1001.0)) == (91.0, "")


def test_what_is_held_against_it_fades(table: Table) -> None:
    for _ in range(100):
        table.asked(1000.0, error=BUSY)
    assert table.load().held_ms == HELD_MOST_MS
    for second in range(10):
        table.health.tick(1001.0 + second)
    assert table.load().held_ms == pytest.approx(HELD_MOST_MS / 2.718, rel=0.1)
    for second in range(200):
        table.health.tick(1020.0 + second)
    assert table.load().held_ms == 0.0


def test_a_place_that_is_full_and_says_no_more_is_held_back(table: Table) -> None:
    table.asked(1000.0, error=FULL)
    assert (table.load().held_ms, table.health.row("a").consecutive_failures) == (HELD_MS, 1)


def test_a_limit_of_our_own_says_nothing_of_a_place(table: Table) -> None:
    for _ in range(50):
        table.asked(1000.0, error=OURS)
    assert (table.load().held_ms, table.load().most, table.load().shut) == (0.0, inf, "")
    assert not table.health.throttles("a", 1000.0, 0)


def test_who_refuses_everything_is_asked_less(table: Table) -> None:
    assert not any(table.health.throttles("a", 1000.0, draw) for draw in range(100))
    for _ in range(50):
        table.asked(1000.0, error=BUSY)
    held = sum(table.health.throttles("a", 1000.0, draw) for draw in range(1000))
    assert 950 <= held < 1000
    assert not any(table.health.throttles("b", 1000.0, draw) for draw in range(100))


# --- places that don't serve ours -------------------------------------------------------------------------------------


def test_a_country_that_is_not_served_is_learned_of_the_target_alone(table: Table) -> None:
    table.asked(1000.0, error=NOT_HERE)
    assert table.health.snapshot.refused_here == {("a", "m")}
    assert (table.load().shut, table.health.row("a").failed) == ("", 0)
    table.health.tick(1000.0 + REFUSED_HERE_S)
    assert table.health.snapshot.refused_here == {("a", "m")}
    table.health.tick(1001.1 + REFUSED_HERE_S)
    assert table.health.snapshot.refused_here == frozenset()
