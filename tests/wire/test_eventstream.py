import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.eventstream import FAILED, Messages, head, headers, message, read_headers

MOST = 1024 * 1024
EVENT = head("event", "contentBlockDelta")
names = st.text(min_size=1, max_size=40).filter(lambda name: len(name.encode()) < 256)
said = st.dictionaries(names, st.text(max_size=200), max_size=5)
payloads = st.binary(max_size=300)


def fed(data: bytes, cuts: list[int], most: int = MOST) -> list[tuple[str, bytes, bytes]]:
    """The frames of these bytes, cut there."""
    reader = Messages(most)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    frames = [frame for start, stop in pairwise(places) for frame in reader.feed(data[start:stop])]
    return frames + reader.end()


@settings(deadline=None)  # the machine may be busy
@given(said)
def test_headers_are_read_as_they_were_written(said: dict[str, str]) -> None:
    assert read_headers(headers(tuple(said.items()))) == said


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(names, payloads), max_size=6), st.lists(st.integers(0, 3000), max_size=30))
def test_any_cutting_gives_the_messages_that_were_written(events: list[tuple[str, bytes]], cuts: list[int]) -> None:
    written = [message(head("event", name), payload) for name, payload in events]
    frames = [(name, payload, raw) for (name, payload), raw in zip(events, written, strict=True)]
    assert fed(b"".join(written), cuts) == frames


def test_byte_by_byte_is_no_different() -> None:
    data = message(EVENT, b'{"a":1}') * 3
    assert fed(data, list(range(len(data)))) == [("contentBlockDelta", b'{"a":1}', data[: len(data) // 3])] * 3


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 10_000), st.integers(1, 255), st.lists(st.integers(0, 400), max_size=8))
def test_a_damaged_byte_is_found_and_what_came_before_it_is_given(place: int, change: int, cuts: list[int]) -> None:
    whole = message(EVENT, b'{"delta":{"text":"hello"}}')
    broken = bytearray(whole)
    broken[place % len(whole)] ^= change
    reader = Messages(MOST)
    data = whole + bytes(broken) + whole * 3
    frames = []
    places = sorted({0, len(data), *cuts})
    try:
        for start, stop in pairwise(places):
            frames += reader.feed(data[start:stop])
        reader.end()
    except ValueError as error:
        told = str(error)
    else:
        told = ""
    assert told.startswith(("The prelude", "A message"))
    assert [raw for _, _, raw in frames] == [whole]


def test_a_damaged_first_message_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="damaged"):
        Messages(MOST).feed(b"HTTP/1.1 500 Internal Server Error")


def test_a_message_with_too_long_headers_is_none() -> None:
    prelude = (40).to_bytes(4, "big") + (30).to_bytes(4, "big")
    with pytest.raises(ValueError, match="longer than"):
        Messages(MOST).feed(prelude + zlib.crc32(prelude).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\x05name", "no value"),
        (b"\x04name\x0a", "unknown type"),
        (b"\x04name\x07\x00\x09short", "cut off"),
        (b"\x04name\x05\x00", "cut off"),
    ],
)
def test_headers_that_are_none_are_refused(bad: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Messages(MOST).feed(message(bad, b""))


def test_headers_of_every_type_are_passed_over() -> None:
    numbers = b"".join(
        b"\x01%c%c%b" % (ord("a") + kind, kind, b"\x00" * length)
        for kind, length in ((0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16))
    )
    assert fed(message(numbers + b"\x01z\x06\x00\x02hi" + EVENT, b"x"), [])[0][:2] == ("contentBlockDelta", b"x")


def test_an_exception_is_told_apart_from_an_event() -> None:
    raw = message(head("exception", "throttlingException"), b'{"message":"slow"}')
    assert fed(raw, []) == [(FAILED + "throttlingException", b'{"message":"slow"}', raw)]


def test_an_error_outside_the_model_says_its_words_in_headers() -> None:
    said = headers(((":message-type", "error"), (":error-code", "InternalError"), (":error-message", "Broke.")))
    assert fed(message(said, b""), [])[0][:2] == (FAILED + "InternalError", b'{"message":"Broke."}')
    assert fed(message(headers(((":message-type", "error"),)), b"{}"), [])[0][:2] == (FAILED, b"{}")


def test_a_message_above_the_cap_is_never_held() -> None:
    small, large = message(EVENT, b"x"), message(EVENT, b"x" * 500)
    reader = Messages(300)
    assert [raw for _, _, raw in reader.feed(small + large[:20])] == [small]
    assert reader.too_long
    assert reader.feed(large[20:] + small) == []
    assert reader.end() == []


def test_half_a_message_at_the_end_is_none() -> None:
    reader = Messages(MOST)
    assert reader.feed(message(EVENT, b"x")[:-1]) == []
    assert reader.end() == []


def test_strange_headers_fill_no_memory() -> None:
    reader = Messages(MOST)
    data = b"".join(message(head("event", str(n)), b"") for n in range(200))
    assert [name for name, _, _ in reader.feed(data)] == [str(n) for n in range(200)]
    assert len(reader._names) <= 64


def test_amazons_own_example_is_written_and_read() -> None:
    # From the test vectors that Amazon's kits share (awslabs/aws-c-event-stream, tests).
    example = bytes.fromhex(
        "0000003d0000002007fd83960c636f6e74656e742d74797065070010"
        "6170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1"
    )
    assert message(headers((("content-type", "application/json"),)), b"{'foo':'bar'}") == example
    assert fed(example, []) == [("", b"{'foo':'bar'}", example)]
