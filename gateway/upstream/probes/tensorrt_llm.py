"""TensorRT-LLM's own server, trtllm-serve.

Its numbers are at /prometheus/metrics (/metrics is another thing there: JSON, which is gone once read), where the
configuration has `return_perf_metrics: true`, and its gauges where it has `enable_iter_perf_stats: true` as well; they
came with 1.3. Names: tensorrt_llm/metrics/collector.py.
"""

from typing import Final

from gateway.upstream.probes.gauges import Gauges
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import Site

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


class TensorrtLlm(Gauges):
    def __init__(self, site: Site) -> None:
        super().__init__(site, HEALTH, METRICS, _SCRAPE)
