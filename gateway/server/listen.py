"""Listening sockets: plain or TLS, TCP or Unix, all to the same door."""

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final

from gateway.settings.shape import Tls

if TYPE_CHECKING:
    from gateway.server.door import Door

BACKLOG: Final = 4096
# The kernel would let this grow to megabytes for each caller who doesn't read; accepted connections inherit it.
SEND_BUFFER_BYTES: Final = 256 * 1024


async def listen(door: "Door", sock: socket.socket, context: ssl.SSLContext | None = None) -> asyncio.Server:
    """Accept on a bound socket; with a context, speak TLS there. A Unix socket is local and never does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(door.connection, sock=sock, backlog=BACKLOG)
    return await loop.create_server(lambda: door.connection(context), sock=sock, backlog=BACKLOG)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A server's context; OSError where its files can't be read or don't fit together.

    Calling `load_cert_chain` on it again makes the next handshakes use what the files hold by then.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(tls.certificate, tls.key)
    return context
