"""One finished request, counted. A few additions to numbers in memory; whoever scrapes pays for the rest.

The slots of a request's series are looked up once for each way a request can go and kept in one dict, so that a request
costs one look-up and about a dozen additions. No caller or upstream can make series: models are the configured ones,
endings are our own words, and what is left is capped.
"""

from bisect import bisect_left

from gateway.errors import RESIDENCY, Bug
from gateway.exchange import Attempt, Exchange
from gateway.settings.shape import Settings
from gateway.telemetry import derived
from gateway.telemetry.families import (
    ATTEMPTS,
    COST,
    LOG_LINES_DROPPED,
    LOOP_LAG,
    LOSSES,
    OVERHEAD,
    REQUESTS,
    RESIDENCY_REFUSALS,
    STATE_UP,
    TIME_PER_OUTPUT_TOKEN,
    TIME_TO_FIRST_TOKEN,
    TOKEN_USAGE,
    gen_ai_operation,
)
from gateway.telemetry.slots import Counter, Gauge, Histogram, SlotWriter

_MOST_WORDS = 128
_MOST_ROWS = 20_000

_Key = tuple[str, str, str, int, str]
# Slots of: requests, overhead, first token, per token, input tokens, output tokens, cost.
_Row = tuple[int, int, int, int, int, int, int]

_OVERHEAD = OVERHEAD.bounds
_FIRST = TIME_TO_FIRST_TOKEN.bounds
_PER = TIME_PER_OUTPUT_TOKEN.bounds
_TOKENS = TOKEN_USAGE.bounds
_OVERHEAD_SUM = len(_OVERHEAD) + 1
_FIRST_SUM = len(_FIRST) + 1
_PER_SUM = len(_PER) + 1
_TOKENS_SUM = len(_TOKENS) + 1


class Metrics:
    """A worker's numbers. Call `configure` before the first request and at each reload."""

    def __init__(self, slots: SlotWriter) -> None:
        self._slots = slots
        self._values = slots.values
        self._models = derived.Models()
        self._rows: dict[_Key, _Row] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._words: set[str] = {"answered", "left", *derived.KNOWN_CODES}
        self._country = ""
        self.log_lines_dropped: Counter = slots.counter(LOG_LINES_DROPPED)
        self.log_lines_withheld: Counter = slots.counter(RESIDENCY_REFUSALS, "access_log")
        self.spans_withheld: Counter = slots.counter(RESIDENCY_REFUSALS, "otlp")
        self.loop_lag: Histogram = slots.histogram(LOOP_LAG)
        self.state_up: Gauge = slots.gauge(STATE_UP)

    def configure(self, settings: Settings) -> None:
        """Take over the model names that may be labels and where we are, and forget what was bound to the old ones."""
        here = settings.pops.get(settings.pop)
        self._country = here.country if here is not None else ""
        self._models = derived.Models(frozenset(settings.models))
        self._rows.clear()

    def settle(self, exchange: Exchange) -> None:
        """Count one finished request."""
        target = exchange.target
        outcome = "answered" if exchange.error is None and not exchange.left else derived.outcome(exchange)
        backend = "" if target is None else target.backend.name
        key = (exchange.operation, exchange.model, backend, exchange.status, outcome)
        row = self._rows.get(key) or self._bind(exchange, key)
        requests, overhead, first, per, tokens_in, tokens_out, cost = row
        values = self._values
        values[requests] += 1.0
        own = exchange.own_s
        values[overhead + bisect_left(_OVERHEAD, own)] += 1.0
        values[overhead + _OVERHEAD_SUM] += own
        for attempt in exchange.attempts:
            at = self._attempts.get((attempt.target.backend.name, attempt.outcome))
            values[self._bind_attempt(attempt) if at is None else at] += 1.0
        usage = exchange.usage
        if usage is not None:
            count = usage.input_tokens
            values[tokens_in + bisect_left(_TOKENS, count)] += 1.0
            values[tokens_in + _TOKENS_SUM] += count
            count = usage.output_tokens
            values[tokens_out + bisect_left(_TOKENS, count)] += 1.0
            values[tokens_out + _TOKENS_SUM] += count
        if exchange.stream and outcome == "answered" and exchange.attempts:
            self._stream(exchange, first, per)
        if exchange.cost_usd:
            values[cost] += exchange.cost_usd
        if exchange.changed:
            for field in exchange.changed:
                self._slots.counter(LOSSES, backend, self._word(derived.field(field))).add(1.0)

    def _stream(self, exchange: Exchange, first: int, per: int) -> None:
        """The pace of the attempt that answered; a whole answer says nothing about it."""
        attempt = exchange.attempts[-1]
        values = self._values
        if attempt.first_content:
            seconds = attempt.first_content - (attempt.sent or attempt.started)
            values[first + bisect_left(_FIRST, seconds)] += 1.0
            values[first + _FIRST_SUM] += seconds
        seconds = derived.per_token_s(exchange)
        if seconds:
            values[per + bisect_left(_PER, seconds)] += 1.0
            values[per + _PER_SUM] += seconds

    def _bind(self, exchange: Exchange, key: _Key) -> _Row:
        operation, asked, backend, status, outcome = key
        if outcome == RESIDENCY:
            self._refused(exchange)
        slot = self._slots.slot
        model = self._models.label(asked)
        provider = "" if exchange.target is None else exchange.target.backend.provider.name
        gen_ai = (gen_ai_operation(operation), provider, model, backend)
        requests = slot(REQUESTS, operation, model, backend, str(status), self._word(outcome))
        overhead = slot(OVERHEAD, operation)
        if exchange.target is None:
            nowhere = self._slots.scrap
            row = (requests, overhead, nowhere, nowhere, nowhere, nowhere, nowhere)
        else:
            row = (
                requests,
                overhead,
                slot(TIME_TO_FIRST_TOKEN, *gen_ai),
                slot(TIME_PER_OUTPUT_TOKEN, *gen_ai),
                slot(TOKEN_USAGE, *gen_ai, "input"),
                slot(TOKEN_USAGE, *gen_ai, "output"),
                slot(COST, model, backend),
            )
        # A caller may ask for any name, of any length: only what is configured is kept.
        is_kept = model != derived.OTHER and len(asked) <= derived.LONGEST and len(self._rows) < _MOST_ROWS
        if is_kept and outcome != RESIDENCY:  # which is counted above as well, each time
            self._rows[key] = row
        return row

    def _refused(self, exchange: Exchange) -> None:
        """Count a request that nobody may serve where it must stay, by what stood in the way."""
        allowed = exchange.jurisdictions
        if isinstance(exchange.error, Bug):
            # An attempt that was stopped is counted as one; what was stopped before it was one, here.
            if not any(map(derived.was_stopped, exchange.attempts)):
                self._slots.counter(RESIDENCY_REFUSALS, "connect").add(1.0)
        else:
            inside = allowed is not None and self._country in allowed
            self._slots.counter(RESIDENCY_REFUSALS, "backend" if inside else "pop").add(1.0)

    def _bind_attempt(self, attempt: Attempt) -> int:
        backend = attempt.target.backend.name
        at = self._slots.slot(ATTEMPTS, backend, self._word(derived.word(attempt.outcome)))
        if derived.was_stopped(attempt):
            self._slots.counter(RESIDENCY_REFUSALS, "connect").add(1.0)
        if attempt.outcome != RESIDENCY and len(self._attempts) < _MOST_ROWS:
            self._attempts[backend, attempt.outcome] = at
        return at

    def _word(self, text: str) -> str:
        """The text itself, or `other` once more words were seen than anyone could read."""
        if text in self._words:
            return text
        if len(self._words) >= len(derived.KNOWN_CODES) + _MOST_WORDS:
            return derived.OTHER
        text = text[:64]
        self._words.add(text)
        return text
