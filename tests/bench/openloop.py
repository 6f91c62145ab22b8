"""A caller that keeps to its schedule: requests leave at a fixed rate whether or not answers came back.

`python -m tests.bench.openloop ORDER`, the order as JSON; prints one JSON report. Latency counts from the scheduled
time, so a proxy that stalls pays for everyone it kept waiting. Every answer is read whole and checked.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
import time
from pathlib import Path
from typing import cast

import httptools
import msgspec
import uvloop

from tests.bench.bodies import Answer
from tests.bench.figures import percentile

_CONNECTIONS_CAP = 2000
_NS = 1_000_000_000


class Order(msgspec.Struct, frozen=True):
    """What to send where, how often, for how long; the first `warm_up_s` are sent but not reported."""

    port: int
    path: str
    key: str
    body_file: str
    answer: Answer
    rate_per_s: float
    seconds: float
    warm_up_s: float = 1.0
    patience_s: float = 5.0


class Report(msgspec.Struct, frozen=True):
    """What came back; latencies in microseconds from the scheduled time."""

    requests: int
    answered: int
    bad: int
    flaws: list[str]
    measured: int
    connections: int
    p50_us: float | None
    p99_us: float | None
    first_byte_p50_us: float | None
    first_byte_p99_us: float | None


class Caller(asyncio.Protocol):
    """One connection: sends a request when told, tells the crew when its answer is whole."""

    def __init__(self, crew: "Crew") -> None:
        self._crew = crew
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._due_ns = self._first_byte_ns = 0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape, not by class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.busy:
            self.busy = False
            self._crew.spoilt(f"connection lost after {len(self._body)} bytes")

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def call(self, due_ns: int) -> None:
        """Send the request that was due at `due_ns`."""
        assert self._transport is not None
        self.busy = True
        self._due_ns, self._first_byte_ns = due_ns, 0
        self._body.clear()
        self._transport.write(self._crew.request)

    def hang_up(self) -> None:
        self.busy = False
        if self._transport:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.hang_up()
            self._crew.spoilt(f"unreadable: {error}")

    def on_body(self, piece: bytes) -> None:
        if not self._first_byte_ns:
            self._first_byte_ns = time.monotonic_ns()
        self._body += piece

    def on_message_complete(self) -> None:
        if not self.busy:
            return
        self.busy = False
        now_ns = time.monotonic_ns()
        flaw = self._crew.order.answer.flaw(self._parser.get_status_code(), bytes(self._body))
        keep = self._parser.should_keep_alive() and self.usable
        if not keep and self._transport:
            self._transport.close()
        self._crew.finished(self, self._due_ns, self._first_byte_ns, now_ns, flaw)


class Crew:
    """All connections of one order and what they have seen."""

    def __init__(self, order: Order, body: bytes) -> None:
        self.order = order
        self.request = (
            f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nAuthorization: Bearer {order.key}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 3.54.0\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.total = int(order.rate_per_s * order.seconds)
        self.settled = asyncio.Event()
        self.answered = self.bad = self.opened = 0
        self.flaws: list[str] = []
        self._idle: list[Caller] = []
        self._callers: list[Caller] = []
        self._latency_ns: list[int] = []
        self._first_byte_ns: list[int] = []
        self._measure_from_ns = 0

    def starts(self, now_ns: int) -> None:
        self._measure_from_ns = now_ns + int(self.order.warm_up_s * _NS)

    async def open(self) -> Caller | None:
        """A new connection, or None (counted as a bad answer) when there cannot be one."""
        if self.opened >= _CONNECTIONS_CAP:
            self.spoilt(f"more than {_CONNECTIONS_CAP} connections")
            return None
        self.opened += 1
        loop = asyncio.get_running_loop()
        try:
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self.order.port)
        except OSError as error:
            self.spoilt(str(error))
            return None
        self._callers.append(caller)
        return caller

    def idle(self) -> Caller | None:
        """A connection that waits for work, the one used last first."""
        while self._idle:
            caller = self._idle.pop()
            if caller.usable:
                return caller
        return None

    def finished(self, caller: Caller, due_ns: int, first_byte_ns: int, now_ns: int, flaw: str | None) -> None:
        if caller.usable:
            self._idle.append(caller)
        if flaw:
            self.spoilt(flaw)
            return
        self.answered += 1
        if due_ns >= self._measure_from_ns:
            self._latency_ns.append(now_ns - due_ns)
            self._first_byte_ns.append(first_byte_ns - due_ns)
        self._settle()

    def spoilt(self, flaw: str) -> None:
        self.bad += 1
        if len(self.flaws) < 5:
            self.flaws.append(flaw)
        self._settle()

    def close(self) -> None:
        """Hang up everywhere; a request still unanswered is bad."""
        for caller in self._callers:
            if caller.busy:
                self.spoilt(f"no whole answer within {self.order.patience_s} s")
            caller.hang_up()

    def report(self) -> Report:
        latency_us = [ns / 1000 for ns in sorted(self._latency_ns)]
        first_byte_us = [ns / 1000 for ns in sorted(self._first_byte_ns)]
        return Report(
            requests=self.total,
            answered=self.answered,
            bad=self.bad,
            flaws=self.flaws,
            measured=len(latency_us),
            connections=self.opened,
            p50_us=percentile(latency_us, 0.50),
            p99_us=percentile(latency_us, 0.99),
            first_byte_p50_us=percentile(first_byte_us, 0.50),
            first_byte_p99_us=percentile(first_byte_us, 0.99),
        )

    def _settle(self) -> None:
        if self.answered + self.bad >= self.total:
            self.settled.set()


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`: interval and first expiry, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


class Ticks:
    """A kernel timer with a fixed period: the loop's own timers are a millisecond coarse."""

    def __init__(self, first_ns: int, period_ns: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = int(libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        spec = _TimerSpec(*divmod(period_ns, _NS), *divmod(first_ns, _NS))
        absolute = 1
        if self.descriptor < 0 or libc.timerfd_settime(self.descriptor, absolute, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd")

    def passed(self) -> int:
        """Periods that passed since the last call."""
        try:
            return int.from_bytes(os.read(self.descriptor, 8), sys.byteorder)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        os.close(self.descriptor)


async def drive(order: Order, body: bytes) -> Report:
    """Send at the rate for the time, wait for the answers, report."""
    loop = asyncio.get_running_loop()
    crew = Crew(order, body)
    first_ns = time.monotonic_ns() + 50_000_000
    period_ns = int(_NS / order.rate_per_s)
    crew.starts(first_ns)
    ticks = Ticks(first_ns, period_ns)
    sent = 0

    async def connect_and_call(due_ns: int) -> None:
        caller = await crew.open()
        if caller is not None:
            caller.call(due_ns)

    async with asyncio.TaskGroup() as connecting:

        def send_what_is_due() -> None:
            nonlocal sent
            for _ in range(min(ticks.passed(), crew.total - sent)):
                due_ns = first_ns + sent * period_ns
                sent += 1
                caller = crew.idle()
                if caller is not None:
                    caller.call(due_ns)
                else:
                    connecting.create_task(connect_and_call(due_ns))

        loop.add_reader(ticks.descriptor, send_what_is_due)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(crew.settled.wait(), order.seconds + order.patience_s)
        loop.remove_reader(ticks.descriptor)
    ticks.close()
    crew.close()
    return crew.report()


async def _main(order: Order, body: bytes) -> None:
    gc.disable()  # our own pauses would be taken for the proxy's
    sys.stdout.buffer.write(msgspec.json.encode(await drive(order, body)) + b"\n")


if __name__ == "__main__":
    _order = msgspec.json.decode(sys.argv[1], type=Order)
    uvloop.run(_main(_order, Path(_order.body_file).read_bytes()))
