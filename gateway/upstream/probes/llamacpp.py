"""llama.cpp's server: one model, or a router before several.

It may sleep (--sleep-idle-seconds), and what is asked of it may wake it: /health, /props, /models and /metrics don't,
/slots does (tools/server/README.md, Sleeping on Idle; tried with xllamacpp 2026.10). So /props is read first, and
/slots only where there are no metrics (--metrics) and it is awake. A server that loads its model answers 503, and is
loading, not dead. `llamacpp:kv_cache_usage_ratio` is gone from newer builds (llama.cpp #23632 asks for it back).
"""

from typing import Final
from urllib.parse import quote

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.openai_models import PATH as MODELS
from gateway.upstream.probes.openai_models import Model, listed
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import Answer, Ask, Look, Reading, Site, not_serving, read_json, wrong

HEALTH: Final = "/health"
PROPS: Final = "/props"
SLOTS: Final = "/slots"
METRICS: Final = "/metrics"
# A router's loaded models are asked one by one; four are what it loads by default (--models-max).
ROUTED_MOST: Final = 4

_SCRAPE: Final = Scrape(
    Signal("running", ("llamacpp:requests_processing",)),
    Signal("waiting", ("llamacpp:requests_deferred",)),
    Signal("kv", ("llamacpp:kv_cache_usage_ratio",), share=True, quiet=True),
    Signal("tokens_in", ("llamacpp:prompt_tokens_total",), quiet=True),
    Signal("tokens_out", ("llamacpp:tokens_predicted_total",), quiet=True),
)
_LOADED: Final = "loaded"


class _Props(Struct):
    total_slots: int = 0
    is_sleeping: bool = False


class _Slot(Struct):
    is_processing: bool = False


_props: Final = Decoder(_Props)
_slots: Final = Decoder(list[_Slot])


class Llamacpp:
    orca = False

    def __init__(self, site: Site) -> None:
        self._expected = site.models
        self._metrics = Ask(METRICS, port=site.metrics_port)
        self._asked = False
        self._routes = False

    def look(self, now: float) -> Look:
        del now
        health = yield Ask(HEALTH)
        ended = not_serving(health, self._expected)
        if ended is not None:
            self._asked = False
            return ended
        if not self._asked or self._routes:
            rows = listed((yield Ask(MODELS)))
            if rows is not None:
                self._asked = True
                self._routes = any(row.status is not None for row in rows)
            if rows is not None and self._routes:
                return (yield from self._several(rows))
        return (yield from self._one(wrong(HEALTH, health)))

    def _one(self, missing: frozenset[str]) -> Look:
        """The server of one model, which answers whatever name is asked for."""
        props = _read_props((yield Ask(PROPS)))
        if props is not None and props.is_sleeping:
            # It wakes by itself when it is asked, which takes it as long as any loading.
            return Reading(alive=True, slots=props.total_slots or None, models=frozenset(), loadable=self._names)
        answer = yield self._metrics
        found = _SCRAPE.read(self._metrics.where, answer)
        running, slots = found["running"], props.total_slots if props is not None else 0
        if answer.status not in (0, 200) and props is not None:
            busy = _busy((yield Ask(SLOTS)))
            running = float(busy) if busy is not None else None
        return Reading(
            alive=True,
            running=running,
            waiting=found["waiting"],
            kv=found["kv"],
            slots=slots or None,
            tokens_in=found["tokens_in"],
            tokens_out=found["tokens_out"],
            unmatched=found.unmatched,
            missing=found.missing | missing,
        )

    def _several(self, rows: list[Model]) -> Look:
        """A router: what is loaded, and how busy that is. Asking must not load what isn't."""
        loaded = [row for row in rows if row.status is not None and row.status.value == _LOADED]
        running = waiting = 0.0
        told = False
        missing = unmatched = frozenset[str]()
        for row in loaded[:ROUTED_MOST]:
            found = _SCRAPE.read(METRICS, (yield Ask(f"{METRICS}?model={quote(row.id, safe='')}&autoload=false")))
            missing |= found.missing
            unmatched |= found.unmatched
            if found["running"] is not None:
                told = True
                running += found["running"]
                waiting += found["waiting"] or 0.0
        known = told or not loaded
        return Reading(
            alive=True,
            running=running if known else None,
            waiting=waiting if known else None,
            models=_called(loaded),
            loadable=_called(rows) - _called(loaded),
            unmatched=unmatched,
            missing=missing,
        )

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(self._expected)


def _called(rows: list[Model]) -> frozenset[str]:
    return frozenset(name for row in rows for name in (row.id, *row.aliases))


def _read_props(answer: Answer) -> _Props | None:
    if answer.status != 200:
        return None
    try:
        return read_json(_props, answer.body)
    except ValueError:
        return None


def _busy(answer: Answer) -> int | None:
    """How many slots work; None where it doesn't say (--no-slots)."""
    if answer.status != 200:
        return None
    try:
        return sum(slot.is_processing for slot in read_json(_slots, answer.body))
    except ValueError:
        return None
