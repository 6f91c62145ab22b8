import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.outlier import (
    CLEAN_S,
    EJECTED_MOST_S,
    EJECTED_S,
    IN_A_ROW,
    JITTER,
    RATE_LEAST,
    RATE_WINDOW_S,
    Outlier,
    most_out,
)

MIDDLE = 1 << 63  # of 64 bits of chance: no jitter at all
LOWEST, HIGHEST = 0, (1 << 64) - 1


def ejected(outlier: Outlier, now: float, bits: int = MIDDLE) -> float:
    return outlier.eject(now, bits)


def test_five_failures_in_a_row_are_one_too_many() -> None:
    outlier = Outlier()
    whys = [outlier.failed(100.0) for _ in range(IN_A_ROW)]
    assert whys == ["", "", "", "", "consecutive_failures"]


def test_an_answer_between_them_begins_the_row_anew() -> None:
    outlier = Outlier()
    for _ in range(IN_A_ROW - 1):
        outlier.failed(100.0)
    outlier.well(100.0)
    assert outlier.in_a_row == 0
    assert outlier.failed(100.0) == ""


def test_half_of_twenty_requests_are_a_rate() -> None:
    outlier = Outlier()
    whys = []
    for _ in range(RATE_LEAST // 2):
        whys.append(outlier.failed(100.0))
        outlier.well(100.0)
    assert set(whys) == {""}
    assert outlier.failed(100.0) == "failure_rate"


def test_less_than_half_is_none() -> None:
    outlier = Outlier()
    whys = set()
    for _ in range(40):
        whys.add(outlier.failed(100.0))
        outlier.well(100.0)
        outlier.well(100.0)
    assert whys == {""}


def test_what_failed_long_ago_is_no_part_of_a_rate() -> None:
    outlier = Outlier()
    for second in range(40):
        now = 100.0 + second * RATE_WINDOW_S
        assert outlier.failed(now) == ""
        outlier.well(now)


def test_nothing_is_counted_while_nothing_fails() -> None:
    outlier = Outlier()
    outlier.well(100.0)
    counting = [outlier.counting]
    outlier.failed(100.0)
    outlier.well(101.0)
    counting.append(outlier.counting)
    outlier.well(101.0 + RATE_WINDOW_S)
    counting.append(outlier.counting)
    assert counting == [False, True, False]


def test_each_time_it_is_out_for_longer_up_to_five_minutes() -> None:
    outlier = Outlier()
    times = [ejected(outlier, 100.0 + number) for number in range(12)]
    assert times[:3] == [EJECTED_S, 2 * EJECTED_S, 3 * EJECTED_S]
    assert times[-1] == EJECTED_MOST_S


def test_time_without_being_out_makes_the_next_one_shorter() -> None:
    outlier = Outlier()
    for _ in range(3):
        ejected(outlier, 100.0)
    outlier.back(200.0)
    assert ejected(outlier, 200.0 + 2 * CLEAN_S) == 2 * EJECTED_S
    outlier.back(1000.0)
    assert ejected(outlier, 1000.0 + CLEAN_S - 1.0) == 3 * EJECTED_S
    outlier.back(2000.0)
    assert ejected(outlier, 9000.0) == EJECTED_S


@pytest.mark.parametrize(("bits", "share"), [(LOWEST, 1 - JITTER), (HIGHEST, 1 + JITTER)])
def test_chance_moves_the_time_by_a_fifth(bits: int, share: float) -> None:
    assert ejected(Outlier(), 100.0, bits) == pytest.approx(EJECTED_S * share)


def test_who_is_back_begins_with_a_clean_sheet() -> None:
    outlier = Outlier()
    for _ in range(IN_A_ROW):
        outlier.failed(100.0)
    ejected(outlier, 100.0)
    assert (outlier.out, outlier.out_at) == (True, 100.0)
    outlier.back(131.0)
    assert (outlier.out, outlier.in_a_row, outlier.counting) == (False, 0, False)
    assert outlier.failed(131.0) == ""


@pytest.mark.parametrize(("places", "most"), [(1, 1), (2, 1), (3, 1), (6, 1), (7, 2), (10, 3), (100, 30)])
def test_so_many_of_a_set_may_be_out(places: int, most: int) -> None:
    assert most_out(places) == most


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 20.0)), max_size=200), st.integers(0, HIGHEST))
def test_whatever_happens_times_stay_within_their_bounds(steps: list[tuple[bool, float]], bits: int) -> None:
    outlier = Outlier()
    now = 100.0
    for fails, step in steps:
        now += step
        if not fails:
            outlier.well(now)
        elif outlier.failed(now):
            for_s = outlier.eject(now, bits)
            assert EJECTED_S * (1 - JITTER) <= for_s <= EJECTED_MOST_S * (1 + JITTER)
            now += for_s
            outlier.back(now)
        assert outlier.in_a_row < IN_A_ROW
