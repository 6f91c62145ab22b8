"""A streaming model server that costs next to nothing: bytes made beforehand, one write an event.

`python -m tests.bench.streaming BURST_PORTS PACED_PORTS HELD_PORTS`, each a comma-separated list.
Burst: an event each turn of the loop. Paced: one each 20 ms, the first after 0 to 20 ms. Held: one event, then silence
until the caller leaves.
"""

import asyncio
import enum
import itertools
import sys
from functools import partial
from typing import cast

import httptools
import uvloop

from tests.bench.bodies import chunked, stream_events

PACE_S = 0.020
_GOLDEN = 0.6180339887


class Pace(enum.Enum):
    """When the next event follows."""

    BURST = "burst"
    PACED = "paced"
    HELD = "held"


_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"x-request-id: req_31d0c9e27b\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_EVENTS = [chunked(event) for event in stream_events()]
_END = chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_WRITES = [_HEAD + _EVENTS[0], *_EVENTS[1:], _END]
_IDLE_BODY = b'{"object":"list","data":[{"id":"bench-upstream","object":"model"}]}'
_IDLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_IDLE_BODY),
    _IDLE_BODY,
)
_STREAMS = itertools.count()


class Streamer(asyncio.Protocol):
    """One connection; a POST is answered with a stream, anything else (health, models) with one fixed body."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape, not by class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport:
                self._transport.close()

    def on_message_complete(self) -> None:
        if self._transport is None:
            return
        if self._parser.get_method() != b"POST":
            self._transport.write(_IDLE)
            return
        self._next = 0
        if self._pace is Pace.PACED:
            # Streams that start a multiple of 20 ms apart would beat as one and wake the proxy once for all of them.
            self._loop.call_later(PACE_S * (next(_STREAMS) * _GOLDEN % 1), self._write_next)
        else:
            self._write_next()

    def _write_next(self) -> None:
        if self._transport is None:
            return
        self._transport.write(_WRITES[self._next])
        self._next += 1
        if self._next == len(_WRITES) or self._pace is Pace.HELD:
            return
        if self._pace is Pace.PACED:
            self._loop.call_later(PACE_S, self._write_next)
        else:
            self._loop.call_soon(self._write_next)


async def serve(ports: dict[Pace, list[int]]) -> list[asyncio.Server]:
    """Listen on loopback, each port at its pace."""
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(partial(Streamer, pace), "127.0.0.1", port, backlog=4096)
        for pace, some in ports.items()
        for port in some
    ]


async def _main(arguments: list[str]) -> None:
    await serve({pace: [int(port) for port in text.split(",")] for pace, text in zip(Pace, arguments, strict=True)})
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1:]))
