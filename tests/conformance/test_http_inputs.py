"""What must not be believed of HTTP (reliability, section 3-A), each row on a real socket: as one write, and in pieces.

An answer is JSON in the caller's protocol with a request id; it repeats nothing of what was sent, and nothing is
logged. Every input carries a word that must not come back.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from gateway.clock import HandClock
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.settings.shape import Caps, Listen
from tests.doubles.caller import Caller, chat
from tests.doubles.inside import KEY, Inside, backend, settings_for
from tests.doubles.mock_caller import Heard

CANARY = "zanzibar7"
NAME = "gw.example"
CAPS = Caps(json_bytes=64 * 1024)
BODY = orjson.dumps(chat("m", user=CANARY))
LARGE_BYTES = 2000  # of an input above this, pieces are of this size; of others, of one byte


@dataclass(frozen=True)
class Row:
    """An input and what becomes of it."""

    name: str
    sent: bytes
    status: int
    code: str = ""
    closes: bool | None = True  # None: where the refused body hasn't come yet
    allow: str = ""

    def __str__(self) -> str:
        return self.name


def head(*lines: str, first: str = "POST /v1/chat/completions HTTP/1.1", host: str = "Host: gw.example") -> bytes:
    """A head with everything a good request has, and these lines; first, host: replaced or, empty, left out."""
    usual = [first, host, f"Authorization: Bearer {KEY}", "Content-Type: application/json", f"X-Note: {CANARY}"]
    return "\r\n".join([line for line in [*usual, *lines] if line]).encode("latin-1") + b"\r\n\r\n"


def sized(*lines: str, **changed: str) -> bytes:
    return head(*lines, f"Content-Length: {len(BODY)}", **changed) + BODY


def chunked(body: bytes, *lines: str, **changed: str) -> bytes:
    return head(*lines, "Transfer-Encoding: chunked", **changed) + body


def get(path: str, *lines: str) -> bytes:
    return head(*lines, first=f"GET {path} HTTP/1.1")


def chunks(data: bytes, size: int = 16, extension: bytes = b"") -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join([b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]) + b"0\r\n\r\n"


def bad(name: str, sent: bytes, code: str = "malformed_http") -> Row:
    return Row(name, sent, 400, code)


GOOD_CHUNKS = chunks(BODY)
LENGTH = f"Content-Length: {len(BODY)}"
F18 = "f" * 18

ROWS = [
    bad("A1 length and chunks", head(LENGTH, "Transfer-Encoding: chunked") + GOOD_CHUNKS),
    bad("A1 chunks and length", head("Transfer-Encoding: chunked", LENGTH) + GOOD_CHUNKS),
    bad("A2 two equal lengths", head(LENGTH, LENGTH) + BODY),
    bad("A2 two different lengths", head(LENGTH, "Content-Length: 5") + BODY),
    *(
        bad(f"A2 length {length!r}", head(f"Content-Length: {length}") + BODY)
        for length in ("+5", "-1", "1_0", "5, 5", "9" * 20, "9" * 19, "0x5", "5 5", "")
    ),
    *(
        bad(f"A3 coding {coding!r}", chunked(GOOD_CHUNKS).replace(b": chunked", coding.encode()))
        for coding in (
            ": xchunked",
            ": chunked, identity",
            ": identity",
            ": identity, chunked",
            ": gzip, chunked",
            " : chunked",
            ": \x0bchunked",
            ": chunked, chunked",
            ":",
        )
    ),
    bad("A3 coding twice", chunked(GOOD_CHUNKS, "Transfer-Encoding: chunked")),
    bad("A4 chunks on HTTP/1.0", chunked(GOOD_CHUNKS, first="POST /v1/chat/completions HTTP/1.0")),
    bad("A5 bare LF lines", sized().replace(b"\r\n", b"\n")),
    bad("A5 one bare LF", sized().replace(b"json\r\n", b"json\n")),
    bad("A5 folded line", sized("X-Fold: a", " b")),
    bad("A5 CR in a value", sized("X-Odd: a\rb")),
    bad("A5 NUL in a value", sized("X-Odd: a\0b")),
    bad("A5 0x01 in a value", sized("X-Odd: a\x01b")),
    bad("A5 no colon", sized("X-Odd")),
    bad("A5 leading CRLF", b"\r\n" + sized()),
    bad("A5 leading LF", b"\n" + sized()),
    bad("A6 8-bit value", sized("X-Odd: \xff")),
    bad("A6 8-bit key", sized().replace(KEY.encode(), b"sk-\xff")),
    bad("A7 no Host", sized(host="")),
    bad("A7 two Hosts", sized("Host: gw.example")),
    bad("A7 no Host on HTTP/1.0", sized(host="", first="POST /v1/chat/completions HTTP/1.0")),
    bad("A8 odd Host", sized(host="Host: a/b?c")),
    bad("A8 Host with a user", sized(host="Host: a@gw.example")),
    bad("A8 another Host", sized(host=f"Host: {CANARY}.example"), "unknown_host"),
    bad("A9 absolute-form elsewhere", sized(first=f"POST http://{CANARY}/v1/chat/completions HTTP/1.1")),
    bad("A9 absolute-form with a user", sized(first="POST http://gw.example:80@evil/v1/chat/completions HTTP/1.1")),
    Row("A9 absolute-form here", sized(first=f"POST http://{NAME}/v1/chat/completions HTTP/1.1"), 200, closes=False),
    Row(
        "A9 absolute-form, other case",
        sized(first="POST HTTP://GW.Example:80/v1/chat/completions HTTP/1.1"),
        200,
        closes=False,
    ),
    Row("A10 HTTP/0.9", b"GET /\r\n", 505, "http_version_not_supported"),
    Row("A10 HTTP/0.9 by number", get("/").replace(b"HTTP/1.1", b"HTTP/0.9"), 505, "http_version_not_supported"),
    Row("A10 HTTP/2.0", sized().replace(b"HTTP/1.1", b"HTTP/2.0"), 505, "http_version_not_supported"),
    bad("A11 HTTP/1.9", sized().replace(b"HTTP/1.1", b"HTTP/1.9")),
    bad("A11 RTSP", sized().replace(b"HTTP/1.1", b"RTSP/1.0")),
    bad("A11 ICE", sized().replace(b"HTTP/1.1", b"ICE/1.0")),
    bad("A11 junk method", sized(first="G\x7fT /v1/models HTTP/1.1")),
    bad("A11 h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)),
    bad("A11 TLS hello", bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + CANARY.encode() * 20),
    *(
        Row(f"A12 {method}", head(first=f"{method} {target} HTTP/1.1"), 405, "method_not_allowed", allow="POST")
        for method, target in (
            ("CONNECT", "gw.example:443"),
            ("TRACE", "/v1/models"),
            ("PUT", "/v1/models"),
            ("PATCH", "/v1/models"),
            ("ZANZIBAR", "/v1/models"),
        )
    ),
    Row(
        "A12 a method the path hasn't",
        get("/v1/chat/completions"),
        405,
        "method_not_allowed",
        closes=False,
        allow="POST",
    ),
    Row(
        "A13 h2c",
        sized("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        200,
        closes=False,
    ),
    Row("A13 h2c, chunked", chunked(GOOD_CHUNKS, "Connection: Upgrade", "Upgrade: h2c"), 200, closes=False),
    Row(
        "A13 websocket",
        get(
            "/v1/models",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        200,
        closes=False,
    ),
    *(
        bad(f"A14 {name}", chunked(body))
        for name, body in (
            ("size zz", b"zz\r\n" + BODY),
            ("size 0x5", b"0x5\r\nabcde\r\n0\r\n\r\n"),
            ("size -5", b"-5\r\nabcde\r\n0\r\n\r\n"),
            ("size +5", b"+5\r\nabcde\r\n0\r\n\r\n"),
            ("size of 18 f", f"{F18}\r\n".encode() + BODY),
            ("no size", b"\r\n" + GOOD_CHUNKS),
            ("space before the size", b" 5\r\nabcde\r\n0\r\n\r\n"),
            ("LF in an extension", b"5;a\nb\r\nabcde\r\n0\r\n\r\n"),
            ("NUL in an extension", b"5;a=\0\r\nabcde\r\n0\r\n\r\n"),
            ("bare LF after a size", GOOD_CHUNKS.replace(b"10\r\n", b"10\n")),
            ("bare LF after data", b"5\r\nabcde\n0\r\n\r\n"),
            ("more data than said", b"3\r\nabcde\r\n0\r\n\r\n"),
            ("bare LF at the end", b"5\r\nabcde\r\n0\n\n"),
            ("a trailer without a colon", b"5\r\nabcde\r\n0\r\nx\r\n\r\n"),
            ("a length as trailer", b"5\r\nabcde\r\n0\r\nContent-Length: 5\r\n\r\n"),
        )
    ),
    Row("A15 extensions", chunked(chunks(BODY, 40, b';a=b;c="d e"')), 200, closes=False),
    Row("A15 trailers", chunked(GOOD_CHUNKS[:-2] + b"Authorization: Bearer x\r\nX-T: 1\r\n\r\n"), 200, closes=False),
    bad("A15 a long extension", chunked(b"5;a=" + b"b" * 2000 + b"\r\nabcde\r\n0\r\n\r\n")),
    bad("A15 long trailers", chunked(b"5\r\nabcde\r\n0\r\n" + b"X-T: 01234567\r\n" * 100 + b"\r\n")),
    Row("A16 a header of 9 KiB", sized("X-Large: " + "a" * 9216), 431, "headers_too_large"),
    Row("A16 200 headers", sized(*(f"X-{n}: {n}" for n in range(200))), 431, "headers_too_large"),
    Row("A16 headers of 40 KiB", sized(*(f"X-{n}: " + "a" * 4096 for n in range(10))), 431, "headers_too_large"),
    Row(
        "A16 headers without an end",
        b"GET / HTTP/1.1\r\n" + b"X-Large: aaaaaaaaaaaaaaaa\r\n" * 2000,
        431,
        "headers_too_large",
    ),
    Row("A16 a URI of 9 KiB", get("/" + "a" * 9216), 414, "uri_too_long"),
    Row("A16 a line without an end", b"GET /" + b"a" * 9216, 414, "uri_too_long"),
    Row("A19 a body that says it is too large", head("Content-Length: 70000"), 413, "request_too_large"),
    Row("A19 a chunked body that is", chunked(chunks(b" " * 70000, 5000)), 413, "request_too_large"),
    *(
        Row(f"A20-22 {coding}", sized(f"Content-Encoding: {coding}"), 415, "unsupported_media_type", closes=None)
        for coding in ("gzip", "foo", "gzip, gzip", "br", "identity, gzip")
    ),
    Row("A24 another expectation", head(LENGTH, "Expect: 200-ok"), 417, "expectation_failed"),
    *(
        Row(f"A25 {path}", get(path), 404, "unknown_route", closes=False)
        for path in (
            "/v1/../admin",
            "/v1/%2e%2e/admin",
            "//admin",
            "//v1/models",
            "/v1/models;x",
            "/v1/models.",
            "/V1/models",
            "/v1/models/",
            "/v1/Chat/completions",
            "/admin",
            "/v1%6dodels",
        )
    ),
    *(
        bad(f"A25 {path}", get(path), "invalid_path")
        for path in ("/v1%2fmodels", "/v1/models%00", "/v1%5Cmodels", "/v1/%zz", "/v1/%2")
    ),
    bad("A26 8-bit path", get("/v1/mod\xe9ls")),
    Row("A26 10,000 parameters", get("/v1/models?" + "&".join(f"p{n}=1" for n in range(10_000))), 414, "uri_too_long"),
    Row("A26 500 parameters", get("/v1/models?" + "&".join(f"p{n}=1" for n in range(500))), 200, closes=False),
    *(
        Row(
            f"A27 {kind!r}",
            sized().replace(b"Content-Type: application/json\r\n", kind.encode()),
            415,
            "unsupported_media_type",
            closes=None,
        )
        for kind in (
            "",
            "Content-Type: text/plain\r\n",
            "Content-Type: multipart/form-data; boundary=x\r\n",
            "Content-Type: application/json; charset=utf-16\r\n",
        )
    ),
    *(
        bad(f"A28 two of {name}", sized(f"{name}: {CANARY}", f"{name}: {CANARY}"))
        for name in ("Authorization", "Content-Type", "x-api-key", "anthropic-version", "Idempotency-Key", "Expect")
    ),
    Row("A29 underscores", sized("X_Forwarded_For: 1.2.3.4", "Content_Length: 3"), 200, closes=False),
    Row("A30 credentials named by Connection", sized("Connection: authorization, x-api-key"), 200, closes=False),
    Row(
        "A31 Range, If-None-Match, cookies",
        sized("Range: bytes=0-1", 'If-None-Match: "a"', *(["Cookie: a=b"] * 40)),
        200,
        closes=False,
    ),
]


@contextlib.asynccontextmanager
async def gateway(clock: HandClock | None = None) -> AsyncIterator[tuple[Inside, MockServer]]:
    async with MockServer(MockOptions(keep_bodies=True)) as upstream:
        settings = settings_for({"m": [backend("b", upstream.url)]}, caps=CAPS, listen=Listen(names=(NAME,)))
        async with Inside(settings, clock, sweeps=clock is None) as inside:
            yield inside, upstream


async def deliver(caller: Caller, data: bytes, piece_bytes: int) -> None:
    """Send, in pieces that arrive one by one; whoever has hung up need not hear the rest."""
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(data), piece_bytes):
            await caller.send_all(data[at : at + piece_bytes])
            await asyncio.sleep(0)


def check(row: Row, heard: Heard) -> None:
    assert heard.status == row.status, heard.wire
    assert len(heard.headers["x-request-id"]) >= 8
    assert CANARY.encode() not in heard.wire.lower() or row.status == 200
    assert "server" not in heard.headers
    assert heard.headers["content-type"].startswith("application/json")
    said = orjson.loads(heard.body)
    if row.status == 200:
        assert "error" not in said
        return
    assert set(said) == {"error"}
    assert set(said["error"]) == {"message", "type", "param", "code"}
    assert said["error"]["code"] == row.code
    assert row.allow in heard.headers.get("allow", "")
    if row.closes is not None:
        assert (heard.headers.get("connection") == "close") == row.closes


@pytest.mark.parametrize("whole", [True, False], ids=["one write", "in pieces"])
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_every_row_gets_the_answer_it_wants(row: Row, whole: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    piece_bytes = len(row.sent) if whole else LARGE_BYTES if len(row.sent) > LARGE_BYTES else 1
    async with gateway() as (inside, upstream), Caller(inside.port) as caller:
        await deliver(caller, row.sent, piece_bytes)
        heard = await caller.answer()
        check(row, heard)
        if heard.headers.get("connection") == "close":
            await caller.ends()
            assert (caller.ended, caller.received) == ("fin", b"")
        else:
            caller.send(sized())
            assert (await caller.answer()).status == 200, "the connection is good for the next request"
        assert inside.bugs == []
        asked = row.status == 200 and row.sent.startswith(b"POST")
        assert upstream.ledger.request_count == asked + (heard.headers.get("connection") != "close")
        await inside.until(lambda settled: len(settled) >= 1)
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == []


async def test_a17_a_million_chunks_of_one_byte_are_refused_and_nobody_else_waits() -> None:
    """Measured in the loop's own time, since other processes may keep all of them waiting."""
    longest_s = 0.0
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        done = False

        async def watch() -> None:
            nonlocal longest_s
            while not done:
                began = time.thread_time()
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.thread_time() - began)

        async def flood() -> None:
            with contextlib.suppress(ConnectionError):
                caller.send(head("Transfer-Encoding: chunked"))
                for _ in range(100):
                    await caller.send_all(b"1\r\na\r\n" * 10_000)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            flooding = group.create_task(flood())
            heard = await caller.answer()
            done = True
            await watching
            flooding.cancel()
        assert (heard.status, orjson.loads(heard.body)["error"]["code"]) == (400, "malformed_http")
        assert longest_s < 0.05


@pytest.mark.parametrize(
    ("sent", "deadline"),
    [
        (b"", "headers_s"),
        (b"POST /v1/cha", "headers_s"),
        (sized()[:100], "headers_s"),
        (sized()[:-5], "body_s"),
        (chunked(GOOD_CHUNKS)[:-5], "body_s"),
    ],
    ids=["idle", "half a line", "half the headers", "half a body", "half the chunks"],
)
async def test_a18_who_takes_too_long_is_told_and_dismissed(sent: bytes, deadline: str) -> None:
    clock = HandClock()
    async with gateway(clock) as (inside, upstream), Caller(inside.port) as caller:
        caller.send(sent)
        await inside.until_heard(len(sent))
        patience_s = getattr(inside.settings.deadlines, deadline)
        clock.advance(patience_s - 0.1)
        inside.sweeper.sweep(clock.monotonic())
        assert inside.settled == []
        clock.advance(1.2)  # a body may take a little longer, by its size
        inside.sweeper.sweep(clock.monotonic())
        heard = await caller.answer()
        check(Row("", b"", 408, "request_timeout"), heard)
        clock.advance(2.1)
        await caller.ends()
        assert caller.ended == "fin"
        assert upstream.ledger.request_count == 0


async def test_a19_a_body_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    async with gateway() as (inside, upstream), Caller(inside.port) as caller:
        caller.send(head("Content-Length: 70000", "Expect: 100-continue"))
        assert (await caller.hears(b"\r\n")).startswith(b"HTTP/1.1 413 ")
        assert upstream.ledger.request_count == 0


@pytest.mark.parametrize("body", [sized()[:-5], chunked(GOOD_CHUNKS)[:-5]], ids=["sized", "chunked"])
async def test_a23_a_short_body_and_then_the_end_is_no_request(body: bytes) -> None:
    async with gateway() as (inside, upstream), Caller(inside.port) as caller:
        caller.send(body)
        await inside.until_heard(len(body))
        caller.half_close()
        heard = await caller.ends()
        assert heard.wire == b""
        assert upstream.ledger.request_count == 0
        assert inside.settled == []


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (head("Content-Length: 70000", "Expect: 100-continue"), 413),
        (head(LENGTH, "Expect: 100-continue").replace(KEY.encode(), b"sk-gw-unknown"), 401),
        (head(LENGTH, "Expect: 100-continue").replace(b"application/json", b"text/plain"), 415),
        (head(LENGTH, "Expect: 100-continue", first="POST /v1/nothing HTTP/1.1"), 404),
    ],
    ids=["size", "key", "kind", "path"],
)
async def test_a24_what_can_be_refused_by_its_head_is_refused_before_100_continue(refused: bytes, status: int) -> None:
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        caller.send(refused)
        assert (await caller.ends()).status == status


async def test_a24_a_good_head_is_told_to_go_on() -> None:
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        caller.send(head(LENGTH, "Expect: 100-continue"))
        assert await caller.hears(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.send(BODY)
        assert (await caller.answer()).status == 200


async def test_a24_who_sends_his_body_at_once_needs_no_100_continue() -> None:
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        caller.send(sized("Expect: 100-continue"))
        assert (await caller.hears(b"\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a29_to_a31_what_is_ignored_reaches_neither_us_nor_the_upstream() -> None:
    ignored = {
        "X_Forwarded_For": "1.2.3.4",
        "Connection": "authorization, x-api-key, x-note",
        "Range": "bytes=0-1",
        "If-None-Match": '"a"',
        "Cookie": f"{CANARY}=1",
        "Upgrade": "h2c",
        "TE": "trailers",
        "Keep-Alive": "300",
        "X-Forwarded-For": "1.2.3.4",
        "X-Stainless-Lang": "python",
        "Baggage": "a=b",
    }
    async with gateway() as (inside, upstream), Caller(inside.port) as caller:
        caller.send(sized(*(f"{name}: {value}" for name, value in ignored.items())))
        assert (await caller.answer()).status == 200
        forwarded = upstream.ledger.last.headers
        assert {name.lower() for name in ignored} & set(forwarded) == set()
        assert "x-note" not in forwarded
        assert KEY not in str(forwarded)
        assert b"x_forwarded_for" not in inside.settled[0].call.headers


async def test_a32_a_thousand_pipelined_requests_are_answered_up_to_the_cap() -> None:
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        caller.send(b"GET /healthz HTTP/1.1\r\nHost: gw.example\r\n\r\n" * 1000)
        heard = await caller.ends()
        answers = heard.wire.split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert len(answers) == CAPS.pipelined_requests + 1
        assert [b"connection: close" in answer for answer in answers] == [False] * (len(answers) - 1) + [True]
        assert heard.ending == "fin"


async def test_a32_pipelined_requests_are_answered_in_order() -> None:
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        asked = [
            sized(f"X-Request-Id: number-{n:04}") if n % 2 else get("/v1/models", f"X-Request-Id: number-{n:04}")
            for n in range(60)
        ]
        caller.send(b"".join(asked))
        ids = [(await caller.answer()).headers["x-request-id"] for _ in asked]
        assert ids == [f"number-{n:04}" for n in range(60)]


async def test_a32_more_bytes_ahead_than_are_kept_end_the_connection_after_the_answer() -> None:
    async with gateway() as (inside, _), Caller(inside.port) as caller:
        with contextlib.suppress(ConnectionError):
            await caller.send_all(sized() * 1000)
        heard = await caller.ends()
        assert heard.wire.count(b"HTTP/1.1 200 OK\r\n") < 1000
        assert b"connection: close" in heard.wire.rpartition(b"HTTP/1.1 200 OK\r\n")[2]


def test_every_row_of_the_catalogue_is_here() -> None:
    """A20 to A22 share their rows: compressed bodies aren't taken at all."""
    tested = {row.name.split()[0] for row in ROWS} | {
        name.split("_")[1].upper() for name in globals() if name[:6] == "test_a"
    }
    named = {f"A{n}" for n in range(1, 33)} - {"A20", "A21", "A22"} | {"A20-22"}
    assert named <= tested
