"""A run as a few numbers: what the test holds against its bounds, and what the page tells."""

from typing import Final

from msgspec import Struct

from tests.live.callers import Answer
from tests.live.places import HOMES, SERVERS
from tests.live.story import KILLED, NEAREST_S, SLOWED, Record, share
from tests.live.world import CAPACITY_PER_S

# The first seconds of a scene are left out where it is about what comes of it, and not about how soon.
SETTLING_S: Final = 3.0
# What was slowed has so long to lose its traffic.
LOSING_S: Final = 10.0
STEP_S: Final = 10.0


class Figures(Struct):
    """Shares are from 0 to 1, times in seconds."""

    requests: int
    # Who answered whom in the ten seconds before anything happened.
    pops: dict[str, str]
    nearest: dict[str, float]
    first_ms: dict[str, float]
    # One server was slow: its requests a second before, its loss ten to twenty seconds later, and since when; its share
    # of its callers at the end, and how long after it was well it had a quarter of them again.
    slowed_from_per_s: float
    slowed_lost: float
    slowed_lost_after_s: float
    healed: float
    healed_after_s: float
    # France asked for more than Frankfurt can answer.
    kept_of_capacity: float
    spilt: float
    spilt_to_next: float
    overload_first_ms: float
    others_at_home: dict[str, float]
    # Frankfurt's servers were killed: until when requests still ran into them, and who answered since.
    failed: int
    broken: int
    ran_into: int
    left_after_s: float
    dead_next: float
    # It was back so long after its restart, and its share grew in steps of ten seconds from its first answer on.
    back_after_s: float
    back_shares: list[float]


def figures(told: Record) -> Figures:
    at = told.at
    calm = {country: told.sent(country, at["slowed"] - NEAREST_S, at["slowed"]) for country in HOMES}
    full_from, full_s = at["overload"] + SETTLING_S, at["calm"] - at["overload"] - SETTLING_S
    full = told.sent("FR", full_from, at["calm"])
    spilt = [one for one in full if SERVERS.get(one.backend) != "fra"]
    dead = [one for one in told.answers if at["killed"] <= one.sent < at["restarted"]]
    ran_into = [one.sent for one in dead if is_late(one)]
    left_s = max(ran_into, default=at["killed"]) - at["killed"]
    slowed = [one.sent for one in told.answers if one.backend == SLOWED]
    before = sum(at["slowed"] - LOSING_S <= sent < at["slowed"] for sent in slowed)
    after = sum(at["slowed"] + LOSING_S <= sent < at["slowed"] + 2 * LOSING_S for sent in slowed)
    return Figures(
        requests=len(told.answers),
        pops={country: ranked[0] for country, ranked in told.pops.items()},
        nearest={country: share(calm[country], home.nearest) for country, home in HOMES.items()},
        first_ms={country: median_first_ms(answers) for country, answers in calm.items()},
        slowed_from_per_s=before / LOSING_S,
        slowed_lost=1.0 - after / max(1, before),
        slowed_lost_after_s=_lost_after_s(slowed, at["slowed"], before / LOSING_S),
        healed=share(told.sent("ID", at["end"] - STEP_S, at["end"]), SLOWED),
        healed_after_s=_back_after_s(told),
        kept_of_capacity=(len(full) - len(spilt)) / full_s / CAPACITY_PER_S,
        spilt=len(spilt) / max(1, len(full)),
        spilt_to_next=share(spilt, "iad"),
        overload_first_ms=median_first_ms(full),
        others_at_home={
            country: share(told.sent(country, full_from, at["calm"]), HOMES[country].nearest)
            for country in ("CA", "ID")
        },
        failed=sum(one.outcome == "failed" for one in told.answers),
        broken=sum(one.outcome == "broken" for one in told.answers),
        ran_into=len(ran_into),
        left_after_s=left_s,
        dead_next=share(told.sent("FR", at["killed"] + left_s + 0.001, at["restarted"]), "iad"),
        back_after_s=at["returned"] - at["restarted"],
        back_shares=[
            share(told.sent("FR", at["returned"] + STEP_S * step, at["returned"] + STEP_S * (step + 1)), "fra")
            for step in range(6)
        ],
    )


def _back_after_s(told: Record) -> float:
    """How long after it was well the slow server answered a quarter of its callers, for ten seconds."""
    healed, end = told.at["healed"], told.at["end"]
    for after in range(int(end - healed - STEP_S)):
        if share(told.sent("ID", healed + after, healed + after + STEP_S), SLOWED) >= 0.25:
            return float(after)
    return end - healed


def is_late(answer: Answer) -> bool:
    """Whether somebody of those that were killed was asked first."""
    return answer.attempts > 1 or answer.backend in KILLED or answer.outcome != "whole"


def median_first_ms(answers: list[Answer]) -> float:
    """What callers waited for the first content."""
    waited = sorted(one.first - one.sent for one in answers if one.first)
    return waited[len(waited) // 2] * 1e3 if waited else 0.0


def _lost_after_s(sent: list[float], slowed: float, before_per_s: float) -> float:
    """From when on, for the rest of ten seconds and ten more, it was sent at most a fifth of what it was before."""
    later = [at - slowed for at in sent if slowed <= at < slowed + 2 * LOSING_S]
    for begins in range(int(LOSING_S) + 1):
        if sum(at >= begins for at in later) <= 0.2 * before_per_s * (2 * LOSING_S - begins):
            return float(begins)
    return 2 * LOSING_S
