import pytest

from gateway.routing.candidate import FIRST_MS, MS_PER_TOKEN_IN, MS_PER_TOKEN_OUT, Candidate


def test_a_request_costs_what_each_part_of_it_costs() -> None:
    one = Candidate(0, "a", "m", usd_per_request=0.01, usd_per_token_in=1e-6, usd_per_token_out=4e-6)
    assert one.usd(1000, 500) == pytest.approx(0.01 + 0.001 + 0.002)


def test_a_place_of_which_nothing_is_known_is_nowhere_keeps_all_and_can_be_trusted_with_nothing() -> None:
    one = Candidate(0, "a", "m")
    assert one.processes_in == frozenset()
    assert one.retention_days == -1
    assert not one.no_training
    assert not one.priced


def test_a_server_of_ones_own_is_expected_to_begin_sooner_than_somebody_elses() -> None:
    assert FIRST_MS["self_hosted"] < FIRST_MS["external"]
    assert MS_PER_TOKEN_IN.keys() == MS_PER_TOKEN_OUT.keys() == FIRST_MS.keys()
