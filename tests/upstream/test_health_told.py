"""What the table is told: by connections, probers, other gateways, and an operator."""

from math import inf

import pytest

from gateway.exchange import Attempt
from gateway.routing.filters import closed
from gateway.routing.outlier import IN_A_ROW
from gateway.settings.shape import Target
from gateway.upstream.health import STALE_S, TOLD_S, Health
from gateway.upstream.probes.reading import DEAD, UNKNOWN, Reading
from tests.upstream.table import BROKEN, Table, backend


@pytest.fixture
def table() -> Table:
    return Table("a", "b", "c")


# --- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("url", "trips"), [("http://10.1.0.7", 1), ("https://a.example", 2)])
def test_a_connection_tells_the_round_trip(url: str, trips: int) -> None:
    table = Table("a")
    table.backends["a"] = backend("a", url)
    table.health = Health(table.backends)
    for number in range(300):
        attempt = table.begin(1000.0 + number)
        attempt.dialled_s = 0.1 * trips
        table.answer(attempt, 1000.5 + number)
    assert table.load().rtt_ms == pytest.approx(100.0, rel=0.1)
    assert table.health.row("a").rtt_ms == table.load().rtt_ms


def test_a_connection_that_was_hardly_made_tells_nothing(table: Table) -> None:
    attempt = Attempt(Target(backend=table.backends["a"], model="m"), 1000.0, dialled_s=1.5)
    table.health.began(attempt)
    table.answer(attempt, 1002.0)
    assert table.load().rtt_ms == 0.0
    second = Attempt(Target(backend=table.backends["a"], model="m"), 1000.0, dialled_s=0.1)
    table.health.began(second)
    table.answer(second, 1002.0)
    assert table.load().rtt_ms > 0.0


# --- what others say --------------------------------------------------------------------------------------------------


def test_what_a_server_tells_is_known_and_our_own_requests_since(table: Table) -> None:
    table.begin(1000.0)
    reading = Reading(
        alive=True,
        running=5.0,
        waiting=2.0,
        kv=0.4,
        slots=10,
        models=frozenset({"m"}),
        adapters=frozenset({"x"}),
        watts=300.0,
        rtt_ms=8.0,
    )
    table.health.told("a", reading, 1000.1)
    load = table.load()
    assert (load.reported, load.queued, load.kv, load.watts, load.told_at) == (6.0, 2.0, 0.4, 300.0, 1000.1)
    assert (load.models, load.loadable, load.adapters) == (frozenset({"m"}), frozenset(), frozenset({"x"}))
    assert 0.0 < load.rtt_ms < 80.0
    table.begin(1000.2)
    assert load.working() == 8.0
    assert table.health.row("a").load == 0.8


def test_a_server_that_has_not_seen_our_requests_yet_has_none_of_others(table: Table) -> None:
    for _ in range(3):
        table.begin(1000.0)
    table.health.told("a", Reading(alive=True, running=1.0), 1000.0)
    assert table.load().reported == 0.0


def test_what_a_server_does_not_tell_is_neither_nought_nor_full(table: Table) -> None:
    table.health.told("a", Reading(alive=True, running=5.0, models=frozenset({"m"})), 1000.0)
    table.health.told("a", Reading(alive=True), 1001.0)
    load = table.load()
    assert (load.reported, load.models, load.adapters, load.kv) == (None, None, None, 0.0)
    table.health.told("nobody", Reading(alive=True), 1001.0)


def test_what_was_told_long_ago_is_unknown(table: Table) -> None:
    table.health.told("a", Reading(alive=True, running=5.0, kv=0.4, models=frozenset({"n"})), 1000.0)
    table.health.tick(1000.0 + STALE_S)
    assert table.load().reported == 5.0
    table.health.tick(1001.0 + STALE_S)
    load = table.load()
    assert (load.reported, load.models, load.kv, load.told_at) == (None, None, 0.0, 0.0)


def test_a_server_that_is_silent_twice_is_dead_until_it_answers(table: Table) -> None:
    table.health.told("a", DEAD, 1000.0)
    assert closed(table.load(), 1000.1) == ""
    table.health.told("a", DEAD, 1001.0)
    assert closed(table.load(), 1001.1) == "dead"
    table.health.tick(1001.1)
    assert (table.health.row("a").state, table.health.row("a").why) == ("dead", "health_check")
    table.health.told("a", Reading(alive=True), 1005.0)
    assert (closed(table.load(), 1005.1), table.load().since) == ("", 1005.0)


def test_a_death_is_told_once_until_it_lives_again(table: Table) -> None:
    told: list[str] = []
    table.health.died = lambda backend: told.append(backend.name)
    for second in range(4):
        table.health.told("a", DEAD, 1000.0 + second)
    assert told == ["a"]
    table.health.told("a", Reading(alive=True), 1004.0)
    table.health.told("a", DEAD, 1005.0)
    table.health.told("a", DEAD, 1006.0)
    assert told == ["a", "a"]


def test_nobody_is_dead_for_ever_because_nobody_looks(table: Table) -> None:
    for second in range(3):
        table.health.told("a", DEAD, 1000.0 + second)
    table.health.told("a", UNKNOWN, 1002.0)
    assert closed(table.load(), 1003.0) == "dead"
    table.health.tick(1002.0 + TOLD_S)
    assert closed(table.load(), 1002.0 + TOLD_S) == ""


def test_who_answers_requests_is_not_dead_whatever_a_health_check_says(table: Table) -> None:
    table.health.told("a", DEAD, 1000.0)
    table.asked(1000.5)
    table.health.told("a", DEAD, 1001.0)
    assert closed(table.load(), 1001.1) == ""


def test_a_model_that_is_being_loaded_is_waited_for(table: Table) -> None:
    table.health.told("a", Reading(alive=True, loading=True, models=frozenset()), 1000.0)
    assert closed(table.load(), 1000.1) == "loading"
    table.health.told("a", Reading(alive=True, models=frozenset({"m"})), 1004.0)
    assert (closed(table.load(), 1004.1), table.load().since) == ("", 1004.0)


def test_other_gateways_requests_are_counted(table: Table) -> None:
    table.begin(1000.0)
    own = table.health.own("a")
    assert (own.in_flight, own.waiting_tokens) == (1, 1000.0)
    table.health.elsewhere("a", 7, 20_000.0)
    assert (table.load().reported, table.load().working()) == (7.0, 8.0)
    table.health.elsewhere("a", 0, 0.0)
    assert table.load().reported is None


def test_what_another_gateway_was_told_to_leave_alone_is_left_alone(table: Table) -> None:
    table.health.tick(1000.0)
    assert table.health.cooled_until("a") < 1000.0
    table.health.cooled("a", 1030.0)
    assert closed(table.load(), 1010.0) == "cooling"
    assert table.health.cooled_until("a") == 1030.0


# --- an operator ------------------------------------------------------------------------------------------------------


def test_what_an_operator_drains_is_asked_nothing_until_he_says_so(table: Table) -> None:
    under_way = table.begin(999.0)
    table.health.drain("a", 1000.0)
    assert closed(table.load(), 1e9) == "drained"
    table.answer(under_way, 1001.0)
    row = table.health.row("a")
    assert (row.state, row.why, row.until_s) == ("drained", "operator", inf)
    table.health.resume("a", 1010.0)
    assert (closed(table.load(), 1010.0), table.load().since) == ("", 1010.0)
    with pytest.raises(KeyError):
        table.health.drain("nobody", 1000.0)


def test_a_drain_may_end_by_itself(table: Table) -> None:
    table.health.drain("a", 1000.0, 60.0)
    table.health.tick(1059.9)
    assert closed(table.load(), 1059.9) == "drained"
    table.health.tick(1060.0)
    assert (closed(table.load(), 1060.0), table.load().since) == ("", 1060.0)


def test_an_operators_word_outvotes_whatever_requests_show(table: Table) -> None:
    table.health.drain("a", 1000.0)
    for _ in range(IN_A_ROW):
        table.asked(1000.0, error=BROKEN)
    assert closed(table.load(), 1001.0) == "drained"
    table.health.resume("a", 1002.0)
    assert (closed(table.load(), 1002.0), table.load().since) == ("", 1002.0)
