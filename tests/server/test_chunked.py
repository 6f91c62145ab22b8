"""Chunked bodies, held against llhttp's own reading of the same bytes."""

import contextlib

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CallerError, MalformedHttp, TooLarge
from gateway.server.chunked import FRAMING_BYTES, LINE_BYTES, TRAILER_BYTES, ChunkedBody

MOST = 1000
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


class Reading:
    """What llhttp makes of a body: its bytes, and whether the message ended."""

    def __init__(self) -> None:
        self.body = b""
        self.ended = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ended = True


def llhttp(body: bytes) -> Reading | None:
    """None where llhttp refuses it."""
    reading = Reading()
    try:
        httptools.HttpRequestParser(reading).feed_data(HEAD + body)
    except httptools.HttpParserError:
        return None
    return reading


def ours(data: bytes, cuts: list[int] | None = None) -> tuple[ChunkedBody, bytes]:
    """The reader after these bytes, and what it left over."""
    reader = ChunkedBody(MOST)
    at, rest = 0, b""
    for cut in [*sorted(cuts or []), len(data)]:
        if at < cut:
            rest += reader.feed(data[at:cut]) if not reader.done else data[at:cut]
            at = cut
    return reader, rest


def body_of(*chunks: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    return b"".join([b"%x%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks]) + b"0\r\n" + trailers + b"\r\n"


TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=6).map(str.encode)
QUOTED = st.text(" \t!#aZ09~;=", max_size=6).map(lambda text: b'"%b\\""' % text.encode())
EXTENSION = st.one_of(
    st.just(b""),
    st.builds(lambda n, v: b";%b=%b" % (n, v), TOKEN, st.one_of(TOKEN, QUOTED)),
    TOKEN.map(lambda n: b";" + n),
)
TRAILER = st.builds(lambda n, v: b"x-%b: %b\r\n" % (n, v.encode()), TOKEN, st.text(" aZ~\t", max_size=8))
GOOD = st.builds(
    lambda chunks, extension, trailers: (
        b"".join(chunks),
        body_of(*chunks, extension=extension, trailers=b"".join(trailers)),
    ),
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    EXTENSION,
    st.lists(TRAILER, max_size=3),
)
CUTS = st.lists(st.integers(0, 400), max_size=8)
NOISE = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"\r",
            b"\n",
            b"0",
            b"1",
            b"5",
            b"a",
            b"F",
            b";",
            b"=",
            b'"',
            b"x",
            b" ",
            b"\t",
            b"x: y\r\n",
            b"\0",
            b"\xff",
            b"0\r\n\r\n",
            b"5\r\nabcde\r\n",
        ]
    ),
    max_size=20,
).map(b"".join)


@given(GOOD, CUTS)
def test_what_a_client_may_send_is_read_wherever_it_is_cut_and_ends_where_it_ends(
    good: tuple[bytes, bytes], cuts: list[int]
) -> None:
    content, framed = good
    reader, rest = ours(framed + NEXT, cuts)
    assert reader.done
    assert (reader.body(), rest) == (content, NEXT)
    reading = llhttp(framed)
    assert reading is not None
    assert (reading.body, reading.ended) == (content, True)


@given(NOISE, CUTS)
def test_whatever_this_accepts_llhttp_reads_the_same(noise: bytes, cuts: list[int]) -> None:
    try:
        reader, rest = ours(noise, cuts)
    except CallerError:
        return
    if not reader.done:
        return  # a line that isn't whole is refused later here than there
    taken = noise[: len(noise) - len(rest)]
    reading = llhttp(taken)
    assert reading is not None, taken
    assert (reading.body, reading.ended) == (reader.body(), True)


@given(st.one_of(st.binary(max_size=200), NOISE))
def test_no_bytes_raise_anything_but_a_callers_error(noise: bytes) -> None:
    with contextlib.suppress(MalformedHttp, TooLarge):
        ours(noise)


@given(NOISE, CUTS)
def test_where_the_bytes_were_cut_never_matters(noise: bytes, cuts: list[int]) -> None:
    def outcome(cuts: list[int]) -> object:
        try:
            reader, rest = ours(noise, cuts)
        except CallerError as error:
            return type(error)
        return reader.done, reader.body(), rest

    assert outcome(cuts) == outcome([]) == outcome(list(range(len(noise))))


def test_a_body_is_refused_as_soon_as_a_size_says_it_is_too_large() -> None:
    reader = ChunkedBody(MOST)
    reader.feed(b"%x\r\n" % MOST + b"a" * MOST)
    with pytest.raises(TooLarge):
        reader.feed(b"\r\n1\r\n")


def test_a_million_chunks_of_one_byte_are_refused_early() -> None:
    reader = ChunkedBody(10_000_000)
    for _ in range(FRAMING_BYTES // 3 - 10):
        reader.feed(b"1\r\na\r\n")
    with pytest.raises(MalformedHttp):
        reader.feed(b"1\r\na\r\n" * 20)


def test_chunks_of_three_bytes_and_more_are_never_too_small() -> None:
    reader = ChunkedBody(10_000_000)
    for _ in range(10_000):
        reader.feed(b"3\r\nabc\r\n")
    assert reader.feed(b"0\r\n\r\n") == b""
    assert reader.done


@pytest.mark.parametrize("line", [b"5;a=" + b"b" * LINE_BYTES, b"0" * LINE_BYTES + b"5"])
def test_a_size_line_has_a_longest(line: bytes) -> None:
    with pytest.raises(MalformedHttp):
        ChunkedBody(MOST).feed(line)


def test_an_extension_of_a_kibibyte_passes() -> None:
    reader, _ = ours(body_of(b"abc", extension=b";a=" + b"b" * 1020))
    assert reader.body() == b"abc"


def test_trailers_have_a_longest() -> None:
    reader, _ = ours(body_of(b"abc", trailers=b"x-a: b\r\n" * (TRAILER_BYTES // 8)))
    assert reader.done
    with pytest.raises(MalformedHttp):
        ours(body_of(b"abc", trailers=b"x-a: b\r\n" * (TRAILER_BYTES // 8 + 1)))


def test_one_that_keeps_nothing_follows_the_same_framing() -> None:
    reader = ChunkedBody(MOST, keeps=False)
    assert reader.feed(body_of(b"abc", b"defg") + NEXT) == NEXT
    assert (reader.done, reader.body()) == (True, b"")
