"""What an answer says of the time that its request waited for a place."""

import pytest

from tests.stages.test_answer import answered, lines


def test_what_was_waited_for_a_place_is_told_apart() -> None:
    told = answered()
    assert "queue" not in lines(told)["server-timing"]
    told.waited_s = 0.0575
    assert lines(told, now=100.5)["server-timing"] == "gateway;dur=42.50, queue;dur=57, upstream;dur=400"


def test_it_is_not_our_own_time() -> None:
    told = answered()
    before = told.overhead_s(100.5)
    told.waited_s = 0.05
    assert told.overhead_s(100.5) == pytest.approx(before - 0.05)
