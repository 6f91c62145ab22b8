"""A caller on a bare socket: it sends any bytes, hears every byte, and leaves in any way there is."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import orjson

from tests.doubles.inside import KEY
from tests.doubles.mock_caller import Heard

CEILING_S = 10.0
CHAT = "/v1/chat/completions"


def chat(model: str = "m", **fields: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}


def request(
    fields: object = None,
    *,
    path: str = CHAT,
    method: str = "POST",
    version: str = "HTTP/1.1",
    headers: Mapping[str, str] | None = None,
    key: str = KEY,
) -> bytes:
    """The bytes of a JSON request; a header that is set to "" is left out."""
    body = b"" if fields is None else orjson.dumps(fields)
    named = {
        "host": "gateway",
        "authorization": f"Bearer {key}" if key else "",
        "content-type": "application/json" if fields is not None else "",
        "content-length": str(len(body)) if fields is not None else "",
        **(headers or {}),
    }
    lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in named.items() if value), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Caller:
    """One connection, to a port of loopback or to a Unix socket; with a context it speaks TLS."""

    def __init__(
        self, port: int = 0, *, unix: str = "", context: ssl.SSLContext | None = None, receive_bytes: int = 0
    ) -> None:
        self._port = port
        self._unix = unix
        self._context = context
        self._receive_bytes = receive_bytes
        self.received = b""
        self.ended = ""

    async def __aenter__(self) -> Self:
        if self._unix:
            self.reader, self.writer = await asyncio.open_unix_connection(self._unix)
            return self
        sock = socket.socket()
        if self._receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self._port))
        name = "localhost" if self._context is not None else None
        self.reader, self.writer = await asyncio.open_connection(
            sock=sock, ssl=self._context, server_hostname=name, limit=self._receive_bytes or 65536
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_all(self, data: bytes) -> None:
        """Until the last byte is with the kernel. ConnectionError where the other side doesn't take it."""
        self.writer.write(data)
        async with asyncio.timeout(CEILING_S):
            await self.writer.drain()

    async def more(self) -> bool:
        """Hear something more; False where the connection has ended, which `ended` then says how (fin, rst)."""
        try:
            async with asyncio.timeout(CEILING_S):
                data = await self.reader.read(65536)
        except (ConnectionError, ssl.SSLError):
            self.ended = "rst"
            return False
        if not data:
            self.ended = "fin"
            return False
        self.received += data
        return True

    async def hears(self, part: bytes) -> bytes:
        """Everything up to these bytes and with them; what follows stays for later."""
        while part not in self.received:
            assert await self.more(), f"the connection ended ({self.ended}) before {part!r}: {self.received[:2000]!r}"
        start, found, self.received = self.received.partition(part)
        return start + found

    async def answer(self, *, bodiless: bool = False) -> Heard:
        """The next final answer, by its own framing."""
        head = await self.hears(b"\r\n\r\n")
        heard = Heard(head, "open")
        if heard.status == 100:
            return await self.answer(bodiless=bodiless)
        length = heard.headers.get("content-length")
        if bodiless:
            return heard
        if length is None:
            return Heard(head + await self.hears(b"0\r\n\r\n"), "open")
        while len(self.received) < int(length):
            assert await self.more(), f"the connection ended ({self.ended}) in a body"
        body, self.received = self.received[: int(length)], self.received[int(length) :]
        return Heard(head + body, "open")

    async def ends(self) -> Heard:
        """Everything until the connection ends."""
        while await self.more():
            pass
        return Heard(self.received, self.ended)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(CEILING_S):
                await self.writer.wait_closed()

    def half_close(self) -> None:
        """FIN, but go on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """RST."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
