"""The table of what requests have shown of each backend, and when one is asked nothing."""

from math import inf

import pytest

from gateway.errors import UpstreamError
from gateway.exchange import Attempt
from gateway.routing.estimate import SLOWEST
from gateway.routing.facts import Work
from gateway.routing.filters import closed
from gateway.routing.outlier import EJECTED_S, IN_A_ROW, JITTER, PROBE_S, RATE_LEAST
from gateway.settings.shape import Target
from gateway.upstream.health import Health
from tests.upstream.table import (
    BROKEN,
    BUSY,
    DENIED,
    FULL,
    FULL_UNTIL,
    LATER,
    NOT_HERE,
    OURS,
    PREDICTED_MS,
    REFUSED,
    SLOW,
    UNREACHABLE,
    Table,
    backend,
)

LONGEST_EJECTION_S = EJECTED_S * (1 + JITTER)


@pytest.fixture
def table() -> Table:
    return Table("a", "b", "c")


def eject(table: Table, name: str = "a", at: float = 1000.0) -> float:
    """Five failures in a row; when it may be asked again."""
    for _ in range(IN_A_ROW):
        table.asked(at, name, BROKEN)
    load = table.load(name)
    assert load.shut == "ejected"
    return load.shut_until


# --- counting ---------------------------------------------------------------------------------------------------------


def test_requests_count_for_the_retry_budget_with_the_next_tick(table: Table) -> None:
    table.health.retries.fresh += 1000
    table.health.tick(1000.0)
    assert table.health.retries.fresh == 0
    table.health.retries.spend(1000.5, 0.1)
    assert table.health.retries.used(1001.0) == pytest.approx(1 / 1000)


def test_a_backend_nobody_called_is_unknown(table: Table) -> None:
    row = table.health.row("a")
    assert (row.name, row.provider, row.country, row.region) == ("a", "p", "DE", "eu-central")
    assert (row.state, row.in_flight, row.answered, row.failed) == ("unknown", 0, 0, 0)
    assert [row.name for row in table.health.rows()] == ["a", "b", "c"]


def test_what_is_under_way_is_counted(table: Table) -> None:
    attempt = table.begin(1000.0)
    assert (table.health.row("a").in_flight, table.load().in_flight, table.load().waiting_tokens) == (1, 1, 1000.0)
    table.first(attempt, 1000.2)
    assert (table.load().in_flight, table.load().waiting_tokens) == (1, 0.0)
    table.answer(attempt, 1001.0)
    assert (table.health.row("a").in_flight, table.load().in_flight, table.load().waiting_tokens) == (0, 0, 0.0)


def test_an_attempt_ends_once_and_only_if_it_began(table: Table) -> None:
    attempt = table.begin(1000.0)
    table.answer(attempt, 1001.0)
    table.answer(attempt, 1002.0)
    table.first(attempt, 1002.0)
    table.health.ended(Attempt(Target(backend=table.backends["a"], model="m"), 1000.0))
    assert (table.load().in_flight, table.health.row("a").answered) == (0, 1)


def test_work_that_can_run_nowhere_else_is_counted(table: Table) -> None:
    attempt = table.begin(1000.0, only_here=True)
    table.begin(1000.0)
    assert table.load().only_here == 1
    table.answer(attempt, 1001.0)
    assert (table.load().only_here, table.load().in_flight) == (0, 1)


def test_a_whole_requests_prompt_waits_for_as_long_as_was_predicted(table: Table) -> None:
    work = Work(1000, stream=False)
    attempt = table.begin(1000.0, work=work)
    table.health.tick(1000.0 + PREDICTED_MS / 1e3 - 0.001)
    assert table.load().waiting_tokens == 1000.0
    table.health.tick(1000.0 + PREDICTED_MS / 1e3 + 0.001)
    assert table.load().waiting_tokens == 0.0
    table.answer(attempt, 1060.0, stream=False)
    other = table.begin(1100.0, work=work)
    table.answer(other, 1100.05, stream=False)
    assert table.load().waiting_tokens == 0.0


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [BROKEN, SLOW, UNREACHABLE, DENIED], ids=lambda error: type(error).__name__)
def test_five_failures_in_a_row_eject_a_backend(table: Table, error: UpstreamError) -> None:
    for _ in range(IN_A_ROW - 1):
        table.asked(1000.0, error=error)
        assert table.load().shut == ""
    table.asked(1000.0, error=error)
    load, row = table.load(), table.health.row("a")
    assert closed(load, 1000.1) == "ejected"
    assert EJECTED_S * (1 - JITTER) <= load.shut_until - 1000.01 <= LONGEST_EJECTION_S
    assert (row.state, row.why, row.failed, row.last_error) == ("ejected", "consecutive_failures", 5, error.reason)
    assert row.until_s == pytest.approx(load.shut_until - 1000.01)
    assert (row.ejections, table.health.row("b").ejections) == (1, 0)


def test_so_do_refusals_that_may_come_from_a_proxy_with_nobody_behind_it(table: Table) -> None:
    for _ in range(IN_A_ROW):
        table.asked(1000.0, error=FULL)
    assert (table.health.row("a").state, table.health.row("a").failed) == ("ejected", 0)


def test_and_so_does_silence_for_as_long_as_there_is(table: Table) -> None:
    for _ in range(IN_A_ROW):
        attempt = table.begin(1000.0)
        attempt.ended, attempt.outcome = 1590.0, "deadline_exceeded"
        table.health.ended(attempt, hung=True)
    assert (table.health.row("a").state, table.health.row("a").failed) == ("ejected", 0)
    assert table.pace().slow == SLOWEST


@pytest.mark.parametrize("error", [LATER, BUSY, FULL_UNTIL, OURS, REFUSED, NOT_HERE], ids=lambda error: error.message)
def test_what_is_no_failure_ejects_nobody(table: Table, error: UpstreamError) -> None:
    for second in range(100):
        table.asked(1000.0 + second, error=error)
    row = table.health.row("a")
    assert (row.failed, row.ejections, row.consecutive_failures) == (0, 0, 0)


def test_who_leaves_says_nothing_of_a_backend(table: Table) -> None:
    for _ in range(100):
        table.leave(table.begin(1000.0), 1000.1)
    assert (table.health.row("a").failed, table.health.row("a").state) == (0, "unknown")


@pytest.mark.parametrize("between", [None, REFUSED], ids=["an answer", "a refusal"])
def test_whatever_shows_that_it_lives_begins_the_row_anew(table: Table, between: UpstreamError | None) -> None:
    for _ in range(20):
        table.asked(1000.0, error=BROKEN)
        table.asked(1000.0, error=BROKEN)
        for _ in range(3):
            table.asked(1000.0, error=between)
    assert table.health.row("a").ejections == 0


def test_one_that_fails_a_few_times_is_failing(table: Table) -> None:
    for _ in range(3):
        table.asked(1000.0, error=SLOW)
    assert (table.health.row("a").state, table.health.row("a").why) == ("failing", "upstream_timeout")
    table.asked(1000.0)
    assert (table.health.row("a").state, table.health.row("a").why) == ("healthy", "")


def halves(table: Table, name: str) -> None:
    """Every second request fails, as often as makes a rate."""
    for _ in range(RATE_LEAST):
        table.asked(1000.0, name, BROKEN)
        table.asked(1000.0, name)


def test_half_of_its_requests_eject_a_backend_too(table: Table) -> None:
    halves(table, "a")
    assert (table.health.row("a").state, table.health.row("a").why) == ("ejected", "failure_rate")


def test_by_its_rate_only_one_of_three_is_ejected(table: Table) -> None:
    for name in "abc":
        halves(table, name)
    assert [table.load(name).shut for name in "abc"] == ["ejected", "", ""]
    eject(table, "b")
    assert [table.load(name).shut for name in "abc"] == ["ejected", "ejected", ""]


def test_a_backend_of_no_model_may_be_ejected_by_its_rate() -> None:
    table = Table("a")
    table.health = Health(table.backends)
    halves(table, "a")
    assert table.load().shut == "ejected"


# --- coming back ------------------------------------------------------------------------------------------------------


def test_one_request_finds_out_whether_it_is_well_again(table: Table) -> None:
    back = eject(table)
    load = table.load()
    assert closed(load, back) == ""
    probe = table.begin(back)
    assert closed(load, back) == "ejected"
    assert table.health.row("a").state == "half_open"
    table.first(probe, back + 0.2)
    assert (closed(load, back + 0.2), load.half_open, load.probing, load.since) == ("", False, False, back + 0.2)
    assert table.health.row("a").consecutive_failures == 0


@pytest.mark.parametrize("error", [None, REFUSED], ids=["an answer", "a refusal"])
def test_a_whole_answer_brings_it_back_as_well_as_a_refusal_of_the_request(
    table: Table, error: UpstreamError | None
) -> None:
    back = eject(table)
    table.asked(back, error=error)
    assert (table.load().half_open, table.load().since) == (False, back + 0.01)


def test_a_probe_that_fails_makes_it_longer(table: Table) -> None:
    back = eject(table)
    table.asked(back, error=BROKEN)
    load = table.load()
    assert load.shut_until - back >= 2 * EJECTED_S * (1 - JITTER)
    assert (load.half_open, load.probing, table.health.row("a").why) == (True, False, "half_open")


def test_a_probe_that_found_out_nothing_leaves_it_to_the_next_one(table: Table) -> None:
    back = eject(table)
    table.leave(table.begin(back), back + 1.0)
    assert closed(table.load(), back + 1.0) == ""
    table.asked(back + 1.0)
    assert not table.load().half_open


def test_a_probe_that_takes_for_ever_is_not_waited_for(table: Table) -> None:
    back = eject(table)
    table.begin(back)
    assert closed(table.load(), back + PROBE_S - 0.1) == "ejected"
    table.health.tick(back + PROBE_S)
    assert closed(table.load(), back + PROBE_S) == ""
    table.asked(back + PROBE_S)
    assert not table.load().half_open


def test_what_was_under_way_as_it_was_ejected_does_not_bring_it_back(table: Table) -> None:
    before = table.begin(999.0)
    eject(table)
    table.answer(before, 1005.0)
    assert closed(table.load(), 1005.0) == "ejected"


def test_what_is_tried_in_a_panic_and_succeeds_brings_it_back(table: Table) -> None:
    until = eject(table)
    table.asked(1005.0, error=BROKEN)
    assert table.load().shut_until == until
    table.asked(1006.0)
    assert (closed(table.load(), 1006.1), table.load().since) == ("", 1006.01)


def test_times_of_several_workers_and_backends_differ() -> None:
    times = set()
    for draw in range(3):
        table = Table("a", "b")
        table.health = Health(table.backends, table.models, None, draw)
        times |= {eject(table, "a"), eject(table, "b")}
    assert len(times) == 6


# --- a reload ---------------------------------------------------------------------------------------------------------


def test_a_reload_keeps_what_is_known_of_backends_that_stay(table: Table) -> None:
    eject(table)
    table.asked(1000.0, "b")
    table.fail(table.begin(1000.0, "b"), 1000.1, NOT_HERE)
    table.health.drain("c", 1000.0)
    table.health.snapshot.ended = frozenset({"canary"})
    under_way = table.begin(1000.0, "b")
    older = table.health
    fresh = {"a": backend("a", country="FR"), "b": backend("b"), "c": backend("c"), "d": backend("d")}
    table.health = Health(fresh, table.models)
    table.health.inherit(older, 1002.0)
    assert [table.load(name).shut for name in "abcd"] == ["ejected", "", "drained", ""]
    assert (table.health.row("a").country, table.health.row("b").answered) == ("FR", 1)
    assert table.load("d").since == 1002.0
    assert table.health.snapshot.refused_here == {("b", "m")}
    assert table.health.snapshot.ended == {"canary"}
    assert (table.health.retries, table.health.lessons) == (older.retries, older.lessons)
    # Requests of the old configuration end in the same row, whoever is told.
    assert table.load("b").in_flight == 1
    under_way.ended, under_way.outcome = 1003.0, "answered"
    older.ended(under_way)
    assert (table.load("b").in_flight, table.health.row("b").answered) == (0, 2)


def test_a_backend_that_came_with_the_first_configuration_need_not_start_slowly(table: Table) -> None:
    older = table.health
    table.health = Health(table.backends | {"d": backend("d")})
    table.health.inherit(older)
    assert table.load("d").since == -inf


def test_another_address_is_another_server(table: Table) -> None:
    attempt = table.begin(999.0)
    table.first(attempt, 999.9)
    eject(table)
    older = table.health
    table.health = Health({"a": backend("a", "http://10.1.0.8"), "b": backend("b")}, table.models)
    table.health.inherit(older, 1002.0)
    assert (table.load().shut, table.load().half_open, table.load().in_flight) == ("", False, 1)
    assert ("a", "m") not in table.health.snapshot.paces
    table.answer(attempt, 1003.0)
    assert table.load().in_flight == 0
