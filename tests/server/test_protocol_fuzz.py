"""Any bytes, cut anywhere: no exception, no hang, and never a request that was hidden inside another."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings.shape import Caps
from tests.server.desk import AnsweringDesk, connected, settle_down

CAPS = Caps(json_bytes=4096, header_bytes=2048, header_field_bytes=512, header_fields=16, uri_bytes=256)
SMUGGLED = b"GET /v1/models/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
Cuts = list[int]
CUTS = st.lists(st.integers(0, 600), max_size=6)

# Lines that make some parser, somewhere, see another end of the message.
AMBIGUOUS = st.sampled_from(
    [
        *("Content-Length: 0", "Content-Length: 5", "Content-Length: +0", "Content-Length : 0", "Content-Length:\t0"),
        *(
            "Content_Length: 0",
            "X: y\r\nContent-Length: 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
        ),
        *("Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked, identity"),
        *("Transfer-Encoding: gzip, chunked", "Transfer-Encoding:\x0bchunked", "Transfer_Encoding: chunked", " folded"),
        *("X: a\nContent-Length: 0", "X: a\rContent-Length: 0", "Connection: Upgrade\r\nUpgrade: h2c", "X: \0"),
        *(
            "Connection: Upgrade\r\nUpgrade: websocket",
            "Connection: close",
            "Connection: Content-Length",
            "Expect: 100-continue",
        ),
        *("Trailer: Content-Length", "Host: b", "TE: trailers", "Content-Type: multipart/form-data; boundary=b"),
    ]
)
EXTENSIONS = st.sampled_from([b"", b";a=b", b';a="\r\n"', b";a\n", b" ", b";" + b"a" * 1100, b"\r\r\n"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A request whose body hides another one, framed rightly, and then made doubtful."""
    lines = draw(st.lists(AMBIGUOUS, max_size=2))
    path = draw(st.sampled_from(["/v1/chat/completions", "/v1/nothing", "/healthz", "/v1/%zz"]))
    method = draw(st.sampled_from(["POST", "GET", "OPTIONS", "HEAD"]))
    body = draw(st.sampled_from([SMUGGLED, b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED, b"\r\n\r\n" + SMUGGLED]))
    if draw(st.booleans()):
        framing = "Transfer-Encoding: chunked"
        body = b"%x%b\r\n%b\r\n0\r\n\r\n" % (len(body), draw(EXTENSIONS), body)
    else:
        framing = f"Content-Length: {len(body)}"
    lines.insert(draw(st.integers(0, len(lines))), framing)
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a", *lines]).encode("latin-1") + b"\r\n\r\n" + body


NOISE = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [SMUGGLED, b"\r\n", b"\n", b"\0", b"POST / HTTP/1.1\r\n", b"Host: a\r\n", b"0\r\n\r\n", b"\x16\x03\x01"]
        ),
        max_size=8,
    ).map(b"".join),
)


def run(data: bytes, cuts: Cuts) -> AnsweringDesk:
    """The desk after a connection was fed these bytes, and then everything that time brings."""

    async def feed() -> AnsweringDesk:
        desk = AnsweringDesk(CAPS)
        connection, wire = connected(desk)
        at = 0
        for cut in [*sorted(cuts), len(data)]:
            if data[at:cut]:
                connection.data_received(data[at:cut])
                at = cut
                await settle_down(12)
        for _ in range(4):
            desk.clock.advance(130.0)
            connection.sweep(desk.clock.monotonic())
        assert desk.handed or wire.ended == "abort", "whatever was sent, its connection has ended"
        assert wire.written.count(b"HTTP/1.1 ") >= len(desk.served) + len(desk.refused)
        return desk

    return asyncio.run(feed())


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(messages(), NOISE), max_size=4).map(b"".join), CUTS)
def test_no_bytes_break_a_connection_and_each_ends(data: bytes, cuts: Cuts) -> None:
    run(data, cuts)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(messages(), CUTS)
def test_a_request_inside_anothers_body_is_never_served(data: bytes, cuts: Cuts) -> None:
    """At most one request is in there, whatever its head makes of its end."""
    desk = run(data, cuts)
    assert len(desk.served) + len(desk.refused) + len(desk.handed) == 1
    for call in desk.served:
        assert "smuggled" not in call.path


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=3).map(b"".join), CUTS)
def test_what_is_served_never_depends_on_where_the_bytes_were_cut(data: bytes, cuts: Cuts) -> None:
    """A refusal steps over a body that is here and ends a connection whose isn't: only what is served is compared."""
    whole, pieces = run(data, []), run(data, cuts)
    served = [(call.path, call.body) for call in whole.served]
    also = [(call.path, call.body) for call in pieces.served]
    assert also == served[: len(also)]
    if not whole.refused:
        assert also == served
