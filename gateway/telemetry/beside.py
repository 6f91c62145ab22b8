"""What happens beside requests: second attempts that were paid for, copies, and splits that ended by themselves.

None of it is in a request's own numbers but its attempts, whose outcomes say `hedge_lost`.
"""

from gateway.exchange import Attempt, Exchange
from gateway.routing.split_rule import Tally, Why
from gateway.settings.shape import Settings
from gateway.telemetry import derived
from gateway.telemetry.families import (
    HEDGE_COST,
    HEDGES,
    RESIDENCY_REFUSALS,
    SHADOW_ATTEMPTS,
    SHADOW_COST,
    SHADOWS_DROPPED,
    SPLIT_ENDED,
)
from gateway.telemetry.log import Log, place_of
from gateway.telemetry.slots import SlotWriter

_WHYS: tuple[Why, ...] = ("errors", "ttft_p95")


class Beside:
    """A worker's numbers and lines of what no caller has asked for. Backends and splits have configured names."""

    def __init__(self, slots: SlotWriter, log: Log) -> None:
        self._slots = slots
        self._log = log
        self._country = ""

    def configure(self, settings: Settings) -> None:
        """Take over where lines are kept."""
        self._country = settings.sinks.access_log

    def raced(self, backend: str, outcome: str, loser: Attempt | None) -> None:
        """A second attempt was made: won, lost, failed or left; and who lost, where somebody won."""
        self._slots.counter(HEDGES, backend, outcome).add(1.0)
        if loser is not None and loser.cost_usd:
            self._slots.counter(HEDGE_COST, loser.target.backend.name).add(loser.cost_usd)

    def shadowed(self, copy: Exchange) -> None:
        """A copy is over: counted, and in a line of its own that says where it was, unless that must stay elsewhere."""
        allowed = copy.jurisdictions
        for attempt in copy.attempts:
            backend = attempt.target.backend
            outcome = derived.word(attempt.outcome)
            self._slots.counter(SHADOW_ATTEMPTS, backend.name, outcome).add(1.0)
            if copy.cost_usd:
                self._slots.counter(SHADOW_COST, backend.name).add(copy.cost_usd)
            if derived.was_stopped(attempt):
                self._slots.counter(RESIDENCY_REFUSALS, "connect").add(1.0)
            if allowed is not None and self._country not in allowed:
                self._slots.counter(RESIDENCY_REFUSALS, "access_log").add(1.0)
                continue
            country, processes_in = place_of(backend)
            self._log(
                "info",
                "shadow",
                request_id=copy.call.request_id,
                backend=backend.name,
                region=backend.region,
                country=country,
                processes_in=[*processes_in],
                operation=copy.operation,
                stream=copy.stream,
                split=copy.split,
                outcome=outcome,
                us=int(((attempt.ended or copy.ended) - attempt.started) * 1e6),
                ttft_us=int(derived.first_token_s(copy) * 1e6),
                input_tokens=copy.usage.input_tokens if copy.usage is not None else 0,
                output_tokens=copy.usage.output_tokens if copy.usage is not None else 0,
                cost_usd=copy.cost_usd,
            )

    def dropped(self, backend: str) -> None:
        """A copy was not sent: too many are under way, or it can't be said there."""
        self._slots.counter(SHADOWS_DROPPED, backend).add(1.0)

    def split_ended(self, tally: Tally, why: Why) -> None:
        """A split was ended by its rule, for what the tally shows."""
        own, others = tally.own, tally.others
        self._slots.gauge(SPLIT_ENDED, tally.split.name, why).set(1.0)
        self._log(
            "warning",
            "split ended",
            split=tally.split.name,
            backend=tally.split.backend,
            why=why,
            requests=int(own.requests),
            error_rate=round(own.error_rate, 4),
            others_error_rate=round(others.error_rate, 4),
            ttft_p95_ms=round(own.ttft_p95_ms, 1),
            others_ttft_p95_ms=round(others.ttft_p95_ms, 1),
        )

    def split_begins(self, name: str) -> None:
        """A split that was ended may have requests again."""
        for why in _WHYS:
            self._slots.gauge(SPLIT_ENDED, name, why).set(0.0)
        self._log("info", "split begins", split=name)
