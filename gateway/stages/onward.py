"""What goes along to an upstream because of a request's head: where it was, and what its language passes on."""

from collections.abc import Mapping
from typing import Final

from gateway.errors import BadRequest, LoopDetected
from gateway.wire.losses import safe

MOST_HOPS: Final = 4


def hops(headers: Mapping[bytes, bytes], instance: str) -> bytes:
    """The header line that says which gateways a request has passed. LoopDetected where this is one of them."""
    here = instance.encode()
    passed = headers.get(b"x-gateway-hop")
    if passed is not None:
        been = [hop.strip() for hop in passed.split(b",")]
        if here in been or len(been) >= MOST_HOPS:
            raise LoopDetected("This request has passed through this gateway before.")
        here = b"%b,%b" % (passed, here)
    return b"x-gateway-hop: %b\r\n" % here


def passed_on(headers: Mapping[bytes, bytes], passes: tuple[bytes, ...]) -> tuple[bytes, tuple[str, ...]]:
    """The header lines that a language passes on to places speaking it, and the names of what they say."""
    lines = b""
    flags: tuple[str, ...] = ()
    for name in passes:
        value = headers.get(name)
        if value is None:
            continue
        lines += b"%b: %b\r\n" % (name, value)
        if name.endswith(b"-beta"):
            # A version says how to read what follows, and is understood; a beta flag asks for something.
            flags += tuple(f"{name.decode()}.{safe(flag.strip().decode('latin-1'))}" for flag in value.split(b","))
    return lines, flags


def patience(asked_ms: bytes) -> float:
    """The seconds a caller gives the whole request. BadRequest where that is no number of milliseconds."""
    if not asked_ms.isdigit() or len(asked_ms) > 9 or int(asked_ms) == 0:
        raise BadRequest("The header 'x-gateway-timeout-ms' must be a positive whole number.", code="invalid_header")
    return int(asked_ms) / 1000
