"""Hugging Face's text-generation-inference, in maintenance: its batch and its queue; it has no KV gauge and no TTFT.

Names: docs/source/reference/metrics.md. Its gauges are made when they are first set, at the first request.
"""

from typing import Final

from gateway.upstream.probes.deltas import Mean
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import Ask, Look, Reading, Site, not_serving, wrong

HEALTH: Final = "/health"
METRICS: Final = "/metrics"

_SCRAPE: Final = Scrape(
    Signal("running", ("tgi_batch_current_size",)),
    Signal("waiting", ("tgi_queue_size",)),
    Signal("queue_sum", ("tgi_request_queue_duration_sum",), quiet=True),
    Signal("queue_count", ("tgi_request_queue_duration_count",), quiet=True),
    Signal("tokens_in", ("tgi_request_input_length_sum",), quiet=True),
    Signal("tokens_out", ("tgi_request_generated_tokens_sum",), quiet=True),
    witnesses=("tgi_request_count", "tgi_request_success"),
)


class Tgi:
    orca = False

    def __init__(self, site: Site) -> None:
        self._expected = site.models
        self._metrics = Ask(METRICS, port=site.metrics_port)
        self._queue = Mean()

    def look(self, now: float) -> Look:
        del now
        health = yield Ask(HEALTH)
        ended = not_serving(health, self._expected)
        if ended is not None:
            return ended
        found = _SCRAPE.read(self._metrics.where, (yield self._metrics))
        return Reading(
            alive=True,
            running=found["running"],
            waiting=found["waiting"],
            queue_s=self._queue.moved(found["queue_sum"], found["queue_count"]),
            tokens_in=found["tokens_in"],
            tokens_out=found["tokens_out"],
            unmatched=found.unmatched,
            missing=found.missing | wrong(HEALTH, health),
        )
