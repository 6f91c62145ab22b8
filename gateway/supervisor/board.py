"""What the control port shows of this gateway: readiness, metrics and backends, gathered from all workers."""

from importlib.metadata import PackageNotFoundError, version

from gateway.control.table import BackendRow, merge
from gateway.settings.shape import Secret
from gateway.supervisor import reach
from gateway.supervisor.fleet import Fleet
from gateway.telemetry.exposition import render
from gateway.telemetry.families import (
    BACKEND_IN_FLIGHT,
    BACKEND_LOAD,
    BACKEND_STATE,
    CONFIG_INFO,
    CONFIG_RELOADS,
    LOG_LINES_DROPPED,
    SUPERVISOR,
    WORKER,
    WORKER_RESTARTS,
    WORKERS_READY,
)
from gateway.telemetry.slots import REFUSED, Samples


class Tally:
    """A number that only grows, of this process."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        self.value += amount


class LiveBoard:
    """The board of a running gateway. `watch_reach` keeps its idea of reachable backends fresh."""

    def __init__(self, fleet: Fleet, log_lines_dropped: Tally) -> None:
        self._fleet = fleet
        self._log_lines_dropped = log_lines_dropped
        self._reachable = True
        self.reloads = {"accepted": 0, "refused": 0}

    def not_ready(self) -> str:
        if self._fleet.leaving.is_set():
            return "draining"
        if not self._fleet.ready:
            return "starting"
        if not self._reachable:
            return "no backend can be reached"
        return ""

    def admin_token(self) -> Secret:
        return self._fleet.settings.admin_token

    def backends(self) -> list[BackendRow]:
        return merge(self._fleet.tables())

    async def steer(self, which: str, *, resume: bool, for_s: float | None) -> list[str]:
        """Drain or resume a backend, or `region:R`, `pop:P`, `provider:X`: the backends that this was."""
        kind, _, name = which.rpartition(":")
        found = [
            backend.name
            for backend in self._fleet.settings.backends.values()
            if name
            == {"region": backend.region, "pop": backend.pop, "provider": backend.provider.name}.get(kind, backend.name)
        ]
        if found:
            await self._fleet.steer(found, resume=resume, for_s=for_s)
        return found

    def metrics(self) -> bytes:
        samples = self._fleet.totals.samples()
        samples.update(self._own())
        dropped = samples.setdefault((LOG_LINES_DROPPED.name, ()), [0.0])
        dropped[0] += self._log_lines_dropped.value
        return render((*WORKER, *SUPERVISOR, REFUSED), samples)

    async def look(self) -> None:
        """Find out whether any backend can be reached, where the workers' tables say that none works."""
        failing = reach.all_failing(self._fleet.tables())
        urls = [url for backend in self._fleet.settings.backends.values() for url in backend.base_urls]
        self._reachable = not failing or await reach.any_reachable(urls)

    def _own(self) -> Samples:
        settings = self._fleet.settings
        samples: Samples = {
            (CONFIG_INFO.name, (_version(), settings.revision, settings.pop)): [1.0],
            (WORKERS_READY.name, ()): [float(self._fleet.ready)],
            (WORKER_RESTARTS.name, ()): [float(self._fleet.replaced)],
        }
        for outcome, count in self.reloads.items():
            samples[CONFIG_RELOADS.name, (outcome,)] = [float(count)]
        for row in self.backends():
            for state, workers in row.states.items():
                samples[BACKEND_STATE.name, (row.name, row.provider, state)] = [float(workers)]
            samples[BACKEND_IN_FLIGHT.name, (row.name,)] = [float(row.in_flight)]
            backend = settings.backends.get(row.name)
            if backend is not None and backend.slots:
                samples[BACKEND_LOAD.name, (row.name,)] = [row.in_flight / backend.slots]
        return samples


def _version() -> str:
    try:
        return version("meridian-gateway")
    except PackageNotFoundError:
        return "source"
