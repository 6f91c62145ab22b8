"""Ends a connection with RST."""

import asyncio
import socket
import struct

# On, and zero seconds: close() throws away what is unsent and says RST (man 7 socket, SO_LINGER).
_LINGER_ZERO = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
    """RST after what has been written so far. Writes that the loop still holds back go out first."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    if transport.get_write_buffer_size() and not transport.is_closing():
        # uvloop writes at the end of the loop's turn; one turn later it is with the kernel, or the reader is stuck.
        loop.call_soon(loop.call_soon, transport.abort)
    else:
        transport.abort()
