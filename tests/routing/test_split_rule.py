import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.policy import Split, Stop
from gateway.routing.split_rule import ERRORS_LEAST, OTHERS_LEAST, Side, Tally, Why

AFTER = 200


def tally(*, errors: float | None = 1.5, ttft_p95: float | None = 1.3, after: int = AFTER) -> Tally:
    return Tally(Split("canary", "new", 5.0, stop=Stop(errors, ttft_p95, after)))


def seen(
    told: Tally,
    *,
    own: tuple[int, int],
    others: tuple[int, int],
    own_ms: float | None = None,
    others_ms: float | None = None,
) -> Why:
    """What the rule says after so many requests and failures of each side, the others' first."""
    requests, errors = others
    for number in range(requests):
        assert told.count(own=False, failed=number < errors, ttft_ms=others_ms) == ""
    requests, errors = own
    why: Why = ""
    for number in range(requests):
        why = why or told.count(own=True, failed=number < errors, ttft_ms=own_ms)
    return why


def test_nothing_is_said_before_the_rule_has_seen_its_requests() -> None:
    told = tally()
    assert seen(told, own=(AFTER - 1, AFTER - 1), others=(2000, 0)) == ""
    assert told.count(own=True, failed=True, ttft_ms=None) == "errors"


@pytest.mark.parametrize(
    ("own", "others", "why"),
    [
        (0, 0, ""),  # nought against nought
        (ERRORS_LEAST - 1, 0, ""),
        (ERRORS_LEAST, 0, "errors"),
        (11, 80, ""),  # 5.5 % against 4 %
        (12, 80, "errors"),  # 6 %: one and a half times as many
        (20, 400, ""),  # as bad as the others
    ],
)
def test_failures_are_held_against_the_others(own: int, others: int, why: Why) -> None:
    assert seen(tally(), own=(AFTER, own), others=(2000, others)) == why


@pytest.mark.parametrize(
    ("own_ms", "why"), [(50.0, ""), (120.0, ""), (127.0, ""), (135.0, "ttft_p95"), (900.0, "ttft_p95")]
)
def test_so_are_times_to_the_first_token(own_ms: float, why: Why) -> None:
    assert seen(tally(), own=(AFTER, 0), others=(2000, 0), own_ms=own_ms, others_ms=100.0) == why


def test_what_the_rule_does_not_name_ends_nothing() -> None:
    assert seen(tally(errors=None), own=(AFTER, AFTER), others=(2000, 0)) == ""
    slow = tally(ttft_p95=None)
    assert seen(slow, own=(AFTER, 0), others=(2000, 0), own_ms=900.0, others_ms=1.0) == ""
    assert seen(Tally(Split("canary", "new", 5.0)), own=(AFTER, AFTER), others=(2000, 0)) == ""


def test_nothing_is_said_without_others() -> None:
    assert seen(tally(), own=(5000, 5000), others=(OTHERS_LEAST - 1, 0)) == ""
    assert seen(tally(), own=(AFTER, 0), others=(2000, 0), own_ms=900.0) == ""


def test_one_that_was_well_for_long_is_ended_soon_after_it_is_not() -> None:
    told = tally(ttft_p95=None)
    for _ in range(20_000):
        assert seen(told, own=(1, 0), others=(10, 0)) == ""
    whys = [seen(told, own=(1, 1), others=(10, 0)) for _ in range(AFTER // 10)]
    assert "errors" in whys


def test_few_are_enough_where_the_rule_says_so() -> None:
    assert seen(tally(after=5), own=(5, 5), others=(100, 0)) == "errors"
    assert seen(tally(after=1), own=(5, 5), others=(100, 0)) == "errors"
    assert seen(tally(after=0), own=(5, 5), others=(100, 0)) == "errors"


@given(st.lists(st.floats(0.0, 4e6), min_size=1, max_size=300), st.integers(1, 5))
def test_95_in_a_hundred_stay_below_a_quantile_that_is_two_percent_wide(values: list[float], times: int) -> None:
    side = Side()
    for value in values * times:
        side.count(failed=False, ttft_ms=value)
    told, count = side.ttft_p95_ms, len(values)
    assert sum(value <= told * 1.000_001 for value in values) >= 0.95 * count - 1e-6
    assert told == 1.0 or sum(value <= told / 1.0201 for value in values) <= 0.95 * count + 1e-6


def test_a_quantile_is_that_of_its_side() -> None:
    side = Side()
    for value in range(1, 101):
        side.count(failed=False, ttft_ms=float(value))
    assert side.ttft_p95_ms == pytest.approx(95.0, rel=0.02)


@given(st.integers(0, 200), st.integers(0, 2000), st.integers(0, 3))
def test_a_split_that_is_no_worse_is_never_ended(own: int, others: int, forgotten: int) -> None:
    """At the same rate or below, whatever was forgotten meanwhile."""
    requests = AFTER * (forgotten + 1)
    failures = min(own * (forgotten + 1), others * requests // 2000)
    told = tally()
    for number in range(2000):
        told.count(own=False, failed=number < others, ttft_ms=10.0)
    spread = [number * failures // requests != (number + 1) * failures // requests for number in range(requests)]
    whys = {told.count(own=True, failed=failed, ttft_ms=10.0) for failed in spread}
    rate, theirs = failures / requests, others / 2000
    assert whys == {""} or rate * 2.0 >= 1.5 * max(0.01, theirs)


def test_an_empty_side_has_neither_rate_nor_time() -> None:
    assert (Side().error_rate, Side().ttft_p95_ms) == (0.0, 0.0)
