"""A kind of server that says with one path that it is well, and all of its load with its metrics."""

from gateway.upstream.probes.deltas import Mean
from gateway.upstream.probes.prometheus import Scrape
from gateway.upstream.probes.reading import Ask, Look, Reading, Site, not_serving, wrong


class Gauges:
    """Reads such a server; what a kind has no signal for is None, as everywhere."""

    orca = False

    def __init__(self, site: Site, health: str, metrics: str, scrape: Scrape) -> None:
        self._expected = site.models
        self._health = Ask(health)
        self._metrics = Ask(metrics, port=site.metrics_port)
        self._scrape = scrape
        self._queue = Mean()

    def look(self, now: float) -> Look:
        del now
        health = yield self._health
        ended = not_serving(health, self._expected)
        if ended is not None:
            return ended
        found = self._scrape.read(self._metrics.where, (yield self._metrics))
        slots = found["slots"]
        return Reading(
            alive=True,
            running=found["running"],
            waiting=found["waiting"],
            kv=found["kv"],
            slots=int(slots) if slots else None,
            queue_s=self._queue.moved(found["queue_sum"], found["queue_count"]),
            tokens_in=found["tokens_in"],
            tokens_out=found["tokens_out"],
            unmatched=found.unmatched,
            missing=found.missing | wrong(self._health.path, health),
        )
