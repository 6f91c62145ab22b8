from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.sse import EventSplitter, read_event

MOST = 64


def split(pieces: list[bytes], most: int = MOST) -> tuple[list[bytes], bytes]:
    """The events of a stream without their blank lines, and what is left over."""
    splitter = EventSplitter(most)
    whole = b"".join(splitter.feed(piece) for piece in pieces)
    return [event.lstrip(b"\n") for event in whole.split(b"\n\n") if event.lstrip(b"\n")], splitter.leftover()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def test_an_event_is_given_when_its_blank_line_has_come_and_not_before() -> None:
    splitter = EventSplitter(MOST)
    assert splitter.feed(b"data: a") == b""
    assert splitter.feed(b"\n") == b""
    assert not splitter.calm
    assert splitter.feed(b"\ndata: b\n") == b"data: a\n\n"
    assert splitter.leftover() == b"data: b\n"


def test_events_that_come_whole_pass_as_they_are() -> None:
    data = b"data: a\n\ndata: b\n\n"
    splitter = EventSplitter(MOST)
    assert splitter.feed(data) is data
    assert splitter.calm


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_lf_or_crlf_or_cr(end: bytes) -> None:
    assert split([b"data: a", end, end, b"data: b", end + end]) == ([b"data: a", b"data: b"], b"")


def test_a_cr_at_the_end_of_a_piece_ends_its_line_at_once() -> None:
    splitter = EventSplitter(MOST)
    assert splitter.feed(b"data: a\r\r") == b"data: a\n\n"
    assert splitter.feed(b"") == b""
    assert splitter.feed(b"\ndata: b\n\n") == b"data: b\n\n"


STREAMS = st.lists(
    st.sampled_from([b"data: a", b"data: \xc3\xa9", b": c", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"x"])
).map(b"".join)


@given(stream=STREAMS, places=st.lists(st.integers(0, 80)))
@example(stream=b"data: a\r\n\r\n", places=[8, 9, 10])
@example(stream=b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", places=[1, 2, 12, 13])
def test_where_the_bytes_were_cut_never_matters(stream: bytes, places: list[int]) -> None:
    assert split(cut(stream, places), 1000) == split([stream], 1000)


@given(places=st.lists(st.integers(0, 200)))
def test_an_event_above_the_cap_is_thrown_away_wherever_it_is_cut(places: list[int]) -> None:
    splitter = EventSplitter(MOST)
    out = b"".join(splitter.feed(piece) for piece in cut(b"data: a\n\n\n" + b"x" * (MOST + 2), places))
    assert out.strip(b"\n") == b"data: a"
    assert splitter.too_long
    assert splitter.leftover() == b""


def test_an_unfinished_event_of_the_caps_size_is_kept() -> None:
    event = b"x" * MOST
    assert split([event, b"\n", b"\n"]) == ([event], b"")


def test_an_endless_event_in_small_lines_costs_no_more_than_its_bytes() -> None:
    splitter = EventSplitter(1024 * 1024)
    began = process_time()
    for _ in range(100_000):
        splitter.feed(b":a\n")
    assert process_time() - began < 2.5
    assert len(splitter.leftover()) == 300_000


@pytest.mark.parametrize(
    ("event", "payload", "kept"),
    [
        (b"data: {}", b"{}", b"data: {}"),
        (b"data:{}", b"{}", b"data:{}"),
        (b"data:  {}", b" {}", b"data:  {}"),
        (b": ping", b"", b": ping"),
        (b"event: error\ndata: {}", b"{}", b"event: error\ndata: {}"),
        (b"data: {}\nid: 7\nretry: 10", b"{}", b"data: {}"),
        (b"id: 7", b"", b""),
        (b"retry: 10\n: ping", b"", b": ping"),
        (b"id", b"", b""),
        (b"data:", b"", b""),
        (b"data", b"", b""),
        (b"data: \n: ping", b"", b": ping"),
        (b"event: ping", b"", b""),
        (b"event: ping\n: x", b"", b": x"),
        (b'data: {"a":\ndata: 1}\nevent: x', b'{"a":\n1}', b'data: {"a": 1}\nevent: x'),
        (b"data: {}\ndata:", b"{}", b"data: {}"),
        (b"data: {}\n", b"{}", b"data: {}"),
        (b'error: {"code":400}\n', b'{"error":{"code":400}}', b""),
        (b"error:", b"", b""),
        (b"unknown: field\ndata: {}", b"{}", b"unknown: field\ndata: {}"),
    ],
)
def test_what_official_clients_choke_on_is_left_out(event: bytes, payload: bytes, kept: bytes) -> None:
    assert read_event(event) == (payload, kept)
