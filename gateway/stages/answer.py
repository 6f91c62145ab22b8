"""The headers of an answer: an allow-list, ours (CONTRACT.md, response header table; reliability 4.6, row H1)."""

from gateway.exchange import Exchange


def headers_of(exchange: Exchange, content_type: str, pop: str, now: float) -> list[tuple[bytes, bytes]]:
    """What a caller is told with an answer, at `now` (monotonic): of what the upstream sent, only its type passes."""
    target = exchange.target
    headers = [
        (b"content-type", _printable(content_type) or b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-gateway-model", exchange.model.encode("ascii", "replace")),
        (b"x-gateway-attempts", b"%d" % len(exchange.attempts)),
        (
            b"server-timing",
            b"gateway;dur=%.2f, upstream;dur=%.1f" % (exchange.overhead_s(now) * 1e3, exchange.upstream_s() * 1e3),
        ),
    ]
    if pop:
        headers.append((b"x-gateway-pop", pop.encode("ascii", "replace")))
    if target is not None:
        if target.backend.region:
            headers.append((b"x-gateway-region", target.backend.region.encode("ascii", "replace")))
        caller = exchange.call.caller
        if caller is not None and caller.may.plan:
            headers.append((b"x-gateway-backend", target.backend.name.encode("ascii", "replace")))
    if exchange.changed:
        headers.append((b"x-gateway-dropped", ", ".join(exchange.changed).encode("ascii", "replace")))
    return headers


def _printable(content_type: str) -> bytes:
    return content_type.encode() if content_type.isascii() and content_type.isprintable() else b""
