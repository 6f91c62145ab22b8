"""Splits that end by themselves, fed with records as settling gives them."""

import pytest
from msgspec.structs import replace

from gateway.exchange import HEDGE_LOST, Attempt, Exchange
from gateway.routing.candidate import Candidate
from gateway.routing.chance import mixed
from gateway.routing.facts import Now, Work
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import Policy, Rules, Split, Stop
from gateway.routing.snapshot import Snapshot
from gateway.routing.split_rule import Tally, Why
from gateway.settings.shape import Backend, Target
from gateway.stages.splits import Splits, watched
from tests.doubles.inside import PROVIDER
from tests.stages.kept import exchange

AFTER = 40
CANARY = Split("canary", "new", 5.0, stop=Stop(errors=1.5, ttft_p95=1.3, after=AFTER))
POLICY = Policy("careful", split=(CANARY,))
TARGETS = {
    name: Target(Backend(name=name, provider=PROVIDER, base_urls=("http://10.1.0.7",)), "m")
    for name in ("old", "new", "other")
}
HERE = (CANARY,)


class Watched:
    """What was told of splits."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Why]] = []
        self.begun: list[str] = []

    def split_ended(self, tally: Tally, why: Why) -> None:
        self.ended.append((tally.split.name, why))

    def split_begins(self, name: str) -> None:
        self.begun.append(name)


class Bench:
    """Splits under a policy, with the snapshot that decisions read."""

    def __init__(self, *policies: Policy) -> None:
        self.told = Watched()
        self.snapshot = Snapshot()
        self.splits = Splits(self.told)
        self.splits.use(policies or (POLICY,), self.snapshot)

    def settle(self, *attempts: Attempt, split: str = "", splits: tuple[Split, ...] = HERE) -> None:
        made: Exchange = exchange()
        made.attempts = list(attempts)
        made.split, made.splits = split, splits
        self.splits.settle(made)

    def requests(self, count: int, outcome: str = "answered", ttft_s: float = 0.1) -> None:
        """So many of the split's, and ten times as many others that are well."""
        for _ in range(count):
            for _ in range(10):
                self.settle(attempt("old"))
            self.settle(attempt("new", outcome, ttft_s), split="canary")


def attempt(backend: str, outcome: str = "answered", ttft_s: float = 0.1, started: float = 100.0) -> Attempt:
    made = Attempt(TARGETS[backend], started, sent=started, ended=started + 1.0, outcome=outcome)
    made.first_content = started + ttft_s if ttft_s else 0.0
    return made


def test_a_split_that_is_well_goes_on() -> None:
    bench = Bench()
    bench.requests(20 * AFTER)
    assert bench.told.ended == []
    assert bench.snapshot.ended == frozenset()


@pytest.mark.parametrize(
    ("outcome", "ttft_s", "why"), [("upstream_timeout", 0.0, "errors"), ("answered", 0.2, "ttft_p95")]
)
def test_a_split_that_is_not_ends_once(outcome: str, ttft_s: float, why: Why) -> None:
    bench = Bench()
    bench.requests(AFTER - 1, outcome, ttft_s)
    assert bench.snapshot.ended == frozenset()
    bench.requests(3 * AFTER, outcome, ttft_s)
    assert bench.snapshot.ended == {"canary"}
    assert bench.told.ended == [("canary", why)]


def test_a_request_that_was_saved_by_another_place_is_a_failure_all_the_same() -> None:
    bench = Bench()
    for _ in range(AFTER):
        for _ in range(10):
            bench.settle(attempt("old"))
        bench.settle(attempt("new", "upstream_timeout", 0.0), attempt("old", started=101.0), split="canary")
    assert bench.snapshot.ended == {"canary"}


def test_what_began_first_counts_whatever_order_attempts_are_in() -> None:
    """The one that answered stands last, and began first."""
    bench = Bench()
    for _ in range(10 * AFTER):
        bench.settle(attempt("other", "upstream_timeout", started=101.0), attempt("old"))
    bench.requests(AFTER, "upstream_timeout", 0.0)
    assert bench.snapshot.ended == {"canary"}


def test_one_that_loses_races_was_as_slow_as_it_was_waited_for() -> None:
    bench = Bench()
    bench.requests(AFTER, HEDGE_LOST, 0.0)
    assert bench.told.ended == [("canary", "ttft_p95")]


def test_callers_who_left_before_anything_came_count_on_neither_side() -> None:
    bench = Bench()
    bench.requests(10 * AFTER, "caller_left", 0.0)
    assert bench.snapshot.ended == frozenset()
    bench.requests(AFTER, "caller_left", 0.9)
    assert bench.told.ended == [("canary", "ttft_p95")]


def test_a_request_that_was_tried_nowhere_counts_for_nobody() -> None:
    bench = Bench()
    for _ in range(2 * AFTER):
        bench.settle(split="canary")
        bench.settle(attempt("old", "upstream_timeout"), split="canary")  # never came to the split's place
        bench.settle()
    bench.requests(AFTER - 1, "upstream_timeout", 0.0)
    assert bench.snapshot.ended == frozenset()


def test_others_are_those_of_no_split() -> None:
    """Another split's requests may be bad in their own way."""
    bench = Bench()
    for _ in range(20 * AFTER):
        bench.settle(attempt("other", "upstream_timeout", 0.0), split="another")
    bench.requests(AFTER, "upstream_timeout", 0.0)
    assert bench.snapshot.ended == {"canary"}


def test_requests_that_could_not_have_been_its_own_are_not_counted() -> None:
    bench = Bench()
    for _ in range(20 * AFTER):
        bench.settle(attempt("old", "upstream_timeout", 0.0), splits=())
        bench.settle(attempt("old", "upstream_timeout", 0.0), splits=(replace(CANARY, percent=6.0),))
    bench.requests(AFTER, "upstream_timeout", 0.0)
    assert bench.snapshot.ended == {"canary"}


def test_only_splits_with_a_rule_are_watched() -> None:
    plain = Policy("plain", split=(Split("s", "new", 5.0),))
    assert watched([plain, Policy("none")]) == []
    assert watched([plain, POLICY]) == [CANARY]


def test_a_reload_that_changes_nothing_of_a_split_leaves_it_ended() -> None:
    bench = Bench()
    bench.requests(AFTER, "upstream_timeout", 0.0)
    snapshot = Snapshot(ended=bench.snapshot.ended)
    bench.splits.use((replace(POLICY, rank=1),), snapshot)
    assert snapshot.ended == {"canary"}
    assert bench.told.begun == []


@pytest.mark.parametrize("policies", [(replace(POLICY, split=(replace(CANARY, percent=1.0),)),), ()])
def test_a_reload_that_does_begins_at_nought(policies: tuple[Policy, ...]) -> None:
    bench = Bench()
    bench.requests(AFTER, "upstream_timeout", 0.0)
    snapshot = Snapshot(ended=bench.snapshot.ended)
    bench.splits.use(policies, snapshot)
    assert snapshot.ended == frozenset()
    assert bench.told.begun == ["canary"]
    bench.requests(AFTER, "upstream_timeout", 0.0)  # of requests decided before the reload
    assert snapshot.ended == frozenset()


def test_a_counted_split_goes_on_counting_over_a_reload() -> None:
    bench = Bench()
    bench.requests(AFTER - 1, "upstream_timeout", 0.0)
    bench.splits.use((POLICY,), bench.snapshot)
    bench.requests(1, "upstream_timeout", 0.0)
    assert bench.snapshot.ended == {"canary"}


@pytest.mark.slow
def test_a_bad_canary_of_5_percent_is_ended_by_its_rule_and_asked_nothing_more() -> None:
    """Decisions and settling together, over 10,000 requests."""
    told = Watched()
    rule = Stop(errors=1.5, after=200)
    canary = replace(CANARY, stop=rule, by_session=False)
    rules = Rules(split=(canary,))
    old, new = Candidate(0, "old", "m"), Candidate(1, "new", "m")
    way = route([old, new], rules)
    snapshot = Snapshot()
    splits = Splits(told)
    splits.use([Policy("careful", split=(canary,))], snapshot)
    decided: list[Plan] = []
    for number in range(10_000):
        found = plan(Work(), way, snapshot, Now(1.0), mixed(number))
        decided.append(found)
        made = exchange()
        backend = found.order[0].backend
        fails = mixed(number + 1) % 100 < (10 if backend == "new" else 1)
        made.attempts = [attempt(backend, "upstream_timeout" if fails else "answered")]
        made.split, made.splits = found.split, (canary,)
        splits.settle(made)
    asked = [number for number, found in enumerate(decided) if found.split]
    assert told.ended == [("canary", "errors")]
    assert len(asked) == 200
    assert 3_000 < asked[-1] < 5_000  # 200 of 5 %
