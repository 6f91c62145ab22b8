"""What probes show of servers, as gauges, and a log line where one stops telling something or tells it again."""

from gateway.telemetry.families import PROBE_SECONDS, PROBE_UNMATCHED, PROBE_UP
from gateway.telemetry.log import Log
from gateway.telemetry.slots import Family, SlotWriter

_NOTHING: frozenset[str] = frozenset()


class Probing:
    """A worker's notes of its probes. Gauges of workers are summed, and one of them probes: the others show 0."""

    def __init__(self, slots: SlotWriter, log: Log) -> None:
        self._slots = slots
        self._log = log
        self._shown: set[tuple[Family, tuple[str, ...]]] = set()
        self._noted: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def looked(self, backend: str, *, up: bool, took_s: float) -> None:
        """Show how the last look at a server went."""
        self._show(float(up), PROBE_UP, backend)
        self._show(took_s, PROBE_SECONDS, backend)

    def noted(self, backend: str, unmatched: frozenset[str], missing: frozenset[str]) -> None:
        """Show which signals have no name we know, and say what has changed."""
        before, missed = self._noted.get(backend, (_NOTHING, _NOTHING))
        self._noted[backend] = (unmatched, missing)
        for signal in before | unmatched:
            self._show(float(signal in unmatched), PROBE_UNMATCHED, backend, signal)
        if unmatched:
            if unmatched != before:
                self._log("warning", "probe signals unmatched", backend=backend, signals=sorted(unmatched))
        elif before:
            self._log("info", "probe signals matched", backend=backend, signals=sorted(before))
        if missing:
            if missing != missed:
                self._log("warning", "probe paths missing", backend=backend, paths=sorted(missing))
        elif missed:
            self._log("info", "probe paths answer", backend=backend, paths=sorted(missed))

    def left(self) -> None:
        """Show nothing more: another one probes, or nobody does."""
        for family, labels in self._shown:
            self._slots.gauge(family, *labels).set(0.0)
        self._noted.clear()

    def _show(self, value: float, family: Family, *labels: str) -> None:
        self._shown.add((family, labels))
        self._slots.gauge(family, *labels).set(value)
