"""SGLang. Its numbers are at /metrics where it was started with --enable-metrics, else, if it is newer, at /v1/loads.

/health runs a real generation unless SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION is off, as /health_generate always does:
neither is for every second. /v1/models is answered by the HTTP process alone. Names:
sglang/srt/observability/metrics_collector.py; docs.sglang.ai, Production Metrics.
"""

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.deltas import Mean
from gateway.upstream.probes.openai_models import PATH as MODELS
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import Answer, Ask, Look, Reading, Site, not_serving, read_json, wrong

METRICS: Final = "/metrics"
LOADS: Final = "/v1/loads"

# With metrics of all schedulers every rank of one engine tells the same; with priorities the total has none.
_RANKS: Final = frozenset({"tp_rank", "pp_rank", "moe_ep_rank", "pid"})
_PARTS: Final = frozenset({"priority"})
_SCRAPE: Final = Scrape(
    Signal("running", ("sglang:num_running_reqs", "sglang_num_running_reqs"), repeats=_RANKS, parts=_PARTS),
    Signal("waiting", ("sglang:num_queue_reqs", "sglang_num_queue_reqs"), repeats=_RANKS, parts=_PARTS),
    Signal("kv", ("sglang:token_usage", "sglang_token_usage"), share=True, repeats=_RANKS),
    Signal("queue_sum", ("sglang:queue_time_seconds_sum",), repeats=_RANKS, quiet=True),
    Signal("queue_count", ("sglang:queue_time_seconds_count",), repeats=_RANKS, quiet=True),
    Signal("tokens_in", ("sglang:prompt_tokens_total",), quiet=True),
    Signal("tokens_out", ("sglang:generation_tokens_total",), quiet=True),
    # Its processes write their gauges when they first work.
    witnesses=("sglang:prompt_tokens_total", "sglang:num_requests_total"),
)


class _Rank(Struct):
    """One engine's load. Before its first step all of it is 0, which isn't idleness."""

    num_running_reqs: int = 0
    num_waiting_reqs: int = 0
    max_running_requests: int = 0
    max_total_num_tokens: int = 0
    token_usage: float | None = None


class _Loads(Struct):
    loads: list[_Rank] = []


_decoder: Final = Decoder(_Loads)


class Sglang:
    orca = False

    def __init__(self, site: Site) -> None:
        self._expected = site.models
        self._metrics = Ask(METRICS, port=site.metrics_port)
        self._queue = Mean()

    def look(self, now: float) -> Look:
        del now
        there = yield Ask(MODELS)
        ended = not_serving(there, self._expected)
        if ended is not None:
            return ended
        answer = yield self._metrics
        found = _SCRAPE.read(self._metrics.where, answer)
        if answer.status not in (0, 200):
            loads = yield Ask(LOADS)
            if loads.status == 200:
                return _of_loads(loads)
        # It answers whatever model is asked for with the one it has, so its list excludes nothing.
        return Reading(
            alive=True,
            running=found["running"],
            waiting=found["waiting"],
            kv=found["kv"],
            queue_s=self._queue.moved(found["queue_sum"], found["queue_count"]),
            tokens_in=found["tokens_in"],
            tokens_out=found["tokens_out"],
            unmatched=found.unmatched,
            missing=found.missing | wrong(MODELS, there),
        )


def _of_loads(answer: Answer) -> Reading:
    """What /v1/loads tells; an empty list is a server that lost sight of its engines."""
    try:
        ranks = [rank for rank in read_json(_decoder, answer.body).loads if rank.max_total_num_tokens > 0]
    except ValueError:
        return Reading(alive=True, missing=frozenset({f"{LOADS} is not what it was"}))
    if not ranks:
        return Reading(alive=True)
    shares = [rank.token_usage for rank in ranks if rank.token_usage is not None]
    return Reading(
        alive=True,
        running=float(sum(rank.num_running_reqs for rank in ranks)),
        waiting=float(sum(rank.num_waiting_reqs for rank in ranks)),
        kv=min(1.0, sum(shares) / len(shares)) if shares else None,
        slots=sum(rank.max_running_requests for rank in ranks) or None,
    )
