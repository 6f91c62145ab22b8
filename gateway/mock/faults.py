"""The names of everything that can go wrong here, and which of it goes wrong for one request.

A spec is `name`, `name=value`, and `*N` at its end for the first N requests only: `500*2`, `reset=300`, `429=5*1`.
Events are counted without comments and without the noise of other faults; bytes from the first of the status line.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from gateway.mock.options import seconds_of


class Takes(Enum):
    """The kind of value a fault's name takes."""

    NOTHING = "no value"
    COUNT = "a whole number"
    SIGNED = "a whole number with its sign"
    MAYBE_COUNT = "a whole number or nothing"
    SECONDS = "a duration"
    MAYBE_SECONDS = "a duration or nothing"
    USAGE = "missing or zero"
    TEXT = "some text"


FAULTS: Mapping[str, tuple[Takes, str]] = {
    # the connection
    "refuse": (Takes.NOTHING, "close the accepted connection at once"),
    "stale": (Takes.NOTHING, "close right after the answer, without having announced it"),
    "stale_next": (Takes.NOTHING, "close when the next request comes over the same connection, answering nothing"),
    "garbage_after": (Takes.MAYBE_SECONDS, "a second answer nobody asked for, in the same write or this much later"),
    # before the answer
    "stall": (Takes.MAYBE_SECONDS, "say nothing, for ever or for this long"),
    "early_hints": (Takes.NOTHING, "103 before the answer"),
    "redirect": (Takes.TEXT, "307 to this address"),
    "loading": (Takes.NOTHING, "503 Loading model, also from /health"),
    "unhealthy": (Takes.NOTHING, "503 from /health only"),
    "quota": (Takes.NOTHING, "429 insufficient_quota"),
    "context_length": (Takes.NOTHING, "400 context_length_exceeded"),
    "content_policy": (Takes.NOTHING, "400 content_policy_violation"),
    "html": (Takes.NOTHING, "200 with a web page"),
    # the head
    "status": (Takes.COUNT, "this status over the usual answer"),
    "status_line": (Takes.TEXT, "this first line instead of the status line"),
    "header_bytes": (Takes.COUNT, "one more header of this size"),
    "headers": (Takes.COUNT, "this many more headers"),
    "both_lengths": (Takes.NOTHING, "content-length beside transfer-encoding"),
    "wrong_length": (Takes.SIGNED, "content-length (a stream: the first chunk's size) off by this much"),
    "close_delimited": (Takes.NOTHING, "neither length nor chunks: the end of the connection ends the answer"),
    "close_delimited_reset": (Takes.COUNT, "the same, reset after this many bytes"),
    # what the answer says
    "json_to_stream": (Takes.NOTHING, "a whole answer to a streaming call"),
    "sse_to_whole": (Takes.NOTHING, "a stream to a call for a whole answer"),
    "error_first": (Takes.NOTHING, '200, and the first thing in it is {"error": …}'),
    "error_object": (Takes.NOTHING, '200, and the first thing in it is {"object": "error", …}'),
    "error_mid": (Takes.COUNT, "an error event after this many events"),
    "malformed": (Takes.COUNT, "broken JSON in the event after this many"),
    "bad_utf8": (Takes.COUNT, "bytes that are no UTF-8 in the event after this many"),
    "giant": (Takes.COUNT, "one event of this many bytes"),
    "pings": (Takes.SECONDS, "headers at once and a comment this often until the first event"),
    "retry_id_fields": (Takes.NOTHING, "id:, retry: and empty data: lines among the events"),
    "usage": (Takes.USAGE, "no usage, or zeros"),
    "no_done": (Takes.NOTHING, "a finish_reason but no [DONE]"),
    "no_finish": (Takes.NOTHING, "neither finish_reason nor [DONE]"),
    "after_done": (Takes.NOTHING, "one more event after [DONE]"),
    "cut": (Takes.COUNT, "a clean end after this many events"),
    # how it travels
    "stall_mid": (Takes.COUNT, "silence after this many events"),
    "reset": (Takes.COUNT, "RST after this many bytes"),
    "reset_mid": (Takes.COUNT, "RST after this many events"),
    "fin": (Takes.COUNT, "FIN after this many bytes"),
    "fin_mid": (Takes.COUNT, "FIN after this many events"),
    "split_utf8": (Takes.NOTHING, "characters of several bytes, each cut across two writes"),
    "trickle": (Takes.COUNT, "this many bytes a second"),
    # no faults, but as handy for one request
    "ttft": (Takes.SECONDS, "time to the first token"),
    "tpot": (Takes.SECONDS, "time per further token"),
    "tokens": (Takes.COUNT, "length of the answer, whatever was asked for"),
}

_SPEC = re.compile(r"(?P<name>[a-z0-9_]+)(?:=(?P<value>.*?))?(?:\*(?P<times>\d+))?", re.DOTALL)
_NUMBERS = {
    Takes.COUNT: re.compile("[0-9]+"),
    Takes.MAYBE_COUNT: re.compile("[0-9]+"),
    Takes.SIGNED: re.compile("[+-]?[0-9]+"),
}
_STATUS = re.compile(r"[45]\d\d")

Value = int | float | str | None


class Fault(NamedTuple):
    """One thing that goes wrong, for the first so many requests or for all of them."""

    name: str
    value: Value = None
    times: int | None = None
    spec: str = ""


def parse_fault(spec: str) -> Fault:
    """The fault a spec names. ValueError says what is wrong with it."""
    found = _SPEC.fullmatch(spec.strip())
    if found is None:
        raise ValueError(f"{spec!r} is not name[=value][*count]")
    name, text = found["name"], found["value"]
    times = int(found["times"]) if found["times"] else None
    # Any error status is a name of its own; only 429 has something to add (its Retry-After).
    takes = Takes.MAYBE_COUNT if _STATUS.fullmatch(name) else FAULTS[name][0] if name in FAULTS else None
    if takes is None:
        raise ValueError(f"no fault is called {name!r}; there are an error status and {', '.join(FAULTS)}")
    return Fault(name, _value(name, text, takes), times, spec.strip())


def _value(name: str, text: str | None, takes: Takes) -> Value:
    if text is None or not text:
        if takes in (Takes.NOTHING, Takes.MAYBE_COUNT, Takes.MAYBE_SECONDS):
            return None
    elif takes in (Takes.SECONDS, Takes.MAYBE_SECONDS):
        return seconds_of(text)
    elif takes is Takes.TEXT or (takes is Takes.USAGE and text in ("missing", "zero")):
        return text
    elif takes in _NUMBERS and _NUMBERS[takes].fullmatch(text):
        return int(text)
    raise ValueError(f"{name} takes {takes.value}, not {text!r}")


def parse_faults(specs: str) -> tuple[Fault, ...]:
    """The faults of a header's value: specs with semicolons between them."""
    return tuple(parse_fault(spec) for spec in specs.split(";") if spec.strip())


class Faults:
    """What goes wrong for one request."""

    __slots__ = ("_values", "specs")

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._values: dict[str, Value] = {}
        self.specs: tuple[str, ...] = ()
        for fault in faults:
            self._values[fault.name] = fault.value
            self.specs = (*self.specs, fault.spec or fault.name)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def count(self, name: str) -> int | None:
        """The whole number given to this fault; None if it isn't there or has none."""
        value = self._values.get(name)
        return value if isinstance(value, int) else None

    def seconds(self, name: str) -> float | None:
        """The duration given to this fault; None if it isn't there or has none."""
        value = self._values.get(name)
        return value if isinstance(value, float) else None

    def text(self, name: str) -> str:
        """The text given to this fault, empty if it isn't there."""
        value = self._values.get(name)
        return value if isinstance(value, str) else ""

    @property
    def status(self) -> str | None:
        """The error status that replaces the answer."""
        return next((name for name in self._values if _STATUS.fullmatch(name)), None)


NO_FAULTS = Faults()


class Standing:
    """The faults that hold for every request until they are set anew or used up."""

    __slots__ = ("_left",)

    def __init__(self, specs: Iterable[str] = ()) -> None:
        self._left: list[tuple[Fault, int | None]] = []
        self.set(specs)

    def set(self, specs: Iterable[str]) -> None:
        """Replace all of them; a spec that does not parse raises ValueError and changes nothing."""
        faults = [fault for spec in specs for fault in parse_faults(spec)]
        self._left = [(fault, fault.times) for fault in faults if fault.times != 0]

    @property
    def specs(self) -> list[str]:
        """Those with something left, as they were given."""
        return [fault.spec for fault, _ in self._left]

    def take(self, header: str = "") -> Faults:
        """What holds for the next request: the standing faults, one use of each, and its own header's."""
        own = parse_faults(header) if header else ()
        if not self._left:
            return Faults(own) if own else NO_FAULTS
        return Faults((*self._use(refusals=False), *own))

    def take_refusal(self) -> bool:
        """Whether the connection that has just come is to be closed unread."""
        return bool(self._left) and bool(self._use(refusals=True))

    def holds(self, name: str) -> bool:
        """Whether this fault stands now; uses nothing up."""
        return any(fault.name == name for fault, _ in self._left)

    def _use(self, *, refusals: bool) -> list[Fault]:
        used: list[Fault] = []
        left: list[tuple[Fault, int | None]] = []
        for fault, times in self._left:
            if (fault.name == "refuse") != refusals:
                left.append((fault, times))
                continue
            used.append(fault)
            if times is None or times > 1:
                left.append((fault, None if times is None else times - 1))
        self._left = left
        return used
