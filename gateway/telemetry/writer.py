"""The queue of log lines and the thread that writes them.

The loop appends finished lines; it never writes and never waits. The thread wakes when there is something, gathers for
a while, and writes the lot at once, outside the interpreter lock. Where nobody reads, lines are dropped and counted.
"""

import fcntl
import os
import time
from collections.abc import Mapping
from threading import Event, Thread
from typing import Literal, Protocol

import orjson

from gateway.clock import Clock, RealClock

Level = Literal["debug", "info", "warning", "error"]
Field = str | int | float | bool | None | list[str]

GATHER_S = 0.075
MOST_LINES = 16_384


def encode_event(wall_s: float, level: Level, event: str, fields: Mapping[str, Field]) -> bytes:
    """One line for a rare event; control characters in any text are escaped."""
    return orjson.dumps(
        {"time": stamp(wall_s), "level": level, "event": event, **fields}, option=orjson.OPT_APPEND_NEWLINE
    )


def stamp(wall_s: float) -> str:
    """A UTC time to the millisecond, as RFC 3339 writes it."""
    second, milliseconds = divmod(int(wall_s * 1e3), 1000)
    return f"{day(second)}.{milliseconds:03d}Z"


def day(second: int) -> str:
    """A UTC date and time to the second; RFC 3339 wants a `Z` behind it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class Count(Protocol):
    """What the writer needs of a counter."""

    def add(self, amount: float) -> None: ...


class LogWriter:
    """The queue and its thread. Several processes may share `fd`: each locks it for a write, so lines never mix."""

    def __init__(
        self,
        fd: int,
        dropped: Count,
        *,
        clock: Clock | None = None,
        gather_s: float = GATHER_S,
        most_lines: int = MOST_LINES,
    ) -> None:
        self._clock: Clock = clock or RealClock()
        self._fd = fd
        self._dropped = dropped
        self._unreported = 0
        self._gather_s = gather_s
        self._most_lines = most_lines
        self._pending: list[bytes] = []
        self._some = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue one line, its newline included; dropped and counted where the queue is full."""
        pending = self._pending
        if len(pending) >= self._most_lines:
            self._dropped.add(1.0)
            self._unreported += 1
            return
        pending.append(line)
        if len(pending) == 1:
            self._some.set()

    def close(self, within_s: float = 2.0) -> None:
        """Write what is queued and end the thread; give up after `within_s`."""
        self._stopping.set()
        self._some.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._some.wait()
            self._stopping.wait(self._gather_s)
            self._some.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        # One slice and one deletion, each a single step under the interpreter lock: no line is lost between them.
        count = len(self._pending)
        batch = self._pending[:count]
        del self._pending[:count]
        if not batch:
            return
        if self._unreported:
            batch.append(encode_event(self._clock.wall(), "warning", "log lines dropped", {"lines": self._unreported}))
            self._unreported = 0
        try:
            self._write(b"".join(batch))
        except OSError:
            self._dropped.add(float(len(batch)))

    def _write(self, data: bytes) -> None:
        # A pipe keeps 4 KiB together and no more, and the workers share one; a record lock keeps their lines apart.
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
