"""The decision on a calm day, which is nearly every one: all of one group are well and have room, and nobody is out.

It gives what the long way of plan.py gives, at a fifth of its steps: whatever only the snapshot decides is worked out
once for all requests until it changes (a lane). Where anything is held against anybody it gives nothing, and the long
way is gone. The law of this file: both never differ.
"""

from math import exp, floor
from operator import itemgetter
from typing import Final

from gateway.routing.affinity import home
from gateway.routing.candidate import Candidate
from gateway.routing.facts import Now, Work
from gateway.routing.filters import unfit
from gateway.routing.rank import EXPLORED_FROM, JITTER
from gateway.routing.rooms import SLOW_START_S
from gateway.routing.route import ALONE, Plan, Route
from gateway.routing.score import ANSWER_SHARE, BUSY_AT, PREFIX_HIT, TAU_S
from gateway.routing.snapshot import FOR_EVER, IDLE, UNKNOWN, Lane, Load, Runner, Snapshot

# For so long a lane is good: what was measured fades by half a percent meanwhile.
LANE_S: Final = 0.05
_LANES_MOST: Final = 10_000
# With so much time left no place is too slow to be asked at all.
_AMPLE_MS: Final = 120_000.0
# What a place costs after jitter, and of that its way, its first token and its money.
_Entry = tuple[float, Candidate, float, float, float]
_COST: Final = itemgetter(0)


def calm(work: Work, way: Route, snapshot: Snapshot, now: Now, draw: int) -> Plan | None:
    """The plan, where nobody is away, new, full, busy, too slow or unable; None where somebody is."""
    moment = now.monotonic
    lane = snapshot.lanes.get(id(way))
    if lane is None or moment >= lane.until or lane.way is not way or lane.seen is not snapshot:
        lane = _lane(way, snapshot, moment)
    runners = lane.runners
    if not runners or draw >= EXPLORED_FROM or (way.choosy and not _all_can(work, way)):
        return None
    warm: Candidate | None = None
    is_known = False
    sticky = way.rules.affinity
    if sticky.by != "none" and (key := work.prefix if sticky.by == "prefix" else work.session):
        warm, is_known = home(key, way.groups[0], snapshot, moment, sticky.ttl_s)
    tokens_in, tokens_out, left_ms = work.tokens_in, work.tokens_out, work.left_ms
    read_tokens = (ANSWER_SHARE if work.stream else 1.0) * tokens_out
    ms_per_usd = way.prefer.ms_per_usd
    money = 0.0
    found: list[_Entry] = []
    for (one, load, most, base_ms, rate, each, held, weight, network), byte in zip(  # noqa: B905  (more bytes)
        runners, draw.to_bytes(8, "little")
    ):
        if load.in_flight >= most:
            return None
        # As in score.scores, to the last bit.
        tokens = load.waiting_tokens + (tokens_in if one is not warm else (1.0 - PREFIX_HIT) * tokens_in)
        first = base_ms + tokens * rate
        if first > left_ms:
            return None
        total = first + read_tokens * each + held
        if ms_per_usd:
            money = ms_per_usd * one.usd(tokens_in, tokens_out)
            total += money
        found.append((total / weight * JITTER[byte], one, network, first, money))
    return _ordered(found, way, warm, pinned=is_known and sticky.by == "session")


def _all_can(work: Work, way: Route) -> bool:
    return not any(unfit(one, work, way.rules.require) for one in way.groups[0])


def _lane(way: Route, snapshot: Snapshot, moment: float) -> Lane:
    """What all decisions of the next moment have in common, kept for them."""
    lanes = snapshot.lanes
    if len(lanes) >= _LANES_MOST:
        lanes.clear()
    lane = lanes[id(way)] = Lane(way, snapshot, moment + LANE_S)
    fresh, idle = moment - SLOW_START_S, way.bounds.idle
    runners: list[Runner] = []
    for one in way.groups[0]:
        load = snapshot.loads.get(one.backend, IDLE)
        pace = snapshot.paces.get((one.backend, one.model), UNKNOWN)
        if (
            snapshot.refused_here
            or snapshot.cooling
            or load.shut_until > moment
            or load.half_open
            or load.since > fresh
            or load.most != FOR_EVER
            or load.queued
            or load.only_here
            or (load.models is not None and one.model not in load.models)
        ):
            return lane
        room = floor(BUSY_AT * one.slots - 1.0 - (load.reported or 0.0)) + 1.0 if one.slots else FOR_EVER
        network = load.rtt_ms or one.rtt_ms
        pull = 1.0 if pace.slow == 1.0 else 1.0 + (pace.slow - 1.0) * exp((pace.at - moment) / TAU_S)
        runners.append(
            (
                one,
                load,
                min(idle, room),
                one.first_ms * pull + network,
                (pace.ms_per_token_in or one.ms_per_token_in) * pull,
                pace.each or one.ms_per_token_out,
                load.held_ms,
                one.weight,
                network,
            )
        )
    lane.runners = tuple(runners)
    return lane


def _ordered(found: list[_Entry], way: Route, warm: Candidate | None, *, pinned: bool) -> Plan:
    """The best first, and in what it is best."""
    if len(found) == 1:
        one = found[0][1]
        return Plan((one,), "affinity" if one is warm else ALONE, way.out)
    if len(found) == 2:
        best, second = found
        if second[1] is warm if pinned else best[0] > second[0]:
            best, second = second, best
        order: tuple[Candidate, ...] = (best[1], second[1])
    else:
        found.sort(key=_COST)
        if pinned and found[0][1] is not warm:
            home = next(entry for entry in found if entry[1] is warm)
            found.remove(home)
            found.insert(0, home)
        best, second = found[0], found[1]
        order = tuple([entry[1] for entry in found])
    if best[1] is warm:
        return Plan(order, "affinity", way.out)
    # In what it beats the second most.
    reason = "fastest"
    nearer = second[2] - best[2]
    faster = second[3] - best[3] - nearer
    if nearer > faster and nearer > 0.0:
        reason, faster = "nearest", nearer
    cheaper = second[4] - best[4]
    if cheaper > faster and cheaper > 0.0:
        reason = "cheapest"
    return Plan(order, reason, way.out)


def alone(work: Work, way: Plan, snapshot: Snapshot, now: Now) -> bool:
    """Whether the only place there is can be asked without another look at it."""
    load: Load = snapshot.loads.get(way.order[0].backend, IDLE)
    return (
        work.left_ms >= _AMPLE_MS
        and load.shut_until <= now.monotonic
        and load.models is None
        and load.most == FOR_EVER
        and not load.half_open
        and not snapshot.refused_here
        and not snapshot.cooling
    )
