"""`GET /metrics` under vLLM's names and labels, so that what reads vLLM reads the stand-in.

Names, labels and bucket bounds: vllm/v1/metrics/loggers.py, versions 0.9 to 0.11. The older names of the KV gauge and
of the time per token are there beside the new ones, because servers in the field have either.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from gateway.mock.ledger import Entry
from gateway.mock.options import MockOptions
from gateway.mock.slots import Slots

TTFT_BOUNDS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    *(160.0, 640.0, 2560.0),
)
TOKEN_BOUNDS_S = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_BOUNDS_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0),
    *(1920.0, 7680.0),
)
FINISHED_REASONS = ("stop", "length", "abort", "error")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_LORA_SERIES = 64


class Histogram:
    """Plain numbers: a count for each bound, one above them all, and the sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        seen = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {float(seen)}'
        yield f"{name}_sum{{{labels}}} {self.total}"
        yield f"{name}_count{{{labels}}} {float(seen)}"


class Meters:
    """Counters and histograms of one stand-in, and the page that shows them together with its slots."""

    __slots__ = (
        *(
            "_lora_series",
            "_options",
            "generation_tokens",
            "inter_token",
            "prompt_tokens",
            "queue_time",
            "request_time",
        ),
        *("success", "ttft"),
    )

    def __init__(self, options: MockOptions) -> None:
        self._options = options
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.success = dict.fromkeys(FINISHED_REASONS, 0)
        self.ttft = Histogram(TTFT_BOUNDS_S)
        self.inter_token = Histogram(TOKEN_BOUNDS_S)
        self.request_time = Histogram(REQUEST_BOUNDS_S)
        self.queue_time = Histogram(REQUEST_BOUNDS_S)
        self._lora_series: dict[tuple[str, str], float] = {}

    def note_adapters(self, slots: Slots, wall: float) -> None:
        """Stamp the adapters in use now. Older stamps stay on the page, as vLLM's do: the newest one holds."""
        if not self._options.loras:
            return
        key = (self._adapters(slots.running_entries()), self._adapters(slots.waiting_entries()))
        self._lora_series.pop(key, None)
        self._lora_series[key] = wall
        if len(self._lora_series) > _MOST_LORA_SERIES:
            del self._lora_series[next(iter(self._lora_series))]

    def _adapters(self, entries: Iterable[Entry]) -> str:
        names = {entry.model: None for entry in entries}
        return ",".join(name for name in names if name in self._options.loras)

    def kv_usage(self, slots: Slots) -> float:
        """The share of KV blocks held by prompts and answers under way, from 0 to 1."""
        size = self._options.block_tokens
        blocks = sum(-(-(entry.prompt_tokens + entry.tokens_sent) // size) for entry in slots.running_entries())
        return min(1.0, blocks / self._options.kv_blocks)

    def page(self, slots: Slots, wall: float) -> bytes:
        """The Prometheus text of this moment."""
        self.note_adapters(slots, wall)
        model = _escaped(self._options.models[0] if self._options.models else "")
        labels = f'engine="0",model_name="{model}"'
        usage = self.kv_usage(slots)
        lines: list[str] = []
        for name, kind, words, value in (
            ("num_requests_running", "gauge", "Requests that hold a slot.", slots.running),
            ("num_requests_waiting", "gauge", "Requests that wait for a slot.", slots.waiting),
            ("kv_cache_usage_perc", "gauge", "Share of the KV blocks in use, 0 to 1.", usage),
            ("gpu_cache_usage_perc", "gauge", "The older name of kv_cache_usage_perc.", usage),
            ("prompt_tokens_total", "counter", "Prompt tokens read.", self.prompt_tokens),
            ("generation_tokens_total", "counter", "Tokens written.", self.generation_tokens),
        ):
            lines += _family(name, kind, words, [f"vllm:{name}{{{labels}}} {float(value)}"])
        lines += _family(
            "request_success_total",
            "counter",
            "Requests that ended, by how.",
            [
                f'vllm:request_success_total{{{labels},finished_reason="{why}"}} {float(n)}'
                for why, n in self.success.items()
            ],
        )
        for name, words, histogram in (
            ("time_to_first_token_seconds", "Time to the first token.", self.ttft),
            ("inter_token_latency_seconds", "Time between two tokens.", self.inter_token),
            ("time_per_output_token_seconds", "The older name of inter_token_latency_seconds.", self.inter_token),
            ("e2e_request_latency_seconds", "Time from a request to the end of its answer.", self.request_time),
            ("request_queue_time_seconds", "Time spent waiting for a slot.", self.queue_time),
        ):
            lines += _family(name, "histogram", words, histogram.lines(f"vllm:{name}", labels))
        config = f'block_size="{self._options.block_tokens}",engine="0",num_gpu_blocks="{self._options.kv_blocks}"'
        lines += _family(
            "cache_config_info", "gauge", "Size of the KV cache.", [f"vllm:cache_config_info{{{config}}} 1.0"]
        )
        if self._lora_series:
            lines += _family(
                "lora_requests_info", "gauge", "Adapters in use; the newest value holds.", self._lora_lines()
            )
        return ("\n".join(lines) + "\n").encode()

    def _lora_lines(self) -> Iterator[str]:
        for (running, waiting), wall in self._lora_series.items():
            labels = (
                f'max_lora="{self._options.max_loras}",running_lora_adapters="{_escaped(running)}",'
                f'waiting_lora_adapters="{_escaped(waiting)}"'
            )
            yield f"vllm:lora_requests_info{{{labels}}} {wall!r}"


def _family(name: str, kind: str, words: str, samples: Iterable[str]) -> list[str]:
    return [f"# HELP vllm:{name} {words}", f"# TYPE vllm:{name} {kind}", *samples]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
