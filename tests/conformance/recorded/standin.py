"""A provider made of recordings: whoever asks for a model named `rec-N-…` hears recording N, byte for byte.

Streams leave in pieces cut where no event ends. It speaks raw HTTP, since what it plays must not pass through anybody's
idea of it.
"""

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Self
from zlib import crc32

from msgspec import Struct

from tests.conformance.recorded.corpus import Recording

_TAG = re.compile(rb"rec-(\d+)-\w+")
_STREAMED = re.compile(rb'"stream"\s*:\s*true')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}
_MOST_PIECES = 40


def tag(number: int, caller: str) -> str:
    """The model's name by which a caller asks for a recording."""
    return f"rec-{number}-{caller}"


class Question(Struct):
    """How a recording was asked for."""

    path: str
    stream: bool


def cut(body: bytes) -> Iterator[bytes]:
    """The body in at most forty odd pieces, always the same for the same body."""
    seed = crc32(body)
    least = len(body) // _MOST_PIECES
    at = 0
    while at < len(body):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        size = least + 1 + (seed >> 16) % (least + 7)
        yield body[at : at + size]
        at += size


class StandIn:
    """Listens on a loopback port of its own while it is entered; `asked` says how each name was asked for last."""

    def __init__(self, recordings: Mapping[int, Recording]) -> None:
        self.asked: dict[str, Question] = {}
        self.url = ""
        self._recordings = recordings
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._answer_all, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                await self._answer(head, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        line = head.partition(b"\r\n")[0]
        found = _TAG.search(line) or _TAG.search(body)
        recording = self._recordings.get(int(found[1])) if found else None
        if found is None or recording is None:
            writer.write(b"HTTP/1.1 418 No Recording\r\ncontent-length: 0\r\n\r\n")
            return
        path = line.split(b" ")[1]
        stream = b"stream" in path.lower() or _STREAMED.search(body) is not None
        self.asked[found[0].decode()] = Question(path.decode(), stream)
        reason = _REASONS.get(recording.status, "Refused")
        start = f"HTTP/1.1 {recording.status} {reason}\r\ncontent-type: {recording.content_type}\r\n".encode()
        if recording.status != 200 or not recording.stream:
            writer.write(start + b"content-length: %d\r\n\r\n" % len(recording.answer) + recording.answer)
            await writer.drain()
            return
        writer.write(start + b"transfer-encoding: chunked\r\n\r\n")
        for piece in cut(recording.answer):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
