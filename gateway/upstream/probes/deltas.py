"""What a server counts up for ever, as what it does now: the difference between two looks. Pure."""

from typing import Final

# A counter that hasn't moved for this long says that nothing happens; before, its server may only be slow to update it:
# Triton reads its energy meters every two seconds (--metrics-interval-ms).
STILL_S: Final = 10.0


class PerSecond:
    """A counter's pace. It is None before two different values were seen; a value that fell is a server's restart."""

    def __init__(self) -> None:
        self._total: float | None = None
        self._at = 0.0
        self._pace: float | None = None

    def moved(self, total: float | None, now: float) -> float | None:
        """The pace after one more look. The time is taken from change to change: looks may be more frequent."""
        if total is None or self._total is None or total < self._total:
            self._total, self._at, self._pace = total, now, None
        elif total > self._total:
            if now > self._at:
                self._pace = (total - self._total) / (now - self._at)
            self._total, self._at = total, now
        elif now - self._at >= STILL_S:
            self._pace = 0.0
        return self._pace


class Mean:
    """The mean of what was counted since the look before; None where nothing was."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def moved(self, total: float | None, count: float | None) -> float | None:
        before = self._before
        self._before = now = None if total is None or count is None else (total, count)
        if before is None or now is None or now[1] <= before[1] or now[0] < before[0]:
            return None
        return (now[0] - before[0]) / (now[1] - before[1])
