from gateway.routing.facts import Asker, Now, Work


def test_an_asker_of_whom_only_the_model_is_known_is_nobody_from_nowhere() -> None:
    asker = Asker("m")
    assert (asker.operation, asker.key, asker.country, asker.pop) == ("chat", "", "", "")
    assert (asker.tags, asker.headers, asker.local) == ({}, {}, {})


def test_work_of_which_nothing_is_known_needs_nothing_and_has_ten_minutes() -> None:
    work = Work()
    assert (work.window, work.capabilities, work.session, work.prefix) == (0, frozenset(), 0, 0)
    assert work.left_ms == 600_000.0


def test_a_moment_can_be_told_by_the_monotonic_clock_alone() -> None:
    assert (Now(5.0).wall, Now(5.0).hour) == (0.0, 0)
