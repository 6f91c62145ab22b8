"""How a place wants to be paid: one function a scheme, each giving header lines.

What they give holds a secret: it goes into a Place's head, which never shows itself.
"""

import re
from collections.abc import Callable

from gateway.settings.shape import Auth, Secret

_ONE_LINE = re.compile(r"[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9-]+")


def none(auth: Auth, key: Secret) -> str:
    del auth, key
    return ""


def bearer(auth: Auth, key: Secret) -> str:
    del auth
    return f"authorization: Bearer {_value(key)}\r\n" if key else ""


def header(auth: Auth, key: Secret) -> str:
    if not _NAME.fullmatch(auth.header):
        raise ValueError("the provider's auth names no header")
    return f"{auth.header}: {_value(key)}\r\n" if key else ""


SCHEMES: dict[str, Callable[[Auth, Secret], str]] = {"none": none, "bearer": bearer, "header": header}


def header_lines(auth: Auth, key: Secret) -> str:
    """The header lines that carry a key; empty where none is needed or given.

    KeyError for an unknown scheme, ValueError for a key that could end its line and begin another.
    """
    return SCHEMES[auth.scheme](auth, key)


def _value(key: Secret) -> str:
    value = key.reveal()
    if not _ONE_LINE.fullmatch(value):
        raise ValueError("a key isn't one line of printable ASCII without spaces")
    return value
