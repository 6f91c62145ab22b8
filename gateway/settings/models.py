"""The configuration's files as pydantic models: what may be written where. build.py turns them into shape.py's structs.

An alias is the key as the file has it.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, RootModel, WithJsonSchema

from gateway.settings.fields import (
    Amount,
    Capability,
    Carbon,
    Count,
    Country,
    DrainTime,
    Hardware,
    HeaderName,
    HeaderValue,
    Host,
    Jurisdiction,
    KeyHash,
    Latitude,
    Limit,
    Longitude,
    Many,
    Model,
    Moment,
    Name,
    NamePart,
    Part,
    Patience,
    Port,
    Positive,
    Priority,
    PrivateNetwork,
    ProcessingPlace,
    ProxySource,
    Retention,
    Row,
    Secretive,
    Share,
    Size,
    Some,
    State,
    Text,
    Texts,
)
from gateway.settings.shape import USD_PER_KWH
from gateway.wire.resuming import Prefill


class TlsRow(Row):
    cert: Text
    key: Text


class ListenRow(Row):
    host: Host | None = None
    port: Port | None = None
    unix: Text | None = None
    tls: TlsRow | None = None
    names: Many[Host] = ()
    control_host: Host | None = None
    control_port: Port | None = None


class CapsRow(Row):
    """Limits of one process; what isn't named keeps the default of shape.Caps."""

    headers: Size | None = None
    header: Size | None = None
    header_fields: Count | None = None
    uri: Size | None = None
    json_: Size | None = Field(default=None, alias="json")
    files: Size | None = None
    answer: Size | None = None
    event: Size | None = None
    connections: Count | None = None
    per_address: Count | None = None


class DeadlinesRow(Row):
    """The front door's patience; what isn't named keeps the default of shape.Deadlines."""

    headers: Patience | None = None
    body: Patience | None = None
    body_most: Patience | None = None
    idle: Patience | None = None
    write_stall: Patience | None = None
    tls: Patience | None = None


class TimeoutsRow(Row):
    connect: Patience | None = None
    first_token: Patience | None = None
    idle: Patience | None = None
    total: Patience | None = None


class TrustedProxyRow(Row):
    from_: ProxySource = Field(alias="from")
    address: HeaderName = ""
    country: HeaderName = ""


class DecisionsRow(Row):
    keep: Limit = 10_000
    sample: Share = 1.0
    file: Text | None = None


class SinkRow(Row):
    url: Text | None = None
    country: Country


class SinksRow(Row):
    ledger: SinkRow | None = None
    otlp: SinkRow | None = None
    access_log: SinkRow | None = None


class HardwareRow(Row):
    class_: Hardware = Field(alias="class")
    type: Text = ""
    count: Count = 1


class EndpointsRow(Row):
    dns: Text | None = None
    srv: Text | None = None
    file: Text | None = None
    kubernetes: dict[str, str] | None = None


Location = Annotated[
    tuple[Latitude, Longitude],
    Field(strict=False),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]


class BackendRow(Row):
    """One account, or one server, in one place. The first keys fill the placeholders of its provider's URL."""

    provider: Text
    account: Part = ""
    resource: Part = ""
    deployment: Part = ""
    project: Part = ""
    base_url: Texts | None = None
    endpoints: EndpointsRow | None = None
    api_key: Secretive | None = None
    country: Country | None = None
    region: Name = ""
    pop: Name = ""
    location: Location | None = None
    processes_in: Some[ProcessingPlace] | None = None
    retention: Retention = "unknown"
    training: Literal["no", "yes", "unknown"] = "unknown"
    tier: Name = ""
    hardware: HardwareRow | None = None
    slots: Limit = 0
    usd_per_hour: Amount = 0.0
    elastic: bool = False
    power_watts: Amount = 0.0
    usd_per_kwh: Amount = USD_PER_KWH
    carbon_g_per_kwh: Carbon | None = None
    metrics_port: Port | None = None
    timeouts: TimeoutsRow = TimeoutsRow()


class PriceRow(Row):
    usd_per_request: Amount = 0.0
    usd_per_mtok_in: Amount = 0.0
    usd_per_mtok_out: Amount = 0.0


class TargetRow(Row):
    """A model as one backend serves it; `reasoning` gives the first token and the silences between tokens longer."""

    backend: Text
    model: Model
    quantization: Name = ""
    weight: Amount = 1.0
    order: Limit = 0
    price: PriceRow | None = None
    context_window: Limit = 0
    capabilities: Many[Capability] = ()
    reasoning: bool = False
    timeouts: TimeoutsRow = TimeoutsRow()


class GatewayFile(Row):
    """gateway.yaml."""

    pop: Name = ""
    state: State | None = None
    listen: ListenRow = ListenRow()
    trusted_proxies: Many[TrustedProxyRow] = ()
    private_networks: Many[PrivateNetwork] = ()
    drain: DrainTime = 600.0
    caps: CapsRow = CapsRow()
    deadlines: DeadlinesRow = DeadlinesRow()
    decisions: DecisionsRow = DecisionsRow()
    sinks: SinksRow = SinksRow()
    backends: dict[Name, BackendRow] = Field(default_factory=dict)
    models: dict[Model, Some[TargetRow]] = Field(default_factory=dict)
    policies: Many[Text] = ()
    callers: Text | None = None
    pops: Text | None = None
    names: Text | None = None
    aliases: Text | None = None


class ChoiceRow(Row):
    """Names that are allowed, or names that are not."""

    only: Some[Text] | None = None
    not_: Some[Text] | None = Field(default=None, alias="not")


class LimitsRow(Row):
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    concurrency: Limit | None = None


class BudgetRow(Row):
    usd_per_day: Amount | None = None
    usd_per_month: Amount | None = None


class TeamRow(Row):
    organisation: Name = ""
    home: Name = ""
    jurisdictions: Some[Jurisdiction] | None = None
    tags: dict[Name, Text] = Field(default_factory=dict)
    priority: Priority = "normal"
    models: Some[Model] | None = None
    providers: ChoiceRow | None = None
    limits: LimitsRow | None = None
    budget: BudgetRow | None = None


class MayRow(Row):
    policies: Many[Name] = ()
    priority: Priority = "normal"
    plan: bool = False
    byok: Many[Text] = ()
    complexity: bool = False


class KeyRow(Row):
    team: Text
    hash: KeyHash
    expires: Moment | None = None
    may: MayRow = MayRow()


class CallersFile(Row):
    """callers.yaml."""

    teams: dict[Name, TeamRow] = Field(default_factory=dict)
    keys: dict[Name, KeyRow] = Field(default_factory=dict)


class PopRow(Row):
    url: Text
    region: Name
    country: Country
    location: Location
    egress_country: Country | None = None


class PopsFile(RootModel[dict[Name, PopRow]]):
    """pops.yaml."""


class AuthRow(Row):
    scheme: Literal["none", "bearer", "header"] = "none"
    secret: Text = ""
    header: Text = ""
    optional: bool = False


class DialectRow(Row):
    drop: Many[Text] = ()
    rename: dict[str, Text] = Field(default_factory=dict)
    set: dict[str, JsonValue] = Field(default_factory=dict)
    cap: dict[str, Positive] = Field(default_factory=dict)


class ProviderRow(Row):
    """One row of providers.yaml."""

    speaks: Text
    url: Text = ""
    paths: dict[str, Text] = Field(default_factory=dict)
    auth: AuthRow = AuthRow()
    dialect: DialectRow = DialectRow()
    stream_usage: Literal["options", "always", "never"] = "options"
    crossing: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    fetches_urls: Literal["", "provider", "self_hosted"] = ""
    prefill: Prefill = ""
    regions: Many[Text] = ()
    country: Country | None = None
    unavailable_from: Many[Country] = ()
    probe: Text = ""
    price_id: Text = ""
    docs: Text = ""


class ProvidersFile(RootModel[dict[Name, ProviderRow]]):
    """providers.yaml."""


class NameRuleRow(Row):
    """How one kind of name is rewritten: what it starts or ends with becomes something else, or goes."""

    starts: NamePart | None = None
    ends: NamePart | None = None
    becomes: NamePart | None = None
    why: Text


class NamesFile(Row):
    """models.yaml."""

    rules: Annotated[tuple[NameRuleRow, ...], Field(strict=False, max_length=64)] = ()


class AliasesFile(Row):
    """aliases.yaml: whose fields and headers have an effect."""

    openrouter: bool = False
    litellm: bool = False
    portkey: bool = False
    cloudflare: bool = False
