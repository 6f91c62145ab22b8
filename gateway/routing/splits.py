"""Canaries and shadows: which request is whose share."""

from gateway.routing.candidate import Candidate, Left
from gateway.routing.chance import digest, mixed, unit
from gateway.routing.facts import Work
from gateway.routing.filters import unfit
from gateway.routing.rooms import shut
from gateway.routing.route import Route
from gateway.routing.snapshot import IDLE, Snapshot


def measured(
    way: Route, work: Work, snapshot: Snapshot, now: float, draw: int, out: list[Left]
) -> tuple[Candidate | None, str, tuple[Candidate, ...]]:
    """Whom a split measures this request out to, by which name, and who gets a copy."""
    require, loads = way.rules.require, snapshot.loads
    set_aside = {id(one): one for _, places in way.shares for one in places}
    whys = {
        key: unfit(one, work, require) or shut(one, loads.get(one.backend, IDLE), way.bounds, snapshot, now)
        for key, one in set_aside.items()
    }
    chosen: Candidate | None = None
    name = ""
    copies: list[Candidate] = []
    taken = 0.0
    is_drawn = False
    for split, places in way.shares:
        key = work.session if split.by_session and work.session else draw
        percent = unit(mixed(key ^ digest(split.name))) * 100.0
        if split.copy:
            hit = percent < split.percent
        else:
            # Of all requests, not of those that the splits before it leave; and whether those work changes nothing.
            hit = not is_drawn and percent * (100.0 - taken) < split.percent * 100.0
            taken += split.percent
            is_drawn = is_drawn or hit
        found = next((one for one in places if not whys[id(one)]), None) if hit else None
        if found is None or split.name in snapshot.ended:
            continue
        if split.copy:
            copies.append(found)
        else:
            chosen, name = found, split.name
    unseen = {id(one): one for one in copies if one is not chosen}
    asked = {id(chosen), *unseen}
    out += [Left(one, whys[key] or "split") for key, one in set_aside.items() if key not in asked]
    return chosen, name, tuple(unseen.values())
