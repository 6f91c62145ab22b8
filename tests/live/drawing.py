"""A run as a picture: who answered each country's callers, and how long they waited.

.venv/bin/python -m tests.live.drawing build/routing-live.json docs/routing-live.svg
"""

import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from tests.live.callers import Answer
from tests.live.figures import median_first_ms
from tests.live.places import HOMES, SERVERS
from tests.live.story import OVERLOAD_RATE, RATE, TIMES_SLOWER, Record

WIDTH: Final = 1040
LEFT: Final = 58
RIGHT: Final = 16
TOP: Final = 114
SHARE_HIGH: Final = 120
WAIT_HIGH: Final = 110
GAP: Final = 38
BIN_S: Final = 2.0
WAIT_MOST_MS: Final = 300.0
# Two tints of a region's colour; told apart also by those who see no red and green (Okabe and Ito).
COLOURS: Final = {
    "fra-1": "#0072b2",
    "fra-2": "#5ba7d6",
    "iad-1": "#d55e00",
    "iad-2": "#f0a15e",
    "sin-1": "#00795a",
    "sin-2": "#5cc3a1",
}
LINES: Final = {"FR": COLOURS["fra-1"], "CA": COLOURS["iad-1"], "ID": COLOURS["sin-1"]}
COUNTRIES: Final = {"FR": "France", "CA": "Canada", "ID": "Indonesia"}
# What happens at a moment, and in which of three rows that is written.
MOMENTS: Final = {
    "nearest": ("all is well", 0),
    "slowed": (f"sin-1 is {TIMES_SLOWER} times slower", 0),
    "healed": ("sin-1 is well", 1),
    "overload": (f"France asks {OVERLOAD_RATE:.0f}/s", 0),
    "calm": (f"France {RATE:.0f}/s", 2),
    "killed": ("fra-1, fra-2 killed", 0),
    "restarted": ("restarted", 2),
    "returned": ("fra answers again: slow start", 1),
}


def drawn(told: Record) -> str:
    """The picture as SVG."""
    return "\n".join(_Picture(told).parts())


class _Picture:
    def __init__(self, told: Record) -> None:
        self._told = told
        self._end = told.at["end"]
        self._per_s = (WIDTH - LEFT - RIGHT) / self._end
        self._floor = TOP + len(HOMES) * (SHARE_HIGH + GAP) + WAIT_HIGH
        self._bins = [BIN_S * number for number in range(int(self._end / BIN_S))]

    def parts(self) -> Iterator[str]:
        high = self._floor + 46
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" width="{WIDTH}" height="{high}" '
            'font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif" font-size="11" fill="#222">'
        )
        yield f'<rect width="{WIDTH}" height="{high}" fill="#fff"/>'
        yield from self._legend()
        tops = [TOP + number * (SHARE_HIGH + GAP) for number in range(len(HOMES) + 1)]
        for country, top in zip(HOMES, tops, strict=False):
            yield from self._shares(country, top)
        yield from self._waits(tops[-1])
        yield from self._moments()
        yield from self._titles(tops)
        yield from self._seconds()
        yield "</svg>"

    def _x(self, at: float) -> float:
        return round(LEFT + at * self._per_s, 1)

    def _legend(self) -> Iterator[str]:
        yield _text(LEFT, 20, "Who answers, as a share of each country's requests", size=14, weight="bold")
        for number, (name, colour) in enumerate(COLOURS.items()):
            at = WIDTH - RIGHT - 60 * (len(COLOURS) - number)
            yield f'<rect x="{at}" y="10" width="12" height="12" fill="{colour}"/>'
            yield _text(at + 16, 20, name)

    def _shares(self, country: str, top: float) -> Iterator[str]:
        yield from _scale(top, SHARE_HIGH, ("0", "50 %", "100 %"))
        wide = round(BIN_S * self._per_s + 0.3, 1)  # without hairlines between them
        for begins in self._bins:
            answers = self._told.sent(country, begins, begins + BIN_S)
            foot = top + SHARE_HIGH
            for name in SERVERS:
                part = SHARE_HIGH * sum(one.backend == name for one in answers) / max(1, len(answers))
                if part:
                    foot -= part
                    yield _block(self._x(begins), foot, wide, part, COLOURS[name])

    def _waits(self, top: float) -> Iterator[str]:
        yield from _scale(top, WAIT_HIGH, ("0", f"{WAIT_MOST_MS / 2:.0f} ms", f"{WAIT_MOST_MS:.0f} ms"))
        for number, (country, colour) in enumerate(LINES.items()):
            points = " ".join(
                f"{self._x(begins + BIN_S / 2)},{self._wait_y(top, answers):.1f}"
                for begins in self._bins
                if (answers := self._told.sent(country, begins, begins + BIN_S))
            )
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
            yield _text(WIDTH - RIGHT - 80 * (len(LINES) - number), top - 6, COUNTRIES[country], colour=colour)

    def _wait_y(self, top: float, answers: list[Answer]) -> float:
        return top + WAIT_HIGH * (1.0 - min(1.0, median_first_ms(answers) / WAIT_MOST_MS))

    def _titles(self, tops: list[int]) -> Iterator[str]:
        titles = [
            f"Callers in {COUNTRIES[country]}, by way of the POP {ranked[0]}"
            for country, ranked in self._told.pops.items()
        ]
        titles.append("Median time to the first token, as callers see it")
        for title, top in zip(titles, tops, strict=True):
            yield _text(LEFT, top - 6, title, weight="bold")

    def _moments(self) -> Iterator[str]:
        for name, (words, row) in MOMENTS.items():
            at, high = self._x(self._told.at[name]), 46 + 16 * row
            yield (
                f'<line x1="{at}" x2="{at}" y1="{high + 4}" y2="{self._floor}" stroke="#222" stroke-width="0.8" '
                'stroke-dasharray="3 3"/>'
            )
            yield _text(at + 2, high, words)

    def _seconds(self) -> Iterator[str]:
        yield _line(LEFT, self._floor, WIDTH - RIGHT, self._floor)
        for second in range(0, int(self._end) + 1, 10):
            yield _line(self._x(second), self._floor, self._x(second), self._floor + 4)
            yield _text(self._x(second), self._floor + 16, str(second), anchor="middle")
        yield _text((LEFT + WIDTH - RIGHT) / 2, self._floor + 34, "seconds", anchor="middle")


def _scale(top: float, high: float, words: tuple[str, str, str]) -> Iterator[str]:
    for step, word in enumerate(words):
        y = top + high * (1 - step / 2)
        yield _line(LEFT - 4, y, WIDTH - RIGHT, y, "#ccc")
        yield _text(LEFT - 7, y + 4, word, anchor="end")


def _block(x: float, y: float, wide: float, high: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y:.1f}" width="{wide}" height="{high:.1f}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#222") -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>'


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 11,
    weight: str = "normal",
    colour: str = "#222",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}" stroke="#fff" stroke-width="3" paint-order="stroke">{escape(words)}</text>'
    )


def main(arguments: list[str]) -> None:
    source, to = map(Path, arguments)
    to.write_text(drawn(Record.read(source)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
