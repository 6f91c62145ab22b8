"""YAML read strictly: libyaml finds the events, and we make the values, so that nothing is ever guessed.

Refused: a key written twice, anchors, aliases, merge keys, tags, directives, several documents, tabs, line breaks only
YAML 1.1 knows, and anything above the caps. Keys are always text. Every node keeps its line.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import yaml
from msgspec import Struct

from gateway.errors import ConfigProblem
from gateway.settings.scalars import Scalar, Unclear, plain

Value: TypeAlias = "Scalar | list[Value] | dict[str, Value]"
Place = tuple[str | int, ...]

MOST_BYTES = 1024 * 1024
MOST_DEPTH = 32
MOST_NODES = 50_000

# Line breaks to libyaml (YAML 1.1), ordinary characters to editors and YAML 1.2: lines would be counted differently.
_ODD = {"\t": "a tab", "\x85": "a next-line mark", "\u2028": "a line separator", "\u2029": "a paragraph separator"}


class Document(Struct):
    """A file's value, with the line of every node, its root's too. `digest` is SHA-256 of its bytes."""

    file: str
    value: Value
    lines: dict[Place, int]
    digest: bytes = b""

    def line_of(self, place: Place) -> int:
        """The line of a node, or of the nearest one around it."""
        while place not in self.lines:
            place = place[:-1]
        return self.lines[place]

    def problem(self, place: Place, what: str, mend: str = "") -> ConfigProblem:
        return ConfigProblem(self.file, self.line_of(place), path_of(place), what, mend)


def path_of(place: Place) -> str:
    """A place as one reads it: `models.gpt[0].backend`."""
    out = ""
    for step in place:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            out += f".{step}" if out else step
    return out or "file"


def read_file(path: Path) -> tuple[Document | None, list[ConfigProblem]]:
    """Read a file once and make its value; no document where it can't be read at all."""
    try:
        data = read_once(path, MOST_BYTES)
    except Unclear as unclear:
        return None, [ConfigProblem(str(path), 1, "file", unclear.what, unclear.mend)]
    return read(data, str(path))


def read_once(path: Path, most: int) -> bytes:
    """The bytes of a regular file as they were at one moment. Unclear where that can't be had."""
    try:
        # Opening a FIFO would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Unclear(f"can't be opened ({error.strerror})", "name a file that exists and may be read") from error
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise Unclear("isn't a regular file", "name a file")
        if before.st_size > most:
            raise Unclear(f"is larger than {most} bytes", "split it")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(most + 1)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and len(data) == after.st_size
    if not same:
        raise Unclear("changed while it was read", "replace files by renaming, then try again")
    return data


def read(data: bytes, file: str) -> tuple[Document | None, list[ConfigProblem]]:
    """Make the value of a document, with everything that is wrong in it.

    A document comes back beside problems where the rest still makes sense, so that one run shows every problem.
    """
    if len(data) > MOST_BYTES:
        return None, [ConfigProblem(file, 1, "file", f"is larger than {MOST_BYTES} bytes", "split it")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [ConfigProblem(file, line, "file", "isn't UTF-8 text", "save it as UTF-8")]
    odd = [
        ConfigProblem(file, number, "file", f"{name} in the text", "use spaces, or write it as an escape in quotes")
        for number, line in enumerate(text.split("\n"), 1)
        for character, name in _ODD.items()
        if character in line
    ]
    if odd:
        return None, odd
    builder = _Builder(file)
    try:
        builder.build(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1 if mark else 1, max(1, len(text.splitlines())))
        builder.problems.append(ConfigProblem(file, line, "file", f"isn't YAML: {error.problem}", _mend(text, line)))
        return None, builder.problems
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        builder.problems.append(ConfigProblem(file, line, "file", "a control character in the text", "remove it"))
        return None, builder.problems
    except _Stop:
        return None, builder.problems
    if not builder.started:
        problem = ConfigProblem(file, 1, "file", "is empty", "write at least one key")
        return None, [problem]
    return Document(file, builder.value, builder.lines, hashlib.sha256(data).digest()), builder.problems


def _mend(text: str, line: int) -> str:
    around = "\n".join(text.splitlines()[max(0, line - 2) : line])
    if "${" in around and "{" in around.replace("${", ""):
        return 'inside { } write "${NAME}" in quotes'
    return "look at this line and the one before it"


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 1


class _Stop(Exception):
    """A cap was passed."""


class _Frame:
    """One open mapping or sequence."""

    __slots__ = ("key", "place", "skipping", "target")

    def __init__(self, target: "dict[str, Value] | list[Value]", place: Place) -> None:
        self.target = target
        self.place = place
        self.key: str | None = None
        self.skipping = False


class _Builder:
    """Turns events into values without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.value: Value = None
        self.lines: dict[Place, int] = {(): 1}
        self.problems: list[ConfigProblem] = []
        self.started = False
        self._frames: list[_Frame] = []
        self._nodes = 0

    def build(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            line = _line(event)
            match event:
                case yaml.DocumentStartEvent():
                    self._document(event, line)
                case yaml.AliasEvent():
                    place = self._next(line, "")
                    found = self._stop if self._expects_key() else self._wrong
                    found(line, place, f"an alias (*{event.anchor})", "write the value out")
                    self._add(None)
                case yaml.ScalarEvent():
                    self._scalar(event, line)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event, line)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._frames.pop()
                case _:
                    pass

    def _wrong(self, line: int, place: Place, what: str, mend: str) -> None:
        self.problems.append(ConfigProblem(self.file, line, path_of(place), what, mend))

    def _stop(self, line: int, place: Place, what: str, mend: str) -> None:
        self._wrong(line, place, what, mend)
        raise _Stop

    def _document(self, event: yaml.DocumentStartEvent, line: int) -> None:
        if self.started:
            self._stop(line, (), "a second document", "keep one document a file")
        self.started = True
        if event.version or event.tags:
            self._wrong(line, (), "a % directive", "remove it")

    def _next(self, line: int, text: str) -> Place:
        """Where the coming node belongs; a mapping without a key yet gets none, so its own place."""
        self._nodes += 1
        place = self._frames[-1].place if self._frames else ()
        if self._nodes > MOST_NODES:
            self._stop(line, place, f"more than {MOST_NODES} values", "split the file")
        if not self._frames:
            return ()
        frame = self._frames[-1]
        if isinstance(frame.target, list):
            place = (*frame.place, len(frame.target))
            self.lines[place] = line
            return place
        if frame.key is None:
            return (*frame.place, text) if text else frame.place
        return (*frame.place, frame.key)

    def _add(self, value: Value) -> None:
        if not self._frames:
            self.value = value
            return
        frame = self._frames[-1]
        if isinstance(frame.target, list):
            frame.target.append(value)
        elif frame.key is not None:
            # Of a key written twice the first value stays, for the problems further down.
            frame.target.setdefault(frame.key, value)
            frame.key = None

    def _expects_key(self) -> bool:
        return bool(self._frames) and isinstance(self._frames[-1].target, dict) and self._frames[-1].key is None

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        is_key = self._expects_key()
        place = self._next(line, event.value if is_key else "")
        self._unadorned(event, line, place)
        if is_key:
            self._key(event, line, place)
            return
        value: Scalar = event.value
        if not event.style:
            try:
                value = plain(event.value)
            except Unclear as unclear:
                self._wrong(line, place, unclear.what, unclear.mend)
        self._add(value)

    def _key(self, event: yaml.ScalarEvent, line: int, place: Place) -> None:
        frame = self._frames[-1]
        key = event.value
        if key == "<<" and not event.style:
            self._wrong(line, place, "a merge key", "write the keys out")
        elif not event.style and key in {"", "~"}:
            self._wrong(line, frame.place, "a key without a name", "name it")
        elif key in frame.target:
            first = self.lines[place]
            self._wrong(line, place, f"is written twice (first on line {first})", "keep one of them")
        self.lines.setdefault(place, line)
        frame.key = key

    def _open(self, event: "yaml.MappingStartEvent | yaml.SequenceStartEvent", line: int) -> None:
        is_key = self._expects_key()
        place = self._next(line, "")
        self._unadorned(event, line, place)
        if len(self._frames) >= MOST_DEPTH:
            self._stop(line, place, f"nested deeper than {MOST_DEPTH}", "flatten it")
        target: dict[str, Value] | list[Value] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if is_key:
            self._stop(line, place, "a list or mapping as a key", "a key is one word")
        self._add(target)
        self._frames.append(_Frame(target, place))

    def _unadorned(self, event: yaml.NodeEvent, line: int, place: Place) -> None:
        if event.anchor is not None:
            self._wrong(line, place, f"an anchor (&{event.anchor})", "write the value where it is needed")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._wrong(line, place, "a tag (!)", "remove it; quotes make text")
