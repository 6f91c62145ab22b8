"""Chance as an argument: one 64-bit draw a request, from which each use takes its own stream.

So a canary's coin, the sampling and the jitter are independent of one another, and a recorded decision replays exactly.
Source: splitmix64, S. Vigna, prng.di.unimi.it/splitmix64.c.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final
from zlib import crc32

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_UNIT: Final = 2.0**-53


def mixed(value: int) -> int:
    """A 64-bit integer in which every bit of `value` counts."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def stream(draw: int, purpose: str) -> int:
    """The 64 bits of a draw that are for one purpose."""
    return mixed(draw ^ salt(purpose))


@lru_cache(maxsize=4096)
def salt(purpose: str) -> int:
    """What tells the bits for one purpose from those for others."""
    return crc32(purpose.encode()) << 32


def unit(bits: int) -> float:
    """64 bits as a number from 0 up to, not including, 1."""
    return (bits >> 11) * _UNIT


def digest(text: str) -> int:
    """64 bits of a text, the same in every process; for choosing, never for secrets."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
