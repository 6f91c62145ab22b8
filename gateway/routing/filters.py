"""What a place must have: nothing here ever fails open.

`forbidden` is settled by the configuration alone and worked out once: what isn't known of a place, it hasn't. `unfit`
differs by request, and believes a place that says nothing of what it can do.
"""

from collections.abc import Iterable

from gateway.routing.candidate import KEPT_FOR_EVER, Candidate, Left
from gateway.routing.facts import Work
from gateway.routing.policy import Require
from gateway.routing.snapshot import Load

RESIDENCY = "residency"


def allowed(candidates: Iterable[Candidate], require: Require, country: str) -> tuple[list[Candidate], list[Left]]:
    """Those that may serve, in their order, and those that may not. `country` is this POP's, as seen."""
    fit: list[Candidate] = []
    out: list[Left] = []
    for candidate in candidates:
        why = forbidden(candidate, require, country)
        if why:
            out.append(Left(candidate, why))
        else:
            fit.append(candidate)
    return fit, out


def forbidden(candidate: Candidate, require: Require, country: str) -> str:
    """Why a candidate may not serve whoever this is required for, "" where it may."""
    days = candidate.retention_days
    wanted = require.retention_days
    reasons = (
        (RESIDENCY, require.jurisdictions is not None and not within(candidate.processes_in, require.jurisdictions)),
        ("retention", wanted is not None and (days == KEPT_FOR_EVER or days > wanted)),
        ("training", require.no_training and not candidate.no_training),
        ("provider", not require.providers.allows(candidate.provider)),
        ("backend", not require.backends.allows(candidate.backend)),
        ("hardware", require.hardware is not None and candidate.hardware not in require.hardware),
        ("quantization", require.quantization is not None and candidate.quantization not in require.quantization),
        ("capability", not require.capabilities <= candidate.capabilities),
        ("price", require.usd_per_request is not None and not candidate.priced),
        ("egress", bool(country) and country in candidate.unavailable_from),
    )
    return next((why for why, is_so in reasons if is_so), "")


def within(places: frozenset[str], allowed_in: frozenset[str]) -> bool:
    """Whether all places are allowed; none at all are unknown ones."""
    return bool(places) and places <= allowed_in


def unfit(candidate: Candidate, work: Work, require: Require) -> str:
    """Why a candidate can't do this work, "" where it can."""
    if candidate.capabilities and not work.capabilities <= candidate.capabilities:
        return "capability"
    if candidate.window and work.window > candidate.window:
        return "context"
    most = require.usd_per_request
    if most is not None and candidate.usd(work.tokens_in, work.tokens_out) > most:
        return "price"
    return ""


def closed(load: Load, now: float) -> str:
    """Why a backend is asked nothing now, "" where it may be."""
    if load.shut_until > now:
        return load.shut or "shut"
    if load.half_open and load.probing:
        return "half_open"
    if load.in_flight >= load.most:
        return "full"
    return ""
