"""Who waits for a place at a backend hears of every attempt that ends there."""

import pytest

from tests.upstream.table import BROKEN, Table


def test_who_watches_a_backend_hears_of_each_attempt_that_ends_there_and_of_no_other() -> None:
    table = Table("a", "b")
    heard: list[tuple[str, int]] = []
    table.health.watch("a", lambda name: heard.append((name, table.load(name).in_flight)))
    first, second, third = table.begin(1.0), table.begin(1.0), table.begin(1.0)
    table.asked(1.0, "b")
    assert heard == []
    table.answer(first, 2.0)
    table.fail(second, 3.0, BROKEN)
    table.leave(third, 4.0)
    table.leave(third, 5.0)
    assert heard == [("a", 2), ("a", 1), ("a", 0)]


def test_nobody_hears_anything_once_he_has_said_so() -> None:
    table = Table()
    heard: list[str] = []
    table.health.watch("a", heard.append)
    table.health.watch("a", None)
    table.asked(1.0)
    assert heard == []


def test_a_place_is_held_until_it_is_given_back() -> None:
    table = Table()
    table.health.hold("a", 1)
    assert table.load().in_flight == table.health.row("a").in_flight == 1
    table.health.hold("a", -1)
    assert table.load().in_flight == 0


def test_after_a_reload_it_is_still_the_same_backend() -> None:
    table, newer = Table("a"), Table("a", "b")
    heard: list[str] = []
    table.health.watch("a", heard.append)
    attempt = table.begin(1.0)
    newer.health.inherit(table.health)
    table.answer(attempt, 2.0)
    newer.asked(3.0, "a")
    assert heard == ["a", "a"]


def test_nobody_watches_what_is_not_there() -> None:
    with pytest.raises(KeyError):
        Table().health.watch("nowhere", None)
    with pytest.raises(KeyError):
        Table().health.hold("nowhere", 1)
