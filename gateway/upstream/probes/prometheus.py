"""Prometheus text (version 0.0.4), as far as a probe needs it: the numbers of a few names among thousands of lines.

Only lines that begin with a wanted name are looked at, found by one pass of one pattern: 0.4 ms for 320 KiB, where
splitting them all costs ten times that. Format: github.com/prometheus/docs, exposition_formats.md. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Final

from msgspec import Struct

from gateway.upstream.probes.reading import Answer, wrong

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_SAMPLES: Final = 10_000
# Of the lines that are looked at, so that no page holds up the loop for more than some tenth of a second.
MOST_WANTED_BYTES: Final = 1024 * 1024

# A share may be a little above 1 by rounding; far above, it is a percentage or something else altogether.
_FULL: Final = 1.05
# Possessive: a label without an end is given up at once rather than tried again from every letter of it.
_LABEL: Final = re.compile(
    rb'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t]*(?:,|(?=\}))'
)
_END: Final = re.compile(rb"[ \t]*\}")
_ESCAPE: Final = re.compile(r"\\(.)")
_NUMBER: Final = re.compile(
    rb"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[Ii]nf|NaN|nan)"
)
_UNESCAPED: Final = {"n": "\n", '"': '"', "\\": "\\"}


class Sample(Struct, frozen=True):
    """One series and its number, which may be infinite or none at all (NaN)."""

    labels: Mapping[str, str]
    value: float


class Signal(Struct, frozen=True):
    """Something a server may tell, the names it has been told under, the one to prefer first.

    Series are summed up, or averaged where it is a `share`. `labels` are those a series must have; over `repeats` the
    same number is told again, by each rank of one engine; a series with one of `parts` is a part of another's total.
    `quiet`: nobody need know that a server doesn't tell it.
    """

    word: str
    names: tuple[str, ...]
    share: bool = False
    labels: Mapping[str, str] = {}
    repeats: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    quiet: bool = False


class Found(Struct, frozen=True):
    """What a scrape told, by the signals' words. `missing` says why it couldn't be read, where it couldn't."""

    numbers: Mapping[str, float | None] = {}
    samples: Mapping[str, list[Sample]] = {}
    unmatched: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    def __getitem__(self, word: str) -> float | None:
        return self.numbers.get(word)


class Scrape:
    """What is wanted of one kind of server's metrics.

    `also` are names whose samples are wanted as they are. `witnesses` are names that show that the server has worked:
    some make their gauges at the first request, and before it a name that is not there says nothing. Without them a
    name that has a type and no series yet is taken as there.
    """

    def __init__(self, *signals: Signal, also: Iterable[str] = (), witnesses: tuple[str, ...] = ()) -> None:
        self._signals = signals
        self._witnesses = witnesses
        names = {name for signal in signals for name in signal.names} | {*also, *witnesses}
        self._pattern = _pattern(names)

    def read(self, path: str, answer: Answer) -> Found:
        """What an answer tells; nothing where there is none."""
        if answer.status != 200:
            return Found(missing=wrong(path, answer))
        try:
            samples = _samples(self._pattern, answer.body)
        except ValueError:
            return Found(missing=frozenset({f"{path} is not Prometheus text"}))
        numbers: dict[str, float | None] = {}
        unmatched = []
        for signal in self._signals:
            name = next((name for name in signal.names if name in samples), None)
            numbers[signal.word] = None if name is None else _number(signal, samples[name])
            if name is None and not signal.quiet and self._ought(signal, samples, answer.body):
                unmatched.append(signal.word)
        return Found(numbers, samples, frozenset(unmatched))

    def _ought(self, signal: Signal, samples: Mapping[str, list[Sample]], body: bytes) -> bool:
        """Whether a signal that isn't there ought to be."""
        if self._witnesses:
            return any(name in samples for name in self._witnesses)
        return not any(b"# TYPE %b " % name.encode() in body for name in signal.names)


def parse(body: bytes, names: Iterable[str]) -> dict[str, list[Sample]]:
    """The samples of these names. ValueError where one of their lines is not in the format, or there are too many."""
    return _samples(_pattern(names), body)


def _pattern(names: Iterable[str]) -> re.Pattern[bytes]:
    # The line break is matched rather than looked behind at: so the search leaps from one to the next.
    return re.compile(rb"\n(" + b"|".join(re.escape(name.encode()) for name in sorted(names)) + rb")(?=[{ \t])([^\n]*)")


def _samples(pattern: re.Pattern[bytes], body: bytes) -> dict[str, list[Sample]]:
    if len(body) > MOST_BYTES:
        raise ValueError("more metrics than anybody reads")
    found: dict[str, list[Sample]] = {}
    wanted = 0
    for at, match in enumerate(pattern.finditer(b"\n" + body)):
        wanted += len(match[2])
        if at >= MOST_SAMPLES or wanted > MOST_WANTED_BYTES:
            raise ValueError("more series than anybody reads")
        found.setdefault(match[1].decode(), []).append(_sample(match[2]))
    return found


def _sample(rest: bytes) -> Sample:
    """What follows a name: labels where it has any, the number, and perhaps a time and an exemplar."""
    rest = rest.lstrip(b" \t")
    labels: dict[str, str] = {}
    if rest.startswith(b"{"):
        rest = _take_labels(rest, labels)
    number, _, _ = rest.strip(b" \t\r").partition(b" ")
    number = number.partition(b"\t")[0]
    if _NUMBER.fullmatch(number) is None:
        raise ValueError("no number where one should be")
    return Sample(labels, float(number))


def _take_labels(rest: bytes, labels: dict[str, str]) -> bytes:
    """Read the labels at the start of `rest`; what is after them is returned."""
    at = 1
    while (end := _END.match(rest, at)) is None:
        label = _LABEL.match(rest, at)
        if label is None:
            raise ValueError("labels that are none")
        text = label[2].decode("utf-8", "replace")
        labels[label[1].decode()] = _ESCAPE.sub(_unescape, text) if "\\" in text else text
        at = label.end()
    return rest[end.end() :]


def _unescape(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[0])


def _number(signal: Signal, samples: Iterable[Sample]) -> float | None:
    """All series as one number; None where none of them is a number that can be."""
    groups: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = sample.labels
        if not isfinite(sample.value) or sample.value < 0.0:
            continue
        if any(labels.get(name) != value for name, value in signal.labels.items()):
            continue
        if any(labels.get(name) for name in signal.parts):
            continue
        key = tuple(sorted((name, value) for name, value in labels.items() if name not in signal.repeats))
        groups[key] = max(sample.value, groups.get(key, 0.0))
    if not groups:
        return None
    total = sum(groups.values())
    if not signal.share:
        return total
    mean = total / len(groups)
    return min(mean, 1.0) if mean <= _FULL else None
