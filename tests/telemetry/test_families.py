import re
from itertools import pairwise

import pytest

from gateway.telemetry import families
from gateway.telemetry.families import OVERHEAD, SUPERVISOR, TOKEN_USAGE, WORKER, gen_ai_operation
from gateway.telemetry.slots import Family

ALL = (*WORKER, *SUPERVISOR)


def test_every_family_is_shown_once() -> None:
    made = {value.name for value in vars(families).values() if isinstance(value, Family)}
    assert sorted(family.name for family in ALL) == sorted(made)


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_names_follow_the_customs_of_prometheus(family: Family) -> None:
    assert re.fullmatch(r"(gateway|gen_ai)_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert bool(family.bounds) == (family.kind == "histogram")
    assert family.help.endswith(".")
    assert "le" not in family.labels


@pytest.mark.parametrize("family", [family for family in ALL if family.bounds], ids=lambda family: family.name)
def test_buckets_rise(family: Family) -> None:
    assert all(low < high for low, high in pairwise(family.bounds))


def test_the_contracts_names_are_all_there() -> None:
    assert {family.name for family in ALL} >= {
        "gateway_requests_total",
        "gateway_overhead_seconds",
        "gateway_attempts_total",
        "gateway_backend_state",
        "gateway_backend_load",
        "gateway_cost_usd_total",
        "gateway_losses_total",
        "gateway_residency_refusals_total",
        "gateway_state_up",
        "gateway_loop_lag_seconds",
        "gateway_config_info",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai_client_token_usage",
    }


def test_overhead_is_told_apart_from_10_microseconds_to_a_second_in_steps_of_a_quarter() -> None:
    assert OVERHEAD.bounds[0] == 1e-5
    assert OVERHEAD.bounds[-1] == 1.0
    assert all(high / low <= 1.26 for low, high in pairwise(OVERHEAD.bounds))


def test_tokens_are_counted_up_to_67_million_as_opentelemetry_advises() -> None:
    assert TOKEN_USAGE.bounds == tuple(4**step for step in range(14))


def test_operations_are_named_as_opentelemetry_names_them() -> None:
    assert [gen_ai_operation(name) for name in ("chat", "completions", "embeddings")] == [
        "chat",
        "text_completion",
        "embeddings",
    ]
