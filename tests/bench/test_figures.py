import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import (
    bucket_quantile,
    buckets_since,
    histogram_buckets,
    paired_differences,
    paired_ratios,
    percentile,
    spread,
)

EXPOSITION = """\
# TYPE gateway_overhead_seconds histogram
gateway_overhead_seconds_bucket{operation="chat",le="0.001"} 10
gateway_overhead_seconds_bucket{operation="chat",le="0.002"} 30
gateway_overhead_seconds_bucket{operation="chat",le="+Inf"} 40
gateway_overhead_seconds_bucket{operation="odd{,}",le="0.001"} 1
gateway_overhead_seconds_bucket{operation="odd{,}",le="0.002"} 1
gateway_overhead_seconds_bucket{operation="odd{,}",le="+Inf"} 2
gateway_overhead_seconds_count{operation="chat"} 40
gateway_overhead_seconds_other_bucket{le="0.001"} 7
"""


def test_a_percentile_is_the_smallest_value_that_enough_of_them_do_not_exceed() -> None:
    assert percentile([1, 2, 3, 4], 0.5) == 2
    assert percentile([1, 2, 3, 4], 0.51) == 3
    assert percentile([1, 2, 3, 4], 0.99) == 4
    assert percentile([7], 0.0) == 7


def test_no_values_have_no_percentile_and_no_spread() -> None:
    assert percentile([], 0.5) is None
    assert spread([]) is None


def test_spread_is_the_median_between_the_extremes() -> None:
    found = spread([9.0, 1.0, 4.0])
    assert found is not None
    assert (found.median, found.least, found.greatest) == (4.0, 1.0, 9.0)


def test_ratios_are_taken_within_a_round_and_rounds_that_lack_one_side_are_left_out() -> None:
    assert paired_ratios({0: 30.0, 1: 80.0, 2: 5.0, 3: 9.0}, {0: 10.0, 1: 20.0, 3: 0.0}) == [3.0, 4.0]


def test_differences_are_taken_within_a_round() -> None:
    assert paired_differences({1: 5.0, 0: 3.0, 4: 1.0}, {0: 1.0, 1: 1.0}) == [2.0, 4.0]


def test_a_histogram_is_read_over_all_its_label_sets_and_no_other_name() -> None:
    assert histogram_buckets(EXPOSITION, "gateway_overhead_seconds") == {0.001: 11.0, 0.002: 31.0, math.inf: 42.0}


def test_between_two_readings_only_what_was_added_counts() -> None:
    after, before = {0.001: 11.0, math.inf: 42.0}, {0.001: 1.0, math.inf: 2.0}
    assert buckets_since(after, before) == {0.001: 10.0, math.inf: 40.0}
    assert buckets_since(after, {}) == after


def test_a_quantile_lies_inside_its_bucket_by_its_rank() -> None:
    buckets = {1.0: 10.0, 2.0: 30.0, 4.0: 40.0, math.inf: 40.0}
    assert bucket_quantile(buckets, 0.25) == pytest.approx(1.0)
    assert bucket_quantile(buckets, 0.5) == pytest.approx(1.5)
    assert bucket_quantile(buckets, 0.875) == pytest.approx(3.0)


def test_a_quantile_beyond_the_last_bound_is_at_least_that_bound() -> None:
    assert bucket_quantile({1.0: 1.0, math.inf: 10.0}, 0.99) == 1.0


def test_an_empty_histogram_has_no_quantile() -> None:
    assert bucket_quantile({}, 0.5) is None
    assert bucket_quantile({1.0: 0.0, math.inf: 0.0}, 0.5) is None


@given(st.lists(st.floats(0.0, 99.0), min_size=1), st.floats(0.01, 1.0))
def test_a_bucket_quantile_is_within_one_bucket_of_the_true_one(values: list[float], share: float) -> None:
    bounds = [float(bound) for bound in range(1, 101)]
    buckets = {bound: float(sum(value <= bound for value in values)) for bound in bounds}
    found = bucket_quantile(buckets, share)
    true = percentile(sorted(values), share)
    assert found is not None
    assert true is not None
    assert abs(found - true) <= 1.0
