"""The laws of the line: nobody starves, nobody is called twice or too late, deadlines and places are kept."""

from collections import defaultdict
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.routing.fair import QUANTUM, Line, Ticket

MOST_WAIT_S = 8.0
BACKENDS = ("one", "two")
SOMEWHERE = st.sampled_from([frozenset({"one"}), frozenset({"two"}), frozenset(BACKENDS)])
TOKENS = st.floats(64.0, 8 * QUANTUM)


class Waiting(RuleBasedStateMachine):
    """Anybody comes, is called, is refused after all, leaves, or waits too long, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[Ticket] = Line()
        self.now = 0.0
        self.numbers = count()
        self.inside: dict[int, Ticket] = {}
        self.since: dict[int, float] = {}
        self.served: set[int] = set()
        self.called: list[tuple[Ticket, str]] = []
        # By backend: who has had a turn there; by ticket and backend: how often each other caller had one since.
        self.had: dict[str, set[tuple[int, str]]] = defaultdict(set)
        self.passed: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))

    @rule(
        caller=st.sampled_from("abcd"),
        priority=st.integers(0, 2),
        wait_s=st.floats(0.1, MOST_WAIT_S),
        tokens=TOKENS,
        backends=SOMEWHERE,
    )
    def somebody_comes(
        self, caller: str, priority: int, wait_s: float, tokens: float, backends: frozenset[str]
    ) -> None:
        ticket = Ticket(caller, priority, self.now + wait_s, next(self.numbers), tokens, backends)
        self.since[ticket.number] = self.now
        self.joins(ticket)

    def joins(self, ticket: Ticket) -> None:
        self.line.join(ticket, self.now)
        self.inside[ticket.number] = ticket

    def leaves(self, ticket: Ticket) -> None:
        self.line.leave(ticket)
        del self.inside[ticket.number]
        for backend in BACKENDS:
            self.passed.pop((ticket.number, backend), None)
            if not self.line.is_for(backend):
                self.had[backend].clear()

    @rule(backend=st.sampled_from(BACKENDS))
    def a_place_comes_free(self, backend: str) -> None:
        able = [one for one in self.inside.values() if backend in one.backends and one.until > self.now]
        ticket = self.line.first(backend, self.now)
        if ticket is None:
            assert able == []
            return
        assert ticket in able
        assert ticket.priority == max(one.priority for one in able)
        own = [one for one in able if (one.caller, one.priority) == (ticket.caller, ticket.priority)]
        assert (ticket.until, ticket.number) == min((one.until, one.number) for one in own)
        assert self.now - self.since[ticket.number] < MOST_WAIT_S
        for one in able:
            if one.priority == ticket.priority and one.caller != ticket.caller:
                passed = self.passed[one.number, backend]
                passed[ticket.caller] += 1
                # Who has had nothing yet is passed by each other caller once at most.
                assert (one.priority, one.caller) in self.had[backend] or passed[ticket.caller] == 1
        self.had[backend].add((ticket.priority, ticket.caller))
        self.line.pay(ticket, backend)
        self.leaves(ticket)
        assert ticket.number not in self.served
        self.served.add(ticket.number)
        self.called.append((ticket, backend))

    @precondition(lambda self: self.called)
    @rule(backends=SOMEWHERE)
    def it_was_taken_after_all(self, backends: frozenset[str]) -> None:
        ticket, backend = self.called.pop()
        self.served.discard(ticket.number)
        self.line.give_back(ticket, backend)
        ticket.backends = backends
        self.joins(ticket)
        for (_, where), passed in self.passed.items():
            if where == backend:
                passed.pop(ticket.caller, None)

    @precondition(lambda self: self.inside)
    @rule(which=st.integers(0))
    def somebody_leaves(self, which: int) -> None:
        self.leaves([*self.inside.values()][which % len(self.inside)])

    @rule(seconds=st.floats(0.01, 2.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        late = self.line.late(self.now)
        assert {one.number for one in late} == {one.number for one in self.inside.values() if one.until <= self.now}
        for ticket in late:
            self.leaves(ticket)

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.line) == len(self.inside)
        assert {*self.line.backends} == {backend for one in self.inside.values() for backend in one.backends}

    @invariant()
    def a_wait_is_a_number_of_seconds(self) -> None:
        for ticket in self.inside.values():
            assert self.line.wait_s(ticket, self.now) >= 0.0


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(TOKENS, min_size=1, max_size=30), st.lists(TOKENS, min_size=1, max_size=30), st.booleans())
def test_two_callers_who_both_wait_get_as_many_tokens(one: list[float], other: list[float], first: bool) -> None:
    line: Line[Ticket] = Line()
    for number, tokens in enumerate(one):
        line.join(Ticket("one", 1, 1000.0 + first, number, tokens, frozenset({"x"})), 0.0)
    for number, tokens in enumerate(other, 100):
        line.join(Ticket("other", 1, 1000.5, number, tokens, frozenset({"x"})), 0.0)
    had, left = {"one": 0.0, "other": 0.0}, {"one": len(one), "other": len(other)}
    while all(left.values()):
        ticket = line.first("x", 0.0)
        assert ticket is not None
        line.pay(ticket, "x")
        line.leave(ticket)
        had[ticket.caller] += ticket.tokens
        left[ticket.caller] -= 1
        assert abs(had["one"] - had["other"]) <= QUANTUM + max(*one, *other)


@given(st.lists(st.tuples(st.sampled_from("bcdef"), TOKENS), max_size=200), st.integers(0, 199))
def test_one_small_request_is_served_within_one_turn_of_each_other_caller(
    others: list[tuple[str, float]], at: int
) -> None:
    line: Line[Ticket] = Line()
    for number, (caller, tokens) in enumerate(others):
        line.join(Ticket(caller, 1, 10.0, number, tokens, frozenset({"x"})), 0.0)
    turns = 0
    for step in range(len(others) + 1):
        if step == min(at, len(others)):
            line.join(Ticket("small", 1, 1000.0, 1000, 64.0, frozenset({"x"})), 0.0)
            turns = 0
        ticket = line.first("x", 0.0)
        assert ticket is not None
        line.pay(ticket, "x")
        line.leave(ticket)
        turns += 1
        if ticket.caller == "small":
            break
    assert turns <= 6
