"""The faults in what an answer says: streams that end wrongly, say nonsense, or hold what nobody expects. Pure."""

from collections.abc import Iterator
from itertools import chain

import orjson

from gateway.mock.faults import Faults
from gateway.mock.script import Frame, Kind, Then

ERROR = {"message": "The stand-in broke as it was told to.", "type": "server_error", "param": None, "code": None}
ERROR_BODY = orjson.dumps({"error": ERROR})
# vLLM's older shape. It has no "error" key, so clients that look for one take it for an answer.
ERROR_OBJECT_BODY = orjson.dumps(
    {"object": "error", "message": ERROR["message"], "type": "InternalServerError", "param": None, "code": 500}
)
HTML_BODY = (
    b"<!doctype html><html><head><title>Sign in</title></head><body>This is the stand-in's web page.</body></html>"
)

_NOISE = (b"id: 7\n\n", b"retry: 1000\n\n", b"data:\n\n")
_BAD_BYTES = b"\xff\xfe\xc3"


def event(payload: bytes) -> bytes:
    """One server-sent event around this JSON."""
    return b"data: %b\n\n" % payload


def spoiled(frames: Iterator[Frame], faults: Faults) -> Iterator[Frame]:
    """The same stream with the faults of its content."""
    if not faults:
        return frames
    if size := faults.count("giant"):
        frames = _with_giant(frames, size)
    frames = _ended(frames, faults)
    for name in ("malformed", "bad_utf8"):
        if (place := faults.count(name)) is not None:
            frames = _broken(frames, name, place)
    if "error_first" in faults or "error_object" in faults:
        body = ERROR_OBJECT_BODY if "error_object" in faults else ERROR_BODY
        frames = _replaced_from(frames, 0, Frame(event(body), kind=Kind.ERROR))
    if (place := faults.count("error_mid")) is not None:
        frames = _replaced_from(frames, place, Frame(event(ERROR_BODY), kind=Kind.ERROR))
    for name, then in (("stall_mid", Then.STALL), ("reset_mid", Then.RESET), ("fin_mid", Then.CLOSE), ("cut", None)):
        if (place := faults.count(name)) is not None:
            frames = _replaced_from(frames, place, None if then is None else Frame(b"", kind=Kind.NOISE, then=then))
    if "retry_id_fields" in faults:
        frames = _with_noise(frames)
    if (every_s := faults.seconds("pings")) is not None:
        frames = _with_pings(frames, every_s)
    return frames


def spoiled_body(body: bytes, faults: Faults) -> bytes:
    """A whole answer's bytes with the faults of its content."""
    if "error_object" in faults:
        return ERROR_OBJECT_BODY
    if "error_first" in faults:
        return ERROR_BODY
    if "malformed" in faults:
        return body[: len(body) // 2]
    if "bad_utf8" in faults:
        return _with_bad_bytes(body)
    return body


def _ended(frames: Iterator[Frame], faults: Faults) -> Iterator[Frame]:
    for frame in frames:
        if frame.kind is Kind.DONE and ("no_done" in faults or "no_finish" in faults):
            continue
        if frame.kind in (Kind.FINISH, Kind.USAGE) and "no_finish" in faults:
            continue
        yield frame
    if "after_done" in faults:
        yield Frame(event(b'{"stray":"said after the end by the stand-in"}'), kind=Kind.NOISE)


def _broken(frames: Iterator[Frame], name: str, place: int) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        if number != place:
            yield frame
        elif name == "malformed":
            yield frame._replace(data=frame.data[: len(frame.data) // 2].rstrip() + b"\n\n")
        else:
            yield frame._replace(data=_with_bad_bytes(frame.data))


def _with_bad_bytes(data: bytes) -> bytes:
    """The same with bytes that are no UTF-8 inside its text, or inside its first string."""
    for key in (b'"content":"', b'"text":"', b'"'):
        start = data.find(key)
        if start >= 0:
            start += len(key)
            return data[:start] + _BAD_BYTES + data[start:]
    return data + _BAD_BYTES


def _with_giant(frames: Iterator[Frame], size: int) -> Iterator[Frame]:
    """Grows the first frame with content, so that the event is exactly `size` bytes."""
    grown = False
    for frame in frames:
        mark = frame.data.find(b'"content":"', 0) if frame.tokens else -1
        key = b'"content":"'
        if mark < 0:
            mark, key = (frame.data.find(b'"text":"') if frame.tokens else -1), b'"text":"'
        if grown or mark < 0:
            yield frame
            continue
        start = mark + len(key)
        more = b"g" * max(0, size - len(frame.data))
        yield frame._replace(data=frame.data[:start] + more + frame.data[start:])
        grown = True


def _replaced_from(frames: Iterator[Frame], place: int, last: Frame | None) -> Iterator[Frame]:
    """The first `place` frames, then `last` at the time of the next, then nothing."""
    for number, frame in enumerate(frames):
        if number == place:
            if last is not None:
                yield last._replace(wait_s=frame.wait_s)
            return
        yield frame


def _with_noise(frames: Iterator[Frame]) -> Iterator[Frame]:
    for number, frame in enumerate(frames):
        yield frame
        if number < len(_NOISE):
            yield Frame(_NOISE[number], kind=Kind.NOISE)


def _with_pings(frames: Iterator[Frame], every_s: float) -> Iterator[Frame]:
    first = next(frames, None)
    if first is None:
        return
    yield Frame(b": ping\n\n", kind=Kind.NOISE)
    left_s = first.wait_s
    while every_s > 0 and left_s > every_s:
        left_s -= every_s
        yield Frame(b": ping\n\n", wait_s=every_s, kind=Kind.NOISE)
    yield from chain((first._replace(wait_s=left_s),), frames)
