"""An answer as a list of steps: wait, write these bytes, then go on, stop or break. Pure: bytes in, steps out.

Frames are what is said (events, or one body). Framing puts the head before them and chunks around them. The faults of
the wire come last, because they count and cut the bytes as they travel.
"""

from collections.abc import Iterator
from enum import Enum
from http import HTTPStatus
from itertools import chain
from typing import NamedTuple

from gateway.mock.faults import Faults


class Then(Enum):
    """What follows a step."""

    GO = "the next step"
    END = "nothing: the answer is complete"
    STALL = "nothing, and the connection stays open"
    CLOSE = "FIN"
    RESET = "RST"


class Kind(Enum):
    """What a frame is within its answer."""

    WHOLE = "a whole body"
    ROLE = "role"
    CONTENT = "content"
    FINISH = "finish_reason"
    USAGE = "usage"
    DONE = "[DONE]"
    ERROR = "an error event"
    NOISE = "not an event"


class Frame(NamedTuple):
    """An event or a body, the seconds to wait before it, and the tokens it carries."""

    data: bytes
    wait_s: float = 0.0
    tokens: int = 0
    kind: Kind = Kind.CONTENT
    then: Then = Then.GO


class Step(NamedTuple):
    """Wait, write, and what then."""

    wait_s: float
    data: bytes
    tokens: int = 0
    then: Then = Then.GO


Header = tuple[str, str]

LAST_CHUNK = b"0\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </stand-in.css>; rel=preload\r\n\r\n"
STRAY_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 37\r\n\r\n"
    b'{"stray":"nobody asked the stand-in"}'
)
# A write of its own needs a moment of its own, or the reader finds both halves at once.
_APART_S = 0.001
_TRICKLE_STEPS_PER_S = 100
_MULTI_BYTE = 0x80
_CONTINUATION = 0xC0


def head_of(status: int, headers: tuple[Header, ...], faults: Faults) -> bytes:
    """The bytes of status line and headers, with what the faults do to them."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unheard Of"
    line = faults.text("status_line") or f"HTTP/1.1 {status} {reason}"
    more = [*headers]
    if size := faults.count("header_bytes"):
        more.append(("x-mock-long", "x" * size))
    more += [(f"x-mock-{number}", "x") for number in range(faults.count("headers") or 0)]
    if "both_lengths" in faults:
        named = {name for name, _ in headers}
        more += [("content-length", "5")] if "transfer-encoding" in named else [("transfer-encoding", "chunked")]
    lines = [line, *(f"{name}: {value}" for name, value in more), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def framed(frames: Iterator[Frame], head: bytes, *, chunked: bool, first_size_off: int = 0) -> Iterator[Step]:
    """The steps of an answer: its head goes out with its first frame."""
    pending, off = head, first_size_off
    for data, wait_s, tokens, _, then in frames:
        wire = data
        if chunked and data:
            wire = b"%x\r\n%b\r\n" % (max(0, len(data) + off), data)
            off = 0
        yield Step(wait_s, pending + wire, tokens, then)
        pending = b""
        if then is not Then.GO:
            return
    yield Step(0.0, pending + LAST_CHUNK if chunked else pending, 0, Then.END)


def travelled(steps: Iterator[Step], faults: Faults) -> Iterator[Step]:
    """The same steps with the faults of the wire."""
    if not faults:
        return steps
    if "garbage_after" in faults and faults.seconds("garbage_after") is None:
        steps = _with_stray_answer(steps)
    for name, then in (("reset", Then.RESET), ("fin", Then.CLOSE), ("close_delimited_reset", Then.RESET)):
        if (limit := faults.count(name)) is not None:
            steps = _stopped(steps, limit, then)
    if "split_utf8" in faults:
        steps = _split_inside_characters(steps)
    if rate := faults.count("trickle"):
        steps = _trickled(steps, rate)
    if "early_hints" in faults:
        steps = chain((Step(0.0, EARLY_HINTS),), steps)
    if "stall" in faults:
        pause_s = faults.seconds("stall")
        first = Step(0.0, b"", 0, Then.STALL) if pause_s is None else Step(pause_s, b"")
        steps = chain((first,), steps)
    return steps


def _with_stray_answer(steps: Iterator[Step]) -> Iterator[Step]:
    for step in steps:
        yield step._replace(data=step.data + STRAY_ANSWER) if step.then is Then.END else step


def _stopped(steps: Iterator[Step], limit: int, then: Then) -> Iterator[Step]:
    """Broken off after `limit` bytes, or at the end of an answer that is shorter."""
    left = limit
    if not left:
        yield Step(0.0, b"", 0, then)
        return
    for step in steps:
        if len(step.data) >= left or step.then is Then.END:
            yield Step(step.wait_s, step.data[:left], step.tokens if len(step.data) <= left else 0, then)
            return
        left -= len(step.data)
        yield step


def _split_inside_characters(steps: Iterator[Step]) -> Iterator[Step]:
    for step in steps:
        start, wait_s = 0, step.wait_s
        for place in range(1, len(step.data)):
            lead = step.data[place - 1]
            if lead >= _CONTINUATION and _MULTI_BYTE <= step.data[place] < _CONTINUATION:
                yield Step(wait_s, step.data[start:place])
                start, wait_s = place, _APART_S
        yield Step(wait_s, step.data[start:], step.tokens, step.then)


def _trickled(steps: Iterator[Step], rate: int) -> Iterator[Step]:
    size = max(1, rate // _TRICKLE_STEPS_PER_S)
    for step in steps:
        data = step.data
        wait_s = step.wait_s
        while len(data) > size:
            yield Step(wait_s, data[:size])
            data, wait_s = data[size:], size / rate
        yield Step(wait_s, data, step.tokens, step.then)
