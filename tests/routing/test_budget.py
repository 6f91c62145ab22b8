"""A share of what was asked: never more, whatever comes, and not less than was promised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.budget import (
    HEDGE_SHARE,
    HEDGE_TTL_S,
    RETRY_LEAST,
    RETRY_SHARE,
    RETRY_TTL_S,
    Budget,
    Counts,
    hedges,
    retries,
)

# Times between events: bursts, and pauses longer than any window.
STEPS = st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans()), max_size=300)


def spent(budget: Budget, now: float, share: float, wanted: int) -> int:
    """How many of so many tries to spend succeed."""
    return sum(budget.spend(now, share) for _ in range(wanted))


# --- counting ---------------------------------------------------------------------------------------------------------


def test_what_is_counted_is_forgotten_after_its_time() -> None:
    counts = Counts(10.0, 10)
    counts.add(100.0)
    counts.add(104.0, 2, 1)
    assert (counts.one, counts.other) == (3, 1)
    counts.turn(109.9)
    assert (counts.one, counts.other) == (3, 1)
    counts.turn(110.0)
    assert (counts.one, counts.other) == (2, 1)
    counts.turn(114.0)
    assert (counts.one, counts.other) == (0, 0)


def test_a_moment_that_is_past_counts_as_the_last_one() -> None:
    counts = Counts(10.0, 10)
    counts.add(100.0)
    counts.add(99.0)
    counts.turn(50.0)
    assert counts.one == 2
    counts.turn(110.0)
    assert counts.one == 0


def test_a_pause_forgets_everything_at_once() -> None:
    counts = Counts(10.0, 10)
    for second in range(10):
        counts.add(100.0 + second)
    counts.turn(1e6)
    assert counts.one == 0


def test_what_is_cleared_is_gone_and_counting_goes_on() -> None:
    counts = Counts(10.0, 10)
    counts.add(100.0, 1, 1)
    counts.clear()
    assert (counts.one, counts.other) == (0, 0)
    counts.add(100.0)
    counts.turn(112.0)
    assert counts.one == 0


@given(STEPS)
def test_a_count_is_what_happened_within_the_window_a_part_more_or_less(steps: list[tuple[float, bool]]) -> None:
    counts = Counts(10.0, 10)
    now = 1000.0
    happened: list[tuple[float, bool]] = []
    for step, other in steps:
        now += step
        counts.add(now, 1, int(other))
        happened.append((now, other))
        surely = [one for one in happened if one[0] > now - 9.0]
        perhaps = [one for one in happened if one[0] > now - 10.0]
        assert len(surely) <= counts.one <= len(perhaps)
        assert sum(other for _, other in surely) <= counts.other <= sum(other for _, other in perhaps)


# --- spending ---------------------------------------------------------------------------------------------------------


def test_a_quiet_gateway_tries_again_all_the_same() -> None:
    assert spent(retries(), 100.0, RETRY_SHARE, 10 * RETRY_LEAST) == RETRY_LEAST


def test_a_busy_one_tries_a_share_of_its_requests_again() -> None:
    budget = retries()
    for _ in range(10_000):
        budget.asked(100.0)
    assert spent(budget, 100.0, RETRY_SHARE, 10_000) == 1000
    assert budget.used(100.0) == 0.1


def test_what_was_spent_comes_back_with_time() -> None:
    budget = retries()
    assert spent(budget, 100.0, RETRY_SHARE, 10 * RETRY_LEAST) == RETRY_LEAST
    assert spent(budget, 100.0 + RETRY_TTL_S, RETRY_SHARE, 10 * RETRY_LEAST) == RETRY_LEAST


def test_each_policy_has_its_share_of_the_same_budget() -> None:
    budget = retries()
    for _ in range(10_000):
        budget.asked(100.0)
    assert spent(budget, 100.0, 0.1, 10_000) == 1000
    assert spent(budget, 100.0, 0.2, 10_000) == 1000
    assert spent(budget, 100.0, 0.1, 10_000) == 0


def test_hedges_have_no_least() -> None:
    budget = hedges()
    assert spent(budget, 100.0, HEDGE_SHARE, 10) == 0
    for _ in range(50):
        budget.asked(100.0)
    assert spent(budget, 100.0, HEDGE_SHARE, 10) == 1
    assert budget.used(100.0 + HEDGE_TTL_S) == 0.0


def test_nothing_asked_is_nothing_used() -> None:
    assert retries().used(100.0) == 0.0


@given(
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.01, 0.3, 2.0]), st.booleans()), max_size=400),
    share=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
)
def test_a_budget_without_a_least_never_exceeds_its_share_of_all_there_was(
    steps: list[tuple[float, bool]], share: float
) -> None:
    budget = hedges()
    now, asked, extra = 1000.0, 0, 0
    for step, tries in steps:
        now += step
        if tries:
            extra += budget.spend(now, share)
        else:
            budget.asked(now)
            asked += 1
        assert extra <= share * asked


@pytest.mark.parametrize("per_second", [1, 7, 100, 5000])
def test_over_ten_thousand_requests_a_budget_is_its_share_and_the_least(per_second: int) -> None:
    budget = retries()
    extra = 0
    for number in range(10_000):
        now = 1000.0 + number / per_second
        budget.asked(now)
        extra += budget.spend(now, RETRY_SHARE)
    windows = 10_000 / per_second / (RETRY_TTL_S * 0.9) + 1
    assert extra <= RETRY_SHARE * 10_000 + RETRY_LEAST * windows
    assert extra >= min(0.95 * RETRY_SHARE * 10_000, RETRY_LEAST * windows)


@given(STEPS)
def test_in_no_window_is_more_than_the_share_or_the_least_spent(steps: list[tuple[float, bool]]) -> None:
    budget = Budget(3, 10.0)
    now = 1000.0
    asked: list[float] = []
    extra: list[float] = []
    for step, tries in steps:
        now += step
        if not tries:
            budget.asked(now)
            asked.append(now)
        elif budget.spend(now, 0.1):
            extra.append(now)
            # The part that is being forgotten may be left out of what is counted.
            lately = sum(at > now - 9.0 for at in extra)
            assert lately <= max(3, 0.1 * sum(at > now - 10.0 for at in asked))
