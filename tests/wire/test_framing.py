from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.codec import Frame, Framing
from gateway.wire.framing import Events, Lines

MOST = 64
BOM = b"\xef\xbb\xbf"


def frames(framing: Framing, pieces: list[bytes]) -> list[Frame]:
    """All frames of a stream; nothing is fed any more once an unfinished one has outgrown its cap."""
    out: list[Frame] = []
    for piece in pieces:
        out += framing.feed(piece)
        if framing.too_long:
            return out
    return out + framing.end()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def payloads(framing: Framing, *pieces: bytes) -> list[bytes]:
    return [payload for _, payload, _ in frames(framing, [*pieces])]


# --- server-sent events -----------------------------------------------------------------------------------------------


def test_an_event_is_a_frame_with_its_payload_and_all_its_bytes() -> None:
    stream = [b'data: {"a":1}\n\nevent: b\nda', b"ta: 2\n\n"]
    assert frames(Events(MOST), stream) == [
        ("", b'{"a":1}', b'data: {"a":1}\n\n'),
        ("", b"2", b"event: b\ndata: 2\n\n"),
    ]


def test_comments_and_blank_lines_are_no_frames() -> None:
    assert payloads(Events(MOST), b": keepalive\n\n\n\nretry: 3\n\ndata: 1\n\n") == [b"1"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_of_events_may_end_in_lf_or_crlf_or_cr(end: bytes) -> None:
    assert payloads(Events(MOST), b"data: 1" + end * 2 + b"data: 2" + end * 2) == [b"1", b"2"]


def test_a_byte_order_mark_at_the_start_is_nobodys() -> None:
    assert frames(Events(MOST), [BOM[:1], BOM[1:] + b"data: 1\n\n"]) == [("", b"1", b"data: 1\n\n")]


def test_the_last_event_needs_no_blank_line() -> None:
    assert payloads(Events(MOST), b"data: 1\n\ndata: 2") == [b"1", b"2"]
    assert payloads(Events(MOST), b"data: 1\n\ndata: 2\n") == [b"1", b"2"]
    assert payloads(Events(MOST), b"data: 1\n\n") == [b"1"]


@pytest.mark.parametrize("pieces", [[b"data: 1\n\ndata: " + b"x" * MOST + b"\n\ndata: 3\n\n"], None])
def test_an_event_above_the_cap_is_not_given_nor_what_comes_after_it(pieces: list[bytes] | None) -> None:
    events = Events(MOST)
    stream = b"data: 1\n\ndata: " + b"x" * MOST + b"\n\ndata: 3\n\n"
    assert [payload for _, payload, _ in frames(events, pieces or [bytes([byte]) for byte in stream])] == [b"1"]
    assert events.too_long


EVENTS = st.lists(
    st.sampled_from(
        [
            b"data: a",
            b'data: {"b":"\xc3\xa9"}',
            b"event: e",
            b": c",
            b"data: x" + b"x" * 70,
            b"id: 1",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\r\n\r\n",
        ]
    )
).map(b"".join)


@given(stream=EVENTS, places=st.lists(st.integers(0, 300)), bom=st.booleans())
@example(stream=b"data: a\r\n\r\ndata: b", places=[8, 9, 10], bom=True)
def test_where_events_were_cut_never_matters(stream: bytes, places: list[int], bom: bool) -> None:
    stream = BOM * bom + stream
    assert frames(Events(1000), cut(stream, places)) == frames(Events(1000), [stream])


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_is_a_frame() -> None:
    lines = frames(Lines(MOST), [b'{"a":1}\n{"b', b'":2}\n'])
    assert lines == [("", b'{"a":1}', b'{"a":1}\n'), ("", b'{"b":2}', b'{"b":2}\n')]


def test_lines_may_end_in_crlf_and_empty_ones_are_no_frames() -> None:
    assert frames(Lines(MOST), [b"\r\n1\r\n\n \n2\n"]) == [("", b"1", b"1\r\n"), ("", b"2", b"2\n")]


def test_the_last_line_needs_no_end() -> None:
    assert payloads(Lines(MOST), b"1\n2") == [b"1", b"2"]
    assert payloads(Lines(MOST), b"1\n") == [b"1"]


def test_a_line_of_the_caps_size_is_given_and_a_longer_one_ends_it_all() -> None:
    line = b"x" * MOST
    assert payloads(Lines(MOST), line, b"\n", b"2\n") == [line, b"2"]
    lines = Lines(MOST)
    assert payloads(lines, b"1\n" + line + b"x\n3\n") == [b"1"]
    assert lines.too_long
    assert lines.feed(b"4\n") == []
    assert lines.end() == []


def test_an_unfinished_line_above_the_cap_is_noticed_at_once() -> None:
    lines = Lines(MOST)
    assert lines.feed(b"1\n" + b"x" * (MOST + 1)) == [("", b"1", b"1\n")]
    assert lines.too_long
    assert lines.end() == []


LINES = st.lists(st.sampled_from([b'{"a":1}', b'"\xc3\xa9"', b"x" * 65, b"x" * 64, b" ", b"\n", b"\r\n", b"\n\n"])).map(
    b"".join
)


@given(stream=LINES, places=st.lists(st.integers(0, 300)))
def test_where_lines_were_cut_never_matters(stream: bytes, places: list[int]) -> None:
    cut_up, whole = Lines(MOST), Lines(MOST)
    assert frames(cut_up, cut(stream, places)) == frames(whole, [stream])
    assert cut_up.too_long == whole.too_long


def test_an_endless_line_in_small_pieces_costs_no_more_than_its_bytes() -> None:
    lines = Lines(64 * 1024 * 1024)
    piece = b"x" * 64
    began = process_time()
    for _ in range(100_000):
        lines.feed(piece)
    # Six megabytes; looked at again with every piece they would be 300 gigabytes.
    assert process_time() - began < 1
    assert not lines.too_long
