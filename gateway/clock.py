"""The only door to real time and chance. Everything else is handed `now` and `draw`."""

import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """What holders of time need: seconds that never go back, and seconds since 1970."""

    def monotonic(self) -> float: ...

    def wall(self) -> float: ...

    def draw(self) -> int: ...


class RealClock:
    """The machine's clock and the system's chance."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    @staticmethod
    def draw() -> int:
        """A 64-bit integer nobody can foresee."""
        return secrets.randbits(64)


class HandClock:
    """A clock that is moved by hand, for tests and for the simulator."""

    def __init__(self, monotonic: float = 1000.0, wall: float = 1_700_000_000.0, draw: int = 0) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._draw = draw

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def draw(self) -> int:
        return self._draw

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._monotonic += seconds
        self._wall += seconds
