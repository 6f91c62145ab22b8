"""A caller on a bare socket, for tests of the stand-in model server: it hears every byte and how it ended."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import orjson

from gateway.mock.server import MockServer

CEILING_S = 10.0
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Heard:
    """An answer: everything on the wire, its parts, and how the connection ended."""

    wire: bytes
    ending: str  # fin | rst | open

    @property
    def head(self) -> bytes:
        return self.wire.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ")[1]) if self.head else 0

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def raw_body(self) -> bytes:
        return self.wire.partition(b"\r\n\r\n")[2]

    @property
    def whole(self) -> bool:
        """Whether the framing says that nothing is missing."""
        if "transfer-encoding" in self.headers:
            return unchunked(self.raw_body)[1]
        return len(self.raw_body) == int(self.headers.get("content-length", -1))

    @property
    def body(self) -> bytes:
        return unchunked(self.raw_body)[0] if "transfer-encoding" in self.headers else self.raw_body

    @property
    def events(self) -> list[bytes]:
        """The data of each event, in order."""
        return [block.removeprefix(b"data: ") for block in self.body.split(b"\n\n") if block.startswith(b"data: ")]

    @property
    def json(self) -> dict[str, object]:
        fields: dict[str, object] = orjson.loads(self.body)
        return fields

    @property
    def text(self) -> str:
        """The words of all content deltas."""
        words = []
        for data in self.events:
            if data != b"[DONE]":
                words += [choice["delta"].get("content") or "" for choice in orjson.loads(data)["choices"]]
        return "".join(words)


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """The body within these chunks, and whether the last one is there."""
    body = b""
    while data:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            break
        size = int(line, 16)
        if size == 0:
            return body, rest.startswith(b"\r\n")
        body += rest[:size]
        data = rest[size + 2 :]
    return body, False


def chat(**fields: object) -> dict[str, object]:
    """A chat for the stand-in, streaming unless it says otherwise."""
    usual: dict[str, object] = {"model": "mock-model", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    return {**usual, **fields}


def request(
    fields: object, *, path: str = CHAT, fault: str = "", headers: Mapping[str, str] | None = None, method: str = "POST"
) -> bytes:
    """The bytes of a request."""
    body = b"" if fields is None else orjson.dumps(fields)
    named = {"host": "stand-in", "content-length": str(len(body)), **(headers or {})}
    if fault:
        named["x-mock-fault"] = fault
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode() + body


class Caller:
    """One connection to a stand-in."""

    def __init__(self, server: MockServer) -> None:
        self._server = server
        self.received = b""

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._server.options.host, self._server.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def hears(self, part: bytes) -> bytes:
        """Everything up to these bytes and with them; what follows stays for later."""
        async with asyncio.timeout(CEILING_S):
            while part not in self.received:
                data = await self._reader.read(65536)
                assert data, f"the connection ended before {part!r}: {self.received!r}"
                self.received += data
        start, found, self.received = self.received.partition(part)
        return start + found

    async def answer(self) -> Heard:
        """The next answer that has a length or chunks."""
        head = await self.hears(b"\r\n\r\n")
        length = Heard(head, "open").headers.get("content-length")
        if length is None:
            return Heard(head + await self.hears(b"0\r\n\r\n"), "open")
        async with asyncio.timeout(CEILING_S):
            while len(self.received) < int(length):
                data = await self._reader.read(65536)
                assert data
                self.received += data
        body, self.received = self.received[: int(length)], self.received[int(length) :]
        return Heard(head + body, "open")

    async def ends(self) -> Heard:
        """Everything until the stand-in ends the connection."""
        ending, parts = "fin", [self.received]
        async with asyncio.timeout(CEILING_S):
            try:
                while data := await self._reader.read(1 << 20):
                    parts.append(data)
            except ConnectionResetError:
                ending = "rst"
        return Heard(b"".join(parts), ending)

    async def close(self) -> None:
        """FIN."""
        self._writer.close()
        try:
            async with asyncio.timeout(CEILING_S):
                await self._writer.wait_closed()
        except ConnectionError:
            return  # it was the stand-in that ended it

    def half_close(self) -> None:
        """FIN, but go on reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        """RST."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


async def hear(
    server: MockServer,
    fields: object,
    *,
    path: str = CHAT,
    fault: str = "",
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
) -> Heard:
    """One request on a connection of its own, and everything until its end."""
    named = {"connection": "close", **(headers or {})}
    async with Caller(server) as caller:
        caller.send(request(fields, path=path, fault=fault, headers=named, method=method))
        return await caller.ends()
