"""Numbers that workers count and the supervisor reads: one memory-mapped file of float64 slots a worker.

A slot has one writer, its worker, so adding is a plain load and store: no lock, no call out of the process. Beside the
slots lies an append-only file of names, one JSON line for each series, written before the series' first count. The
supervisor reads both at a scrape and sums the workers; what a dead worker counted is folded into a base, so that a
counter never goes back. Eight aligned bytes are stored at once where we run, so no reader sees half a number.
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder, Encoder

CAPACITY = 65_536
_SLOT_BYTES = 8
# Where series go that no longer fit: counted by nobody, so that a full file costs series and never a request.
_SCRAP = 256


class Family(Struct, frozen=True):
    """One metric: its exposed name, what it says, its label names and, for a histogram, the buckets' upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Slots one series takes; a histogram's are a count per bucket, the count above the last, and the sum."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


REFUSED = Family("gateway_series_refused_total", "counter", "Series not kept because a worker's slots were full.")

Series = tuple[str, tuple[str, ...]]
Samples = dict[Series, list[float]]


class _Name(Struct, array_like=True):
    at: int
    family: str
    values: tuple[str, ...]


_encoder = Encoder()
_decoder = Decoder(_Name)


def names_path(path: str) -> str:
    """Where the names of the slots file at `path` are kept."""
    return path + ".names"


def create(path: str, capacity: int = CAPACITY) -> None:
    """Make both files, empty and ours alone, where they are not there yet. The slots are sparse until counted in."""
    for name, size in ((path, capacity * _SLOT_BYTES), (names_path(path), 0)):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(handle).st_size < size:
                os.truncate(handle, size)
        finally:
            os.close(handle)


class Counter:
    """A number that only grows."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: "memoryview[float]", at: int) -> None:
        self._values = values
        self._at = at

    def add(self, amount: float) -> None:
        self._values[self._at] += amount


class Gauge:
    """A number that is what it was last set to; the workers' are summed."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: "memoryview[float]", at: int) -> None:
        self._values = values
        self._at = at

    def set(self, value: float) -> None:
        self._values[self._at] = value


class Histogram:
    """How often a value fell at or below each bound, and the sum of all values."""

    __slots__ = ("_at", "_bounds", "_sum_at", "_values")

    def __init__(self, values: "memoryview[float]", at: int, bounds: tuple[float, ...]) -> None:
        self._values = values
        self._at = at
        self._bounds = bounds
        self._sum_at = at + len(bounds) + 1

    def observe(self, value: float) -> None:
        values = self._values
        values[self._at + bisect_left(self._bounds, value)] += 1.0
        values[self._sum_at] += value


class SlotWriter:
    """A worker's own numbers. `values` is the mapped file; `slot` says where in it a series counts."""

    def __init__(self, path: str, capacity: int = CAPACITY) -> None:
        create(path, capacity)
        with Path(path).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), capacity * _SLOT_BYTES)
        self.values: memoryview[float] = memoryview(self._map).cast("d")
        self._names = os.open(names_path(path), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._free = 0
        self.scrap = capacity - _SCRAP
        self._slots: dict[Series, int] = {}
        self._refused = self.slot(REFUSED)

    def slot(self, family: Family, *labels: str) -> int:
        """The first slot of this series; a series that no longer fits shares the scrap that nobody reads."""
        if len(labels) != len(family.labels):
            raise ValueError(f"{family.name} has the labels {family.labels}")
        series = (family.name, labels)
        known = self._slots.get(series)
        if known is not None:
            return known
        if self._free + family.width > self.scrap:
            self.values[self._refused] += 1.0
            return self.scrap
        at = self._free
        self._free += family.width
        os.write(self._names, _encoder.encode(_Name(at, family.name, labels)) + b"\n")
        self._slots[series] = at
        return at

    def counter(self, family: Family, *labels: str) -> Counter:
        return Counter(self.values, self.slot(family, *labels))

    def gauge(self, family: Family, *labels: str) -> Gauge:
        return Gauge(self.values, self.slot(family, *labels))

    def histogram(self, family: Family, *labels: str) -> Histogram:
        return Histogram(self.values, self.slot(family, *labels), family.bounds)

    def close(self) -> None:
        self.values.release()
        self._map.close()
        os.close(self._names)


class SlotReader:
    """One worker's numbers as another process sees them; the files may be unlinked once this is open."""

    def __init__(self, path: str, families: Mapping[str, Family]) -> None:
        self._families = families
        with Path(path).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._values: memoryview[float] = memoryview(self._map).cast("d")
        self._names = os.open(names_path(path), os.O_RDONLY | os.O_CLOEXEC)
        self._partial = b""
        self._series: list[_Name] = []

    def samples(self) -> Samples:
        """Every series counted so far, with a copy of its slots."""
        self._learn()
        return {
            (name.family, name.values): list(self._values[name.at : name.at + self._families[name.family].width])
            for name in self._series
        }

    def _learn(self) -> None:
        """Read the names appended since the last look; a line still being written waits for the next one."""
        while piece := os.read(self._names, 1 << 20):
            *lines, self._partial = (self._partial + piece).split(b"\n")
            for line in lines:
                name = _decoder.decode(line)
                if name.family in self._families:
                    self._series.append(name)

    def close(self) -> None:
        self._values.release()
        self._map.close()
        os.close(self._names)


class Totals:
    """All workers together: the sum of the living, on top of what the dead had counted."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families: dict[str, Family] = {family.name: family for family in (*families, REFUSED)}
        self._living: list[SlotReader] = []
        self._base: Samples = {}

    def watch(self, path: str) -> SlotReader:
        """Count the worker at `path` in from now on."""
        reader = SlotReader(path, self.families)
        self._living.append(reader)
        return reader

    def retire(self, reader: SlotReader) -> None:
        """Fold a dead worker's counts into the base; its gauges end with it."""
        self._living.remove(reader)
        _add(self._base, {key: at for key, at in reader.samples().items() if self.families[key[0]].kind != "gauge"})
        reader.close()

    def samples(self) -> Samples:
        total = {key: list(values) for key, values in self._base.items()}
        for reader in self._living:
            _add(total, reader.samples())
        return total

    def close(self) -> None:
        for reader in self._living:
            reader.close()
        self._living.clear()


def _add(total: Samples, more: Samples) -> None:
    for series, values in more.items():
        known = total.get(series)
        if known is None:
            total[series] = list(values)
        else:
            total[series] = [a + b for a, b in zip(known, values, strict=True)]
