from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.codec import Frame
from gateway.wire.gemini.framing import Chunks

ERROR = b'{\n  "error": {\n    "code": 503,\n    "message": "a {\\n\\n} b"\n  }\n}\n'
STREAM = b'data: {"a":1}\r\n\r\ndata: {"b":\r\ndata: 2}\r\n\r\n: note\r\n\r\n' + ERROR


def frames(pieces: list[bytes], most: int = 2**16) -> tuple[list[Frame], bool]:
    framing = Chunks(most)
    found = [frame for piece in pieces for frame in framing.feed(piece)]
    found += framing.end()
    return found, framing.too_long


def test_an_error_behind_the_events_is_a_frame_of_its_own() -> None:
    found, _ = frames([STREAM])
    assert [payload for _, payload, _ in found] == [b'{"a":1}', b'{"b":\n2}', ERROR.strip()]


def test_an_error_alone_is_one_too() -> None:
    assert frames([ERROR + b"\n"])[0] == [("", ERROR.strip(), ERROR.strip() + b"\n\n")]


def test_an_error_between_events_is_one_too() -> None:
    found, _ = frames([b"data: 1\n\n" + ERROR + b"\ndata: 2\n\n"])
    assert [payload for _, payload, _ in found] == [b"1", ERROR.strip(), b"2"]


def test_an_error_has_a_cap() -> None:
    assert frames([b"\n" + ERROR + b"\n"], most=20) == ([], True)


@given(st.lists(st.integers(0, len(STREAM)), max_size=6).map(sorted))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    assert frames([STREAM[a:b] for a, b in pairwise([0, *cuts, len(STREAM)])]) == frames([STREAM])
