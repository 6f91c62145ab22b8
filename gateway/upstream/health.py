"""What this worker has seen of each backend, from the requests themselves."""

from gateway.channel import BackendState
from gateway.exchange import Attempt
from gateway.settings.shape import Backend

EWMA_SHARE = 0.1
FAILING_AFTER = 5


def moved(average_s: float, sample_s: float) -> float:
    """An EWMA after one more sample; the first sample is taken whole."""
    return sample_s if average_s == 0.0 else average_s + EWMA_SHARE * (sample_s - average_s)


class Health:
    """The live table of backends."""

    def __init__(self, backends: dict[str, Backend]) -> None:
        self._rows = {name: _row(backend) for name, backend in backends.items()}

    def row(self, backend: str) -> BackendState:
        return self._rows[backend]

    def rows(self) -> list[BackendState]:
        return list(self._rows.values())

    def inherit(self, older: "Health") -> None:
        """After a reload, keep what is known of backends that are still there."""
        for name, row in older._rows.items():
            if name in self._rows:
                mine = self._rows[name]
                row.provider, row.region, row.country = mine.provider, mine.region, mine.country
                self._rows[name] = row

    def began(self, attempt: Attempt) -> None:
        self._rows[attempt.target.backend.name].in_flight += 1

    def ended(self, attempt: Attempt, *, hurts: bool, output_tokens: int, stream: bool) -> None:
        """Count one finished attempt. Only streams feed the estimates: a whole answer's wait is no first token."""
        row = self._rows[attempt.target.backend.name]
        row.in_flight -= 1
        if attempt.outcome == "answered":
            row.answered += 1
            row.consecutive_failures = 0
            row.state = "healthy"
            if stream and attempt.first_content:
                row.ttft_s = moved(row.ttft_s, attempt.first_content - attempt.started)
                if output_tokens > 1:
                    spread = (attempt.ended - attempt.first_content) / (output_tokens - 1)
                    row.tpot_s = moved(row.tpot_s, spread)
        elif hurts:
            row.failed += 1
            row.consecutive_failures += 1
            row.last_error = attempt.outcome
            row.state = "failing" if row.consecutive_failures >= FAILING_AFTER else row.state


def _row(backend: Backend) -> BackendState:
    return BackendState(
        name=backend.name, provider=backend.provider.name, region=backend.region, country=backend.country
    )
