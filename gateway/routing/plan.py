"""The decision: which places may serve a request, in which order, and why not the others.

    filter (hard, each with its reason) ─► tier (the first group that isn't full) ─► score (milliseconds) ─► choose

Pure: the same work, rules, snapshot, moment and draw give the same plan, whatever order the places were written in.
Nothing shared is asked on the way. The draw 0 is the plain decision: nothing is left to chance within a group.
"""

from collections.abc import Sequence
from typing import Final

from gateway.routing.calm import alone, calm
from gateway.routing.candidate import Candidate, Left
from gateway.routing.facts import Now, Work
from gateway.routing.filters import RESIDENCY
from gateway.routing.rank import MANY, noisy, ranked, why_first
from gateway.routing.rooms import Room, lead, open_rooms, sheds
from gateway.routing.route import ALONE, Plan, Route, route
from gateway.routing.score import Scored
from gateway.routing.snapshot import Snapshot
from gateway.routing.splits import measured

# Why a whole request is refused: what may pass (whatever isn't named here), what asks too much, what nobody may do.
_TOO_MUCH: Final = ("deadline", "slo", "context", "capability", "price")
_SETTLED: Final = frozenset({RESIDENCY, "retention", "training", "provider", "backend", "hardware", "quantization"})
_STAYING: Final = _SETTLED | {*_TOO_MUCH, "egress", "split"}

__all__ = ["Plan", "Route", "plan", "route"]


def plan(work: Work, way: Route, snapshot: Snapshot, now: Now, draw: int) -> Plan:
    """The order in which places are asked, and a reason for every one that isn't."""
    rules = way.rules
    if way.alone is not None and alone(work, way.alone, snapshot, now):
        return way.alone
    if way.calm and (found := calm(work, way, snapshot, now, draw)) is not None:
        return found
    out: list[Left] = []
    rooms = open_rooms(way, work, snapshot, now.monotonic, out)
    chosen, split, copies = measured(way, work, snapshot, now.monotonic, draw, out) if way.shares else (None, "", ())
    first = lead(rooms, snapshot, rules.overflow, draw) if len(rooms) > 1 else 0
    # Who may wait gives way by standing behind all others.
    if rules.priority == "low" and not rules.queue_s and rooms and sheds(rooms[first].up, snapshot, draw):
        spared = [*copies, *([] if chosen is None else [chosen]), *(one for room in rooms for one in room.up)]
        return _refused(way, out, spared, "shed")
    if first:
        rooms = [rooms[first], *rooms[:first], *rooms[first + 1 :]]
    order, reason = _ordered(rooms, work, way, snapshot, now, draw, out)
    if chosen is not None:
        order.insert(0, chosen)
        reason = "canary"
    elif not order:
        return _refused(way, out, copies, "split")
    elif first:
        reason = "overflow"
    return Plan(tuple(order), reason, (*way.out, *out) if out else way.out, "", copies, split)


def _refused(way: Route, out: list[Left], spared: Sequence[Candidate], why: str) -> Plan:
    out += [Left(one, why) for one in spared]
    left = (*way.out, *out)
    return Plan((), out=left, refused=why if why == "shed" else _refusal(left))


def _ordered(
    rooms: Sequence[Room], work: Work, way: Route, snapshot: Snapshot, now: Now, draw: int, out: list[Left]
) -> tuple[list[Candidate], str]:
    """All groups' places, the best of the first group first, and in what that is best."""
    rules = way.rules
    best: list[Scored] = []
    late: list[Scored] = []
    untried: list[Candidate] = []
    noise = noisy(draw, len(rooms[0].up) if len(rooms) == 1 else MANY)
    reason = ""
    for room in rooms:
        if len(best) >= rules.retry.attempts or (len(best) > 1 and len(room.up) == 1 and rules.slo is None):
            untried += room.up  # beyond what is tried, or alone: there is nothing to compare
            continue
        found, is_home = ranked(room, work, way, snapshot, now, draw, noise, out, late)
        if found and not reason:
            reason = "affinity" if is_home else "fastest" if len(found) > 1 else ALONE
        best += found
    if late:
        best += sorted(late, key=_total)
    if reason != "affinity" and len(best) > 1:
        reason = why_first(best[0][3], best[1][3], reason or "fastest")
    return [entry[2] for entry in best] + untried, reason or ALONE


def _total(entry: Scored) -> float:
    return entry[0]


def _refusal(out: Sequence[Left]) -> str:
    """Why nobody is left, in one word: what may pass first, then what asks too much, then what nobody may."""
    whys = {left.why for left in out}
    if whys - _STAYING:
        return "full" if "full" in whys else "unavailable"
    for why in _TOO_MUCH:
        if why in whys:
            return why
    if RESIDENCY in whys:
        return "residency_violation"
    return "not_allowed" if whys else "nobody"
