"""The decision: which places may serve a request, in which order, and why not the others.

    filter (hard, each with its reason) ─► tier (the first group that isn't full) ─► score (milliseconds) ─► choose

Pure: the same work, rules, snapshot, moment and draw give the same plan, whatever order the places were written in.
Nothing shared is asked on the way. The draw 0 is the plain decision: nothing is left to chance within a group.
"""

from collections.abc import Iterable, Sequence
from itertools import cycle, groupby, repeat
from typing import Final

from msgspec import Struct

from gateway.routing.affinity import home
from gateway.routing.candidate import Candidate, Left
from gateway.routing.chance import digest, mixed, stream, unit
from gateway.routing.facts import Now, Work
from gateway.routing.fair import UNBOUND, Bounds, bounds_of
from gateway.routing.filters import RESIDENCY, allowed, closed, unfit
from gateway.routing.policy import Quantile, Rules, Slo, Split
from gateway.routing.score import ANSWER_SHARE, PREFIX_HIT, Scored, Terms, busy, scores, token_ms
from gateway.routing.snapshot import FOR_EVER, IDLE, UNKNOWN, Load, Snapshot

OVERPROVISIONED: Final = 1.4  # Envoy's: a group of which 72 % are well still takes all of its traffic
PANIC_ABOVE: Final = 0.5  # of those of a group that could serve: where more of them are ejected, they are asked
ALIKE: Final = 1.05
BEYOND: Final = 5.0
_JITTER: Final = tuple(1.0 + 0.05 * step / 255 for step in range(256)).__getitem__
_MANY: Final = 9
_STILL: Final = repeat(1.0)
# Spreads a draw over 128 bytes: in each of them some of its bits are mixed in a way of its own.
_SPREAD: Final = sum(mixed(limb) << 64 * limb for limb in range(16)) | 1
_EXPLORED_FROM: Final = round(0.99 * (1 << 64))  # one draw in a hundred
_FORGOTTEN_S: Final = 30.0
_NEVER: Final = float("inf")
# Envoy's slow start: a tenth of the traffic at first, all of it after a minute.
SLOW_START_S: Final = 60.0
_SLOW_START_LEAST: Final = 0.1
_HELD_BACK_MS: Final = 1e12  # behind everything that isn't held back
# With so much time left no place is too slow to be asked at all.
_AMPLE_MS: Final = 120_000.0
_SHED_FROM: Final = 0.7
_SHED_OVER: Final = 0.25

EJECTED: Final = "ejected"
ALONE: Final = "only_allowed"
# Why a whole request is refused: what may pass (whatever isn't named here), what asks too much, what nobody may do.
_TOO_MUCH: Final = ("deadline", "slo", "context", "capability", "price")
# Away for now, by what was seen of them: not by anybody's word, nor for want of room.
_HOPES: Final = frozenset({EJECTED, "cooling", "half_open", "dead", "loading"})
_SETTLED: Final = frozenset({RESIDENCY, "retention", "training", "provider", "backend", "hardware", "quantization"})
_STAYING: Final = _SETTLED | {*_TOO_MUCH, "egress", "split"}


class Route(Struct, frozen=True):
    """What policies and configuration alone decide of a model: the rules, who may serve, who may not.

    `groups` are the candidates tier by tier, in an order that doesn't depend on how they were written. `choosy`: some
    may lack what a request needs. `shares` are the splits, each with whom it is for; those are in no group.
    `bounds` say how much of each is for such requests. `alone` is the plan where one place is all there is, and nothing
    but its own health can stand in the way.
    """

    rules: Rules
    groups: tuple[tuple[Candidate, ...], ...]
    out: tuple[Left, ...] = ()
    choosy: bool = False
    shares: tuple[tuple[Split, tuple[Candidate, ...]], ...] = ()
    bounds: Bounds = UNBOUND
    alone: "Plan | None" = None


class Plan(Struct, frozen=True):
    """Where to go, the best first; why the first is it, in a word of CONTRACT.md's; and who is left out.

    Where `order` is empty, `refused` says why in a word. `copies` get the request too, unseen. `split` names the one
    that chose the first. Every candidate is in exactly one of `order`, `copies` and `out`.
    """

    order: tuple[Candidate, ...]
    reason: str = ""
    out: tuple[Left, ...] = ()
    refused: str = ""
    copies: tuple[Candidate, ...] = ()
    split: str = ""


class _Room(Struct):
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


def route(candidates: Sequence[Candidate], rules: Rules, egress_country: str = "", workers: int = 1) -> Route:
    """Settle what needs no request: done once for all that are alike. `workers` is how many decide like this one."""
    fit, out = allowed(candidates, rules.require, egress_country)
    tiers = rules.tiers

    def rank(one: Candidate) -> tuple[int, int]:
        return (tiers.index(one.tier) if one.tier in tiers else len(tiers)), one.order

    fit.sort(key=lambda one: (*rank(one), one.backend, one.model, one.at))
    shares = tuple((split, tuple(one for one in fit if one.backend == split.backend)) for split in rules.split)
    set_aside = {split.backend for split in rules.split}
    usual = [one for one in fit if one.backend not in set_aside]
    groups = tuple(tuple(group) for _, group in groupby(usual, key=rank))
    choosy = rules.require.usd_per_request is not None or any(one.capabilities or one.window for one in fit)
    given = tuple(share for share in shares if share[1])
    bounds = bounds_of(fit, rules, workers)
    plain = not (choosy or shares or bounds.limits or rules.slo) and rules.priority != "low"
    alone = Plan((fit[0],), ALONE, tuple(out)) if len(fit) == 1 and plain and rules.affinity.by == "none" else None
    return Route(rules, groups, tuple(out), choosy, given, bounds, alone)


def plan(work: Work, way: Route, snapshot: Snapshot, now: Now, draw: int) -> Plan:
    """The order in which places are asked, and a reason for every one that isn't."""
    rules = way.rules
    if way.alone is not None and work.left_ms >= _AMPLE_MS and not snapshot.refused_here:
        load = snapshot.loads.get(way.alone.order[0].backend, IDLE)
        if load.shut_until <= now.monotonic and load.models is None and load.most == FOR_EVER and not load.half_open:
            return way.alone
    out: list[Left] = []
    rooms = _rooms(way, work, snapshot, now.monotonic, out)
    chosen, split, copies = _split(way, work, snapshot, now.monotonic, draw, out) if way.shares else (None, "", ())
    lead = _lead(rooms, snapshot, rules.overflow, draw) if len(rooms) > 1 else 0
    # Who may wait gives way by standing behind all others.
    if rules.priority == "low" and not rules.queue_s and rooms and _sheds(rooms[lead].up, snapshot, draw):
        spared = [*copies, *([] if chosen is None else [chosen]), *(one for room in rooms for one in room.up)]
        return _refused(way, out, spared, "shed")
    if lead:
        rooms = [rooms[lead], *rooms[:lead], *rooms[lead + 1 :]]
    order, reason = _ordered(rooms, work, rules, snapshot, now, draw, out)
    if chosen is not None:
        order.insert(0, chosen)
        reason = "canary"
    elif not order:
        return _refused(way, out, copies, "split")
    elif lead:
        reason = "overflow"
    return Plan(tuple(order), reason, (*way.out, *out) if out else way.out, "", copies, split)


def _refused(way: Route, out: list[Left], spared: Sequence[Candidate], why: str) -> Plan:
    out += [Left(one, why) for one in spared]
    left = (*way.out, *out)
    return Plan((), out=left, refused=why if why == "shed" else _refusal(left))


# --- who may, and is there --------------------------------------------------------------------------------------------


def _rooms(way: Route, work: Work, snapshot: Snapshot, now: float, out: list[Left]) -> list[_Room]:
    """The groups that take requests now, in their order."""
    rooms: list[_Room] = []
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


def _open(group: Sequence[Candidate], bounds: Bounds, snapshot: Snapshot, now: float, out: list[Left]) -> _Room:
    """Sort out those that take requests now."""
    loads, refused, fresh = snapshot.loads, snapshot.refused_here, now - SLOW_START_S
    share, idle = bounds.share, bounds.idle
    up: list[Candidate] = []
    room = _Room(up, [], len(group))
    for one in group:
        load = loads.get(one.backend, IDLE)
        if (
            load.shut_until > now
            or load.half_open
            or load.in_flight >= share * load.most
            or load.in_flight >= idle
            or load.models is not None
            or refused
        ):
            why = _shut(one, load, bounds, snapshot, now)
            if why == EJECTED and not bounds.reached(one.backend, load):
                room.ejected.append(one)
                continue
            if why:
                out.append(Left(one, why))
                continue
        if load.since > fresh:
            room.lacking += 1.0 - _ramp(now - load.since)
        up.append(one)
    return room


def _shut(one: Candidate, load: Load, bounds: Bounds, snapshot: Snapshot, now: float) -> str:
    """Why a place isn't asked now, "" where it may be."""
    if (one.backend, one.model) in snapshot.refused_here:
        return "egress"
    if load.models is not None and one.model not in load.models and one.model not in load.loadable:
        return "not_served"
    return closed(load, now) or ("full" if bounds.reached(one.backend, load) else "")


def _panic(rooms: Sequence[_Room], out: list[Left]) -> None:
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


def _last_resort(bounds: Bounds, snapshot: Snapshot, out: list[Left]) -> list[_Room]:
    """Where nobody else is left, whoever may be well again sooner than we think is asked, the soonest first.

    A provider's answer, or its own word on when to come back, is worth more than our guess that there is none. Where
    somebody is merely full, a slot will be free before that.
    """
    if any(left.why == "full" for left in out):
        return []
    loads = snapshot.loads
    away = [(left, loads[left.candidate.backend]) for left in out if left.why in _HOPES]
    hopes = [left for left, load in away if not bounds.reached(left.candidate.backend, load)]
    hopes.sort(key=lambda left: loads[left.candidate.backend].shut_until)
    asked = {left.candidate.at for left in hopes}
    out[:] = [left for left in out if left.candidate.at not in asked]
    return [_Room([left.candidate], [], 1) for left in hopes]


def _lead(rooms: Sequence[_Room], snapshot: Snapshot, overflow: float, draw: int) -> int:
    """Which group is asked first: the first with room. What is too much for one goes to the next, part by part."""
    takes: list[float] = []
    easiest, least = 0, float("inf")
    for at, room in enumerate(rooms):
        used = _used(room, snapshot)
        spilt = min(1.0, max(0.0, (used - overflow) / (1.0 - overflow))) if overflow < 1.0 else float(used >= overflow)
        share = room.health() * (1.0 - spilt)
        if share == 1.0 and not at:
            return 0
        takes.append(share)
        if used < least:
            easiest, least = at, used
    # Envoy's: each takes what it can of what those before it leave; where they can't take all of it, in proportion.
    coin = unit(stream(draw, "tier")) * min(1.0, sum(takes))
    for at, share in enumerate(takes):
        if coin < share:
            return at
        coin -= share
    return easiest


def _used(room: _Room, snapshot: Snapshot) -> float:
    """The share of a group that is in use."""
    loads = snapshot.loads
    return sum([busy(one, loads.get(one.backend, IDLE)) for one in room.up]) / len(room.up)


def _sheds(group: Sequence[Candidate], snapshot: Snapshot, draw: int) -> bool:
    """Whether a request of low priority gives way: the more surely, the busier its places are."""
    loads = snapshot.loads
    used = min([busy(one, loads.get(one.backend, IDLE)) for one in group])
    return unit(stream(draw, "shed")) < (used - _SHED_FROM) / _SHED_OVER


def _split(
    way: Route, work: Work, snapshot: Snapshot, now: float, draw: int, out: list[Left]
) -> tuple[Candidate | None, str, tuple[Candidate, ...]]:
    """Whom a split measures this request out to, by which name, and who gets a copy."""
    require, loads = way.rules.require, snapshot.loads
    set_aside = {id(one): one for _, places in way.shares for one in places}
    whys = {
        key: unfit(one, work, require) or _shut(one, loads.get(one.backend, IDLE), way.bounds, snapshot, now)
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


# --- which is best ----------------------------------------------------------------------------------------------------


def _ordered(
    rooms: Sequence[_Room], work: Work, rules: Rules, snapshot: Snapshot, now: Now, draw: int, out: list[Left]
) -> tuple[list[Candidate], str]:
    """All groups' places, the best of the first group first, and in what that is best."""
    ranked: list[Scored] = []
    late: list[Scored] = []
    untried: list[Candidate] = []
    noise = _noise(draw, len(rooms[0].up) if len(rooms) == 1 else _MANY)
    reason = ""
    for room in rooms:
        if len(ranked) >= rules.retry.attempts or (len(ranked) > 1 and len(room.up) == 1 and rules.slo is None):
            untried += room.up  # beyond what is tried, or alone: there is nothing to compare
            continue
        found, is_home = _ranked(room, work, rules, snapshot, now, draw, noise, out, late)
        if found and not reason:
            reason = "affinity" if is_home else "fastest" if len(found) > 1 else ALONE
        ranked += found
    if late:
        ranked += sorted(late, key=_total)
    if reason != "affinity" and len(ranked) > 1:
        reason = _why(ranked[0][3], ranked[1][3], reason or "fastest")
    return [entry[2] for entry in ranked] + untried, reason or ALONE


def _ranked(
    room: _Room,
    work: Work,
    rules: Rules,
    snapshot: Snapshot,
    now: Now,
    draw: int,
    noise: Iterable[float],
    out: list[Left],
    late: list[Scored],
) -> tuple[list[Scored], bool]:
    """A group, the best first, and whether that is where its prompt is warm.

    Those that break a promise, where others may keep it, are added to `late`.
    """
    slo, sticky = rules.slo, rules.affinity
    warm: Candidate | None = None
    is_known = False
    if sticky.by != "none" and (key := work.prefix if sticky.by == "prefix" else work.session):
        warm, is_known = home(key, room.up, snapshot, now.monotonic, sticky.ttl_s)
    quantile: Quantile = "mean" if slo is None else slo.at
    scored, last_ms, is_busy = scores(room.up, snapshot, work, rules.prefer, now, warm, PREFIX_HIT, quantile, noise)
    if last_ms > work.left_ms:
        out += [Left(entry[2], "deadline") for entry in scored if entry[3].soonest > work.left_ms]
        scored = [entry for entry in scored if entry[3].soonest <= work.left_ms]
        if not scored:
            return [], False
    if room.lacking:
        _hold_back(scored, snapshot, now.monotonic, draw)
    scored.sort()
    pinned = is_known and sticky.by == "session" and _pin(scored, warm)
    if is_busy and len(scored) > 2 and not pinned and scored[0][2] is not warm:
        _sample(scored, draw)
    if slo is not None:
        scored = _promise(scored, slo, work, snapshot, out, late)
    if draw >= _EXPLORED_FROM and not pinned:
        _explore(scored, snapshot, now.monotonic, draw)
    return scored, warm is not None and bool(scored) and scored[0][2] is warm


def _noise(draw: int, places: int) -> Iterable[float]:
    """Factors without an end, from the bits of a draw, a byte each: different in a group, and in every gateway."""
    if places == 1:
        return _STILL
    # The last eight bytes of a product are no longer even.
    bits = draw.to_bytes(8, "little") if places <= 8 else (draw * _SPREAD).to_bytes(136, "little")[:128]
    return map(_JITTER, cycle(bits))


def _hold_back(scored: list[Scored], snapshot: Snapshot, now: float, draw: int) -> None:
    """Spare those that have just come back most requests: they get a share that grows with their time."""
    for at, (total, number, one, terms, idle) in enumerate(scored):
        age_s = now - snapshot.loads.get(one.backend, IDLE).since
        if age_s < SLOW_START_S and unit(stream(draw, one.backend)) >= _ramp(age_s):
            scored[at] = (total + _HELD_BACK_MS, number, one, terms, idle)


def _ramp(age_s: float) -> float:
    """The share of its traffic that a place gets so long after it came."""
    return max(_SLOW_START_LEAST, age_s / SLOW_START_S)


def _pin(scored: list[Scored], warm: Candidate | None) -> bool:
    """Put a conversation's place first, where that isn't spared just now."""
    for at, (total, _, one, _, _) in enumerate(scored):
        if one is warm and total < _HELD_BACK_MS:
            scored.insert(0, scored.pop(at))
            return True
    return False


def _sample(scored: list[Scored], draw: int) -> None:
    """Put first the better one of two that differ in nothing but their load.

    Everybody who sees the same picture of a second ago would choose the same one: the power of two choices
    (Mitzenmacher 2001) costs little where the picture is fresh and saves much where many look at an old one.
    """
    idle = scored[0][4]
    least, most = idle / ALIKE, idle * ALIKE
    alike = [at for at, entry in enumerate(scored) if least <= entry[4] <= most]
    several = len(alike)
    if several > 2:
        bits = draw >> 32
        one, other = bits % several, (bits >> 16) % (several - 1)
        at = alike[min(one, other)]  # the lesser of two different ones, since `other` leaves `one` out
        if at and scored[at][0] <= scored[0][0] * BEYOND:
            scored.insert(0, scored.pop(at))


def _promise(
    scored: list[Scored], slo: Slo, work: Work, snapshot: Snapshot, out: list[Left], late: list[Scored]
) -> list[Scored]:
    """Those that keep what was promised first; where nobody does, what the policy says."""
    paces, otherwise, at = snapshot.paces, slo.otherwise, slo.at
    ttft_ms, tpot_ms = slo.ttft_ms or _NEVER, slo.tpot_ms
    kept: list[Scored] = []
    missed: list[Scored] = []
    for entry in scored:
        one = entry[2]
        breaks = entry[3].first > ttft_ms or (entry[0] >= _HELD_BACK_MS and otherwise != "refuse")
        if tpot_ms and not breaks:
            breaks = token_ms(one, paces.get((one.backend, one.model), UNKNOWN), at) > tpot_ms
        (missed if breaks else kept).append(entry)
    if kept:
        return kept + missed
    if otherwise == "refuse":
        out += [Left(entry[2], "slo") for entry in missed]
        return []
    slower = []
    for total, number, one, terms, idle in missed:
        each = token_ms(one, paces.get((one.backend, one.model), UNKNOWN), at)
        held_ms = _HELD_BACK_MS if total >= _HELD_BACK_MS else 0.0
        slower.append((terms.first + ANSWER_SHARE * work.tokens_out * each + held_ms, number, one, terms, idle))
    if otherwise == "fastest":
        return sorted(slower)
    late += slower
    return []


def _explore(scored: list[Scored], snapshot: Snapshot, now: float, draw: int) -> None:
    """Now and then ask one of which nothing is known any more, lest it be slow for ever in our books."""
    forgotten = [
        at
        for at, (_, _, one, _, _) in enumerate(scored)
        if now - snapshot.paces.get((one.backend, one.model), UNKNOWN).at > _FORGOTTEN_S
        if _is_warm(one, snapshot.loads.get(one.backend, IDLE))
    ]
    if forgotten:
        scored.insert(0, scored.pop(forgotten[mixed(draw) % len(forgotten)]))


def _is_warm(one: Candidate, load: Load) -> bool:
    return load.models is None or one.model in load.models


def _why(first: Terms, second: Terms, otherwise: str) -> str:
    """In what the first beats the second most."""
    word, most = otherwise, 0.0
    nearer = second.network - first.network
    faster = second.first - first.first - nearer
    if faster > most:
        word, most = "fastest", faster
    if nearer > most:
        word, most = "nearest", nearer
    if second.money - first.money > most:
        word, most = "cheapest", second.money - first.money
    return "greenest" if second.carbon - first.carbon > most else word


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
