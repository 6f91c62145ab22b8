"""What may stand at the start of an upstream's answer."""

import pytest

from gateway.errors import UpstreamBroken
from gateway.upstream.head import (
    HEAD_BYTES,
    HEADER_BYTES,
    HEADER_FIELDS,
    SMALL_BYTES,
    STATUSES,
    check_size,
    could_begin,
    ends_chunks,
    field,
    fields,
    is_chunked,
    is_informational,
)

LINE = b"HTTP/1.1 200 OK"


def head(*lines: bytes) -> bytes:
    """A head without its blank line, as the connection keeps it."""
    return b"\r\n".join((LINE, *lines, b""))


def test_only_200_to_599_of_http_1_are_answers() -> None:
    assert STATUSES[b"HTTP/1.1 200"] == 200
    assert STATUSES[b"HTTP/1.0 599"] == 599
    for start in (b"HTTP/1.1 199", b"HTTP/1.1 600", b"HTTP/1.1 999", b"HTTP/1.1 020", b"HTTP/2.0 200", b"HTTP/0.9 200"):
        assert start not in STATUSES


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP/1", b"HTTP/1.1 200 OK\r\n"])
def test_what_may_become_an_answer_is_waited_for(data: bytes) -> None:
    assert could_begin(data)


@pytest.mark.parametrize("data", [b"\r\n", b"<", b"SSH-2.0", b"RTSP/1.0", b"HTTP/2", b"ICY 200"])
def test_what_never_becomes_an_answer_is_not(data: bytes) -> None:
    assert not could_begin(data)


def test_100_and_103_are_informational_and_nothing_else_is() -> None:
    assert is_informational(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert is_informational(b"HTTP/1.1 103\r\n\r\n")
    for start in (b"HTTP/1.1 1000 X", b"HTTP/1.1 1x0 X", b"HTTP/1.1 200 OK", b"HTTP/2.0 100 X", b"RTSP/1.0 100 X"):
        assert not is_informational(start + b"\r\n\r\n")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_switching_protocols_is_an_error(version: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="switched protocols"):
        is_informational(b"HTTP/%b 101 Switching\r\n\r\n" % version)


def test_128_fields_pass_and_129_do_not() -> None:
    check_size(head(*[b"a: b"] * HEADER_FIELDS))
    with pytest.raises(UpstreamBroken, match="above the limit"):
        check_size(head(*[b"a: b"] * (HEADER_FIELDS + 1)))


def test_a_field_of_8_kib_passes_and_one_byte_more_does_not() -> None:
    longest = b"a: " + b"b" * (HEADER_BYTES - 3)
    check_size(head(longest))
    with pytest.raises(UpstreamBroken, match="above the limit"):
        check_size(head(longest + b"b"))


def test_a_head_above_64_kib_is_refused_whatever_its_fields() -> None:
    with pytest.raises(UpstreamBroken, match="above the limit"):
        check_size(head(*[b"a: " + b"b" * 8000] * 9))
    assert len(head(*[b"a: " + b"b" * 8000] * 9)) > HEAD_BYTES


def test_a_head_too_small_to_check_can_break_no_limit() -> None:
    smallest_above_the_limit = head(*[b"a:"] * (HEADER_FIELDS + 1))
    assert len(smallest_above_the_limit) > SMALL_BYTES


@pytest.mark.parametrize(
    ("lines", "chunked"),
    [
        ([], False),
        ([b"content-length: 5"], False),
        ([b"transfer-encoding: chunked"], True),
        ([b"transfer-encoding:chunked"], True),
        ([b"transfer-encoding: \t chunked \t"], True),
        ([b"content-encoding: identity"], False),
        ([b"content-encoding:"], False),
        ([b"content-encoding: identity", b"transfer-encoding: chunked"], True),
        ([b"transfer-encoding: chunked", b"accept-encoding: gzip"], True),
        ([b"vary: accept-encoding"], False),
    ],
)
def test_a_body_is_chunked_where_chunked_is_all_that_is_said(lines: list[bytes], chunked: bool) -> None:
    assert is_chunked(head(*lines).lower(), 200) is chunked


@pytest.mark.parametrize(
    "lines",
    [
        [b"transfer-encoding: gzip"],
        [b"transfer-encoding: gzip, chunked"],
        [b"transfer-encoding: chunked, chunked"],
        [b"transfer-encoding: identity"],
        [b"transfer-encoding:"],
        [b"transfer-encoding: chunked", b"transfer-encoding: identity"],
        [b"transfer-encoding: chunked", b"transfer-encoding: chunked"],
        [b"transfer-encoding: xchunked"],
        [b"content-encoding: gzip"],
        [b"content-encoding: br", b"transfer-encoding: chunked"],
        [b"transfer-encoding: chunked", b"content-encoding: deflate"],
        [b"content-encoding: identity", b"content-encoding: zstd"],
        [b"content-encoding: identity, gzip"],
    ],
)
def test_every_other_encoding_is_an_error(lines: list[bytes]) -> None:
    with pytest.raises(UpstreamBroken):
        is_chunked(head(*lines).lower(), 200)


def test_chunks_under_http_1_0_are_an_error() -> None:
    with pytest.raises(UpstreamBroken):
        is_chunked(head(b"transfer-encoding: chunked").replace(b"1.1", b"1.0").lower(), 200)


def test_a_refusal_may_be_compressed_since_its_status_says_enough() -> None:
    assert is_chunked(head(b"content-encoding: gzip").lower(), 429) is False


def test_a_field_is_found_by_its_whole_name_and_trimmed() -> None:
    low = head(b"x-content-type: wrong", b"content-type:  application/json ", b"content-type: second").lower()
    assert field(low, b"\r\ncontent-type:") == b"application/json"
    assert field(low, b"\r\nretry-after:") is None


def test_fields_have_lower_case_names_and_keep_their_values() -> None:
    found = fields(head(b"Retry-After: 20", b"X-Id: AbC", b"x-id: Last", b"Empty:"))
    assert found == {b"retry-after": b"20", b"x-id": b"Last", b"empty": b""}


@pytest.mark.parametrize(
    "data", [b"0\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"\r\n\r\n", b"\r\n", b"\n"]
)
def test_the_last_chunk_ends_in_one_blank_line(data: bytes) -> None:
    assert ends_chunks(data)


@pytest.mark.parametrize("data", [b"0\r\n\r\n\r\n", b"0\r\n\r\n\n", b"0\r\n\r\nH", b"0\r\n\r\n\r\n\r\n"])
def test_anything_after_it_is_noticed(data: bytes) -> None:
    assert not ends_chunks(data)
