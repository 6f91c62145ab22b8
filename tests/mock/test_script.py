from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from gateway.mock.faults import NO_FAULTS, Faults, parse_faults
from gateway.mock.script import EARLY_HINTS, STRAY_ANSWER, Frame, Step, Then, framed, head_of, travelled
from tests.doubles.mock_caller import unchunked

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def faults(specs: str) -> Faults:
    return Faults(parse_faults(specs))


def said(*words: bytes) -> Iterator[Frame]:
    return iter([Frame(word, 0.5, 1) for word in words])


def sent(specs: str, *data: bytes) -> list[Step]:
    """The steps of an answer with these writes, after the faults of the wire."""
    steps = [Step(0.5, part, 1) for part in data]
    return list(travelled(iter([*steps, Step(0.0, b"", 0, Then.END)]), faults(specs)))


def test_the_head_goes_out_with_the_first_frame() -> None:
    steps = list(framed(said(b"a", b"b"), HEAD, chunked=True))
    assert steps[0] == Step(0.5, HEAD + b"1\r\na\r\n", 1)
    assert steps[-1] == Step(0.0, b"0\r\n\r\n", 0, Then.END)


def test_an_answer_that_says_nothing_still_has_a_head_and_an_end() -> None:
    assert list(framed(iter(()), HEAD, chunked=True)) == [Step(0.0, HEAD + b"0\r\n\r\n", 0, Then.END)]


def test_a_frame_that_breaks_off_is_the_last_step() -> None:
    frames = iter([Frame(b"a"), Frame(b"", then=Then.CLOSE), Frame(b"never")])
    steps = list(framed(frames, HEAD, chunked=True))
    assert [step.then for step in steps] == [Then.GO, Then.CLOSE]


@given(st.lists(st.binary(min_size=1), max_size=20))
def test_chunks_hold_what_was_said(parts: list[bytes]) -> None:
    wire = b"".join(step.data for step in framed(said(*parts), b"", chunked=True))
    assert unchunked(wire) == (b"".join(parts), True)


def test_the_first_chunks_size_can_be_wrong() -> None:
    steps = list(framed(said(b"abc", b"d"), b"", chunked=True, first_size_off=2))
    assert [step.data for step in steps[:2]] == [b"5\r\nabc\r\n", b"1\r\nd\r\n"]


def test_a_head_is_a_status_line_and_headers() -> None:
    assert head_of(200, (("a", "b"),), NO_FAULTS) == b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"
    assert head_of(999, (), NO_FAULTS).startswith(b"HTTP/1.1 999 Unheard Of\r\n")


def test_a_head_can_be_made_too_much() -> None:
    head = head_of(200, (("transfer-encoding", "chunked"),), faults("header_bytes=9000;headers=300;both_lengths"))
    assert len(head) > 9000
    assert head.count(b"\r\n") > 300
    assert b"content-length: 5\r\n" in head
    assert head_of(200, (("content-length", "1"),), faults("both_lengths")).endswith(b"chunked\r\n\r\n")
    assert head_of(200, (), faults("status_line=ICY 200 OK")).startswith(b"ICY 200 OK\r\n")


def test_a_reset_comes_after_so_many_bytes() -> None:
    assert sent("reset=3", b"ab", b"cd") == [Step(0.5, b"ab", 1), Step(0.5, b"c", 0, Then.RESET)]


def test_a_reset_after_no_byte_waits_for_nothing() -> None:
    assert sent("reset=0", b"ab") == [Step(0.0, b"", 0, Then.RESET)]


def test_a_fin_past_the_end_comes_at_the_end() -> None:
    assert sent("fin=100", b"ab")[-1].then is Then.CLOSE


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1), st.integers(1, 60))
def test_bytes_before_a_fin_are_the_answers_first_bytes(parts: list[bytes], limit: int) -> None:
    steps = sent(f"fin={limit}", *parts)
    assert b"".join(step.data for step in steps) == b"".join(parts)[:limit]
    assert steps[-1].then is Then.CLOSE


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1))
def test_split_characters_come_out_whole_when_joined_and_no_write_ends_one(parts: list[str]) -> None:
    steps = sent("split_utf8", *[part.encode() for part in parts])
    assert b"".join(step.data for step in steps) == "".join(parts).encode()
    assert sum(step.tokens for step in steps) == len(parts)
    wide = sum(len(character.encode()) > 1 for part in parts for character in part)
    assert sum(step.data[:1] >= b"\x80" and step.data[:1] < b"\xc0" for step in steps) == wide


def test_a_trickle_keeps_the_bytes_and_the_rate() -> None:
    steps = sent("trickle=10", b"abcde")
    assert b"".join(step.data for step in steps) == b"abcde"
    assert [step.wait_s for step in steps[:5]] == [0.5, 0.1, 0.1, 0.1, 0.1]
    assert sum(step.tokens for step in steps) == 1


def test_a_stall_comes_before_everything() -> None:
    assert sent("stall", b"a")[0].then is Then.STALL
    assert sent("stall=2s", b"a")[:2] == [Step(2.0, b""), Step(0.5, b"a", 1)]


def test_early_hints_come_at_once() -> None:
    assert sent("early_hints", b"a")[0] == Step(0.0, EARLY_HINTS)


def test_a_stray_answer_follows_in_the_same_write() -> None:
    assert sent("garbage_after", b"a")[-1] == Step(0.0, STRAY_ANSWER, 0, Then.END)
