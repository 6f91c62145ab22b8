"""How much a backend may have at once, and whose turn it is; the laws of the order are in test_fair_laws.py."""

import pytest

from gateway.routing.fair import QUANTUM, UNRESERVED, Bounds, Limit, Line, Ticket, bounds_of, limit_of
from gateway.routing.policy import PRIORITIES, Priority, Rules
from gateway.routing.snapshot import FOR_EVER, Load
from tests.routing.places import fleet

NOW = 100.0
HIGH, NORMAL, LOW = (PRIORITIES[name] for name in ("high", "normal", "low"))


class Queue:
    """A line, and short words for what is asked of it."""

    def __init__(self) -> None:
        self.line: Line[Ticket] = Line()
        self.came = 0

    def joins(
        self, caller: str, until: float = 10.0, *, tokens: float = 500.0, priority: int = NORMAL, to: str = "one"
    ) -> Ticket:
        """`until` is in so many seconds, `to` the backends, by spaces."""
        self.came += 1
        ticket = Ticket(caller, priority, NOW + until, self.came, tokens, frozenset(to.split()))
        self.line.join(ticket, NOW)
        return ticket

    def turn(self, backend: str = "one", now: float = NOW) -> Ticket | None:
        """Whose turn it is; he has had it."""
        ticket = self.line.first(backend, now)
        if ticket is not None:
            self.line.pay(ticket, backend)
            self.line.leave(ticket)
        return ticket

    def turns(self, backend: str = "one") -> str:
        """The callers in their order."""
        called = []
        while (ticket := self.turn(backend)) is not None:
            called.append(ticket.caller)
        return " ".join(called)


# --- how much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slots", "most"), [(1, 2), (4, 5), (5, 6), (9, 10), (10, 12), (64, 76)])
def test_a_server_gets_a_fifth_more_than_it_works_on_and_one_at_least(slots: int, most: float) -> None:
    assert limit_of(slots) == Limit(most, most)


def test_workers_have_their_shares_of_it() -> None:
    assert limit_of(10, 4) == Limit(12.0, 3.0)


@pytest.mark.parametrize("priority", ["high", "normal", "low", None])
def test_the_rest_of_every_limit_is_for_the_highest_priority(priority: Priority | None) -> None:
    bounds = bounds_of(fleet("a", "b", slots=10), Rules(priority=priority, queue_s=1.0))
    share = 1.0 if priority == "high" else UNRESERVED
    assert bounds == Bounds(share, {"a": limit_of(10), "b": limit_of(10)}, 12.0 * share)
    assert bounds.reached("a", Load(in_flight=11)) is (priority != "high")
    assert bounds.reached("nobody knows", Load(in_flight=9, most=10.0)) is (priority != "high")
    assert bounds.reached("nobody knows", Load(in_flight=10, most=10.0))


def test_who_may_not_wait_has_no_limits_but_what_refusals_taught() -> None:
    bounds = bounds_of(fleet("a", slots=1), Rules())
    assert bounds == Bounds(UNRESERVED)
    assert not bounds.reached("a", Load(in_flight=10_000))
    assert bounds.reached("a", Load(in_flight=10, most=10.0))


def test_a_server_of_unknown_size_has_no_limit() -> None:
    assert bounds_of(fleet("a"), Rules(queue_s=1.0)) == Bounds(UNRESERVED)


def test_a_small_limit_has_no_rest() -> None:
    rules, one = Rules(queue_s=1.0), fleet("a", slots=1)
    assert not bounds_of(one, rules).reached("a", Load(in_flight=1))
    assert bounds_of(one, rules).reached("a", Load(in_flight=2))
    assert not bounds_of(one, rules, 8).reached("a", Load(in_flight=0))


def test_a_worker_above_its_own_share_goes_by_what_the_backend_says_of_all() -> None:
    bounds = bounds_of(fleet("a", slots=10), Rules(queue_s=1.0, priority="high"), 4)
    assert not bounds.reached("a", Load(in_flight=3))
    assert not bounds.reached("a", Load(in_flight=3, reported=8.0))
    assert bounds.reached("a", Load(in_flight=3, reported=9.0))
    assert not bounds.reached("a", Load(in_flight=2, reported=20.0))
    assert bounds.reached("a", Load(in_flight=12))


# --- whose turn -------------------------------------------------------------------------------------------------------


def test_the_earliest_deadline_is_first() -> None:
    queue = Queue()
    for caller, until in (("late", 9.0), ("soon", 3.0), ("later", 12.0), ("between", 5.0)):
        queue.joins(caller, until)
    assert queue.turns() == "soon between late later"


def test_of_equal_deadlines_who_came_first_is_first() -> None:
    queue = Queue()
    for caller in ("one", "two", "three"):
        queue.joins(caller)
    assert queue.turns() == "one two three"


def test_a_higher_priority_is_first_whatever_its_deadline() -> None:
    queue = Queue()
    queue.joins("low", 1.0, priority=LOW)
    queue.joins("normal", 2.0)
    queue.joins("high", 9.0, priority=HIGH)
    assert queue.turns() == "high normal low"


def test_one_request_among_many_of_another_caller_is_the_second() -> None:
    queue = Queue()
    for _ in range(5):
        queue.joins("many", 1.0)
    queue.joins("one", 9.0)
    assert queue.turns() == "many one many many many many"


def test_callers_get_as_many_tokens_and_not_as_many_requests() -> None:
    queue = Queue()
    for _ in range(12):
        queue.joins("short", 1.0, tokens=QUANTUM)
    for _ in range(3):
        queue.joins("long", 2.0, tokens=4 * QUANTUM)
    words = queue.turns().split()
    assert words[:2] == ["short", "long"]
    assert [sum(word == "short" for word in words[:n]) for n in (2, 6, 10)] == [1, 4, 8]


def test_who_comes_later_has_nothing_saved_up() -> None:
    queue = Queue()
    for _ in range(6):
        queue.joins("old", 2.0, tokens=QUANTUM)
    assert [queue.turn() for _ in range(3)]
    for _ in range(3):
        queue.joins("new", 1.0, tokens=QUANTUM)
    assert queue.turns() == "new new old new old old"  # the first of them is in the round in which old had its turn


def test_a_turn_of_which_nothing_came_costs_nothing() -> None:
    queue = Queue()
    queue.joins("other", 5.0)
    ticket = queue.joins("again", 1.0)
    assert queue.turn() is ticket
    queue.line.give_back(ticket, "one")
    queue.line.join(ticket, NOW)
    assert queue.turns() == "again other"


def test_nothing_is_saved_up_by_giving_back() -> None:
    queue = Queue()
    ticket = queue.joins("again", 1.0, tokens=100 * QUANTUM)
    assert queue.turn() is ticket
    queue.line.give_back(ticket, "one")  # nobody waits there any more
    queue.joins("other", 5.0)
    queue.line.give_back(ticket, "one")
    for _ in range(2):
        queue.joins("again", 1.0)
    assert queue.turns() == "again other again"


def test_nobody_is_called_for_what_he_does_not_wait_for() -> None:
    queue = Queue()
    queue.joins("a", to="one")
    queue.joins("b", 5.0, to="two")
    queue.joins("c", 1.0, to="one two")
    assert queue.line.backends == ("one", "two")
    assert queue.turns("two") == "c b"
    assert not queue.line.is_for("two")
    assert queue.turns("two") == ""
    assert queue.turns("one") == "a"
    assert len(queue.line) == 0


def test_of_all_that_a_caller_waits_with_the_most_urgent_is_first() -> None:
    queue = Queue()
    tickets = [queue.joins("a", until, to=to) for until, to in ((2.0, "one"), (5.0, "one two"), (1.0, "one three"))]
    assert [queue.turn(), queue.turn(), queue.turn()] == [tickets[2], tickets[0], tickets[1]]


def test_each_backend_is_fair_by_itself() -> None:
    queue = Queue()
    for _ in range(3):
        queue.joins("many", 1.0, to="one")
        queue.joins("many", 1.0, to="two")
    queue.joins("one", 9.0, to="one")
    queue.joins("one", 9.0, to="two")
    assert queue.turns("one") == "many one many many"
    assert queue.turns("two") == "many one many many"


def test_who_leaves_is_forgotten() -> None:
    queue = Queue()
    gone = queue.joins("gone", 1.0)
    queue.joins("here", 2.0)
    queue.joins("gone", 3.0)
    queue.line.leave(gone)
    assert queue.turns() == "here gone"
    with pytest.raises(KeyError):
        queue.line.leave(gone)


def test_nobody_is_called_whose_time_is_up() -> None:
    queue = Queue()
    late = queue.joins("one", 1.0)
    queue.joins("one", 3.0)
    other = queue.joins("two", 2.0, to="one two")
    assert queue.line.late(NOW) == []
    assert queue.line.late(NOW + 1.0) == [late]
    assert queue.turn(now=NOW + 1.0) is other
    assert queue.turn(now=NOW + 3.0) is None
    assert len(queue.line.late(NOW + FOR_EVER)) == 2


# --- how long ---------------------------------------------------------------------------------------------------------


def waits(queue: Queue, caller: str = "new", until: float = 10.0, *, priority: int = NORMAL, to: str = "one") -> float:
    """How long such a one would wait, two seconds after people began to."""
    return queue.line.wait_s(Ticket(caller, priority, NOW + until, 10_000, 500.0, frozenset(to.split())), NOW + 2.0)


def test_where_nobody_waits_nothing_is_known() -> None:
    queue = Queue()
    assert waits(queue) == 0.0
    queue.joins("a", to="one")
    assert waits(queue, to="one two") == 0.0
    queue.line.ended("two", NOW)
    queue.line.pay(Ticket("a", NORMAL, NOW, 1, 1.0, frozenset({"two"})), "two")


def test_at_first_nobody_is_told_that_it_is_in_vain() -> None:
    queue = Queue()
    ticket = queue.joins("a")
    assert queue.line.wait_s(ticket, NOW) == 0.0


def test_the_wait_is_by_how_fast_requests_end() -> None:
    queue = Queue()
    for caller in ("a", "b", "c"):
        queue.joins(caller)
    assert waits(queue) == pytest.approx(4 * 1.8, rel=0.01)  # in two seconds none: one is taken to be about to
    for step in range(10):
        queue.line.ended("one", NOW + 0.2 * step)
    assert waits(queue) == pytest.approx(4 / 5.5, rel=0.05)


def test_what_was_long_ago_is_forgotten() -> None:
    queue = Queue()
    queue.joins("a", 1000.0)
    for _ in range(100):
        queue.line.ended("one", NOW)
    ticket = Ticket("b", NORMAL, NOW + 1000.0, 2, 1.0, frozenset({"one"}))
    assert queue.line.wait_s(ticket, NOW + 100.0) == pytest.approx(20.0, rel=0.01)


def test_only_those_who_would_be_called_before_are_in_the_way() -> None:
    queue = Queue()
    alone = 1.8
    queue.joins("elsewhere", 5.0, to="two")
    for _ in range(3):
        queue.joins("many", 5.0)
    assert waits(queue) == pytest.approx(2 * alone, rel=0.02)  # one turn of the other's
    assert waits(queue, "many") == pytest.approx(4 * alone, rel=0.02)
    assert waits(queue, until=1.0) == pytest.approx(alone, rel=0.02)
    assert waits(queue, priority=HIGH) == pytest.approx(alone, rel=0.02)
    assert waits(queue, priority=LOW) == pytest.approx(4 * alone, rel=0.02)


def test_who_may_go_elsewhere_is_in_the_way_for_a_part() -> None:
    queue = Queue()
    queue.joins("both", 5.0, to="one two")
    queue.joins("other", 5.0, to="two")
    assert waits(queue) == pytest.approx(1.5 * 1.8, rel=0.02)
    assert waits(queue, to="one two") == pytest.approx(3 * 0.9, rel=0.02)
