"""Where and with what a run was made, and how fast the machine was in that very run."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import nginx

_PACKAGES = ("uvloop", "httptools", "orjson", "msgspec", "aiohttp")
_CALIBRATION_TURNS = 300_000


def facts() -> dict[str, str]:
    """Versions, processor, kernel, load, and the revision measured where there is one."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        **versions,
        "nginx": _first_line([nginx.binary() or "nginx", "-v"]).removeprefix("nginx version: nginx/"),
        "wrk": _first_line(["wrk", "-v"]).split(" [")[0].removeprefix("wrk "),
        "cpu": _cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "load_average": f"{os.getloadavg()[0]:.2f}",
        "revision": _revision(),
    }


def calibration_ms(core: int) -> float:
    """CPU time of one fixed pure-Python loop on `core`: what figures of different runs may be scaled by."""
    with on_core(core):
        begun_ns = time.thread_time_ns()
        total = 0
        for turn in range(_CALIBRATION_TURNS):
            total += turn & 7
        return (time.thread_time_ns() - begun_ns) / 1e6


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is done meanwhile is done on `core`."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def command_line() -> str:
    """The command that repeats this run."""
    return " ".join(["python", "-m", "tests.bench.run", *sys.argv[1:]])


def _cpu_model(cpuinfo: str) -> str:
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _revision() -> str:
    described = _first_line(["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"])
    return "unknown" if described.startswith("fatal") else described


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "unknown"
    return (done.stdout or done.stderr).splitlines()[0] if (done.stdout or done.stderr) else "unknown"
