"""Hugging Face's text-generation-inference, in maintenance: its batch and its queue; it has no KV gauge and no TTFT.

Names: docs/source/reference/metrics.md. Its gauges are made when they are first set, at the first request.
"""

from typing import Final

from gateway.upstream.probes.gauges import Gauges
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import Site

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


class Tgi(Gauges):
    def __init__(self, site: Site) -> None:
        super().__init__(site, HEALTH, METRICS, _SCRAPE)
