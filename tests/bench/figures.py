"""Figures out of samples: percentiles, quantiles of a histogram's buckets, ratios paired by round. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

_BUCKET = re.compile(r'^(?P<name>\w+)_bucket\{(?:.*,)?le="(?P<le>[^"]+)".*\}\s+(?P<count>\S+)')


class Spread(msgspec.Struct, frozen=True):
    """A median with the least and the greatest value seen."""

    median: float
    least: float
    greatest: float


def spread(values: Sequence[float]) -> Spread | None:
    """Median and extremes, or None when there is nothing to tell."""
    if not values:
        return None
    return Spread(median=median(values), least=min(values), greatest=max(values))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the ordered values do not exceed, or None when there are none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def paired_ratios(values: Mapping[int, float], reference: Mapping[int, float]) -> list[float]:
    """`values` over `reference`, round by round; rounds that either lacks are left out."""
    return [value / reference[turn] for turn, value in sorted(values.items()) if reference.get(turn, 0) > 0]


def paired_differences(values: Mapping[int, float], reference: Mapping[int, float]) -> list[float]:
    """`values` minus `reference`, round by round; rounds that either lacks are left out."""
    return [value - reference[turn] for turn, value in sorted(values.items()) if turn in reference]


def histogram_buckets(exposition: str, name: str) -> dict[float, float]:
    """Cumulative counts by upper bound of one histogram of a Prometheus text, summed over its label sets."""
    counts: dict[float, float] = {}
    for line in exposition.splitlines():
        found = _BUCKET.match(line)
        if found and found["name"] == name:
            bound = float(found["le"].replace("Inf", "inf"))
            counts[bound] = counts.get(bound, 0.0) + float(found["count"])
    return counts


def buckets_since(after: Mapping[float, float], before: Mapping[float, float]) -> dict[float, float]:
    """What was counted between two readings."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def bucket_quantile(cumulative: Mapping[float, float], share: float) -> float | None:
    """The quantile by linear interpolation inside its bucket, or None when nothing was counted.

    In the bucket without an upper bound the answer is that bucket's lower bound: the least it can be.
    """
    bounds = sorted(cumulative)
    total = cumulative[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank = share * total
    lower_bound = lower_count = 0.0
    for bound in bounds:
        count = cumulative[bound]
        if count >= rank and count > lower_count:
            if math.isinf(bound):
                return lower_bound
            return lower_bound + (bound - lower_bound) * (rank - lower_count) / (count - lower_count)
        lower_bound, lower_count = bound, count
    return lower_bound
