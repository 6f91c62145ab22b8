"""Amounts that carry their unit: `80ms`, `10s`, `1h`, `30d`; `32MiB`, `64KiB`."""

import re

from gateway.settings.scalars import Unclear

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
DECIMAL_BYTES = {"KB": "KiB", "kB": "KiB", "MB": "MiB", "GB": "GiB", "K": "KiB", "M": "MiB", "G": "GiB"}
MOST_DIGITS = 15

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def seconds(text: str) -> float:
    """The seconds of a duration such as `10s`. Unclear without a unit we know."""
    number, unit = _split(text, "a duration", "10s, 80ms, 5m, 1h or 30d")
    factor = SECONDS.get(unit)
    if factor is None:
        raise _unitless(text, unit, "a duration", "s", SECONDS)
    # 80 * 0.001 isn't 0.08 in binary; the division is.
    return number / 1000 if unit == "ms" else number * factor


def size(text: str) -> int:
    """The bytes of a size such as `32MiB`. Unclear without a unit we know."""
    number, unit = _split(text, "a size", "32MiB, 64KiB or 512B")
    if unit in DECIMAL_BYTES:
        raise Unclear(f"{text}: sizes are in powers of 1024 here", f"write {number:g}{DECIMAL_BYTES[unit]}")
    factor = BYTES.get(unit)
    if factor is None:
        raise _unitless(text, unit, "a size", "MiB", BYTES)
    return int(number * factor)


def _split(text: str, what: str, examples: str) -> tuple[float, str]:
    match = _AMOUNT.fullmatch(text)
    if match is None or len(match[1]) > MOST_DIGITS:
        raise Unclear(f"isn't {what}", f"write {examples}")
    return float(match[1]), match[2]


def _unitless(text: str, unit: str, what: str, likely: str, known: dict[str, float] | dict[str, int]) -> Unclear:
    if not unit:
        return Unclear(f"{text} has no unit", f"{what} carries one: write {text}{likely}")
    return Unclear(f"{unit} isn't a unit of {what}", f"write one of {', '.join(known)}")
