"""Who takes requests now, tier by tier, and which tier is asked first.

    able (has what the work needs) ─► open (isn't shut) ─► else panic ─► else a last resort

Residency and whatever else policies require was settled before, so nothing here can lift it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway.routing.candidate import Candidate, Left
from gateway.routing.chance import stream, unit
from gateway.routing.facts import Work
from gateway.routing.fair import UNBOUND, Bounds
from gateway.routing.filters import closed, unfit
from gateway.routing.route import Route
from gateway.routing.score import busy
from gateway.routing.snapshot import IDLE, Load, Snapshot

OVERPROVISIONED: Final = 1.4  # Envoy's: a group of which 72 % are well still takes all of its traffic
PANIC_ABOVE: Final = 0.5  # of those of a group that could serve: where more of them are ejected, they are asked
# Envoy's slow start: a tenth of the traffic at first, all of it after a minute.
SLOW_START_S: Final = 60.0
_SLOW_START_LEAST: Final = 0.1
AS_BUSY: Final = 0.1  # Envoy's: so much busier than the next group, a group still keeps what is its own
_SHED_FROM: Final = 0.7
_SHED_OVER: Final = 0.25
EJECTED: Final = "ejected"
COOLING: Final = "cooling"
# Away for now, by what was seen of them: not by anybody's word, nor for want of room.
_HOPES: Final = frozenset({EJECTED, COOLING, "half_open", "dead", "loading"})
# What weighs less than a place's own word on when to come back.
_LIGHTER: Final = frozenset({"", EJECTED, "half_open", "full"})


class Room(Struct):
    """A group as it is now: who takes requests, who would if nobody else did, and how many can do the work.

    `lacking` is what those in `up` fall short of being all well: some have only just come, some are ejected.
    """

    up: list[Candidate]
    ejected: list[Candidate]
    able: int
    lacking: float = 0.0

    def health(self) -> float:
        """The share of its usual traffic that it can take."""
        return min(1.0, OVERPROVISIONED * (len(self.up) - self.lacking) / self.able)


def open_rooms(way: Route, work: Work, snapshot: Snapshot, now: float, out: list[Left]) -> list[Room]:
    """The groups that take requests now, in their order."""
    rooms: list[Room] = []
    anybody_ejected = False
    for group in way.groups:
        able: Sequence[Candidate] = _able(group, way, work, out) if way.choosy else group
        room = _open(able, way.bounds, snapshot, now, out)
        if room.ejected:
            anybody_ejected = True
        elif not room.up:
            continue
        rooms.append(room)
    if anybody_ejected:
        _panic(rooms, out)
        rooms = [room for room in rooms if room.up]
    return rooms or _last_resort(way.bounds, snapshot, out)


def _able(group: Sequence[Candidate], way: Route, work: Work, out: list[Left]) -> list[Candidate]:
    """Those that can do this work."""
    able = []
    for one in group:
        why = unfit(one, work, way.rules.require)
        if why:
            out.append(Left(one, why))
        else:
            able.append(one)
    return able


def _open(group: Sequence[Candidate], bounds: Bounds, snapshot: Snapshot, now: float, out: list[Left]) -> Room:
    """Sort out those that take requests now."""
    loads, fresh = snapshot.loads, now - SLOW_START_S
    by_model = bool(snapshot.refused_here or snapshot.cooling)
    share, idle = bounds.share, bounds.idle
    up: list[Candidate] = []
    room = Room(up, [], len(group))
    for one in group:
        load = loads.get(one.backend, IDLE)
        if (
            load.shut_until > now
            or load.half_open
            or load.in_flight >= share * load.most
            or load.in_flight >= idle
            or load.models is not None
            or by_model
        ):
            why = shut(one, load, bounds, snapshot, now)
            if why == EJECTED and not bounds.reached(one.backend, load):
                room.ejected.append(one)
                continue
            if why:
                out.append(Left(one, why))
                continue
        if load.since > fresh:
            room.lacking += 1.0 - ramp(now - load.since)
        up.append(one)
    return room


def shut(one: Candidate, load: Load, bounds: Bounds, snapshot: Snapshot, now: float) -> str:
    """Why a place isn't asked now, "" where it may be."""
    if (one.backend, one.model) in snapshot.refused_here:
        return "egress"
    if load.models is not None and one.model not in load.models and one.model not in load.loadable:
        return "not_served"
    why = closed(load, now)
    if snapshot.cooling.get((one.backend, one.model), 0.0) > now and why in _LIGHTER:
        return COOLING
    return why or ("full" if bounds.reached(one.backend, load) else "")


def is_shut(one: Candidate, snapshot: Snapshot, now: float) -> bool:
    """Whether a place is away now, by anybody's word or by what was seen of it; who is merely full is not."""
    return shut(one, snapshot.loads.get(one.backend, IDLE), UNBOUND, snapshot, now) not in {"", "full"}


def _panic(rooms: Sequence[Room], out: list[Left]) -> None:
    """Where most of a group are ejected and no others make up for it, something else is wrong: then they are asked.

    As Envoy's panic threshold: disregarded while all levels together can take the traffic.
    """
    enough = sum(room.health() for room in rooms) >= 1.0
    for room in rooms:
        if not enough and len(room.ejected) > PANIC_ABOVE * (len(room.up) + len(room.ejected)):
            room.up += room.ejected
            room.lacking += len(room.ejected)
        else:
            out += [Left(one, EJECTED) for one in room.ejected]


def _last_resort(bounds: Bounds, snapshot: Snapshot, out: list[Left]) -> list[Room]:
    """Where nobody else is left, whoever may be well again sooner than we think is asked, the soonest first.

    A provider's answer, or its own word on when to come back, is worth more than our guess that there is none. Where
    somebody is merely full, a slot will be free before that.
    """
    if any(left.why == "full" for left in out):
        return []
    loads, cooling = snapshot.loads, snapshot.cooling

    def until(left: Left) -> float:
        one = left.candidate
        return max(loads.get(one.backend, IDLE).shut_until, cooling.get((one.backend, one.model), 0.0))

    away = [(left, loads.get(left.candidate.backend, IDLE)) for left in out if left.why in _HOPES]
    hopes = [left for left, load in away if not bounds.reached(left.candidate.backend, load)]
    hopes.sort(key=until)
    asked = {left.candidate.at for left in hopes}
    out[:] = [left for left in out if left.candidate.at not in asked]
    return [Room([left.candidate], [], 1) for left in hopes]


def lead(rooms: Sequence[Room], snapshot: Snapshot, overflow: float, draw: int) -> int:
    """Which group is asked first: the first with room. What is too much for one goes to the next, part by part.

    Unless the next is as busy itself: nobody is better off there (Envoy's load-aware locality).
    """
    takes: list[float] = []
    used = [_used(room, snapshot) for room in rooms]
    for at, room in enumerate(rooms):
        share = room.health()
        if used[at] >= overflow and (at + 1 == len(rooms) or used[at] > used[at + 1] + AS_BUSY):
            # What is left of a group that has lost some is busy for that: the same want isn't counted twice.
            share = min(share, max(0.0, (1.0 - used[at]) / (1.0 - overflow)) if overflow < 1.0 else 0.0)
        if share == 1.0 and not at:
            return 0
        takes.append(share)
    # Envoy's: each takes what it can of what those before it leave; where they can't take all of it, in proportion.
    coin = unit(stream(draw, "tier")) * min(1.0, sum(takes))
    for at, share in enumerate(takes):
        if coin < share:
            return at
        coin -= share
    return used.index(min(used))


def _used(room: Room, snapshot: Snapshot) -> float:
    """The share of a group that is in use."""
    loads = snapshot.loads
    return sum([busy(one, loads.get(one.backend, IDLE)) for one in room.up]) / len(room.up)


def sheds(group: Sequence[Candidate], snapshot: Snapshot, draw: int) -> bool:
    """Whether a request of low priority gives way: the more surely, the busier its places are."""
    loads = snapshot.loads
    used = min([busy(one, loads.get(one.backend, IDLE)) for one in group])
    return unit(stream(draw, "shed")) < (used - _SHED_FROM) / _SHED_OVER


def ramp(age_s: float) -> float:
    """The share of its traffic that a place gets so long after it came."""
    return max(_SLOW_START_LEAST, age_s / SLOW_START_S)
