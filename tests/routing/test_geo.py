import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.geo import GROUPS, UNKNOWN_RTT_MS, countries, kilometres, rtt_ms, rtt_prior_ms

FRANKFURT, LONDON, SYDNEY = (50.11, 8.68), (51.51, -0.13), (-33.87, 151.21)
places = st.tuples(st.floats(-90.0, 90.0), st.floats(-180.0, 180.0))


def test_groups_are_countries_and_countries_are_themselves() -> None:
    assert countries(["EFTA", "JP"]) == {"CH", "IS", "LI", "NO", "JP"}
    assert countries([]) == frozenset()


def test_the_economic_area_is_the_union_and_three_more_and_switzerland_is_in_neither() -> None:
    assert len(GROUPS["EU"]) == 27
    assert GROUPS["EEA"] - GROUPS["EU"] == {"IS", "LI", "NO"}
    assert "CH" not in GROUPS["EEA"]
    assert "GB" not in GROUPS["EEA"]


def test_distances_are_those_of_the_great_circle() -> None:
    assert kilometres(FRANKFURT, LONDON) == pytest.approx(638, abs=5)
    assert kilometres(FRANKFURT, SYDNEY) == pytest.approx(16_470, abs=50)


@given(places, places)
def test_a_distance_is_the_same_both_ways_and_at_most_half_the_earth_around(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    assert 0.0 <= kilometres(one, other) <= 20_016
    assert kilometres(one, other) == pytest.approx(kilometres(other, one), abs=1e-6)
    assert kilometres(one, one) == 0.0


def test_a_round_trip_is_expected_from_the_distance_and_never_faster_than_light_in_fibre() -> None:
    assert rtt_prior_ms(FRANKFURT, LONDON) == pytest.approx(12.5, abs=0.5)  # measured: 13
    assert rtt_prior_ms(FRANKFURT, SYDNEY) == pytest.approx(274, abs=2)  # measured: 250
    assert rtt_prior_ms(FRANKFURT, SYDNEY) > 2 * kilometres(FRANKFURT, SYDNEY) / 200


def test_an_unknown_place_is_neither_near_nor_at_the_end_of_the_world() -> None:
    assert rtt_prior_ms(None, LONDON) == rtt_prior_ms(LONDON, None) == UNKNOWN_RTT_MS
    assert rtt_prior_ms(FRANKFURT, LONDON) < UNKNOWN_RTT_MS < rtt_prior_ms(FRANKFURT, SYDNEY)


def test_a_measured_round_trip_replaces_the_expected_one_step_by_step() -> None:
    assert rtt_ms(100.0, 20.0, 0) == 100.0
    assert rtt_ms(100.0, 20.0, 20) == 60.0
    assert rtt_ms(100.0, 20.0, 2000) == pytest.approx(20.8, abs=0.1)
    assert rtt_ms(100.0, 20.0, 10, weight=10) == 60.0
