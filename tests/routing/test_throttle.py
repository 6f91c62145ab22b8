from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.chance import mixed
from gateway.routing.throttle import (
    BACK_OFF_EVERY_S,
    FORGOTTEN_S,
    GROWS_AFTER,
    LEAST,
    LEAST_AT_ONCE,
    NO_LIMIT,
    WINDOW_S,
    Cap,
    K,
    Throttle,
)


def throttled(sent: int, refused: int, now: float = 100.0) -> Throttle:
    """A place to which so many were sent since its first refusal, and that refused so many of them."""
    throttle = Throttle()
    throttle.sent(now)
    for _ in range(refused):
        throttle.refused(now)
    for _ in range(sent - 1):
        throttle.sent(now)
    return throttle


def test_a_place_that_refuses_nothing_gets_everything() -> None:
    throttle = Throttle()
    for _ in range(1000):
        throttle.sent(100.0)
    assert not throttle.counting
    assert throttle.share(100.0) == 0.0


def test_a_place_that_refuses_half_still_gets_everything() -> None:
    assert throttled(100, 50).share(100.0) == 0.0


def test_a_place_that_refuses_everything_is_asked_by_hardly_anyone() -> None:
    assert throttled(100, 100).share(100.0) == 100 / 101


def test_the_share_is_the_books() -> None:
    assert throttled(100, 80).share(100.0) == (100 - K * 20) / 101


def test_a_few_refusals_are_no_rate() -> None:
    assert throttled(LEAST - 1, LEAST - 1).share(100.0) == 0.0
    assert throttled(LEAST, LEAST).share(100.0) > 0.0


def test_requests_that_take_minutes_are_not_taken_for_refused() -> None:
    throttle = throttled(100, 10)
    assert throttle.share(100.0 + WINDOW_S / 2) == 0.0


def test_after_two_minutes_without_a_refusal_nothing_is_counted() -> None:
    throttle = throttled(100, 100)
    assert throttle.share(100.0 + WINDOW_S) == 0.0
    assert not throttle.counting
    throttle.sent(300.0)
    throttle.refused(300.0)
    assert throttle.share(300.0) == 0.0


def test_chance_holds_back_the_share_of_requests() -> None:
    throttle = throttled(100, 80)
    held = sum(throttle.holds(100.0, mixed(number)) for number in range(10_000))
    assert abs(held / 10_000 - throttle.share(100.0)) < 0.02


@given(st.integers(1, 500), st.integers(0, 600))
def test_a_share_is_a_share_and_something_always_gets_through(sent: int, refused: int) -> None:
    assert 0.0 <= throttled(sent, refused).share(100.0) < 1.0


# --- the learned limit ------------------------------------------------------------------------------------------------


def test_there_is_no_limit_before_a_refusal() -> None:
    cap = Cap()
    cap.accepted(100.0)
    assert cap.most == NO_LIMIT


def test_a_refusal_takes_a_tenth_of_what_was_under_way() -> None:
    cap = Cap()
    cap.refused(100, 100.0)
    assert cap.most == 90.0
    cap.refused(200, 102.0)
    assert cap.most == 81.0


def test_refusals_of_one_moment_are_one_piece_of_news() -> None:
    cap = Cap()
    for number in range(50):
        cap.refused(100 - number, 100.0 + number * BACK_OFF_EVERY_S / 50)
    assert cap.most == 90.0


def test_fifty_answers_are_worth_one_more_at_once() -> None:
    cap = Cap()
    cap.refused(100, 100.0)
    for _ in range(GROWS_AFTER * 3):
        cap.accepted(101.0)
    assert cap.most == 93.0


def test_a_limit_about_something_else_does_no_great_harm() -> None:
    cap = Cap()
    for second in range(100):
        cap.refused(1, 100.0 + 2 * second)
    assert cap.most == LEAST_AT_ONCE


def test_what_was_learned_long_ago_is_learned_anew() -> None:
    cap = Cap()
    cap.refused(100, 100.0)
    cap.accepted(100.0 + FORGOTTEN_S)
    assert cap.most == NO_LIMIT


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), max_size=300))
def test_a_limit_only_falls_at_a_refusal_and_never_below_the_least(steps: list[tuple[bool, float]]) -> None:
    cap = Cap()
    now, was = 100.0, cap.most
    for refused, step in steps:
        now += step
        if refused:
            cap.refused(50, now)
            assert cap.most <= was
        else:
            cap.accepted(now)
            assert cap.most >= was
        assert cap.most >= LEAST_AT_ONCE
        was = cap.most
