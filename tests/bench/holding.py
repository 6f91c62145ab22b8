"""A caller that opens many streams, waits for the first event of each, and holds them until told to let go.

`python -m tests.bench.holding ORDER`, the order as JSON. Prints a JSON report when all are open; when standard
input speaks or ends, it lets go and prints a second report: who was still there.
"""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import cast

import msgspec
import uvloop

_OPENING_AT_ONCE = 200


class Order(msgspec.Struct, frozen=True):
    """How many streams to open where."""

    port: int
    path: str
    key: str
    body_file: str
    streams: int
    ceiling_s: float = 20.0


class Report(msgspec.Struct, frozen=True):
    """Streams that are open now, and what the others said."""

    open: int
    flaws: list[str]


class Held(asyncio.Protocol):
    """One stream that is open once its head says 200 and the first event has begun."""

    def __init__(self, request: bytes, flaws: list[str]) -> None:
        self._request = request
        self._flaws = flaws
        self._heard = b""
        self._transport: asyncio.Transport | None = None
        self.begun = asyncio.Event()
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape, not by class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.begun.is_set():
            if b"data: " in data:
                self._spoil(f"more than one event: {data[:100].decode(errors='replace')}")
            return
        self._heard += data
        if not self._heard.startswith(b"HTTP/1.1 200 "[: len(self._heard)]):
            self._spoil(self._heard[:200].decode(errors="replace"))
        elif b"\r\n\r\n" in self._heard and b"data: " in self._heard:
            self.open = True
            self._heard = b""
            self.begun.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._spoil(f"connection lost: {exc}")

    def let_go(self) -> None:
        if self._transport:
            self._transport.abort()

    def _spoil(self, flaw: str) -> None:
        self.open = False
        self.begun.set()
        if len(self._flaws) < 5:
            self._flaws.append(flaw)


async def hold(order: Order, body: bytes, let_go: asyncio.Event) -> tuple[Report, Report]:
    """Open all, print that they are open, wait for `let_go`; reports before and after the wait."""
    loop = asyncio.get_running_loop()
    request = (
        f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nAuthorization: Bearer {order.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    flaws: list[str] = []
    streams: list[Held] = []
    turns = asyncio.Semaphore(_OPENING_AT_ONCE)

    async def open_one() -> None:
        async with turns:
            try:
                _, stream = await loop.create_connection(lambda: Held(request, flaws), "127.0.0.1", order.port)
            except OSError as error:
                flaws.append(str(error))
                return
            streams.append(stream)
            await stream.begun.wait()

    def report() -> Report:
        return Report(open=sum(stream.open for stream in streams), flaws=flaws[:5])

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(order.ceiling_s), asyncio.TaskGroup() as opening:
            for _ in range(order.streams):
                opening.create_task(open_one())
    opened = report()
    _print(opened)
    await let_go.wait()
    held = report()
    for stream in streams:
        stream.let_go()
    return opened, held


def _print(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


async def _main(order: Order, body: bytes) -> None:
    let_go = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), let_go.set)
    _, held = await hold(order, body, let_go)
    _print(held)


if __name__ == "__main__":
    _order = msgspec.json.decode(sys.argv[1], type=Order)
    uvloop.run(_main(_order, Path(_order.body_file).read_bytes()))
