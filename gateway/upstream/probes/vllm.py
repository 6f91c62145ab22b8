"""vLLM, and our stand-in, which tells what vLLM tells.

Names: vllm/v1/metrics/loggers.py; docs.vllm.ai, Production Metrics. Several engines (data parallelism) have a series
each, by the label `engine`. With --disable-log-stats there are no gauges at all.
"""

from collections.abc import Iterable
from typing import Final

from gateway.upstream.probes.deltas import Mean
from gateway.upstream.probes.openai_models import PATH as MODELS
from gateway.upstream.probes.openai_models import Model, listed
from gateway.upstream.probes.prometheus import Sample, Scrape, Signal
from gateway.upstream.probes.reading import Ask, Look, Reading, Site, not_serving, wrong

HEALTH: Final = "/health"
METRICS: Final = "/metrics"
# An adapter that is loaded by POST /v1/load_lora_adapter is known this many looks later at most.
MODELS_EVERY: Final = 5

_LORA: Final = "vllm:lora_requests_info"
_SLEEP: Final = "vllm:engine_sleep_state"
_SCRAPE: Final = Scrape(
    Signal("running", ("vllm:num_requests_running",)),
    Signal("waiting", ("vllm:num_requests_waiting",)),
    # The older name is the second; who went on reading that one alone read 0 (production-stack).
    Signal("kv", ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"), share=True),
    Signal("queue_sum", ("vllm:request_queue_time_seconds_sum",), quiet=True),
    Signal("queue_count", ("vllm:request_queue_time_seconds_count",), quiet=True),
    Signal("tokens_in", ("vllm:prompt_tokens_total",), quiet=True),
    Signal("tokens_out", ("vllm:generation_tokens_total",), quiet=True),
    also=(_LORA, _SLEEP),
)


class Vllm:
    orca = True  # on whole answers only: vllm/entrypoints/serve/utils/orca_metrics.py

    def __init__(self, site: Site) -> None:
        self._expected = site.models
        self._metrics = Ask(METRICS, port=site.metrics_port)
        self._looks = 0
        self._listed: list[Model] | None = None
        self._queue = Mean()

    def look(self, now: float) -> Look:
        del now
        health = yield Ask(HEALTH)
        ended = not_serving(health, self._expected)
        if ended is not None:
            self._looks = 0
            return ended
        found = _SCRAPE.read(self._metrics.where, (yield self._metrics))
        if self._looks % MODELS_EVERY == 0:
            answer = yield Ask(MODELS)
            self._listed = listed(answer) if answer.status else self._listed
        self._looks += 1
        asleep = _asleep(found.samples.get(_SLEEP, ()))
        adapters, most = _adapters(found.samples.get(_LORA, ()))
        models, loadable = _models(self._listed, adapters)
        return Reading(
            alive=True,
            running=None if asleep else found["running"],
            waiting=None if asleep else found["waiting"],
            kv=None if asleep else found["kv"],
            queue_s=self._queue.moved(found["queue_sum"], found["queue_count"]),
            # It answers nothing until somebody sends it POST /wake_up, so nothing is in its memory nor will be.
            models=frozenset() if asleep else models,
            loadable=frozenset() if asleep else loadable,
            adapters=adapters,
            adapters_most=most,
            tokens_in=found["tokens_in"],
            tokens_out=found["tokens_out"],
            unmatched=found.unmatched,
            missing=found.missing | wrong(HEALTH, health),
        )


def _asleep(samples: Iterable[Sample]) -> bool:
    """Whether every engine sleeps. One that does shows empty queues and would draw all traffic."""
    awake = [sample.value for sample in samples if sample.labels.get("sleep_state") == "awake"]
    return bool(awake) and not any(awake)


def _adapters(samples: Iterable[Sample]) -> tuple[frozenset[str] | None, int | None]:
    """The adapters in use, and how many may be at once. Older series stay; the newest one, by its value, holds."""
    newest = max(samples, key=lambda sample: sample.value, default=None)
    most = newest.labels.get("max_lora", "") if newest is not None else ""
    if newest is None or most == "0":
        return None, None
    names = ",".join(newest.labels.get(label, "") for label in ("running_lora_adapters", "waiting_lora_adapters"))
    in_use = frozenset(name.strip() for name in names.split(",")) - {""}
    return in_use, int(most) if most.isascii() and most.isdigit() else None


def _models(rows: list[Model] | None, adapters: frozenset[str] | None) -> tuple[frozenset[str] | None, frozenset[str]]:
    """What it has in memory, and what it loads when asked: adapters that it serves and nobody uses now."""
    if not rows:
        return None, frozenset()
    names = frozenset(row.id for row in rows)
    if adapters is None:
        return names, frozenset()
    idle = frozenset(row.id for row in rows if row.parent is not None) - adapters
    return names - idle, idle
