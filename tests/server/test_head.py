"""Reading heads: every refusal as it is raised, and two laws. The whole catalogue is tried on real sockets."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import (
    BadRequest,
    CallerError,
    ExpectationFailed,
    HeadersTooLarge,
    MalformedHttp,
    TooLarge,
    Unauthorized,
    UriTooLong,
    VersionNotSupported,
    WrongMethod,
)
from gateway.server.head import Head, HeadReader, SameHead, check_size, given_id, path_of
from gateway.settings.shape import Caps

CAPS = Caps(header_bytes=4096, header_fields=8, header_field_bytes=1024, uri_bytes=256)
READER = HeadReader(CAPS, ())
NAMED = HeadReader(CAPS, ("gw.example", "[::1]"))


def head(*lines: str, first: str = "POST /v1/x HTTP/1.1", host: str = "Host: gw.example") -> bytes:
    return "\r\n".join([line for line in (first, host, *lines) if line]).encode("latin-1") + b"\r\n\r\n"


def read(raw: bytes, reader: HeadReader = READER) -> Head:
    return reader.read(raw)


def test_a_head_says_what_it_says() -> None:
    found = read(head("Content-Length: 12", "X-A:  b c\t ", first="POST /v1/x?a=b%20c HTTP/1.1"))
    assert (found.method, found.path, found.query) == ("POST", "/v1/x", "a=b%20c")
    assert found.headers == {b"host": b"gw.example", b"content-length": b"12", b"x-a": b"b c"}
    assert (found.length, found.chunked, found.keep_alive, found.http_1_0, found.expects_continue) == (
        12,
        False,
        True,
        False,
        False,
    )


def test_blanks_around_a_length_are_no_part_of_it() -> None:
    assert read(head("Content-Length: \t12 \t")).length == 12


def test_no_length_is_no_body() -> None:
    assert read(head(first="GET / HTTP/1.1")).length is None


@pytest.mark.parametrize("coding", ["chunked", "Chunked", " chunked "])
def test_chunked_is_the_one_coding(coding: str) -> None:
    found = read(head(f"Transfer-Encoding: {coding}"))
    assert (found.chunked, found.length) == (True, None)


@pytest.mark.parametrize(
    ("lines", "first", "keep"),
    [
        ([], "GET / HTTP/1.1", True),
        (["Connection: close"], "GET / HTTP/1.1", False),
        (["Connection: Keep-Alive, Close"], "GET / HTTP/1.1", False),
        ([], "GET / HTTP/1.0", False),
        (["Connection: keep-alive"], "GET / HTTP/1.0", False),
    ],
)
def test_a_connection_is_kept_unless_it_says_or_is_old(lines: list[str], first: str, keep: bool) -> None:
    assert read(head(*lines, first=first)).keep_alive is keep


def test_an_old_clients_expectation_is_ignored() -> None:
    assert not read(head("Expect: 100-continue", first="POST / HTTP/1.0")).expects_continue
    assert read(head("Expect: 100-Continue")).expects_continue


def test_an_upgrade_swallows_nothing() -> None:
    found = read(head("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5"))
    assert (found.length, found.headers[b"upgrade"]) == (5, b"h2c")


def test_fields_that_may_occur_twice_are_joined() -> None:
    assert read(head("X-A: 1", "x-a: 2")).headers[b"x-a"] == b"1, 2"


def test_fields_with_underscores_are_dropped() -> None:
    found = read(head("X_Forwarded_For: 1.2.3.4", "Content_Length: 5", "X-A: a_b"))
    assert found.headers == {b"host": b"gw.example", b"x-a": b"a_b"}
    assert found.length is None


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"\r\n" + head(),
        head(first="POST  /v1/x HTTP/1.1"),
        head(first="POST /v1/x HTTP/1.1 "),
        head(first="POST /v1/x HTTP/1.2"),
        head(first="POST /v1/x http/1.1"),
        head(first="POST /v1/x RTSP/1.0"),
        head(first="PO(ST /v1/x HTTP/1.1"),
        head(first="PRI * HTTP/2.0"),
        head(first="POST v1/x HTTP/1.1"),
        head(first="POST * HTTP/1.1"),
        head(first="POST /v1/\xe9 HTTP/1.1"),
        head(first="POST /v1/\x01 HTTP/1.1"),
        head(host=""),
        head(host="Host:"),
        head(host="Host: a b"),
        head(host="Host: a:b"),
        head(host="Host: [::1"),
        head("Host: gw.example"),
        head("X-A"),
        head("X A: b"),
        head(": b"),
        head(" X-A: b"),
        head("X-A: b\0"),
        head("X-A: b\rc"),
        head("X-A: b\nX-B: c"),
        head("X-A: \xff"),
        head("Authorization: a", "authorization: a"),
        head("Content-Length: 5", "Transfer-Encoding: chunked"),
        head("Content-Length: 5", "Content-Length: 5"),
        head("Content-Length: 1" + "0" * 18),
        head("Content-Length: -5"),
        head("Content-Length:"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Transfer-Encoding: identity"),
        head("Transfer-Encoding: chunked", first="POST / HTTP/1.0"),
    ],
)
def test_what_is_no_acceptable_http_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedHttp):
        read(raw)


@pytest.mark.parametrize(
    "host", ["gw.example", "GW.Example:8080", "10.0.0.1", "[::1]:80", "a_b", "xn--80ak6aa92e.com", "a%20b"]
)
def test_any_syntactically_valid_host_is_fine_where_none_is_named(host: str) -> None:
    assert read(head(host=f"Host: {host}")).headers[b"host"] == host.encode()


@pytest.mark.parametrize("host", ["gw.example", "GW.EXAMPLE", "gw.example:443", "[::1]", "[::1]:8080"])
def test_a_named_host_is_served_on_any_port_and_in_any_case(host: str) -> None:
    assert read(head(host=f"Host: {host}"), NAMED).path == "/v1/x"


@pytest.mark.parametrize("host", ["evil", "gw.example.evil", "evil.gw.example", "gw.example.", "[::2]", "::1"])
def test_a_host_that_isnt_named_is_refused(host: str) -> None:
    with pytest.raises(CallerError) as refused:
        read(head(host=f"Host: {host}"), NAMED)
    assert refused.value.reason in ("unknown_host", "malformed_http")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://gw.example/v1/x?a=b", "/v1/x", "a=b"),
        ("https://GW.example:8443/v1/x", "/v1/x", ""),
        ("http://gw.example", "/", ""),
        ("http://gw.example?a=b", "/", "a=b"),
        ("http://[::1]:80/v1/x", "/v1/x", ""),
    ],
)
def test_an_absolute_target_is_taken_where_its_authority_is_ours(target: str, path: str, query: str) -> None:
    found = read(head(first=f"POST {target} HTTP/1.1"), NAMED)
    assert (found.path, found.query) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "http://evil/v1/x",
        "http://gw.example@evil/v1/x",
        "http://gw.example:80@evil/",
        "ftp://gw.example/",
        "http:///v1/x",
    ],
)
@pytest.mark.parametrize("reader", [READER, NAMED])
def test_an_absolute_target_elsewhere_is_malformed(target: str, reader: HeadReader) -> None:
    with pytest.raises(MalformedHttp):
        read(head(first=f"POST {target} HTTP/1.1"), reader)


def test_an_asterisk_is_for_options() -> None:
    assert read(head(first="OPTIONS * HTTP/1.1")).path == "*"


@pytest.mark.parametrize("path", ["/a%2fb", "/a%2Fb", "/a%5cb", "/%00", "/%", "/%4", "/%zz"])
def test_escapes_that_change_what_a_path_is_are_refused(path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(head(first=f"POST {path} HTTP/1.1"))
    assert refused.value.reason == "invalid_path"


@pytest.mark.parametrize("query", ["key=a", "a=b&api_key=c", "api-key=c", "apikey=c", "ACCESS_TOKEN=c", "token=c"])
def test_a_key_in_the_query_is_refused_with_a_hint_and_not_repeated(query: str) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer"):
        read(head(first=f"POST /v1/x?{query} HTTP/1.1"))


@pytest.mark.parametrize("query", ["monkey=a", "keys=a", "a=key", "maxtoken=5", "tokens=3"])
def test_a_query_that_only_sounds_like_a_key_passes(query: str) -> None:
    assert read(head(first=f"POST /v1/x?{query} HTTP/1.1")).query == query


@pytest.mark.parametrize(
    "first", ["GET /", "POST /v1/x HTTP/2.0", "POST /v1/x HTTP/2", "POST /x HTTP/3", "GET / HTTP/0.9"]
)
def test_other_versions_are_not_supported(first: str) -> None:
    with pytest.raises(VersionNotSupported):
        read(head(first=first))


@pytest.mark.parametrize(
    "first", ["CONNECT a:443 HTTP/1.1", "TRACE / HTTP/1.1", "PUT / HTTP/1.1", "M-SEARCH * HTTP/1.1", "get / HTTP/1.1"]
)
def test_other_methods_are_refused_with_those_there_are(first: str) -> None:
    with pytest.raises(WrongMethod) as refused:
        read(head(first=first))
    assert refused.value.headers == (("allow", "GET, HEAD, OPTIONS, POST, DELETE"),)


def test_another_expectation_fails() -> None:
    with pytest.raises(ExpectationFailed):
        read(head("Expect: 200-ok"))


def test_fields_are_counted_and_measured() -> None:
    assert read(head(*(f"X-{n}: a" for n in range(7)))).path == "/v1/x"
    with pytest.raises(HeadersTooLarge):
        read(head(*(f"X-{n}: a" for n in range(8))))
    assert read(head("X-A: " + "a" * 1019)).path == "/v1/x"
    with pytest.raises(HeadersTooLarge):
        read(head("X-A: " + "a" * 1020))


def test_a_target_is_measured() -> None:
    assert read(head(first=f"GET /{'a' * 255} HTTP/1.1")).path == f"/{'a' * 255}"
    with pytest.raises(UriTooLong):
        read(head(first=f"GET /{'a' * 256} HTTP/1.1"))


# --- where a head ends ------------------------------------------------------------------------------------------------


def test_a_head_ends_after_its_blank_line() -> None:
    raw = head("Content-Length: 4")
    assert READER.find_end(raw + b"\r\n\r\n", 0) == len(raw)
    assert READER.find_end(bytearray(raw), len(raw) - 2) == len(raw)
    assert READER.find_end(raw[:-1], 0) == 0


def find_end_byte_by_byte(raw: bytes) -> None:
    kept = bytearray()
    for byte in raw:
        kept.append(byte)
        assert READER.find_end(kept, len(kept) - 1) == 0


def test_the_same_refusal_comes_whether_a_head_is_whole_or_not() -> None:
    """Feeding byte by byte refuses at the byte that decides, and never later than all of it would be."""
    for raw, refusal in (
        (b"GET /\r\n", VersionNotSupported),
        (b"PRI * HTTP/2.0\r\n", MalformedHttp),
        (b"\x16\x03\x01", MalformedHttp),
        (b"\r", MalformedHttp),
        (b"GET /" + b"a" * 300, UriTooLong),
        (b"TRACE / HTTP/1.1\r\n", WrongMethod),
        (b"GET / HTTP/1.1\n", MalformedHttp),
        (b"GET / HTTP/1.1\r\nHost: a\n", MalformedHttp),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1000, HeadersTooLarge),
    ):
        with pytest.raises(refusal):
            READER.find_end(raw, 0)
        with pytest.raises(refusal):
            find_end_byte_by_byte(raw)


def test_a_head_that_is_whole_but_too_large_is_refused() -> None:
    with pytest.raises(HeadersTooLarge):
        READER.find_end(head(*(f"X-{n}: {'a' * 1000}" for n in range(5))), 0)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_where_a_head_ends_never_depends_on_where_it_was_cut(noise: bytes, cuts: list[int]) -> None:
    data = head("X-A: b") + noise
    kept = bytearray()
    for cut in [*sorted(cuts), len(data)]:
        start = len(kept)
        if cut > start:
            kept += data[start:cut]
            end = READER.find_end(kept, start)
            if end:
                break
    assert end == len(head("X-A: b"))


# --- laws -------------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(b"GET", b"POST", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\n", b"\r", b":", b"Host: a", b"Content-Length: ", b"5"),
        *(
            b"0",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Upgrade: h2c",
            b"X",
            b"\0",
            b"\xff",
            b"\t",
            b",",
        ),
        *(b"_", b"%2f", b"Expect: ", b"100-continue"),
    ]
)


@given(st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=40).map(b"".join)))
def test_no_bytes_raise_anything_but_a_callers_error(noise: bytes) -> None:
    for raw in (noise, noise + b"\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n" + noise + b"\r\n\r\n"):
        with contextlib.suppress(CallerError):
            end = READER.find_end(raw, 0)
            if end:
                found = read(raw[:end])
                assert found.headers[b"host"]
                assert found.length is None or not found.chunked


LINE = st.sampled_from(
    [
        *(
            "X-A: 5",
            "X-A: 6",
            "x-a:5",
            "Content-Length: 5",
            "Content-Length: 77",
            "content-length: 5",
            "Content-Length:5",
        ),
        *("Content-Length:  5 ", "Content-Length: 5 5", "Content-Length: +5", "Content-Length: 12345678901234567890"),
        *("Content-Length: 05", "Content-Length:", "X-Content-Length: 5", "Transfer-Encoding: chunked"),
    ]
)


def outcome(raw: bytes, same: SameHead | None) -> object:
    try:
        found = READER.read(raw) if same is None else same.read(raw, READER)
    except CallerError as error:
        return type(error)
    others = {name: value for name, value in found.headers.items() if name != b"content-length"}
    return found.path, others, found.length, found.chunked, found.keep_alive


@settings(max_examples=200)
@given(st.lists(st.lists(LINE, max_size=3), min_size=1, max_size=8))
def test_a_head_remembered_reads_as_it_would_anew(heads: list[list[str]]) -> None:
    same = SameHead()
    for lines in heads:
        raw = head(*lines)
        assert outcome(raw, same) == outcome(raw, None)


def test_a_remembered_head_is_the_same_object_with_another_length() -> None:
    same = SameHead()
    first = same.read(head("Content-Length: 5", "X-A: b"), READER)
    assert same.read(head("Content-Length: 12345", "X-A: b"), READER) is first
    assert first.length == 12345
    assert same.read(head("Content-Length: 5", "X-A: c"), READER) is not first


def test_a_remembered_head_is_read_anew_by_other_rules() -> None:
    same = SameHead()
    raw = head("Content-Length: 5", host="Host: elsewhere")
    same.read(raw, READER)
    with pytest.raises(BadRequest):
        same.read(raw, NAMED)


def test_lengths_that_were_never_read_are_not_remembered() -> None:
    same = SameHead()
    same.read(head("Content-Length: 5"), READER)
    for length in ("", "+5", "5 5", "1" + "0" * 18, "x"):
        with pytest.raises(MalformedHttp):
            same.read(head(f"Content-Length: {length}"), READER)


# --- small things -----------------------------------------------------------------------------------------------------


def test_a_declared_size_is_checked_before_the_body() -> None:
    check_size(read(head("Content-Length: 5")), 5)
    check_size(read(head()), 0)
    with pytest.raises(TooLarge):
        check_size(read(head("Content-Length: 6")), 5)


@pytest.mark.parametrize("value", [b"12345678", b"a" * 64, b"req_-A9b"])
def test_a_callers_request_id_is_kept_where_it_is_one(value: bytes) -> None:
    assert given_id({b"x-request-id": value}) == value.decode()


@pytest.mark.parametrize("value", [b"1234567", b"a" * 65, b"12345 78", b"", b"1234567\n"])
def test_a_callers_request_id_is_replaced_where_it_is_none(value: bytes) -> None:
    assert given_id({b"x-request-id": value}) is None
    assert given_id({}) is None


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"POST /v1/messages HTTP/1.1\r\n", "/v1/messages"),
        (b"POST /v1/messages?key=secret HTTP/9\r\n", "/v1/messages"),
        (b"POST /v1/messages", "/v1/messages"),
        (b"POST http://a/v1 HTTP/1.1", ""),
        (b"\x16\x03\x01", ""),
        (b"", ""),
        (b"POST /v1/\xff HTTP/1.1", ""),
    ],
)
def test_a_path_is_guessed_for_the_words_of_a_refusal(raw: bytes, path: str) -> None:
    assert path_of(raw) == path


def test_refusals_repeat_nothing() -> None:
    canary = "zanzibar7"
    for raw in (
        head(f"{canary}"),
        head(f"X-A: {canary}\0"),
        head(first=f"{canary.upper()} / HTTP/1.1"),
        head(host=f"Host: {canary}/"),
    ):
        with pytest.raises(CallerError) as refused:
            read(raw)
        assert not re.search(canary, f"{refused.value.message}{refused.value.headers}", re.IGNORECASE)


@pytest.mark.parametrize(
    "path", ["/v1/models/a%2Fb", "/v1beta/models/a%2fb", "/model/a%2Fb/converse", "/openai/deployments/a%2Fb/x"]
)
def test_a_slash_may_be_escaped_in_the_name_of_a_model(path: str) -> None:
    """openai and boto3 write them so: boto3 signs the path it sends."""
    assert read(head(first=f"POST {path} HTTP/1.1")).path == path
    with pytest.raises(BadRequest):
        read(head(first=f"POST {path.replace('b', '%5c')} HTTP/1.1"))
