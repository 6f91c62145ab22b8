"""TensorRT-LLM's own server, trtllm-serve.

Its numbers are at /prometheus/metrics (/metrics is another thing there: JSON, which is gone once read), where the
configuration has `return_perf_metrics: true`, and its gauges where it has `enable_iter_perf_stats: true` as well; they
came with 1.3. Names: tensorrt_llm/metrics/collector.py.
"""

from typing import Final

from gateway.upstream.probes.deltas import Mean
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import Ask, Look, Reading, Site, not_serving, wrong

HEALTH: Final = "/health"
METRICS: Final = "/prometheus/metrics"

_SCRAPE: Final = Scrape(
    Signal("running", ("trtllm_num_requests_running",)),
    Signal("waiting", ("trtllm_num_requests_waiting",)),
    Signal("kv", ("trtllm_kv_cache_utilization",), share=True),
    Signal("slots", ("trtllm_max_num_active_requests",), quiet=True),
    Signal("queue_sum", ("trtllm_request_queue_time_seconds_sum",), quiet=True),
    Signal("queue_count", ("trtllm_request_queue_time_seconds_count",), quiet=True),
    Signal("tokens_in", ("trtllm_prompt_tokens_total",), quiet=True),
    Signal("tokens_out", ("trtllm_generation_tokens_total",), quiet=True),
    witnesses=("trtllm_request_success_total",),
)


class TensorrtLlm:
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
            missing=found.missing | wrong(HEALTH, health),
        )
