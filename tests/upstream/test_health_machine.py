"""The table under any order of events: a machine that plays callers, backends, probers, operators, and time."""

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from gateway.errors import UpstreamError
from gateway.exchange import Attempt
from gateway.routing.facts import Now, Work
from gateway.routing.filters import closed
from gateway.routing.outlier import EJECTED_MOST_S, EJECTED_S, IN_A_ROW, JITTER
from gateway.routing.plan import plan, route
from gateway.routing.policy import Rules
from gateway.upstream.health import Health
from gateway.upstream.probes.reading import DEAD, UNKNOWN, Reading
from tests.upstream.table import (
    BROKEN,
    BUSY,
    DENIED,
    FULL,
    FULL_UNTIL,
    LATER,
    NOT_HERE,
    OURS,
    REFUSED,
    SLOW,
    UNREACHABLE,
    WORK,
    Table,
    candidate,
)

pytestmark = pytest.mark.slow

NAMES = st.sampled_from("abc")
ERRORS = st.sampled_from(
    [BROKEN, BUSY, DENIED, FULL, FULL_UNTIL, LATER, NOT_HERE, OURS, REFUSED, SLOW, UNREACHABLE],
)
READINGS = st.sampled_from(
    [
        DEAD,
        UNKNOWN,
        Reading(alive=True),
        Reading(alive=True, running=3.0, waiting=1.0, kv=0.5, models=frozenset({"m"})),
        Reading(alive=True, loading=True, models=frozenset()),
    ]
)
LONGEST_S = EJECTED_MOST_S * (1 + JITTER)


class Backends(RuleBasedStateMachine):
    """Three backends that behave anyhow."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table("a", "b", "c")
        self.now = 1000.0
        self.under_way: list[Attempt] = []
        self.way = route([replace(candidate(name, slots=4), at=at) for at, name in enumerate("abc")], Rules())

    @initialize(models=st.booleans())
    def begin_with(self, *, models: bool) -> None:
        if not models:
            self.table.health = Health(self.table.backends)

    @rule(name=NAMES, tokens=st.integers(0, 5000), stream=st.booleans(), only=st.booleans(), known=st.booleans())
    def begin(self, name: str, tokens: int, *, stream: bool, only: bool, known: bool) -> None:
        work = Work(tokens, stream=stream, session=tokens % 3, prefix=tokens % 2) if known else None
        self.under_way.append(self.table.begin(self.now, name, work=work, only_here=only))

    @precondition(lambda self: self.under_way)
    @rule(which=st.randoms(use_true_random=False))
    def say_something(self, which: object) -> None:
        attempt = self._one(which)
        if not attempt.first_content:
            self.table.first(attempt, self.now)

    @precondition(lambda self: self.under_way)
    @rule(which=st.randoms(use_true_random=False), tokens=st.integers(0, 500), stream=st.booleans())
    def answer(self, which: object, tokens: int, *, stream: bool) -> None:
        self.table.answer(self._take(which), self.now, tokens=tokens, stream=stream)

    @precondition(lambda self: self.under_way)
    @rule(which=st.randoms(use_true_random=False), error=ERRORS)
    def fail(self, which: object, error: UpstreamError) -> None:
        self.table.fail(self._take(which), self.now, error)

    @precondition(lambda self: self.under_way)
    @rule(which=st.randoms(use_true_random=False))
    def leave(self, which: object) -> None:
        self.table.leave(self._take(which), self.now)

    @rule(name=NAMES, reading=READINGS)
    def be_told(self, name: str, reading: Reading) -> None:
        self.table.health.told(name, reading, self.now)

    @rule(name=NAMES, in_flight=st.integers(0, 5))
    def hear_of_others(self, name: str, in_flight: int) -> None:
        self.table.health.elsewhere(name, in_flight, 0.0)

    @rule(name=NAMES, for_s=st.none() | st.floats(0.1, 100.0))
    def drain(self, name: str, for_s: float | None) -> None:
        self.table.health.drain(name, self.now, for_s)

    @rule(name=NAMES)
    def resume(self, name: str) -> None:
        self.table.health.resume(name, self.now)

    @rule(seconds=st.sampled_from([0.01, 0.25, 1.0, 5.0, 40.0, 400.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        self.table.health.tick(self.now)

    @rule()
    def reload(self) -> None:
        older = self.table.health
        self.table.health = Health(self.table.backends, self.table.models)
        self.table.health.inherit(older, self.now)

    def _one(self, which: object) -> Attempt:
        return which.choice(self.under_way)  # type: ignore[attr-defined,no-any-return]  # a random.Random of Hypothesis

    def _take(self, which: object) -> Attempt:
        attempt = self._one(which)
        self.under_way = [one for one in self.under_way if one is not attempt]
        return attempt

    @invariant()
    def counts_are_what_is_under_way(self) -> None:
        for name, load in self.table.health.snapshot.loads.items():
            mine = [one for one in self.under_way if one.target.backend.name == name]
            assert load.in_flight == len(mine)
            assert load.waiting_tokens >= 0.0
            assert 0 <= load.only_here <= load.in_flight
            if not mine:
                assert (load.waiting_tokens, load.only_here) == (0.0, 0)
            assert load.reported is None or load.reported >= 0.0

    @invariant()
    def nothing_looks_faster_than_it_can_be(self) -> None:
        for pace in self.table.health.snapshot.paces.values():
            assert pace.slow >= 0.0
            assert pace.each >= 0.0
            assert 0.0 <= pace.slow_p95 <= pace.slow_p99

    @invariant()
    def whatever_was_learned_is_decided_on_at_once(self) -> None:
        snapshot, now = self.table.health.snapshot, Now(self.now)
        for draw in (1, 1 << 63):
            found = plan(WORK, self.way, snapshot, now, draw)
            assert found == plan(WORK, replace(self.way, calm=False), snapshot, now, draw)

    @invariant()
    def what_is_shut_says_why(self) -> None:
        for row in self.table.health.rows():
            load = self.table.load(row.name)
            if closed(load, self.now) not in {"", "full"}:
                assert row.state in {"drained", "dead", "loading", "cooling", "ejected", "half_open"}
                assert row.why

    def teardown(self) -> None:
        """All that runs ends, an operator lets everything go, and in the longest time there is all are asked again."""
        while self.under_way:
            self.table.leave(self.under_way.pop(), self.now)
        for name in "abc":
            self.table.health.resume(name, self.now)
        self.now += LONGEST_S + 1.0
        self.table.health.tick(self.now)
        for name in "abc":
            load = self.table.load(name)
            assert (load.in_flight, load.waiting_tokens, load.only_here) == (0, 0.0, 0)
            assert closed(load, self.now) == ""
            self.table.asked(self.now, name)
            assert not load.half_open


TestBackends = Backends.TestCase
TestBackends.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_backend_that_always_fails_is_asked_once_in_each_window() -> None:
    table = Table("a", "b", "c")
    asked: list[float] = []
    for tick in range(4 * 3600):
        now = 1000.0 + tick / 4
        table.health.tick(now)
        if not closed(table.load(), now):
            asked.append(now)
            table.asked(now, error=BROKEN)
    between = [later - sooner for sooner, later in zip(asked[IN_A_ROW - 1 :], asked[IN_A_ROW:], strict=False)]
    assert all(pause >= EJECTED_S * (1 - JITTER) for pause in between)
    assert max(between) <= LONGEST_S + 0.5
    assert len(asked) <= IN_A_ROW + 8 + 3600 / (EJECTED_MOST_S * (1 - JITTER))
    assert table.load().most == inf
