import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.probes.deltas import STILL_S, Mean, PerSecond


def test_a_pace_needs_two_looks() -> None:
    pace = PerSecond()
    assert pace.moved(1000.0, 1.0) is None
    assert pace.moved(1700.0, 2.0) == 700.0


def test_a_meter_that_is_read_more_often_than_it_moves_keeps_its_pace() -> None:
    pace = PerSecond()
    pace.moved(1000.0, 0.0)
    assert pace.moved(1000.0, 1.0) is None
    assert pace.moved(2400.0, 2.0) == 700.0
    assert pace.moved(2400.0, 3.0) == 700.0


def test_a_meter_that_stands_still_for_long_says_nothing_happens() -> None:
    pace = PerSecond()
    pace.moved(1000.0, 0.0)
    pace.moved(1700.0, 1.0)
    assert pace.moved(1700.0, 1.0 + STILL_S) == 0.0


def test_a_server_that_was_restarted_begins_anew() -> None:
    pace = PerSecond()
    pace.moved(1000.0, 0.0)
    pace.moved(1700.0, 1.0)
    assert pace.moved(5.0, 2.0) is None
    assert pace.moved(105.0, 3.0) == 100.0


def test_a_meter_that_is_gone_has_no_pace() -> None:
    pace = PerSecond()
    pace.moved(1000.0, 0.0)
    assert pace.moved(None, 1.0) is None
    assert pace.moved(1700.0, 2.0) is None


def test_two_values_at_one_moment_are_no_pace() -> None:
    pace = PerSecond()
    pace.moved(1000.0, 0.0)
    assert pace.moved(1700.0, 0.0) is None


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=20))
def test_a_pace_is_never_below_nothing(looks: list[tuple[float, float]]) -> None:
    pace = PerSecond()
    for total, now in looks:
        told = pace.moved(total, now)
        assert told is None or told >= 0.0


def test_a_mean_is_of_what_was_counted_since_the_look_before() -> None:
    mean = Mean()
    assert mean.moved(10.0, 100.0) is None
    assert mean.moved(12.0, 104.0) == pytest.approx(0.5)
    assert mean.moved(12.0, 104.0) is None


@pytest.mark.parametrize("later", [(1.0, 1.0), (None, 104.0), (12.0, None), (9.0, 104.0)])
def test_a_mean_is_none_after_a_restart_or_where_half_of_it_is_missing(
    later: tuple[float | None, float | None],
) -> None:
    mean = Mean()
    mean.moved(10.0, 100.0)
    assert mean.moved(*later) is None
