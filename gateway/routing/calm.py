"""The decision on a calm day, which is nearly every one: all of one group are well and have room, and nobody is out.

It gives what the long way of plan.py gives, in one loop, at a third of its steps; where anything is held against
anybody it gives nothing, and the long way is gone. The law of this file: both never differ.
"""

from math import exp
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
from gateway.routing.snapshot import FOR_EVER, IDLE, UNKNOWN, Load, Snapshot

MOST: Final = 8  # places whose jitter is a byte each of the draw itself
# With so much time left no place is too slow to be asked at all.
_AMPLE_MS: Final = 120_000.0
# What a place costs after jitter, and of that its way, its first token and its money.
_Entry = tuple[float, Candidate, float, float, float]
_COST: Final = itemgetter(0)


def calm(work: Work, way: Route, snapshot: Snapshot, now: Now, draw: int) -> Plan | None:
    """The plan, where nobody is away, new, full, busy, too slow or unable; None where somebody is."""
    group = way.groups[0]
    rules = way.rules
    if (
        draw >= EXPLORED_FROM
        or snapshot.refused_here
        or (way.choosy and any(unfit(one, work, rules.require) for one in group))
    ):
        return None
    moment, idle = now.monotonic, way.bounds.idle
    loads, paces = snapshot.loads.get, snapshot.paces.get
    fresh = moment - SLOW_START_S
    warm: Candidate | None = None
    is_known = False
    sticky = rules.affinity
    if sticky.by != "none" and (key := work.prefix if sticky.by == "prefix" else work.session):
        warm, is_known = home(key, group, snapshot, moment, sticky.ttl_s)
    tokens_in, tokens_out, left_ms = work.tokens_in, work.tokens_out, work.left_ms
    ms_per_usd = way.prefer.ms_per_usd
    read_tokens = (ANSWER_SHARE if work.stream else 1.0) * tokens_out
    found: list[_Entry] = []
    for one, byte in zip(group, draw.to_bytes(8, "little")):  # noqa: B905  (there are bytes for more places)
        load = loads(one.backend, IDLE)
        in_flight, slots = load.in_flight, one.slots
        if (
            load.shut_until > moment
            or load.half_open
            or load.since > fresh
            or in_flight >= idle
            or load.most != FOR_EVER
            or load.queued
            or load.only_here
            or (slots and in_flight + (load.reported or 0.0) + 1.0 > BUSY_AT * slots)
            or (load.models is not None and one.model not in load.models)
        ):
            return None
        # From here on as in score.scores, to the last bit.
        pace = paces((one.backend, one.model), UNKNOWN)
        network = load.rtt_ms or one.rtt_ms
        tokens = load.waiting_tokens + (tokens_in if one is not warm else (1.0 - PREFIX_HIT) * tokens_in)
        first = one.first_ms + tokens * (pace.ms_per_token_in or one.ms_per_token_in)
        slow = pace.slow
        if slow != 1.0:
            first += (slow - 1.0) * (first * exp((pace.at - moment) / TAU_S))
        first += network
        if first > left_ms:
            return None
        total = first + read_tokens * (pace.each or one.ms_per_token_out) + load.held_ms
        money = 0.0
        if ms_per_usd:
            money = ms_per_usd * (
                one.usd_per_request + tokens_in * one.usd_per_token_in + tokens_out * one.usd_per_token_out
            )
            total += money
        found.append((total / one.weight * JITTER[byte], one, network, first, money))
    return _ordered(found, way, warm, pinned=is_known and sticky.by == "session")


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
    if second[4] - best[4] > max(faster, 0.0):
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
    )
