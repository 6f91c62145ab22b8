"""The headers of an answer: an allow-list, ours (CONTRACT.md, response header table; reliability 4.6, row H1)."""

from typing import Final

from gateway.exchange import Exchange
from gateway.settings.shape import Target

# Milliseconds with two decimals, ready-made: formatting a float costs more than the rest of a line.
_MILLISECONDS: Final = tuple(b"%d.%02d" % divmod(hundredths, 100) for hundredths in range(1000))


def fixed_lines(target: Target, pop: str) -> bytes:
    """The header lines that every answer of a target carries."""
    lines = "cache-control: no-store\r\n"
    if pop:
        lines += f"x-gateway-pop: {pop}\r\n"
    if target.backend.region:
        lines += f"x-gateway-region: {target.backend.region}\r\n"
    return lines.encode("ascii", "replace")


def lines_of(exchange: Exchange, content_type: bytes, fixed: bytes, now: float) -> bytes:
    """The finished header lines of an answer, at `now` (monotonic): of what the upstream sent, only its type passes."""
    if content_type != b"application/json" and not _printable(content_type):
        content_type = b"application/json"
    upstream_s = exchange.upstream_s()
    own_s = now - exchange.started - upstream_s - exchange.waited_s
    lines = (
        b"content-type: %b\r\n%bx-gateway-model: %b\r\nx-gateway-attempts: %d\r\n"
        b"server-timing: gateway;dur=%b, %bupstream;dur=%d\r\n"
    ) % (
        content_type,
        fixed,
        exchange.model.encode("ascii", "replace"),
        len(exchange.attempts),
        _milliseconds(own_s),
        b"queue;dur=%d, " % (exchange.waited_s * 1e3) if exchange.waited_s else b"",
        upstream_s * 1e3,
    )
    if exchange.changed:
        lines += b"x-gateway-dropped: %b\r\n" % ", ".join(exchange.changed).encode("ascii", "replace")
    caller = exchange.call.caller
    if caller is not None and caller.may.plan and exchange.target is not None:
        lines += b"x-gateway-backend: %b\r\n" % exchange.target.backend.name.encode("ascii", "replace")
    return lines


def _milliseconds(seconds: float) -> bytes:
    hundredths = int(seconds * 1e5)
    if 0 <= hundredths < len(_MILLISECONDS):
        return _MILLISECONDS[hundredths]
    return b"%.2f" % max(0.0, seconds * 1e3)


def _printable(content_type: bytes) -> bool:
    return bool(content_type) and content_type.isascii() and content_type.decode("ascii").isprintable()
