"""Which of a group is best: scored, spread, promised; now and then one of which nothing is known any more."""

from collections.abc import Iterable
from itertools import cycle, repeat
from typing import Final

from gateway.routing.affinity import home
from gateway.routing.candidate import Candidate, Left
from gateway.routing.chance import mixed, stream, unit
from gateway.routing.facts import Now, Work
from gateway.routing.policy import Quantile, Slo
from gateway.routing.rooms import SLOW_START_S, Room, ramp
from gateway.routing.route import Route
from gateway.routing.score import ANSWER_SHARE, PREFIX_HIT, Scored, Terms, scores, token_ms
from gateway.routing.snapshot import IDLE, UNKNOWN, Load, Snapshot

ALIKE: Final = 1.05
BEYOND: Final = 5.0
JITTER: Final = tuple(1.0 + 0.05 * step / 255 for step in range(256))
MANY: Final = 9
_STILL: Final = repeat(1.0)
# Spreads a draw over 128 bytes: in each of them some of its bits are mixed in a way of its own.
_SPREAD: Final = sum(mixed(limb) << 64 * limb for limb in range(16)) | 1
EXPLORED_FROM: Final = round(0.99 * (1 << 64))  # one draw in a hundred
FORGOTTEN_S: Final = 30.0
_NEVER: Final = float("inf")
_HELD_BACK_MS: Final = 1e12  # behind everything that isn't held back


def ranked(
    room: Room,
    work: Work,
    way: Route,
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
    slo, sticky = way.rules.slo, way.rules.affinity
    warm: Candidate | None = None
    is_known = False
    if sticky.by != "none" and (key := work.prefix if sticky.by == "prefix" else work.session):
        warm, is_known = home(key, room.up, snapshot, now.monotonic, sticky.ttl_s)
    quantile: Quantile = "mean" if slo is None else slo.at
    scored, last_ms, is_busy = scores(room.up, snapshot, work, way.prefer, now, warm, PREFIX_HIT, quantile, noise)
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
    if draw >= EXPLORED_FROM and not pinned:
        _explore(scored, snapshot, now.monotonic, draw)
    return scored, warm is not None and bool(scored) and scored[0][2] is warm


def noisy(draw: int, places: int) -> Iterable[float]:
    """Factors without an end, from the bits of a draw, a byte each: different in a group, and in every gateway."""
    if places == 1:
        return _STILL
    # The last eight bytes of a product are no longer even.
    bits = draw.to_bytes(8, "little") if places <= 8 else (draw * _SPREAD).to_bytes(136, "little")[:128]
    return map(JITTER.__getitem__, cycle(bits))


def _hold_back(scored: list[Scored], snapshot: Snapshot, now: float, draw: int) -> None:
    """Spare those that have just come back most requests: they get a share that grows with their time."""
    for at, (total, number, one, terms, idle) in enumerate(scored):
        age_s = now - snapshot.loads.get(one.backend, IDLE).since
        if age_s < SLOW_START_S and unit(stream(draw, one.backend)) >= ramp(age_s):
            scored[at] = (total + _HELD_BACK_MS, number, one, terms, idle)


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
        if now - snapshot.paces.get((one.backend, one.model), UNKNOWN).at > FORGOTTEN_S
        if _is_warm(one, snapshot.loads.get(one.backend, IDLE))
    ]
    if forgotten:
        scored.insert(0, scored.pop(forgotten[mixed(draw) % len(forgotten)]))


def _is_warm(one: Candidate, load: Load) -> bool:
    return load.models is None or one.model in load.models


def why_first(first: Terms, second: Terms, otherwise: str) -> str:
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
