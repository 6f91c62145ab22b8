"""What a request is expected to cost its caller at one place, in milliseconds: time, money and carbon as one number.

    S = round trip + (first + queued prompts + own prompt) * slowness + waiting for a slot + cold start
      + share of the answer's time + penalties + dollars * ms a dollar + grams * ms a gram

Every term is in milliseconds, so 60 ms of network weigh against 400 ms of queue as they should (routing 4.3). The law
of this file: more load never makes a place look better.
"""

from collections.abc import Iterable
from itertools import count
from math import exp
from typing import Final

from msgspec import Struct

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Now, Work
from gateway.routing.policy import Prefer, Quantile
from gateway.routing.snapshot import IDLE, UNKNOWN, Load, Pace, Snapshot

TAU_S: Final = 10.0  # how fast what was measured fades towards what was expected
ANSWER_SHARE: Final = 0.2  # of the time a stream takes after its first token: it is read as it comes
BUSY_AT: Final = 0.85  # of its slots; above it a server starts to keep requests waiting
AT_ONCE: Final = 16  # slots of a server that tells that requests wait, and not how many it works on at once
ADAPTER_MS: Final = 300.0  # a LoRA adapter read into memory
PREFIX_HIT: Final = 0.9  # of a prompt whose prefix was served here before
# Where llm-d's router takes a server for saturated (routing 1.1): so many wait, so much of its cache is in use.
QUEUE_FULL: Final = 5.0
KV_FULL: Final = 0.8
_DISLIKED_MS: Final = 50.0  # what a region that nobody prefers has to be better by
_JOULES_PER_KWH: Final = 3.6e6
_NO_JITTER: Final = (1.0,)


class Terms(Struct, gc=False):
    """One candidate's score, term by term, all in milliseconds.

    `first` is when its first token is to be counted on, at the quantile that was asked for; `soonest` is that at the
    mean.
    """

    total: float
    network: float
    first: float
    soonest: float
    money: float
    carbon: float


# What a candidate costs after jitter, its number in its group, what that is made of, and what it would cost if others
# asked nothing of it: sorted, the best is first.
Scored = tuple[float, int, Candidate, Terms, float]


def score(
    candidate: Candidate,
    load: Load,
    pace: Pace,
    work: Work,
    prefer: Prefer,
    now: Now,
    hit: float = 0.0,
    at: Quantile = "mean",
) -> Terms:
    """What this place costs now; `hit` is the share of the prompt that it has in its cache."""
    seen = Snapshot({candidate.backend: load}, {(candidate.backend, candidate.model): pace})
    return scores((candidate,), seen, work, prefer, now, candidate, hit, at, _NO_JITTER)[0][0][3]


def scores(  # noqa: C901, PLR0912, PLR0915  (most of the time that a decision takes; calls would double it)
    group: Iterable[Candidate],
    snapshot: Snapshot,
    work: Work,
    prefer: Prefer,
    now: Now,
    home: Candidate | None,
    hit: float,
    at: Quantile,
    jitter: Iterable[float],
) -> tuple[list[Scored], float, bool]:
    """What each of a group costs now; the last of their first tokens; whether one of them is kept waiting by others.

    `home` has the share `hit` of the prompt in its cache.

    One loop without calls: this is most of the time that a decision takes.
    """
    loads, paces = snapshot.loads.get, snapshot.paces.get
    tokens_in, tokens_out = float(work.tokens_in), work.tokens_out
    read_tokens = (ANSWER_SHARE if work.stream else 1.0) * tokens_out
    is_mean, is_p95 = at == "mean", at == "p95"
    moment, ms_per_usd, ms_per_gram, regions = now.monotonic, prefer.ms_per_usd, prefer.ms_per_gram, prefer.regions
    found: list[Scored] = []
    last = 0.0
    is_busy = False
    for number, one, blur in zip(count(), group, jitter):
        load = loads(one.backend, IDLE)
        pace = paces((one.backend, one.model), UNKNOWN)
        network = load.rtt_ms or one.rtt_ms
        each = pace.each or one.ms_per_token_out
        tokens = load.waiting_tokens + (tokens_in if one is not home else (1.0 - hit) * tokens_in)
        rate, first_ms = pace.ms_per_token_in or one.ms_per_token_in, one.first_ms
        slow = pace.slow
        more = waiting = 0.0
        if slow != 1.0 or not is_mean:
            fading = exp((pace.at - moment) / TAU_S)
            if not is_mean and (most := pace.slow_p95 if is_p95 else pace.slow_p99):
                more = (most - slow) * fading * (first_ms + tokens * rate)
            pull = 1.0 + (slow - 1.0) * fading
            rate *= pull
            first_ms *= pull
        first = first_ms + network + tokens * rate
        slots, queued, only_here = one.slots, load.queued, load.only_here
        # Less than half of its slots in use: nobody waits there.
        if (slots and (load.in_flight * 2 >= slots or load.reported)) or queued or only_here:
            # Of a server that is full, a slot comes free once in an answer's time over its slots.
            at_once = slots or AT_ONCE
            over = load.in_flight + 1.0 - BUSY_AT * at_once
            told = load.reported
            if told is not None:
                over += told
            if queued > over:  # noqa: PLR1730  (a call of max takes five times as long)
                over = queued
            if over > 0.0:
                waiting = over * tokens_out * each / at_once
            if only_here and not one.only_here:
                # The work that can go nowhere else waits for this one's slot in the measure that it is there.
                waiting += tokens_out * each * min(1.0, only_here / at_once)
            if waiting:
                is_busy = True
                first += waiting
        if load.models is not None and one.model not in load.models:
            first += ADAPTER_MS if load.adapters is not None and one.model in load.loadable else load.cold_ms
        if not is_mean:
            each = token_ms(one, pace, at)
        soonest = first
        if soonest > last:  # noqa: PLR1730  (see above)
            last = soonest
        first += more
        total = first + read_tokens * each + load.held_ms
        money = carbon = 0.0
        if ms_per_usd:
            usd = one.usd_per_request + tokens_in * one.usd_per_token_in + tokens_out * one.usd_per_token_out
            money = ms_per_usd * usd
            total += money
        if ms_per_gram:
            grid = one.grams
            grams = one.joules_out * tokens_out / _JOULES_PER_KWH * grid[now.hour % len(grid)]
            carbon = ms_per_gram * grams
            total += carbon
        if regions and one.region not in regions:
            total += _DISLIKED_MS
        total /= one.weight
        terms = Terms(total, network, first, soonest, money, carbon)
        found.append((total * blur, number, one, terms, total - waiting))
    return found, last, is_busy


def token_ms(candidate: Candidate, pace: Pace, at: Quantile) -> float:
    """The time of a token after the first, at a quantile of what was measured."""
    each = pace.each_p95 if at == "p95" else pace.each_p99 if at == "p99" else pace.each
    return each or pace.each or candidate.ms_per_token_out


def busy(candidate: Candidate, load: Load) -> float:
    """The share of a server that is in use, 0.0 where nobody knows how much it can bear; above 1.0 some wait."""
    share = load.working() / candidate.slots if candidate.slots else 0.0
    return max(share, load.kv / KV_FULL, load.queued / QUEUE_FULL)
