import pytest

from gateway.channel import BackendState
from gateway.control.table import merge


def view(name: str, state: str = "healthy", **more: float | str) -> BackendState:
    row = BackendState(name=name, provider="vllm", region="eu-central", country="DE", state=state)
    for field, value in more.items():
        setattr(row, field, value)
    return row


def test_counts_are_summed_over_the_workers() -> None:
    (row,) = merge(
        [
            [view("a", in_flight=2, idle_connections=1, answered=10, failed=1)],
            [view("a", in_flight=3, idle_connections=4, answered=20, failed=2)],
        ]
    )
    assert (row.in_flight, row.idle_connections, row.answered, row.failed) == (5, 5, 30, 3)


def test_the_state_is_what_most_workers_see_and_all_views_are_shown() -> None:
    (row,) = merge([[view("a", "failing")], [view("a", "healthy")], [view("a", "failing")]])
    assert row.state == "failing"
    assert row.states == {"failing": 2, "healthy": 1}


def test_times_are_means_by_answers_and_unknown_ones_take_no_part() -> None:
    (row,) = merge(
        [
            [view("a", answered=1, ttft_s=0.1)],
            [view("a", answered=3, ttft_s=0.2, tpot_s=0.01)],
            [view("a", answered=0)],
        ]
    )
    assert row.ttft_ms == 175.0
    assert row.tpot_ms == 10.0


def test_times_nobody_knows_are_none() -> None:
    (row,) = merge([[view("a")]])
    assert row.ttft_ms is None
    assert row.tpot_ms is None


def test_why_and_how_long_are_said_by_one_who_sees_what_most_see() -> None:
    (row,) = merge(
        [
            [view("a", "ejected", why="failure_rate", until_s=12.34)],
            [view("a", "healthy")],
            [view("a", "ejected", why="consecutive_failures", until_s=20.06)],
        ]
    )
    assert (row.state, row.why, row.until_s) == ("ejected", "consecutive_failures", 20.1)


@pytest.mark.parametrize("until_s", [0.0, float("inf")])
def test_what_does_not_end_by_itself_has_no_time(until_s: float) -> None:
    (row,) = merge([[view("a", "drained", why="operator", until_s=until_s)]])
    assert row.until_s is None


def test_quantiles_and_load_are_those_of_the_worker_who_sees_most() -> None:
    (row,) = merge(
        [
            [view("a", ttft_p95_s=0.2, ttft_p99_s=0.5, tpot_p95_s=0.02, tpot_p99_s=0.03, load=0.25, rtt_ms=20.0)],
            [view("a", ttft_p95_s=0.3, ttft_p99_s=0.4, load=0.5, rtt_ms=10.0, ejections=1)],
            [view("a", ejections=2)],
        ]
    )
    assert (row.ttft_p95_ms, row.ttft_p99_ms, row.tpot_p95_ms, row.tpot_p99_ms) == (300.0, 500.0, 20.0, 30.0)
    assert (row.load, row.rtt_ms, row.ejections) == (0.5, 15.0, 3)
    (unknown,) = merge([[view("a")]])
    assert (unknown.ttft_p95_ms, unknown.rtt_ms, unknown.load) == (None, None, 0.0)


def test_rows_come_by_name_and_show_a_last_error() -> None:
    rows = merge([[view("b"), view("a", last_error="upstream_timeout")], [view("b", last_error="upstream_error")]])
    assert [(row.name, row.last_error) for row in rows] == [("a", "upstream_timeout"), ("b", "upstream_error")]


def test_no_table_is_no_row() -> None:
    assert merge([]) == []
