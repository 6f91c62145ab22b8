"""Processes of a benchmark: pinned to a core, logged to a file, ended by their ids."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.bench import accounting

_END_S = 5.0


class StartError(Exception):
    """A process that should serve ended or never answered; the message has the end of its log."""


class Running(msgspec.Struct, frozen=True):
    """A started process."""

    name: str
    pid: int
    log: Path

    def log_tail(self, size_bytes: int = 2000) -> str:
        """The end of what it printed."""
        text = self.log.read_bytes()[-size_bytes:]
        return text.decode(errors="replace")

    def cap_log(self, cap_bytes: int = 64 * 1024 * 1024) -> None:
        """Empty a log that has grown large; the process appends, so it goes on at the start."""
        if self.log.stat().st_size > cap_bytes:
            os.truncate(self.log, 0)


class Company:
    """Everything that was started here, ended on the way out whatever happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[tuple[Running, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for running, child in reversed(self._children):
            _end(running.pid, child)

    def start(self, name: str, command: Sequence[str], core: int, env: Mapping[str, str] | None = None) -> Running:
        """Start `command` on one core, in a session of its own; without `env` in our environment."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as sink:
            child = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        running = Running(name=name, pid=child.pid, log=log)
        self._children.append((running, child))
        return running

    def wait_until(self, running: Running, ready: Callable[[], str | None], ceiling_s: float = 20.0) -> None:
        """Wait until `ready` finds nothing missing.

        Raises StartError when the process ends before, or the ceiling passes.
        """
        child = next(child for known, child in self._children if known.pid == running.pid)
        deadline_s = time.monotonic() + ceiling_s
        while missing := ready():
            code = child.poll()
            if code is not None:
                raise StartError(f"{running.name} ended with {code}:\n{running.log_tail()}")
            if time.monotonic() > deadline_s:
                raise StartError(f"{running.name} after {ceiling_s:.0f} s: {missing}\n{running.log_tail()}")
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now, all different."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [int(holder.getsockname()[1]) for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def _end(root: int, child: subprocess.Popen[bytes]) -> None:
    # A worker may outlive its supervisor, so the tree is written down first; a start time tells a reused id.
    known = {pid: stat.started_ticks for pid in accounting.tree(root) if (stat := accounting.stat_of(pid))}
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    _kill({pid: started_ticks for pid, started_ticks in known.items() if pid != root})


def end_below(root: int) -> None:
    """End every descendant of `root`: also one that a signal cut off from whoever was just starting it."""
    _kill({pid: stat.started_ticks for pid in accounting.tree(root)[1:] if (stat := accounting.stat_of(pid))})


def _kill(left: dict[int, int]) -> None:
    deadline_s = time.monotonic() + _END_S
    while left and time.monotonic() < deadline_s:
        left = {pid: started_ticks for pid, started_ticks in left.items() if accounting.lives(pid, started_ticks)}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01 if left else 0)
