"""What a policy says, and what all of those that match one request say together. CONTRACT.md has the words."""

from collections.abc import Mapping
from typing import Final, Literal, TypeVar

from msgspec import Struct

_Number = TypeVar("_Number", int, float)

Quantile = Literal["mean", "p95", "p99"]
Otherwise = Literal["fastest", "next_tier", "refuse"]
Affinity = Literal["prefix", "session", "none"]
Priority = Literal["high", "normal", "low"]
Cause = Literal["unavailable", "rate_limited", "context_length", "content_policy", "budget", "deadline"]

PRIORITIES: Final[Mapping[str, int]] = {"low": 0, "normal": 1, "high": 2}


class Hours(Struct, frozen=True):
    """Minutes of the day, the first included and the last not, in a zone; over midnight where the first is later.

    `days` are those on which it begins, Monday 0; none: every day.
    """

    first: int
    last: int
    zone: str = "UTC"
    days: frozenset[int] = frozenset()


class Match(Struct, frozen=True):
    """Which requests a policy is for: every key that is set must hold one of its values. None: any."""

    models: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    teams: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None
    countries: tuple[str, ...] | None = None
    pops: tuple[str, ...] | None = None
    tags: dict[str, tuple[str, ...]] = {}
    headers: dict[str, tuple[str, ...]] = {}
    hours: Hours | None = None


class Choice(Struct, frozen=True):
    """Names that are allowed (None: all), and names that are not."""

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    def allows(self, name: str) -> bool:
        return name not in self.never and (self.only is None or name in self.only)

    def also(self, other: "Choice") -> "Choice":
        """What both allow."""
        only = other.only if self.only is None else self.only if other.only is None else self.only & other.only
        return Choice(only, self.never | other.never)


class Require(Struct, frozen=True):
    """What holds whatever happens; what isn't known of a place is not allowed.

    `jurisdictions` are countries, groups resolved; `retention_days` is the most (0: nothing is kept). None: any.
    """

    jurisdictions: frozenset[str] | None = None
    retention_days: int | None = None
    no_training: bool = False
    providers: Choice = Choice()
    backends: Choice = Choice()
    hardware: frozenset[str] | None = None
    quantization: frozenset[str] | None = None
    capabilities: frozenset[str] = frozenset()
    usd_per_request: float | None = None

    def also(self, other: "Require") -> "Require":
        """What satisfies both, which is never more than what satisfies one."""
        return Require(
            jurisdictions=_both(self.jurisdictions, other.jurisdictions),
            retention_days=_least(self.retention_days, other.retention_days),
            no_training=self.no_training or other.no_training,
            providers=self.providers.also(other.providers),
            backends=self.backends.also(other.backends),
            hardware=_both(self.hardware, other.hardware),
            quantization=_both(self.quantization, other.quantization),
            capabilities=self.capabilities | other.capabilities,
            usd_per_request=_least(self.usd_per_request, other.usd_per_request),
        )


class Prefer(Struct, frozen=True):
    """What a dollar and a gram of carbon dioxide are worth in milliseconds of waiting; `regions` are liked, softly."""

    ms_per_usd: float = 200_000.0
    ms_per_gram: float = 0.0
    regions: frozenset[str] = frozenset()


# What the objectives mean: how long somebody would wait to save a dollar, or a gram (routing 4.3).
OBJECTIVES: Final[Mapping[str, Prefer]] = {
    "latency": Prefer(0.0),
    "balanced": Prefer(200_000.0),
    "cost": Prefer(2_000_000.0),
    "carbon": Prefer(200_000.0, 50_000.0),
}


class Slo(Struct, frozen=True):
    """What callers should see; None: nothing said. A target, no deadline."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    at: Quantile = "mean"
    otherwise: Otherwise = "fastest"


class Split(Struct, frozen=True):
    """A share of requests that goes to one backend, or is copied to it unseen; `stop` ends it by itself."""

    name: str
    backend: str
    percent: float
    by_session: bool = True
    copy: bool = False
    stop: "Stop | None" = None


class Stop(Struct, frozen=True):
    """A split ends where, after so many of its requests, it has this many times the others' errors or TTFT at p95."""

    errors: float | None = None
    ttft_p95: float | None = None
    after: int = 200


class Sticky(Struct, frozen=True):
    """What keeps a conversation at one place, and for how long after its last request."""

    by: Affinity = "none"
    ttl_s: float = 3600.0


class Patience(Struct, frozen=True):
    """Seconds of an attempt and of the request (`total_s`); None: the target's own."""

    connect_s: float | None = None
    first_token_s: float | None = None
    idle_s: float | None = None
    total_s: float | None = None


class Retry(Struct, frozen=True):
    """Attempts in all, the first included; `budget` is the share of requests that may be tried again."""

    attempts: int = 3
    budget: float = 0.1


class Hedge(Struct, frozen=True):
    """A second attempt beside a slow first one: after a time, or after the quantile of TTFT (one of them is set)."""

    after_ms: float | None = None
    at: Quantile | None = None
    budget: float = 0.02


class Fallback(Struct, frozen=True):
    """Other models, in their order, for these causes."""

    models: tuple[str, ...]
    on: frozenset[str] = frozenset({"unavailable"})


class Policy(Struct, frozen=True):
    """One policy file. None: it says nothing of that."""

    name: str
    rank: int = 0
    match: Match = Match()
    require: Require | None = None
    prefer: Prefer | None = None
    slo: Slo | None = None
    tiers: tuple[str, ...] | None = None
    overflow: float | None = None
    priority: Priority | None = None
    queue_s: float | None = None
    split: tuple[Split, ...] | None = None
    affinity: Sticky | None = None
    complexity: dict[str, str] | None = None
    strict: bool | None = None
    timeouts: Patience | None = None
    retry: Retry | None = None
    hedge: Hedge | None = None
    fallback: Fallback | None = None
    resume: bool | None = None


# Everything of a policy that comes from the most specific one that says it.
KEYS: Final = (
    "prefer",
    "slo",
    "tiers",
    "overflow",
    "priority",
    "queue_s",
    "split",
    "affinity",
    "complexity",
    "strict",
    "timeouts",
    "retry",
    "hedge",
    "fallback",
    "resume",
)


class Rules(Struct, frozen=True):
    """What the policies that match a request say together. `names` are theirs, the most specific first.

    `priority`: None where none of them says it, which is normal, unless the caller's team has another.
    """

    names: tuple[str, ...] = ()
    require: Require = Require()
    prefer: Prefer = OBJECTIVES["balanced"]
    slo: Slo | None = None
    tiers: tuple[str, ...] = ()
    overflow: float = 0.85
    priority: Priority | None = None
    queue_s: float = 0.0
    split: tuple[Split, ...] = ()
    affinity: Sticky = Sticky()
    complexity: dict[str, str] = {}
    strict: bool = False
    timeouts: Patience = Patience()
    retry: Retry = Retry()
    hedge: Hedge | None = None
    fallback: Fallback | None = None
    resume: bool = False


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _least(one: _Number | None, other: _Number | None) -> _Number | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
