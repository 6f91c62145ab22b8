"""What a bare word of YAML means: the core of YAML 1.2, less everything that two readers would read differently.

`NO`, `on`, `yes` and dates are text. `010`, `0o7`, `0x1f`, `1_000` and `12:30` are numbers to one reader and text or
other numbers to the next (https://yaml.org/spec/1.2.2/#103-core-schema against https://yaml.org/type/int.html), so they
are refused with their mend.
"""

import math
import re

Scalar = None | bool | int | float | str

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
SWITCHES = {"true": True, "false": False}
LARGEST = 2**63 - 1
LONGEST_NUMBER = 64

_WHOLE = re.compile(r"[-+]?[0-9]+")
_BROKEN = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"([-+]?)0+([0-9]+)")
_OTHER_BASE = re.compile(r"[-+]?0([oO][0-7]+|[xX][0-9a-fA-F]+|[bB][01]+)")
_UNDERSCORED = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Unclear(Exception):
    """A bare word that two readers would read differently."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}; {mend}")
        self.what = what
        self.mend = mend


def plain(text: str) -> Scalar:
    """The value of a scalar written without quotes. Unclear where it would mean two things."""
    if text in NULLS:
        return None
    if text in SWITCHES:
        return SWITCHES[text]
    if text.lower() in SWITCHES:
        raise Unclear(f"{text} is true or false only to some readers", f'write {text.lower()}, or "{text}" for text')
    if text[0] not in "+-.0123456789":
        return text
    return _number(text)


def _number(text: str) -> Scalar:
    if len(text) <= LONGEST_NUMBER:
        zero = _LEADING_ZERO.fullmatch(text)
        if zero is not None:
            decimal = f"{zero[1]}{int(zero[2])}"
            raise Unclear(f"{text} is an octal number to some readers", f'write {decimal}, or "{text}" for text')
        if _OTHER_BASE.fullmatch(text):
            raise Unclear(f"{text} isn't a decimal number", f'write {int(text, 0)}, or "{text}" for text')
    if _UNDERSCORED.fullmatch(text):
        raise Unclear(
            f"{text} is a number only to some readers", f'write {text.replace("_", "")}, or "{text}" for text'
        )
    if _SEXAGESIMAL.fullmatch(text):
        raise Unclear(f"{text} is a number in base 60 to some readers", f'write "{text}" for text')
    if _NOT_FINITE.fullmatch(text):
        raise Unclear(f"{text} isn't a number that could be meant here", "write a finite number")
    if _WHOLE.fullmatch(text):
        if len(text) > LONGEST_NUMBER or abs(int(text)) > LARGEST:
            raise Unclear("a number beyond 64 bits", "write a smaller one, or quote it for text")
        return int(text)
    if _BROKEN.fullmatch(text):
        if len(text) > LONGEST_NUMBER or math.isinf(float(text)):
            raise Unclear("a number too large or too long", "write a smaller one, or quote it for text")
        return float(text)
    return text
