"""What a running gateway is told: frozen structs, made once from checked YAML. Names carry their unit."""

from msgspec import Struct

from gateway.routing.candidate import KEPT_FOR_EVER
from gateway.routing.policy import Policy, Priority, Require
from gateway.wire.dialect import Dialect
from gateway.wire.resuming import Prefill

# What a kilowatt-hour is taken to cost where nobody says: a round figure, which only decides between servers that are
# alike in all else.
USD_PER_KWH = 0.15


class Caps(Struct, frozen=True):
    """Limits in bytes and counts; the defaults are reliability 4.10 and CONTRACT.md."""

    header_bytes: int = 32 * 1024
    header_fields: int = 64
    header_field_bytes: int = 8 * 1024
    uri_bytes: int = 4 * 1024
    json_bytes: int = 32 * 1024 * 1024
    files_bytes: int = 512 * 1024 * 1024
    answer_bytes: int = 64 * 1024 * 1024
    event_bytes: int = 1024 * 1024
    connections: int = 10_000
    per_address: int = 1_000
    pipelined_bytes: int = 64 * 1024
    pipelined_requests: int = 100


class Deadlines(Struct, frozen=True):
    """The front door's patience, in seconds."""

    headers_s: float = 10.0
    body_s: float = 30.0
    body_bytes_per_s: float = 256 * 1024
    body_most_s: float = 120.0
    idle_s: float = 75.0
    write_stall_s: float = 30.0
    tls_s: float = 10.0
    linger_s: float = 2.0


class Tls(Struct, frozen=True):
    certificate: str
    key: str


class Listen(Struct, frozen=True):
    host: str = "127.0.0.1"
    port: int = 8080
    unix: str | None = None
    tls: Tls | None = None
    names: tuple[str, ...] = ()
    control_host: str = "127.0.0.1"
    control_port: int = 8081


class Timeouts(Struct, frozen=True):
    """Of one attempt, in seconds; `total_s` bounds the whole request. first_token and idle are for streams only."""

    connect_s: float = 1.0
    first_token_s: float = 30.0
    idle_s: float = 30.0
    total_s: float = 590.0


class Price(Struct, frozen=True):
    """In US dollars; per million tokens where it says so."""

    usd_per_request: float = 0.0
    usd_per_mtok_in: float = 0.0
    usd_per_mtok_out: float = 0.0


class Auth(Struct, frozen=True):
    """How a provider wants its key: `scheme` names a function in upstream/credentials.py."""

    scheme: str = "none"
    secret: str = ""
    header: str = ""
    optional: bool = False


class Provider(Struct, frozen=True):
    """One row of config/providers.yaml.

    `crossing` are header lines for requests that came in another language: what a caller of its own would have sent.
    `fetches_urls` says from whose network addresses in requests are fetched: provider, self_hosted, or "" by the tier.
    `prefill` is how it is asked to go on with an answer that broke (gateway/wire/resuming.py), "" where it can't.
    """

    name: str
    speaks: str
    url: str = ""
    paths: dict[str, str] = {}
    auth: Auth = Auth()
    dialect: Dialect = Dialect()
    stream_usage: str = "options"
    regions: tuple[str, ...] = ()
    country: str = ""
    unavailable_from: tuple[str, ...] = ()
    probe: str = ""
    price_id: str = ""
    docs: str = ""
    crossing: dict[str, str] = {}
    fetches_urls: str = ""
    prefill: Prefill = ""


class Secret:
    """A value that never shows itself: not by repr, str, format, JSON or pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


class Backend(Struct, frozen=True):
    """Who can answer: one account, or one server, in one place.

    `hardware` is its class (gpu, asic, fpga, npu, cpu), "" where it is unknown. `elastic`: its capacity follows demand,
    so each request pays for its part of `usd_per_hour`. `grams` are carbon dioxide a kilowatt-hour by hour of the day
    (UTC), one value: always, none: unknown. `power_watts` is 0 where it is unknown.
    `metrics_port` is where its metrics are on the same host, 0 where its kind of server has them.
    """

    name: str
    provider: Provider
    base_urls: tuple[str, ...]
    api_key: Secret = Secret("")
    country: str = ""
    region: str = ""
    pop: str = ""
    location: tuple[float, float] | None = None
    processes_in: tuple[str, ...] = ()
    retention: str = "unknown"
    training: str = "unknown"
    tier: str = ""
    slots: int = 0
    usd_per_hour: float = 0.0
    power_watts: float = 0.0
    timeouts: Timeouts = Timeouts()
    hardware: str = ""
    elastic: bool = False
    usd_per_kwh: float = USD_PER_KWH
    grams: tuple[float, ...] = ()
    metrics_port: int = 0

    @property
    def retention_days(self) -> int:
        """The most days that content is kept; KEPT_FOR_EVER where nobody knows."""
        if self.retention == "unknown":
            return KEPT_FOR_EVER
        return 0 if self.retention == "none" else int(self.retention.removesuffix("d"))


class Target(Struct, frozen=True):
    """A model as one backend serves it."""

    backend: Backend
    model: str
    timeouts: Timeouts = Timeouts()
    price: Price | None = None
    quantization: str = ""
    weight: float = 1.0
    order: int = 0
    context_window: int = 0
    capabilities: tuple[str, ...] = ()


class NameRule(Struct, frozen=True):
    """What a name starts or ends with (one of the two is ""), and what that becomes. `#` stands for a digit.

    The digits that `becomes` has are the first of those that were there.
    """

    starts: str = ""
    ends: str = ""
    becomes: str = ""


class May(Struct, frozen=True):
    """What a key may steer; nothing unless said. `complexity`: what policies say of that holds for all it asks for."""

    policies: tuple[str, ...] = ()
    priority: str = "normal"
    plan: bool = False
    byok: tuple[str, ...] = ()
    complexity: bool = False


class Caller(Struct, frozen=True):
    """One virtual key: who it belongs to and what it may do. `digest` is SHA-256 of the key, HMAC'd with the pepper.

    `tags`, `priority` and `require` are its team's; what a team requires holds whatever policies say.
    """

    name: str
    team: str
    digest: bytes
    models: tuple[str, ...] = ()
    expires_at: float | None = None
    may: May = May()
    tags: dict[str, str] = {}
    priority: Priority = "normal"
    require: Require = Require()


class Pop(Struct, frozen=True):
    """Where a gateway stands: a row of pops.yaml. `egress_country` is where providers see its requests come from."""

    name: str
    url: str
    region: str
    country: str
    location: tuple[float, float]
    egress_country: str = ""


class Sinks(Struct, frozen=True):
    """Where what is told of requests is kept, as ISO countries: "" is somewhere that nobody knows.

    `otlp` is the collector that OTEL_* names, `access_log` whatever keeps standard output.
    """

    otlp: str = ""
    access_log: str = ""


class TrustedProxy(Struct, frozen=True):
    source: str
    address: str = ""
    country: str = ""


class Settings(Struct, frozen=True):
    """Everything one process is told.

    A key of `models` may be a glob such as `openai/*`; a target's model `*` then means the part its `*` matched.
    `sources` are the files this was read from, `revision` is a digest of what they said. `name_rules` rewrite, in their
    order, names that no model has. `aliases` are the other gateways whose fields have an effect (stages/borrow.py).
    `geoip_db` is the file that knows addresses' countries, "" where there is none.
    """

    models: dict[str, tuple[Target, ...]]
    backends: dict[str, Backend]
    callers: tuple[Caller, ...]
    state: str
    pop: str = ""
    listen: Listen = Listen()
    caps: Caps = Caps()
    deadlines: Deadlines = Deadlines()
    drain_s: float = 600.0
    trusted_proxies: tuple[TrustedProxy, ...] = ()
    private_networks: tuple[str, ...] = ()
    workers: int = 1
    log_level: str = "info"
    admin_token: Secret = Secret("")
    key_pepper: Secret = Secret("")
    dev: bool = False
    sources: tuple[str, ...] = ()
    revision: str = ""
    name_rules: tuple[NameRule, ...] = ()
    aliases: frozenset[str] = frozenset()
    pops: dict[str, Pop] = {}
    policies: tuple[Policy, ...] = ()
    geoip_db: str = ""
    sinks: Sinks = Sinks()
