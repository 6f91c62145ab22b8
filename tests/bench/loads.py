"""Ways to put load on a contender; each measures one sample: CPU time of its processes, latency, memory, answers."""

import select
import subprocess
import sys
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import IO, Protocol, TypeVar

import msgspec

from tests.bench import accounting, holding, openloop
from tests.bench.bodies import Answer
from tests.bench.figures import bucket_quantile, buckets_since, histogram_buckets
from tests.bench.lineup import Contender, Cores, Upstream, read_page

_SCRIPT = Path(__file__).with_name("post.lua")
_OWN_TIME = "gateway_overhead_seconds"
_SLICES_CAP = 60
# Counters follow what they count within a tenth of a second.
_COUNTED_S = 0.25

_Report = TypeVar("_Report")


class Pace(msgspec.Struct, frozen=True):
    """How much of everything."""

    rounds: int
    seconds: int
    own_requests: int
    idle_streams: int


class Job(msgspec.Struct, frozen=True):
    """One work to be done by one contender."""

    contender: Contender
    upstream: Upstream
    path: str
    body_file: Path
    answer: Answer
    answer_bytes: int
    key: str
    cores: Cores
    pace: Pace

    @property
    def port(self) -> int:
        return self.contender.ports[self.upstream]

    @property
    def root(self) -> int | None:
        """The process whose tree is charged; `direct` has none."""
        return self.contender.running.pid if self.contender.running else None

    def on_load_core(self, *command: str) -> list[str]:
        return ["taskset", "--cpu-list", str(self.cores.load), *command]


class Outcome(msgspec.Struct, frozen=True):
    """What one run showed; `figures` are microseconds, KiB or counts, as their names say."""

    requests: int
    bad: int
    flaws: list[str]
    figures: dict[str, float]


class Load(Protocol):
    """A way to put load on a contender."""

    def seconds(self, pace: Pace) -> float:
        """About how long one sample takes."""
        ...

    def measure(self, job: Job) -> Outcome: ...


class WrkReport(msgspec.Struct, frozen=True):
    """The last line of post.lua."""

    requests: int
    bad: int
    seconds: float
    received_bytes: int
    p50_us: float
    p99_us: float


class Saturating(msgspec.Struct, frozen=True):
    """wrk: each of `connections` sends the next request when the answer is there."""

    connections: int

    def seconds(self, pace: Pace) -> float:
        return pace.seconds + 0.5

    def measure(self, job: Job) -> Outcome:
        report, charged = _charged(job, lambda: run_wrk(job, self.connections, job.pace.seconds))
        flaws = []
        if report.bad:
            flaws.append(f"wrk saw {report.bad} bad answers")
        # A cut answer still counts as one for wrk; too few bytes give it away.
        if report.received_bytes < report.requests * job.answer_bytes:
            flaws.append(f"{report.received_bytes} bytes for {report.requests} answers of {job.answer_bytes}")
        figures = charged.figures(report.requests)
        figures |= {"p50_us": report.p50_us, "p99_us": report.p99_us, "per_s": report.requests / report.seconds}
        return Outcome(report.requests, max(report.bad, len(flaws)), flaws, figures)


class Scheduled(msgspec.Struct, frozen=True):
    """Requests at a fixed rate, whether or not answers came back."""

    rate_per_s: float
    streams: bool = False

    def seconds(self, pace: Pace) -> float:
        return self._sending_s(pace) + (2.5 if self.streams else 1.0)

    def measure(self, job: Job) -> Outcome:
        order = openloop.Order(
            port=job.port,
            path=job.path,
            key=job.key,
            body_file=str(job.body_file),
            answer=job.answer,
            rate_per_s=self.rate_per_s,
            seconds=self._sending_s(job.pace),
            patience_s=10.0,
        )
        command = job.on_load_core(sys.executable, "-m", "tests.bench.openloop", msgspec.json.encode(order).decode())

        def run() -> openloop.Report:
            return msgspec.json.decode(_output(command, order.seconds + 30), type=openloop.Report)

        report, charged = _charged(job, run)
        figures = charged.figures(report.answered)
        latencies = {
            "p50_us": report.p50_us,
            "p99_us": report.p99_us,
            "first_byte_p50_us": report.first_byte_p50_us,
            "first_byte_p99_us": report.first_byte_p99_us,
        }
        figures |= {name: value for name, value in latencies.items() if value is not None}
        return Outcome(report.answered, report.bad, report.flaws, figures)

    def _sending_s(self, pace: Pace) -> float:
        return 1.0 + pace.seconds  # the first second warms up


class OwnTime(msgspec.Struct, frozen=True):
    """Many requests, then the gateway's own histogram of the time it added.

    Few connections, so that what is counted is the gateway's work and its pauses, not a queue that the load made.
    """

    connections: int

    def seconds(self, pace: Pace) -> float:
        return 2 + pace.own_requests / 10_000

    def measure(self, job: Job) -> Outcome:
        control_port = job.contender.control_port
        if control_port is None:
            return Outcome(0, 1, [f"{job.contender.name} has no control port"], {})
        try:
            before = _own_times(control_port)
            reports, charged = _charged(job, lambda: self._send(job))
            buckets = buckets_since(_own_times(control_port), before)
        except OSError as error:
            return Outcome(0, 1, [f"/metrics: {error}"], {})
        sent = sum(report.requests for report in reports)
        bad = sum(report.bad for report in reports)
        flaws = [f"wrk saw {bad} bad answers"] if bad else []
        counted = max(buckets.values(), default=0.0)
        # wrk leaves up to one request a connection unfinished when a slice ends.
        if not sent <= counted <= sent + self.connections * len(reports):
            flaws.append(f"{_OWN_TIME} counts {counted:.0f} for {sent} requests")
        p50_s, p999_s = bucket_quantile(buckets, 0.5), bucket_quantile(buckets, 0.999)
        figures = charged.figures(sent)
        if p50_s and p999_s:
            figures |= {"own_p50_us": p50_s * 1e6, "own_p999_us": p999_s * 1e6, "own_p999_over_p50": p999_s / p50_s}
        return Outcome(sent, max(bad, len(flaws)), flaws, figures)

    def _send(self, job: Job) -> list[WrkReport]:
        # wrk knows durations only: a second to learn the rate, then as many as are missing.
        reports = [run_wrk(job, self.connections, 1)]
        while (sent := sum(report.requests for report in reports)) < job.pace.own_requests:
            if len(reports) > _SLICES_CAP or not sent:
                break
            per_s = sent / sum(report.seconds for report in reports)
            reports.append(run_wrk(job, self.connections, min(20, ceil((job.pace.own_requests - sent) / per_s))))
        return reports


class Idle(msgspec.Struct, frozen=True):
    """Open streams on which nothing happens: memory before, with all of them open, and after they closed."""

    def seconds(self, pace: Pace) -> float:
        return 4 + pace.idle_streams / 1000

    def measure(self, job: Job) -> Outcome:
        assert job.root is not None
        self._hold(job, 50)  # what the first streams make is kept for later ones and is nobody's
        before = accounting.memory(job.root)
        wanted = job.pace.idle_streams
        opened, held, during = self._hold(job, wanted)
        time.sleep(1.0)
        after = accounting.memory(job.root)
        bad = wanted - min(opened.open, held.open)
        figures = {
            "streams": float(opened.open),
            "kib_per_stream": (during.pss_kib - before.pss_kib) / wanted,
            "rss_kib_per_stream": (during.rss_kib - before.rss_kib) / wanted,
            "before_mib": before.pss_kib / 1024,
            "kept_mib": (after.pss_kib - before.pss_kib) / 1024,
        }
        return Outcome(wanted, bad, opened.flaws + held.flaws, figures)

    def _hold(self, job: Job, streams: int) -> tuple[holding.Report, holding.Report, accounting.Memory]:
        order = holding.Order(
            port=job.port, path=job.path, key=job.key, body_file=str(job.body_file), streams=streams, ceiling_s=20.0
        )
        assert job.root is not None
        command = job.on_load_core(sys.executable, "-m", "tests.bench.holding", msgspec.json.encode(order).decode())
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            try:
                assert holder.stdin is not None
                assert holder.stdout is not None
                opened = msgspec.json.decode(_line(holder.stdout, order.ceiling_s + 10), type=holding.Report)
                time.sleep(0.5)
                during = accounting.memory(job.root)
                holder.stdin.close()
                held = msgspec.json.decode(_line(holder.stdout, 10), type=holding.Report)
                holder.wait(10)
            finally:
                holder.kill()
        return opened, held, during


class Charge(msgspec.Struct, frozen=True):
    """CPU time of the contender, and of everyone on its core, while a load ran."""

    own_ns: int | None
    own_tick_ns: int | None
    core_ns: int
    stolen_ns: int
    wall_ns: int

    def figures(self, requests: int) -> dict[str, float]:
        """Microseconds a request, and who else had the core: other processes, other machines of the host."""
        if self.own_ns is None or self.own_tick_ns is None or not requests:
            return {}
        return {
            "cpu_us": self.own_ns / 1000 / requests,
            "cpu_tick_us": self.own_tick_ns / 1000 / requests,
            "core_share": self.own_ns / self.wall_ns,
            "others_share": max(0.0, (self.core_ns - self.own_ns) / self.wall_ns),
            "stolen_share": self.stolen_ns / self.wall_ns,
        }


def _own_times(control_port: int) -> dict[float, float]:
    """The gateway's histogram of its own time, once all was counted."""
    time.sleep(_COUNTED_S)
    return histogram_buckets(read_page(control_port, "/metrics"), _OWN_TIME)


def run_wrk(job: Job, connections: int, seconds: int) -> WrkReport:
    """One run of wrk against the job's contender."""
    command = job.on_load_core(
        *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s"),
        *("--script", str(_SCRIPT), f"http://127.0.0.1:{job.port}{job.path}", "--", str(job.body_file), job.key),
    )
    return msgspec.json.decode(_output(command, seconds + 30).splitlines()[-1], type=WrkReport)


def _charged(job: Job, run: Callable[[], _Report]) -> tuple[_Report, Charge]:
    root = job.root
    before = accounting.cpu_time(root) if root else None
    core_before, wall_before = accounting.core(job.cores.proxy), time.monotonic_ns()
    report = run()
    core_after, wall_after = accounting.core(job.cores.proxy), time.monotonic_ns()
    own_ns = own_tick_ns = None
    if root and before:
        after = accounting.cpu_time(root)
        own_ns, own_tick_ns = after.ns_since(before), after.tick_ns_since(before)
    core_ns = core_after.busy_ns - core_before.busy_ns
    stolen_ns = core_after.stolen_ns - core_before.stolen_ns
    return report, Charge(own_ns, own_tick_ns, core_ns, stolen_ns, wall_after - wall_before)


def _output(command: list[str], ceiling_s: float) -> bytes:
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=ceiling_s, check=True).stdout.strip()


def _line(pipe: IO[bytes], ceiling_s: float) -> bytes:
    if not select.select([pipe], [], [], ceiling_s)[0]:
        raise TimeoutError(f"nothing printed within {ceiling_s} s")
    return pipe.readline()
