"""What a server tells with its answers, beside what probes read of it."""

import pytest

from gateway.routing.outlier import IN_A_ROW
from gateway.routing.snapshot import Lane
from gateway.upstream.health import REPORTED_S, SETTLE_EVERY_S, STALE_S
from gateway.upstream.probes.reading import Reading
from tests.upstream.table import BROKEN, Table


@pytest.fixture
def table() -> Table:
    return Table("a", "b")


def test_a_report_freshens_what_a_probe_read(table: Table) -> None:
    table.health.told("a", Reading(alive=True, running=5.0, waiting=9.0, kv=0.9, models=frozenset({"m"})), 1000.0)
    table.health.reported("a", Reading(alive=True, waiting=2.0, kv=0.4), 1000.5)
    load = table.load("a")
    assert (load.queued, load.kv, load.reported, load.models) == (2.0, 0.4, 14.0, frozenset({"m"}))


def test_what_a_report_does_not_tell_stays(table: Table) -> None:
    table.health.told("a", Reading(alive=True, running=5.0, waiting=9.0, kv=0.9), 1000.0)
    table.health.reported("a", Reading(alive=True, kv=0.4), 1000.5)
    assert (table.load("a").queued, table.load("a").kv) == (9.0, 0.4)


def test_what_runs_there_is_others_less_our_own(table: Table) -> None:
    table.begin(1000.0)
    table.health.reported("a", Reading(alive=True, running=4.0, waiting=3.0), 1000.5)
    assert (table.load("a").reported, table.load("a").working()) == (6.0, 7.0)


def test_a_report_alone_is_forgotten_as_soon_as_what_other_gateways_have_read(table: Table) -> None:
    table.health.reported("a", Reading(alive=True, waiting=2.0, kv=0.4), 1000.0)
    table.health.tick(1000.0 + REPORTED_S - 0.1)
    assert (table.load("a").queued, table.load("a").kv) == (2.0, 0.4)
    table.health.tick(1000.0 + REPORTED_S - 0.1 + SETTLE_EVERY_S)
    assert (table.load("a").queued, table.load("a").kv) == (0.0, 0.0)


def test_a_report_makes_what_a_probe_read_no_younger(table: Table) -> None:
    table.health.told("a", Reading(alive=True, waiting=9.0, models=frozenset({"m"})), 1000.0)
    for second in range(int(STALE_S)):
        table.health.reported("a", Reading(alive=True, waiting=2.0), 1000.0 + second)
    assert table.load("a").models == frozenset({"m"})
    table.health.tick(1000.0 + STALE_S - 1.0 + REPORTED_S + 0.1)
    assert table.load("a").models is None


def test_decisions_are_made_anew_where_it_tells_something_else(table: Table) -> None:
    lanes = table.health.snapshot.lanes
    for reading, left in ((Reading(kv=0.4), 0), (Reading(kv=0.4), 1), (Reading(waiting=1.0), 0)):
        lanes[1] = Lane(None, table.health.snapshot, 2000.0)
        table.health.reported("a", reading, 1000.0)
        assert len(lanes) == left


def test_a_backend_that_a_reload_took_away_tells_nobody_anything(table: Table) -> None:
    table.health.reported("gone", Reading(alive=True, kv=0.4), 1000.0)
    assert [row.name for row in table.health.rows()] == ["a", "b"]


def test_ejections_are_told_with_the_reason_of_the_last_one(table: Table) -> None:
    assert table.health.ejections() == []
    for number in range(IN_A_ROW):
        table.asked(1000.0 + number, error=BROKEN)
    assert table.health.ejections() == [("a", "consecutive_failures", 1)]
    table.asked(1300.0, error=BROKEN)
    assert table.health.ejections() == [("a", "half_open", 2)]
