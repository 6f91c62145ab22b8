"""Time and chance."""

import time  # the machine's own, to hold the clock against

import pytest

from gateway.clock import Clock, HandClock, RealClock


def test_the_real_clock_is_the_machines() -> None:
    clock: Clock = RealClock()
    before = time.monotonic_ns() / 1e9
    monotonic = clock.monotonic()
    assert before - 0.001 <= monotonic <= time.monotonic_ns() / 1e9 + 0.001
    assert clock.wall() == pytest.approx(time.time_ns() / 1e9, abs=1.0)


def test_real_time_never_goes_back() -> None:
    clock = RealClock()
    moments = [clock.monotonic() for _ in range(1000)]
    assert moments == sorted(moments)


def test_a_draw_is_64_bits_that_differ() -> None:
    draws = [RealClock.draw() for _ in range(1000)]
    assert len(set(draws)) == 1000
    assert all(0 <= draw < 1 << 64 for draw in draws)
    assert max(draws) > 1 << 60


def test_a_hand_clock_stands_until_it_is_moved() -> None:
    clock = HandClock(monotonic=5.0, wall=100.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 100.0)
    assert (clock.monotonic(), clock.wall()) == (5.0, 100.0)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.wall()) == (7.5, 102.5)


def test_a_hand_clock_draws_what_it_was_given() -> None:
    clock: Clock = HandClock(draw=42)
    assert (clock.draw(), clock.draw()) == (42, 42)
