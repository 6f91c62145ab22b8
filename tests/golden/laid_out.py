"""JSON for eyes: what fits on a line is on one line, and numbers stay as they were written."""

import json
from decimal import Decimal

from msgspec.json import encode

_WIDTH = 220
# As deep as messages and tools: each is on a line of its own.
_DEEPEST = 6


def lay_out(written: bytes) -> str:
    """Lay JSON out. ValueError where an object says a name twice: no reader would agree with another about it."""
    return _laid(json.loads(written, parse_float=Decimal, object_pairs_hook=_once), "") + "\n"


def flat(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flat(name)}: {flat(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flat, value)) + "]"
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return str(value)
    return encode(value).decode()


def _laid(value: object, margin: str) -> str:
    line = flat(value)
    short = len(margin) + len(line) <= _WIDTH or len(margin) >= _DEEPEST
    if short or not isinstance(value, dict | list) or (isinstance(value, list) and isinstance(value[0], str)):
        return line
    inner = margin + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{flat(name)}: {_laid(of, inner)}" for name, of in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    return "[\n" + ",\n".join(inner + _laid(item, inner) for item in value) + f"\n{margin}]"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("A name is there twice.")
    return dict(pairs)
