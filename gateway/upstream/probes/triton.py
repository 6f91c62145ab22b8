"""NVIDIA's Triton, by its own protocol or by its OpenAI front end.

The front end has /health/ready and /metrics on its port (python/openai, routers/observability.py); the server has
/v2/health/ready, the repository's index, and its metrics on a port of their own: 8002 where HTTP is 8000, so two above
whichever HTTP has unless somebody says. Names: docs/user_guide/metrics.md; docs/protocol/extension_model_repository.md;
of the TensorRT-LLM backend, its README, Triton Metrics.

`nv_inference_exec_count`, which others took for the requests it works on, counts up for ever; plain Triton has no gauge
for those.
"""

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.deltas import Mean, PerSecond
from gateway.upstream.probes.openai_models import PATH as MODELS
from gateway.upstream.probes.openai_models import listed
from gateway.upstream.probes.prometheus import Found, Scrape, Signal
from gateway.upstream.probes.reading import DEAD, Answer, Ask, Look, Reading, Site, read_json, wrong

READY: Final = "/v2/health/ready"
INDEX: Final = "/v2/repository/index"
FRONT_READY: Final = "/health/ready"
METRICS: Final = "/metrics"
INDEX_EVERY: Final = 5
# --http-port and --metrics-port, of which both or neither are changed; ports of front doors say nothing of them.
METRICS_PORT: Final = 8002
METRICS_ABOVE_HTTP: Final = 2
_FRONT_DOORS: Final = frozenset({0, 80, 443})

_REQUESTS: Final = "nv_trt_llm_request_metrics"
_BLOCKS: Final = "nv_trt_llm_kv_cache_block_metrics"
_QUEUE_US: Final = 1e-6
_SCRAPE: Final = Scrape(
    Signal("pending", ("nv_inference_pending_request_count",)),
    # Of the TensorRT-LLM backend alone.
    Signal("running", (_REQUESTS,), labels={"request_type": "scheduled"}, quiet=True),
    Signal("waiting", (_REQUESTS,), labels={"request_type": "waiting"}, quiet=True),
    Signal("slots", (_REQUESTS,), labels={"request_type": "max"}, quiet=True),
    Signal("kv", (_BLOCKS,), share=True, labels={"kv_cache_block_type": "fraction"}, quiet=True),
    Signal("blocks_used", (_BLOCKS,), labels={"kv_cache_block_type": "used"}, quiet=True),
    Signal("blocks", (_BLOCKS,), labels={"kv_cache_block_type": "max"}, quiet=True),
    Signal("queue_us", ("nv_inference_queue_duration_us",), quiet=True),
    Signal("done", ("nv_inference_request_success",), quiet=True),
    Signal("watts", ("nv_gpu_power_usage",), quiet=True),
    Signal("joules", ("nv_energy_consumption",), quiet=True),
    # Its models' series come with the first model, and a repository may be empty.
    witnesses=("nv_inference_request_success",),
)


class _Model(Struct):
    name: str
    state: str = ""


_index: Final = Decoder(list[_Model])


class Triton:
    orca = True  # where the backend is TensorRT-LLM's

    def __init__(self, site: Site) -> None:
        self._said = site.metrics_port
        self._above = METRICS_PORT if site.port in _FRONT_DOORS else site.port + METRICS_ABOVE_HTTP
        self._looks = 0
        self._front = False
        self._listed: tuple[frozenset[str] | None, frozenset[str]] = (None, frozenset())
        self._queue = Mean()
        self._energy = PerSecond()

    def look(self, now: float) -> Look:
        path = FRONT_READY if self._front else READY
        ready = yield Ask(path)
        if ready.status == 404:
            # What is asked is the other one of the two; it is remembered.
            self._front = not self._front
            path = FRONT_READY if self._front else READY
            ready = yield Ask(path)
        if not ready.alive:
            self._looks = 0
            return DEAD
        if self._looks % INDEX_EVERY == 0:
            answer = yield (Ask(MODELS) if self._front else Ask(INDEX, body=b"{}"))
            if answer.status:
                self._listed = _of_list(answer) if self._front else _of_index(answer)
        self._looks += 1
        # The metrics are last: another port may be shut, and silence there takes what is left of the time.
        metrics = Ask(METRICS, port=self._said if self._front else self._said or self._above)
        found = _SCRAPE.read(metrics.where, (yield metrics))
        # 400: it is up and some model isn't ready (--strict-readiness, which is the default).
        unready = ready.status == 400
        missing = frozenset() if unready else wrong(path, ready)
        return self._reading(found, missing, now, loading=unready and not self._listed[0])

    def _reading(self, found: Found, missing: frozenset[str], now: float, *, loading: bool) -> Reading:
        waiting, pending, slots = found["waiting"], found["pending"], found["slots"]
        queue_us = found["queue_us"]
        measured = self._energy.moved(found["joules"], now)
        models, loadable = self._listed
        return Reading(
            alive=True,
            loading=loading,
            running=found["running"],
            waiting=pending if waiting is None else waiting + (pending or 0.0),
            kv=_kv(found),
            slots=int(slots) if slots else None,
            queue_s=self._queue.moved(None if queue_us is None else queue_us * _QUEUE_US, found["done"]),
            models=models,
            loadable=loadable,
            # The meter's difference is the mean between two looks, the gauge only a moment.
            watts=found["watts"] if measured is None else measured,
            unmatched=frozenset("waiting" if word == "pending" else word for word in found.unmatched),
            missing=found.missing | missing,
        )


def _kv(found: Found) -> float | None:
    """The used share of the cache: told as such, or from its blocks by versions that don't."""
    if found["kv"] is not None:
        return found["kv"]
    used, most = found["blocks_used"], found["blocks"]
    return min(1.0, used / most) if used is not None and most else None


def _of_index(answer: Answer) -> tuple[frozenset[str] | None, frozenset[str]]:
    """Models that are ready, and those on their way. What is merely in the repository, somebody else has to load."""
    if answer.status != 200:
        return None, frozenset()
    try:
        rows = read_json(_index, answer.body)
    except ValueError:
        return None, frozenset()
    ready = frozenset(row.name for row in rows if row.state == "READY")
    return ready, frozenset(row.name for row in rows if row.state == "LOADING") - ready


def _of_list(answer: Answer) -> tuple[frozenset[str] | None, frozenset[str]]:
    rows = listed(answer)
    return (frozenset(row.id for row in rows), frozenset()) if rows else (None, frozenset())
