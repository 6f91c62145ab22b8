"""A policy file as pydantic models: what may be written where. policies.py turns them into routing's structs."""

from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.settings.fields import (
    Amount,
    Capability,
    Count,
    Country,
    Hardware,
    HedgeAfter,
    Jurisdiction,
    Limit,
    Many,
    MatchedHeader,
    Minute,
    Model,
    Moment,
    Name,
    Patience,
    Percent,
    Portion,
    Positive,
    Priority,
    Rank,
    RetentionMost,
    Row,
    Share,
    Some,
    StickyTime,
    Text,
    Texts,
    Times,
    Zone,
)
from gateway.settings.models import ChoiceRow, TimeoutsRow

# Keys of CONTRACT.md whose machinery isn't there yet: a policy that relies on one would promise what nobody keeps. Each
# leaves this table for a field of its own below.
NOT_BUILT: Final = ("spend", "limits", "cache")
NOT_BUILT_WHEN: Final = ("spent",)

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_ATTEMPTS: Final = 10
MOST_LOAD: Final = 100.0

Operation = Literal[
    "chat",
    "completions",
    "responses",
    "embeddings",
    "rerank",
    "moderations",
    "images",
    "audio",
    "realtime",
    "files",
    "batches",
    "infer",
]
Complexity = Literal["simple", "complex"]
Pairs = Annotated[dict[Name, Texts], Field(min_length=1)]


class HoursRow(Row):
    from_: Minute = Field(alias="from")
    to: Minute
    zone: Zone = "UTC"
    days: Some[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = None


class MatchRow(Row):
    models: Some[Model] | None = None
    keys: Some[Text] | None = None
    teams: Some[Text] | None = None
    tags: Pairs | None = None
    countries: Some[Country] | None = None
    pops: Some[Text] | None = None
    headers: Annotated[dict[MatchedHeader, Texts], Field(min_length=1)] | None = None
    operations: Some[Operation] | None = None
    hours: HoursRow | None = None


class RequireRow(Row):
    jurisdictions: Some[Jurisdiction] | None = None
    retention: RetentionMost | None = None
    training: Literal["no"] | None = None
    providers: ChoiceRow | None = None
    backends: ChoiceRow | None = None
    hardware: Some[Hardware] | None = None
    quantization: Some[Name] | None = None
    capabilities: Some[Capability] | None = None
    usd_per_request: Positive | None = None


class TradeRow(Row):
    ms_per_usd: Amount = 0.0
    ms_per_gram: Amount = 0.0


class PreferRow(Row):
    objective: Literal["latency", "cost", "balanced", "carbon"] | None = None
    trade: TradeRow | None = None
    regions: Some[Text] | None = None


class SloRow(Row):
    ttft: Patience | None = None
    tpot: Patience | None = None
    at: Literal["mean", "p95", "p99"] = "mean"
    otherwise: Literal["fastest", "next_tier", "refuse"] = "fastest"


class QueueRow(Row):
    wait: Patience


class ToRow(Row):
    backend: Text


class StopRow(Row):
    errors: Times | None = None
    ttft_p95: Times | None = None
    after: Count = 200


class SplitRow(Row):
    """A share of requests for one backend; `copy`: it is sent a copy, and nobody sees its answer."""

    name: Name
    to: ToRow
    percent: Percent
    by: Literal["session", "request"] = "session"
    copy_: bool = Field(default=False, alias="copy")
    stop: StopRow | None = None


class AffinityRow(Row):
    by: Literal["prefix", "session", "none"]
    ttl: StickyTime = 3600.0


class RetryRow(Row):
    attempts: Annotated[Count, Field(le=MOST_ATTEMPTS)] = 3
    budget: Share = 0.1


class HedgeRow(Row):
    after: HedgeAfter
    budget: Portion = 0.02


class FallbackRow(Row):
    models: Some[Model]
    on: Some[Literal["unavailable", "rate_limited", "context_length", "content_policy", "budget", "deadline"]] = (
        "unavailable",
    )


class TokensRow(Row):
    in_: Limit = Field(default=1000, alias="in")
    out: Limit = 256


class WhenRow(Row):
    """A request, and the moment it comes at. What isn't said: nobody in particular, at noon, of a fleet that idles."""

    model: Model
    operation: Operation = "chat"
    key: Text | None = None
    team: Text = ""
    tags: dict[Name, Text] = Field(default_factory=dict)
    headers: dict[MatchedHeader, Text] = Field(default_factory=dict)
    country: Country | None = None
    pop: Text | None = None
    at: Moment | None = None
    down: Many[Text] = ()
    load: dict[Text, Annotated[Amount, Field(le=MOST_LOAD)]] = Field(default_factory=dict)
    tokens: TokensRow = TokensRow.model_construct()
    complexity: Complexity | None = None


class NeverRow(Row):
    backends: Some[Text] | None = None
    regions: Some[Text] | None = None
    providers: Some[Text] | None = None


class ThenRow(Row):
    """What must come of it, whatever chance says; of several that may be `first` it is one."""

    first: Texts | None = None
    order: Some[Text] | None = None
    only_in: Some[Jurisdiction] | None = None
    never: NeverRow | None = None
    model: Model | None = None
    refused: Text | None = None


class ExampleRow(Row):
    when: WhenRow
    then: ThenRow


class PolicyFile(Row):
    """One policy."""

    name: Name | None = None
    rank: Rank = 0
    match: MatchRow | None = None
    require: RequireRow | None = None
    prefer: PreferRow | None = None
    slo: SloRow | None = None
    tiers: Some[Name] | None = None
    overflow: Annotated[Positive, Field(le=MOST_LOAD)] | None = None
    priority: Priority | None = None
    queue: QueueRow | None = None
    split: Some[SplitRow] | None = None
    affinity: AffinityRow | None = None
    complexity: Annotated[dict[Complexity, Model], Field(min_length=1)] | None = None
    fidelity: Literal["best", "strict"] | None = None
    timeouts: TimeoutsRow | None = None
    retry: RetryRow | None = None
    hedge: HedgeRow | None = None
    fallback: FallbackRow | None = None
    resume: Literal["off", "prefill"] | None = None
    examples: Many[ExampleRow] = ()
