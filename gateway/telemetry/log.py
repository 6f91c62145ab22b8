"""One JSON line a request, and a line for each rare event.

A request's line holds the fields of `settle` and `_Who`, nothing else: no bodies, no keys, no headers, no query. Names
are the configured ones and endings our own words, so nothing a caller or an upstream invents is written down; what text
there is, is JSON-escaped. Lines are encoded on the loop: a thread that encoded would hold the interpreter lock for as
long, at a moment the loop did not choose.
"""

import logging
from typing import Protocol, get_args

from msgspec import Struct
from msgspec.json import Encoder

from gateway.clock import Clock
from gateway.errors import Bug, CallerError, GatewayError, UpstreamRefused
from gateway.exchange import Exchange
from gateway.features import Usage
from gateway.settings.shape import Backend, Settings
from gateway.telemetry import derived
from gateway.telemetry.writer import Count, Field, Level, day, encode_event

LEVELS: tuple[Level, ...] = get_args(Level)
_INFO = 1


class Lines(Protocol):
    """Where lines go: the writer's queue."""

    def put(self, line: bytes) -> None: ...


class Log:
    """Rare events, in the same lines and through the same queue as the requests."""

    def __init__(self, writer: Lines, clock: Clock, level: str = "info", **always: Field) -> None:
        self._writer = writer
        self._clock = clock
        self._always = always
        self.configure(level)

    def configure(self, level: str) -> None:
        """Say only what is at least this urgent from now on. ValueError on a level nobody knows."""
        self._least = rank(level)

    def __call__(self, level: Level, event: str, **fields: Field) -> None:
        if rank(level) >= self._least:
            self._writer.put(encode_event(self._clock.wall(), level, event, {**self._always, **fields}))


class _Who(Struct, omit_defaults=True):
    """The fields of a line that many requests share: encoded once for all of them."""

    level: Level
    event: str
    status: int
    outcome: str
    key: str = ""
    team: str = ""
    operation: str = ""
    model: str = ""
    backend: str = ""
    region: str = ""
    country: str = ""
    processes_in: tuple[str, ...] = ()
    stream: bool = False


class _Try(Struct, omit_defaults=True):
    """One attempt, its time in microseconds; `cost_usd` is what nobody is charged for."""

    backend: str
    outcome: str
    us: int
    cost_usd: float | None = None
    country: str = ""
    processes_in: tuple[str, ...] = ()


class _Line(Struct, omit_defaults=True):
    """The fields of a line that are its own; times in microseconds."""

    request_id: str
    total_us: int
    overhead_us: int
    bytes_in: int
    bytes_out: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    ttft_us: int = 0
    tpot_us: int = 0
    attempts: list[_Try] = []
    dropped: tuple[str, ...] = ()


# Key, backend, operation, model, stream, status, outcome.
_Key = tuple[str, str, str, str, bool, int, str]
_encode = Encoder().encode
_NOTHING_USED = Usage()
_MOST_KEPT = 4096


class AccessLog:
    """A line for each settled request. Call `configure` before the first one and at each reload.

    A request that must stay in some countries has none where lines are kept elsewhere; `withheld` counts those.
    """

    def __init__(self, writer: Lines, withheld: Count) -> None:
        self._put = writer.put
        self._withheld = withheld
        self._country = ""
        self._models = derived.Models()
        self._least = _INFO
        self._kept: dict[_Key, bytes] = {}
        self._moment = self._second = -1  # milliseconds and seconds since 1970
        self._day = self._time = b""

    def configure(self, settings: Settings) -> None:
        """Take over the level, the model names that may be written, and where. ValueError on a level nobody knows."""
        self._least = rank(settings.log_level)
        self._country = settings.sinks.access_log
        self._models = derived.Models(frozenset(settings.models))
        self._kept.clear()

    def settle(self, exchange: Exchange) -> None:
        """Queue the line of one finished request, where the level wants it."""
        if self._least > _INFO and rank(_urgency(exchange.error)) < self._least:
            return
        if exchange.jurisdictions is not None and self._country not in exchange.jurisdictions:
            self._withheld.add(1.0)
            return
        call = exchange.call
        ended = exchange.ended
        moment = int((call.arrived_wall + ended - call.arrived) * 1e3)
        if moment != self._moment:
            self._moment = moment
            second, milliseconds = divmod(moment, 1000)
            if second != self._second:
                self._second = second
                self._day = day(second).encode()
            self._time = b'{"time":"%b.%03dZ",' % (self._day, milliseconds)
        usage = exchange.usage or _NOTHING_USED
        line = _Line(
            call.request_id,
            int((ended - exchange.started) * 1e6),
            int(exchange.own_s * 1e6),
            exchange.bytes_in,
            exchange.bytes_out,
            usage.input_tokens,
            usage.output_tokens,
            exchange.cost_usd,
            usage.cached_tokens,
            usage.reasoning_tokens,
        )
        if exchange.stream:
            line.ttft_us = int(derived.first_token_s(exchange) * 1e6)
            line.tpot_us = int(derived.per_token_s(exchange) * 1e6)
        if exchange.changed:
            line.dropped = tuple(dict.fromkeys(map(derived.field, exchange.changed)))
        attempts = exchange.attempts
        if len(attempts) > 1 or (attempts and attempts[0].outcome != "answered"):
            line.attempts = [
                _Try(
                    tried.target.backend.name,
                    derived.word(tried.outcome),
                    int(((tried.ended or ended) - tried.started) * 1e6),
                    tried.cost_usd or None,
                    *place_of(tried.target.backend),
                )
                for tried in attempts
            ]
        self._put(b"".join((self._time, self._who(exchange), _encode(line)[1:], b"\n")))

    def _who(self, exchange: Exchange) -> bytes:
        """The shared fields as JSON, with a comma behind them."""
        caller = exchange.call.caller
        target = exchange.target
        outcome = derived.outcome(exchange)
        key = (
            "" if caller is None else caller.name,
            "" if target is None else target.backend.name,
            exchange.operation,
            exchange.model,
            exchange.stream,
            exchange.status,
            outcome,
        )
        known = self._kept.get(key)
        if known is not None:
            return known
        who = _Who(_urgency(exchange.error), "request", exchange.status, outcome)
        if caller is not None:
            who.key, who.team = caller.name, caller.team
        who.operation, who.stream = exchange.operation, exchange.stream
        if target is None:
            who.model = self._models.label(exchange.model)
        else:
            who.model, who.backend, who.region = exchange.model, target.backend.name, target.backend.region
            who.country, who.processes_in = place_of(target.backend)
        encoded = _encode(who)[1:-1] + b","
        # A caller may ask for any name, of any length: what he asked for isn't kept beyond this.
        if len(self._kept) < _MOST_KEPT and len(exchange.model) <= derived.LONGEST:
            self._kept[key] = encoded
        return encoded


def place_of(backend: Backend) -> tuple[str, tuple[str, ...]]:
    """A backend's country, and where it computes and stores where that isn't just there; empty where nobody knows."""
    country, processes_in = backend.country, backend.processes_in
    return country, () if processes_in == (country,) else processes_in


def rank(level: str) -> int:
    """How urgent a level is. ValueError on one nobody knows."""
    for at, known in enumerate(LEVELS):
        if known == level:
            return at
    raise ValueError(f"log level {level!r} is none of {', '.join(LEVELS)}")


def _urgency(error: GatewayError | None) -> Level:
    if error is None or isinstance(error, CallerError | UpstreamRefused):
        return "info"
    return "error" if isinstance(error, Bug) else "warning"


class Adopted(logging.Handler):
    """Warnings of libraries (asyncio, OpenTelemetry) as our own lines.

    Only the logger, the first line of the unformatted message and the exception's type: asyncio's further lines, and
    arguments, may hold what a caller sent.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        self._log(level, "library", logger=record.name, message=str(record.msg).partition("\n")[0][:200], error=error)
