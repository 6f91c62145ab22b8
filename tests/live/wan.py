"""The network between places: each is a network namespace, and packets between two of them take half their round trip.

    a place's stack ─► its TUN device ─► here, held until due ─► the other's TUN device ─► the other's stack

Whole IP packets are held, so connects, handshakes, acknowledgements and the kernel's own round trips (TCP_INFO) are
those of a real distance. `tc netem` does the same where the kernel has it; it is often left out of small ones.
As a program: needs root, prints each place's namespace as a path, and runs until it is ended. Nothing outlives it.
"""

import ctypes
import fcntl
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from heapq import heappop, heappush
from pathlib import Path
from struct import pack
from typing import Final

import orjson

from gateway.clock import RealClock
from tests.live.places import ADDRESSES, round_trip_ms

TUN: Final = Path("/dev/net/tun")
CLONE_NEWNET: Final = 0x40000000
# linux/if_tun.h: ask for a device; it carries IP packets, without four bytes of its own before each.
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x0001 | 0x1000
_MTU: Final = 1500
_DESTINATION: Final = slice(16, 20)  # of an IPv4 header
_BATCH: Final = 64

_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: int) -> None:
    """Move this thread into a network namespace, given as an open file. OSError without the right to."""
    _checked(_libc.setns(namespace, CLONE_NEWNET))


def _checked(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def own_namespace() -> int:
    """The namespace that this thread is in, as an open file."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _place(address: str) -> tuple[int, int]:
    """A new namespace with one device, through which all others are reached: the device, the namespace."""
    _checked(_libc.unshare(CLONE_NEWNET))
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, pack("16sH22x", b"wan", _IFF_TUN_NO_PI))
    for words in (
        "link set lo up",
        f"link set wan mtu {_MTU} up",
        f"address add {address}/32 dev wan",
        "route add default dev wan",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    return device, own_namespace()


class Wan:
    """Carries packets between places, each pair in the order they came."""

    def __init__(self, devices: Mapping[str, int]) -> None:
        self._ways: dict[int, dict[bytes, tuple[int, float]]] = {}
        for name, device in devices.items():
            ways = self._ways[device] = {}
            for address, other in ADDRESSES.items():
                trip_ms = round_trip_ms(name, other)
                if trip_ms is not None:
                    ways[socket.inet_aton(address)] = devices[other], trip_ms / 2e3
        self._held: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Carry until this process is ended."""
        poll = select.epoll()
        for device in self._ways:
            poll.register(device, select.EPOLLIN)
        while True:
            left_s = self._held[0][0] - RealClock.monotonic() if self._held else -1.0
            for device, _ in poll.poll(max(0.0, left_s) if self._held else None):
                self._take(device)
            self._deliver(RealClock.monotonic())

    def _take(self, device: int) -> None:
        ways, now = self._ways[device], RealClock.monotonic()
        for _ in range(_BATCH):
            try:
                packet = os.read(device, _MTU)
            except BlockingIOError:
                return
            way = ways.get(packet[_DESTINATION])
            if way is not None:
                self._count += 1
                heappush(self._held, (now + way[1], self._count, way[0], packet))

    def _deliver(self, now: float) -> None:
        held = self._held
        while held and held[0][0] <= now:
            _, _, device, packet = heappop(held)
            os.write(device, packet)


def main() -> None:
    made = {name: _place(address) for address, name in ADDRESSES.items()}
    # The namespaces can be entered through this process's open files, and are gone with the last of who uses them.
    paths = {name: f"/proc/{os.getpid()}/fd/{namespace}" for name, (_, namespace) in made.items()}
    sys.stdout.write(orjson.dumps(paths).decode() + "\n")
    sys.stdout.flush()
    Wan({name: device for name, (device, _) in made.items()}).run()


if __name__ == "__main__":
    main()
