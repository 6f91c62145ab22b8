"""How answers are framed: what is one, what isn't, and what may follow it on the same connection. On real sockets."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import HandClock
from gateway.errors import GatewayError, UpstreamBroken, UpstreamDisconnected, UpstreamError, UpstreamTruncated
from gateway.settings.shape import Caps
from gateway.upstream.connection import FRAMING_BYTES, INFORMATIONAL_MOST, REFUSAL_BYTES, REFUSED, UpstreamConnection
from gateway.upstream.head import HEAD_BYTES, HEADER_BYTES, HEADER_FIELDS
from tests.doubles.mock_transport import KeepingTransport
from tests.doubles.outgoing import at_once
from tests.upstream.scripted import FIN, LAST_CHUNK, OK, RST, Step, Upstream, chunk, rigged, sized, turn

H = b"HTTP/1.1 200 OK\r\n"
CHUNKED = H + b"transfer-encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\ncontent-length: 7\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# name → what the upstream sends, the status and body that are read from it, and whether the connection serves again
GOOD: dict[str, tuple[Sequence[Step], int, bytes, bool]] = {
    "sized": ([sized(b"hi")], 200, b"hi", True),
    "sized, empty": ([sized(b"")], 200, b"", True),
    "header names in any case": ([H + b"CONTENT-LENGTH: 2\r\n\r\nhi"], 200, b"hi", True),
    "no reason": ([b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi"], 200, b"hi", True),
    "chunked": ([CHUNKED + chunk(b"h") + chunk(b"i") + LAST_CHUNK], 200, b"hi", True),
    "chunked, with an extension": ([CHUNKED + b"2;a=b\r\nhi\r\n" + LAST_CHUNK], 200, b"hi", True),
    "chunked, with a trailer": ([CHUNKED + chunk(b"hi") + b"0\r\nx-sum: 1\r\n\r\n"], 200, b"hi", True),
    "chunked, in chunks of a byte": ([CHUNKED + chunk(b"x") * 60_000 + LAST_CHUNK], 200, b"x" * 60_000, True),
    "204 without a length": ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b"", True),
    "an error's status": ([sized(b"no", status=b"500 Broken")], 500, b"no", True),
    "a redirect, which is an answer like any other": (
        [sized(b"", status=b"307 Moved", more=b"location: http://127.0.0.1:9/\r\n")],
        307,
        b"",
        True,
    ),
    "content said to be itself": ([sized(b"hi", more=b"content-encoding: identity\r\n")], 200, b"hi", True),
    "a compressed refusal": (
        [sized(b"\x1f\x8b", status=b"429 No", more=b"content-encoding: gzip\r\n")],
        429,
        b"\x1f\x8b",
        True,
    ),
    "100 before it": ([CONTINUE + sized(b"hi")], 200, b"hi", True),
    "103 before it": ([EARLY + sized(b"hi")], 200, b"hi", True),
    "103 that says close": ([b"HTTP/1.1 103 X\r\nconnection: close\r\n\r\n" + sized(b"hi")], 200, b"hi", True),
    "103 that says chunked": (
        [b"HTTP/1.1 103 X\r\ntransfer-encoding: chunked\r\n\r\n" + sized(b"hi")],
        200,
        b"hi",
        True,
    ),
    "as many 103 as are taken": ([EARLY * INFORMATIONAL_MOST + sized(b"hi")], 200, b"hi", True),
    "an upgrade offered": ([sized(b"hi", more=b"upgrade: h2c\r\nconnection: upgrade\r\n")], 200, b"hi", True),
    "as many fields as are taken": ([sized(b"hi", more=b"a: b\r\n" * (HEADER_FIELDS - 1))], 200, b"hi", True),
    "a long field": ([sized(b"hi", more=b"a: %b\r\n" % (b"b" * (HEADER_BYTES - 3)))], 200, b"hi", True),
    # good answers after which the connection is not used again
    "connection: close": ([sized(b"hi", more=b"connection: close\r\n")], 200, b"hi", False),
    "close among others": ([sized(b"hi", more=b"connection: keep-alive, close\r\n")], 200, b"hi", False),
    "HTTP/1.0": ([b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"], 200, b"hi", False),
    "ended by the connection's end": ([H + b"\r\nhi", FIN], 200, b"hi", False),
    "ended so, and empty": ([H + b"\r\n", FIN], 200, b"", False),
    "a length that is too short": ([H + b"content-length: 2\r\n\r\nhi there"], 200, b"hi", False),
    "another answer after it": ([sized(b"hi") + sized(b"stray")], 200, b"hi", False),
    "another answer after the last chunk": ([CHUNKED + chunk(b"hi") + LAST_CHUNK + sized(b"stray")], 200, b"hi", False),
    "half an answer after it": ([sized(b"hi") + b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nstr"], 200, b"hi", False),
    "a head after the last chunk": (
        [CHUNKED + chunk(b"hi") + LAST_CHUNK + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"],
        200,
        b"hi",
        False,
    ),
    "junk after it": ([sized(b"hi") + b"xx"], 200, b"hi", False),
    "a letter after the last chunk": ([CHUNKED + chunk(b"hi") + LAST_CHUNK + b"H"], 200, b"hi", False),
    "a line break after it": ([sized(b"hi") + b"\r\n"], 200, b"hi", False),
    "a line break after the last chunk": ([CHUNKED + chunk(b"hi") + LAST_CHUNK + b"\r\n"], 200, b"hi", False),
    "data after connection: close": ([sized(b"hi", more=b"connection: close\r\n") + b"xx"], 200, b"hi", False),
    "a body under 204": ([b"HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\nabc"], 204, b"", False),
}

BAD: dict[str, tuple[Sequence[Step], type[UpstreamError]]] = {
    "nothing": ([FIN], UpstreamDisconnected),
    "a reset": ([RST], UpstreamDisconnected),
    "half a head": ([H + b"content-le", FIN], UpstreamDisconnected),
    "only 103": ([EARLY, FIN], UpstreamDisconnected),
    "a length that is too long": ([H + b"content-length: 3\r\n\r\nhi", FIN], UpstreamTruncated),
    "a length and a reset": ([H + b"content-length: 3\r\n\r\nhi", RST], UpstreamDisconnected),
    "no last chunk": ([CHUNKED + chunk(b"hi"), FIN], UpstreamTruncated),
    "half a last chunk": ([CHUNKED + chunk(b"hi") + b"0\r\n", FIN], UpstreamTruncated),
    "chunks and a reset": ([CHUNKED + chunk(b"hi"), RST], UpstreamDisconnected),
    "ended by a reset": ([H + b"\r\nhi", RST], UpstreamDisconnected),
    "length and chunks": (
        [H + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"hi") + LAST_CHUNK],
        UpstreamBroken,
    ),
    "chunks and length": (
        [H + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n" + chunk(b"hi") + LAST_CHUNK],
        UpstreamBroken,
    ),
    "two lengths": ([H + b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi"], UpstreamBroken),
    "a list of lengths": ([H + b"content-length: 2, 2\r\n\r\nhi"], UpstreamBroken),
    "a signed length": ([H + b"content-length: +2\r\n\r\nhi"], UpstreamBroken),
    "an empty length": ([H + b"content-length:\r\n\r\nhi"], UpstreamBroken),
    "a length of twenty digits": ([H + b"content-length: 99999999999999999999\r\n\r\nhi"], UpstreamBroken),
    "gzip, chunked": ([H + b"transfer-encoding: gzip, chunked\r\n\r\n" + chunk(b"hi") + LAST_CHUNK], UpstreamBroken),
    "transfer-encoding: identity": ([H + b"transfer-encoding: identity\r\n\r\nhi", FIN], UpstreamBroken),
    "two transfer encodings": (
        [H + b"transfer-encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\nhi", FIN],
        UpstreamBroken,
    ),
    "chunks under HTTP/1.0": (
        [b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"hi") + LAST_CHUNK],
        UpstreamBroken,
    ),
    "a chunk size in other letters": ([CHUNKED + b"zz\r\nhi\r\n" + LAST_CHUNK], UpstreamBroken),
    "a chunk size in C": ([CHUNKED + b"0x2\r\nhi\r\n" + LAST_CHUNK], UpstreamBroken),
    "a chunk size that overflows": ([CHUNKED + b"f" * 17 + b"\r\nhi"], UpstreamBroken),
    "a chunk longer than its size": ([CHUNKED + b"1\r\nhi\r\n" + LAST_CHUNK], UpstreamBroken),
    "chunks with bare line feeds": ([CHUNKED + b"2\nhi\n0\n\n"], UpstreamBroken),
    "compressed": ([sized(b"\x1f\x8b\x08", more=b"content-encoding: gzip\r\n")], UpstreamBroken),
    "COMPRESSED": ([sized(b"\x1f\x8b\x08", more=b"CONTENT-ENCODING: GZIP\r\n")], UpstreamBroken),
    "compressed and chunked": (
        [H + b"transfer-encoding: chunked\r\ncontent-encoding: br\r\n\r\n" + chunk(b"x")],
        UpstreamBroken,
    ),
    "101": ([b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nxx"], UpstreamBroken),
    "101 alone": ([b"HTTP/1.1 101 Switching\r\n\r\n"], UpstreamBroken),
    "more 103 than are taken": ([EARLY * (INFORMATIONAL_MOST + 1) + OK], UpstreamBroken),
    "status 999": ([sized(b"hi", status=b"999 What")], UpstreamBroken),
    "status 600": ([sized(b"hi", status=b"600 What")], UpstreamBroken),
    "status 099": ([sized(b"hi", status=b"099 What")], UpstreamBroken),
    "status 20": ([sized(b"hi", status=b"20 What")], UpstreamBroken),
    "status 2000": ([sized(b"hi", status=b"2000 What")], UpstreamBroken),
    "HTTP/2.0": ([OK.replace(b"1.1", b"2.0")], UpstreamBroken),
    "HTTP/0.9": ([OK.replace(b"1.1", b"0.9")], UpstreamBroken),
    "RTSP": ([OK.replace(b"HTTP/1.1", b"RTSP/1.0")], UpstreamBroken),
    "another protocol": ([b"SSH-2.0-OpenSSH_9.9\r\n"], UpstreamBroken),
    "a bare page": ([b"<html>sign in</html>"], UpstreamBroken),
    "a line break first": ([b"\r\n" + OK], UpstreamBroken),
    "a junk status line": ([b"HTTP/1.1 OK\r\ncontent-length: 2\r\n\r\nhi"], UpstreamBroken),
    "bare line feeds": ([b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi" + b"x" * HEAD_BYTES], UpstreamBroken),
    "a folded field": ([sized(b"hi", more=b"a: b\r\n c\r\n")], UpstreamBroken),
    "a space before the colon": ([sized(b"hi", more=b"a : b\r\n")], UpstreamBroken),
    "NUL in a field": ([sized(b"hi", more=b"a: b\0c\r\n")], UpstreamBroken),
    "a field without a colon": ([sized(b"hi", more=b"abc\r\n")], UpstreamBroken),
    "a field of 9 KiB": ([sized(b"hi", more=b"a: %b\r\n" % (b"b" * 9216))], UpstreamBroken),
    "300 fields": ([sized(b"hi", more=b"".join(b"a%d: b\r\n" % n for n in range(300)))], UpstreamBroken),
    "300 fields of one name": ([sized(b"hi", more=b"a: b\r\n" * 300)], UpstreamBroken),
    "a head of 70 KiB": ([sized(b"hi", more=b"a: %b\r\n" % (b"b" * 7000) * 10)], UpstreamBroken),
    "a head without end": ([H + b"a: " + b"b" * HEAD_BYTES], UpstreamBroken),
    "more trailer than is taken": ([CHUNKED + chunk(b"hi") + b"0\r\n" + b"a: b\r\n" * 25_000], UpstreamBroken),
    "more chunk extension than is taken": ([CHUNKED + b"2;" + b"e" * FRAMING_BYTES + b"\r\nhi\r\n"], UpstreamBroken),
}


@pytest.mark.parametrize("name", GOOD)
async def test_an_answer_is_read_as_far_as_it_goes(name: str) -> None:
    steps, status, body, serves_again = GOOD[name]
    async with rigged(upstream := Upstream(steps)) as rig:
        assert await rig.ask() == (status, body)
        assert rig.idle == serves_again
        # The next answer is its own whatever came before: not one byte of the first in it.
        assert await rig.ask() == (200, b'{"ok":true}')
        assert rig.attempt.reused is serves_again
        assert len(upstream.peers) == (1 if serves_again else 2)


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_answer_is_an_error_and_ends_the_connection(name: str) -> None:
    steps, kind = BAD[name]
    async with rigged(upstream := Upstream(steps)) as rig:
        with pytest.raises(UpstreamError) as caught:
            await rig.send()
        assert type(caught.value) is kind
        assert caught.value.try_elsewhere
        await upstream.until_left()
        assert await rig.ask() == (200, b'{"ok":true}')
        assert not rig.attempt.reused


class Keeper:
    """An owner that notes what it is told."""

    def __init__(self) -> None:
        self.freed_times = 0
        self.outbox = at_once()

    def opened(self, connection: UpstreamConnection) -> None: ...

    def freed(self, connection: UpstreamConnection) -> None:
        self.freed_times += 1

    def lost(self, connection: UpstreamConnection) -> None: ...


class Loop:
    """As much of a loop as a connection needs where nothing waits."""

    class Waiter:
        def __init__(self) -> None:
            self.error: BaseException | None = None
            self.told = False

        def done(self) -> bool:
            return self.told

        def set_result(self, value: None) -> None:
            self.told = True

        def set_exception(self, error: BaseException) -> None:
            self.error, self.told = error, True

    def create_future(self) -> "Loop.Waiter":
        return Loop.Waiter()


class Transport(KeepingTransport):
    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return 0


def outcome(data: bytes, cuts: list[int]) -> tuple[object, ...]:
    """What a connection makes of an answer that comes in these pieces, and of the end after it."""
    keeper, transport = Keeper(), Transport()
    connection = UpstreamConnection(keeper, Loop(), HandClock())  # type: ignore[arg-type]  # all of a loop it uses
    connection.connection_made(transport)
    waiter = connection.send([b"GET"], most_bytes=1 << 20, stream=False)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        if end > start and not waiter.done() and not connection.closed:
            connection.data_received(data[start:end])
    if not waiter.done():
        connection.eof_received()
        connection.connection_lost(None)
    if connection.status >= REFUSED:
        # Its status has said it; whether its words come or break, and when, makes no difference to anybody.
        return (connection.status, connection.content_type)
    error = waiter.error  # type: ignore[attr-defined]  # the waiter above
    if isinstance(error, GatewayError):
        return (type(error), transport.aborted)
    return (connection.status, connection.body(), connection.content_type)


SHORT = {name: case for name, case in GOOD.items() if sum(len(s) for s in case[0] if isinstance(s, bytes)) < 2000}
SHORT_BAD = {
    name: case
    for name, case in BAD.items()
    if sum(len(s) for s in case[0] if isinstance(s, bytes)) < 2000 and RST not in case[0]
}


@pytest.mark.parametrize("name", [*SHORT, *SHORT_BAD])
@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 2000), max_size=6))
def test_where_the_bytes_are_cut_does_not_matter(name: str, cuts: list[int]) -> None:
    steps = SHORT[name][0] if name in SHORT else SHORT_BAD[name][0]
    data = b"".join(step for step in steps if isinstance(step, bytes))
    assert outcome(data, cuts) == outcome(data, [])


@pytest.mark.parametrize("name", SHORT)
def test_an_answer_that_comes_byte_by_byte_is_the_same(name: str) -> None:
    data = b"".join(step for step in SHORT[name][0] if isinstance(step, bytes))
    assert outcome(data, list(range(len(data)))) == outcome(data, [])


async def test_a_byte_while_idle_ends_the_connection() -> None:
    async with rigged(upstream := Upstream()) as rig:
        await rig.ask()
        upstream.last.transport.write(sized(b"nobody asked"))
        await upstream.until_left()
        assert rig.idle == 0
        assert await rig.ask() == (200, b'{"ok":true}')


async def test_a_server_that_speaks_first_is_not_listened_to() -> None:
    async with rigged(upstream := Upstream(greeting=[sized(b"early")])) as rig:
        await rig.client.warm([rig.place.origin], 1.0)
        await upstream.until_left()
        assert (rig.idle, rig.client.open) == (0, 0)


async def test_a_whole_answer_may_be_as_large_as_its_cap_and_no_larger() -> None:
    over = CHUNKED + chunk(b"x" * 600) * 2 + LAST_CHUNK
    scripts = [sized(b"x" * 1000), sized(b"x" * 1001), over, H + b"content-length: 999999999\r\n\r\n" + b"x" * 1001]
    async with rigged(Upstream(*scripts), caps=Caps(answer_bytes=1000)) as rig:
        assert await rig.ask() == (200, b"x" * 1000)
        for _ in scripts[1:]:
            with pytest.raises(UpstreamBroken, match="above the limit"):
                await rig.ask()


@pytest.mark.parametrize("body", [b"x" * REFUSAL_BYTES, b"x" * (REFUSAL_BYTES + 1)])
async def test_a_refusal_is_read_for_its_words_and_not_for_ever(body: bytes) -> None:
    async with rigged(upstream := Upstream(sized(body, status=b"400 Bad"))) as rig:
        connection = await rig.send(stream=True)
        assert connection.status == 400
        if len(body) > REFUSAL_BYTES:
            with pytest.raises(UpstreamBroken, match="above the limit"):
                await connection.rest()
            await upstream.until_left()
        else:
            assert await connection.rest() == body
            connection.settle_down()
            assert rig.idle == 1


async def test_the_fields_of_a_head_are_there_for_who_asks() -> None:
    script = sized(b"hi", more=b"Content-Type: Application/JSON; charset=utf-8\r\nRetry-After: 20\r\n")
    async with rigged(Upstream(script, sized(b"hi"))) as rig:
        connection = await rig.send()
        assert connection.content_type == b"application/json; charset=utf-8"
        assert connection.headers[b"retry-after"] == b"20"
        connection.settle_down()
        assert (await rig.send()).content_type == b""


async def test_a_pooled_connection_keeps_nothing_of_the_answer_it_gave() -> None:
    async with rigged(Upstream(sized(b"x" * 1000))) as rig:
        connection = await rig.send()
        assert connection.body() == b"x" * 1000
        connection.settle_down()
        assert connection.body() == b""


async def test_a_trailer_changes_no_header() -> None:
    script = H + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    async with rigged(Upstream(script + chunk(b"{}") + b"0\r\ncontent-type: text/html\r\n\r\n")) as rig:
        connection = await rig.send()
        assert connection.content_type == b"application/json"


async def test_a_large_request_that_was_answered_before_it_was_read_costs_the_connection() -> None:
    async with rigged(upstream := Upstream()) as rig:
        await rig.ask()
        peer = upstream.last
        peer.transport.pause_reading()
        peer.transport.write(sized(b"too large", status=b"413 No"))
        connection = await rig.send(body=b"x" * 16 * 1024 * 1024)
        assert connection.status == 413
        connection.settle_down()
        assert connection.closed


async def test_a_connection_that_ended_before_it_was_used_says_so_at_once() -> None:
    async with rigged(Upstream()) as rig:
        connection = await rig.client.pool(rig.place.origin).connect(1.0)
        connection.abort()
        with pytest.raises(UpstreamDisconnected):
            await connection.send([b"GET"], most_bytes=100, stream=False)
        assert connection.untouched


async def test_a_refusal_that_breaks_after_its_status_is_an_error_to_who_reads_on() -> None:
    head = b"HTTP/1.1 400 Bad\r\ncontent-length: 20\r\n\r\n"
    async with rigged(upstream := Upstream([head + b"half"], [head + b"half"])) as rig:
        for end in (FIN, RST):
            connection = await rig.send(stream=True)
            upstream.last.play([end])
            while not connection.closed:
                await turn()
            with pytest.raises(UpstreamError):
                await connection.rest()
