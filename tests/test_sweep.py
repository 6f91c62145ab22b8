"""Deadlines as fields, looked at by one timer."""

import pytest

from gateway.sweep import Sweeper, Swept


class Member:
    def __init__(self, sweeper: Sweeper, *, leaves: bool = False, brings: Swept | None = None) -> None:
        self.seen: list[float] = []
        self._sweeper = sweeper
        self._leaves = leaves
        self._brings = brings
        sweeper.add(self)

    def sweep(self, now: float) -> None:
        self.seen.append(now)
        if self._leaves:
            self._sweeper.discard(self)
        if self._brings is not None:
            self._sweeper.add(self._brings)


def test_every_member_is_shown_the_time() -> None:
    sweeper = Sweeper()
    members = [Member(sweeper), Member(sweeper)]
    sweeper.sweep(1.0)
    sweeper.sweep(2.0)
    assert [member.seen for member in members] == [[1.0, 2.0]] * 2


def test_a_member_that_was_added_twice_is_one() -> None:
    sweeper = Sweeper()
    member = Member(sweeper)
    sweeper.add(member)
    sweeper.sweep(1.0)
    assert (member.seen, len(sweeper)) == ([1.0], 1)


def test_a_member_may_leave_while_it_is_shown_the_time() -> None:
    sweeper = Sweeper()
    leaving, staying = Member(sweeper, leaves=True), Member(sweeper)
    sweeper.sweep(1.0)
    sweeper.sweep(2.0)
    assert (leaving.seen, staying.seen, len(sweeper)) == ([1.0], [1.0, 2.0], 1)


def test_a_member_that_comes_during_a_sweep_is_shown_the_next() -> None:
    sweeper = Sweeper()
    late = Member(sweeper)
    sweeper.discard(late)
    Member(sweeper, brings=late)
    sweeper.sweep(1.0)
    assert late.seen == []
    sweeper.sweep(2.0)
    assert late.seen == [2.0]


def test_discarding_a_stranger_is_nothing() -> None:
    sweeper = Sweeper()
    sweeper.discard(Member(Sweeper()))
    assert len(sweeper) == 0


class Failing:
    """A member with a bug."""

    def __init__(self, sweeper: Sweeper) -> None:
        sweeper.add(self)

    def sweep(self, now: float) -> None:
        raise ArithmeticError(now)


def test_a_member_that_fails_keeps_nobody_from_the_time() -> None:
    sweeper = Sweeper()
    members = [Member(sweeper), Failing(sweeper), Member(sweeper), Failing(sweeper), Member(sweeper)]
    with pytest.raises(ArithmeticError):
        sweeper.sweep(1.0)
    assert [member.seen for member in members if isinstance(member, Member)] == [[1.0]] * 3
