"""Round trips by country."""

import pytest

from gateway.server.trips import Trips


def test_a_countrys_round_trip_is_the_mean_of_its_connections() -> None:
    trips = Trips()
    assert trips.of("DE") is None
    for measured in (10.0, 20.0, 30.0):
        trips.note("DE", measured)
    trips.note("US", 90.0)
    german = trips.of("DE")
    assert german is not None
    assert (round(german.rtt_ms, 6), german.samples) == (20.0, 3)


def test_a_change_is_followed_and_one_slow_connection_is_not() -> None:
    trips = Trips()
    for _ in range(100):
        trips.note("DE", 10.0)
    trips.note("DE", 1000.0)
    german = trips.of("DE")
    assert german is not None
    assert german.rtt_ms == pytest.approx(59.5)
    for _ in range(100):
        trips.note("DE", 50.0)
    assert german.rtt_ms == pytest.approx(50.0, abs=0.1)
