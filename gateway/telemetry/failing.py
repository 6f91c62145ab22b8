"""What fails at backends, beside the attempts themselves: which were ejected, and how much was tried again."""

from gateway.telemetry.families import EJECTIONS, RETRY_BUDGET
from gateway.telemetry.slots import SlotWriter


class Failing:
    """A worker's numbers, from what its table of backends shows a few times a second; its names are configured ones."""

    def __init__(self, slots: SlotWriter) -> None:
        self._slots = slots
        self._ejections: dict[str, int] = {}
        self._retried = slots.gauge(RETRY_BUDGET)

    def ejected(self, backend: str, why: str, count: int) -> None:
        """A backend was ejected `count` times so far, the last time for this. Fewer than before: it is a new one."""
        more = count - self._ejections.get(backend, 0)
        self._ejections[backend] = count
        if more > 0:
            self._slots.counter(EJECTIONS, backend, why).add(more)

    def retried(self, share: float, workers: int) -> None:
        """Show the share of retries. Gauges of workers are summed, so that each shows its part of their mean."""
        self._retried.set(share / workers)
