"""What policies and configuration alone decide of a model, worked out once for all requests that are alike."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.routing.candidate import Candidate, Left
from gateway.routing.fair import UNBOUND, Bounds, bounds_of
from gateway.routing.filters import allowed
from gateway.routing.policy import Prefer, Rules, Split

ALONE: Final = "only_allowed"
# The decision has a short way for a group of so many (calm.py).
_FEW: Final = 8


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


class Route(Struct, frozen=True):
    """What policies and configuration alone decide of a model: the rules, who may serve, who may not.

    `groups` are the candidates tier by tier, in an order that doesn't depend on how they were written. `choosy`: some
    may lack what a request needs. `shares` are the splits, each with whom it is for; those are in no group.
    `bounds` say how much of each is for such requests. `alone` is the plan where one place is all there is, and nothing
    but its own health can stand in the way. `calm`: one group is all there is, and the rules look at nothing but the
    time, the price and the health of its places, so that calm.py can decide where these are well. `prefer` is the
    rules', less what all places have in common.
    """

    rules: Rules
    groups: tuple[tuple[Candidate, ...], ...]
    out: tuple[Left, ...] = ()
    choosy: bool = False
    shares: tuple[tuple[Split, tuple[Candidate, ...]], ...] = ()
    bounds: Bounds = UNBOUND
    alone: Plan | None = None
    calm: bool = False
    prefer: Prefer = Prefer()


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
    prefer = rules.prefer
    calm = (
        len(groups) == 1
        and len(fit) <= _FEW
        and not (shares or rules.slo or prefer.ms_per_gram or prefer.regions)
        and rules.priority != "low"
    )
    if len({(one.usd_per_request, one.usd_per_token_in, one.usd_per_token_out) for one in fit}) == 1:
        # What costs the same everywhere decides nothing.
        prefer = replace(prefer, ms_per_usd=0.0)
    return Route(rules, groups, tuple(out), choosy, given, bounds, alone, calm, prefer)
