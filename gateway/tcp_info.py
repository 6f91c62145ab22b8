"""How far the other end of a TCP connection is, as the kernel measured it.

struct tcp_info (Linux, include/uapi/linux/tcp.h): eight bytes of flags, then 32-bit numbers, the sixteenth of which is
`tcpi_rtt`, the smoothed round trip in microseconds; eight 32-bit numbers, four 64-bit and three 32-bit ones later comes
`tcpi_min_rtt`, the least of the last minutes (since Linux 4.6). The least is taken where it is known: a peer that
holds its acknowledgements back, which many do for 40 ms, is not farther away for it.
"""

import socket
import sys
from struct import Struct as Layout
from typing import Final, Protocol

SIZE: Final = 152
# Bytes until tcpi_rtt, and from its end to tcpi_min_rtt.
_LAYOUT: Final = Layout("=68xI76xI")
_UNKNOWN: Final = 0xFFFFFFFF  # what the kernel says of a least round trip it hasn't seen
_OLDER: Final = 72  # bytes of a kernel that knows no least one


class Measured(Protocol):
    """A socket, as far as it is asked."""

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes: ...


def rtt_ms(sock: Measured | None) -> float | None:
    """A connection's round trip in milliseconds; None where it isn't TCP, or the kernel doesn't say."""
    if sock is None or sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SIZE)
    except OSError:
        return None
    if len(info) < _OLDER:
        return None
    smoothed, least = _LAYOUT.unpack(info.ljust(SIZE, b"\xff"))
    microseconds = smoothed if least in {0, _UNKNOWN} else least
    return microseconds / 1000 or None
