"""ORCA load reports in the headers of answers: how loaded a server is, told with the answer itself.

A server sends one where the request asks for it: vLLM with whole answers only, and Triton where its backend is
TensorRT-LLM's. So it freshens what probes read, and replaces nothing. Format: the endpoint-load-metrics header of
Envoy's and gRPC's ORCA (xds.data.orca.v3.OrcaLoadReport); vllm/entrypoints/serve/utils/orca_metrics.py; Triton's client
README, ORCA Header Metrics. vLLM's front end in Rust leaves out the word that names the format.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Final, Protocol

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.reading import Reading, read_json

# Lower case: Triton documents it so, and vLLM takes either.
REQUEST_LINE: Final = b"endpoint-load-metrics-format: text\r\n"
HEADER: Final = b"endpoint-load-metrics"
# The same as a protobuf message in base64, which servers of ours send to nobody who asked for text: it isn't read.
BINARY_HEADER: Final = b"endpoint-load-metrics-bin"

MOST_BYTES: Final = 4096
# Of a busy server's answers, one in so long is read: load changes no faster, and whoever decides by it makes more anew.
EVERY_S: Final = 0.25
# One that reports nothing was built or started without it; the next version may.
SILENT_S: Final = 60.0
_NAMED: Final = "named_metrics."
_RUNNING: Final = ("num_requests_running",)
_WAITING: Final = ("num_requests_waiting",)
_KV: Final = ("kv_cache_usage_perc", "kv_cache_utilization")


class _Report(Struct):
    named_metrics: dict[str, float] = {}


_decoder: Final = Decoder(_Report)


class Told(Protocol):
    """Who wants to know what was read."""

    def reported(self, backend: str, reading: Reading, now: float) -> None:
        """An answer told at `now` (monotonic seconds) a part of what its server could tell."""
        ...


class Answered(Protocol):
    """A connection on which an answer has come."""

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...


class Reports:
    """Reads the reports of one worker's answers."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._due: dict[str, float] = {}

    def answered(self, backend: str, connection: Answered, now: float) -> None:
        """A backend that was asked for its report has answered. What can't be read is as good as not told."""
        if now < self._due.get(backend, now):
            return
        value = connection.headers.get(HEADER)
        try:
            reading = None if value is None else read(value)
        except ValueError:
            reading = None
        if reading is None:
            self._due[backend] = now + SILENT_S
        else:
            self._due[backend] = now + EVERY_S
            self._told.reported(backend, reading, now)


def read(value: bytes) -> Reading:
    """What a header's value tells, which is a part: merge it with `Reading.over`. ValueError with the reason if not."""
    if len(value) > MOST_BYTES:
        raise ValueError("a load report above the limit")
    value = value.strip(b" \t")
    form, _, rest = value.partition(b" ")
    if form.upper() == b"JSON":
        named: Mapping[str, float] = read_json(_decoder, rest).named_metrics
    elif form.upper() == b"TEXT":
        named = _of_text(rest)
    elif value.startswith(b"{"):
        named = read_json(_decoder, value).named_metrics
    elif value.startswith(_NAMED.encode()):
        named = _of_text(value)
    else:
        raise ValueError("a load report that is neither text nor JSON")
    kv = _first(named, _KV)
    return Reading(
        alive=True,
        running=_first(named, _RUNNING),
        waiting=_first(named, _WAITING),
        kv=kv if kv is None or kv <= 1.0 else None,
    )


def _of_text(rest: bytes) -> dict[str, float]:
    """`name=number` by commas; the names of the map are behind its own and a dot."""
    named = {}
    for pair in rest.decode("latin-1").split(","):
        name, equals, number = pair.strip().partition("=")
        if not equals:
            raise ValueError("a load report without a value")
        if name.startswith(_NAMED):
            named[name.removeprefix(_NAMED)] = float(number)
    return named


def _first(named: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    for name in names:
        value = named.get(name)
        if value is not None and isfinite(value) and value >= 0.0:
            return value
    return None
