"""The kernel's word on how far the other end is."""

import asyncio
import socket
import struct

import pytest

from gateway.tcp_info import SIZE, rtt_ms


class Kernel:
    """A socket that answers with these bytes."""

    def __init__(self, info: bytes) -> None:
        self._info = info

    def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
        assert (level, name) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return self._info[:size]


def info(smoothed_us: int, least_us: int) -> bytes:
    """A struct tcp_info with every other field set to what must not be read."""
    fields = [7_777_777] * 15 + [smoothed_us] + [7_777_777] * 8
    whole = b"\x01" * 8 + struct.pack("=24I", *fields) + b"\x07" * 44 + struct.pack("=I", least_us) + b"\x07" * 80
    assert len(whole) > SIZE
    return whole


def test_the_least_round_trip_is_taken_where_it_is_known() -> None:
    assert rtt_ms(Kernel(info(41_000, 1_500))) == 1.5


@pytest.mark.parametrize("unknown", [0, 0xFFFFFFFF])
def test_the_smoothed_one_is_taken_where_it_is_not(unknown: int) -> None:
    assert rtt_ms(Kernel(info(41_000, unknown))) == 41.0
    assert rtt_ms(Kernel(info(0, unknown))) is None


def test_an_older_kernels_answer_is_shorter() -> None:
    assert rtt_ms(Kernel(info(41_000, 1_500)[:104])) == 41.0
    assert rtt_ms(Kernel(info(41_000, 1_500)[:71])) is None


def test_what_is_no_tcp_connection_has_none() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert rtt_ms(one) is None
    assert rtt_ms(None) is None


async def test_a_real_connection_has_one() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    measured = rtt_ms(writer.get_extra_info("socket"))
    assert measured is not None
    assert 0 < measured < 1000
    writer.close()
    await writer.wait_closed()
    server.close()
