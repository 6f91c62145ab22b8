"""What keeps a conversation where its prompt is warm, without ever making a hot spot of that place."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from gateway.routing.candidate import Candidate
from gateway.routing.chance import digest
from gateway.routing.snapshot import IDLE, Snapshot

# Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): so much above its fair share at most,
# and one request, since of few requests a fair share is none.
BOUND: Final = 1.25
# A place that nobody has warmed yet is chosen among those no farther than this beyond the nearest.
NEAR_MS: Final = 20.0
_ODD: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1

_hashed = lru_cache(maxsize=4096)(digest)


def home(
    key: int, group: Sequence[Candidate], snapshot: Snapshot, now: float, ttl_s: float
) -> tuple[Candidate | None, bool]:
    """The place that has seen this conversation or prefix, and True; else the one that everybody would choose.

    None where all that are near have more than their share.
    """
    loads = snapshot.loads
    held = [loads.get(one.backend, IDLE) for one in group]
    running = sum([load.in_flight for load in held]) + 1
    bound = BOUND * running / sum([one.weight for one in group])
    seen = snapshot.homes.get(key)
    if seen is not None and now - seen.at <= ttl_s:
        for one, load in zip(group, held, strict=True):
            if one.backend == seen.backend and load.in_flight <= bound * one.weight + 1.0:
                return one, True
    trips = [load.rtt_ms or one.rtt_ms for one, load in zip(group, held, strict=True)]
    most_ms = min(trips) + NEAR_MS
    roomy = [
        one
        for one, load, trip_ms in zip(group, held, trips, strict=True)
        if trip_ms <= most_ms and load.in_flight <= bound * one.weight + 1.0
    ]
    return (rendezvous(key, roomy) if roomy else None), False


def rendezvous(key: int, group: Sequence[Candidate]) -> Candidate:
    """The place that everybody who knows the same ones would choose for a key (highest random weight)."""
    weights = [(key ^ _hashed(one.backend)) * _ODD & _MASK for one in group]
    return group[weights.index(max(weights))]
