"""What one routing decision takes: `gateway.routing.plan` alone, as CPU time of one thread.

Nothing is started for it. Each figure is the best of several runs, in microseconds a decision: where others had the
core meanwhile, that is no cost of a decision.
"""

import time
from collections.abc import Callable

import msgspec

from gateway.routing.candidate import Candidate
from gateway.routing.chance import mixed
from gateway.routing.facts import Now, Work
from gateway.routing.plan import Plan, Route, plan, route
from gateway.routing.policy import Rules, Slo, Sticky
from gateway.routing.snapshot import Home, Load, Pace, Snapshot

RUNS = 7
ABOUT_S = 0.4  # what measuring one number of places takes
_DRAWS = [mixed(number) for number in range(64)]
_NOW = Now(1000.0)
_SLOTS = 16
_SESSION = 7


class Case(msgspec.Struct, frozen=True):
    """One question as often as there are draws: the same work and rules, before the same backends."""

    work: Work
    way: Route
    snapshot: Snapshot

    def decide(self, draw: int) -> Plan:
        return plan(self.work, self.way, self.snapshot, _NOW, draw)


class Measured(msgspec.Struct, frozen=True):
    """How many decisions were made, how many of them left somebody out, and microseconds a decision by their kind."""

    decisions: int
    bad: int
    figures: dict[str, float]


def cases(places: int) -> dict[str, Case]:
    """What is measured, by the name of its figure.

    `cpu_us` is the usual decision: measured backends with room. `loaded_us`: all of them have more than they can do
    at once. `sticky_us`: a conversation that was somewhere. `promise_us`: a promise at p95.
    """
    fleet = [Candidate(at, f"backend-{at}", "model", slots=_SLOTS, rtt_ms=10.0 + at) for at in range(places)]
    names = [one.backend for one in fleet]
    paces = {(name, "model"): Pace(slow=1.2, slow_p95=1.5, each=18.0, at=999.0) for name in names}
    usual = Snapshot({name: Load(in_flight=at % 4) for at, name in enumerate(names)}, paces)
    loaded = Snapshot({name: Load(in_flight=_SLOTS + at % 4) for at, name in enumerate(names)}, paces)
    known = Snapshot(usual.loads, paces, {_SESSION: Home(names[0], 990.0)})
    work = Work(tokens_in=1000, session=_SESSION)
    return {
        "cpu_us": Case(work, route(fleet, Rules()), usual),
        "loaded_us": Case(work, route(fleet, Rules()), loaded),
        "sticky_us": Case(work, route(fleet, Rules(affinity=Sticky("session"))), known),
        "promise_us": Case(work, route(fleet, Rules(slo=Slo(ttft_ms=500.0, at="p95"))), usual),
    }


def measure(places: int) -> Measured:
    """All cases of so many places."""
    turns = max(1, 32 // places)
    found = cases(places)
    answers = [case.decide(draw) for case in found.values() for draw in _DRAWS]
    bad = sum(len(answer.order) != places or bool(answer.out) for answer in answers)
    figures = {name: _best_us(case.decide, turns) for name, case in found.items()}
    return Measured(len(answers) + RUNS * turns * len(_DRAWS) * len(found), bad, figures)


def _best_us(decide: Callable[[int], object], turns: int) -> float:
    best_s = float("inf")
    for _ in range(RUNS):
        begun_s = time.thread_time()
        for _ in range(turns):
            for draw in _DRAWS:
                decide(draw)
        best_s = min(best_s, time.thread_time() - begun_s)
    return best_s / (turns * len(_DRAWS)) * 1e6
