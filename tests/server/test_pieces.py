"""Pieces of a body."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from gateway.server.pieces import LOOSE_MOST, Pieces


@given(st.lists(st.binary(max_size=5), max_size=3 * LOOSE_MOST))
def test_the_whole_is_everything_in_order(pieces: list[bytes]) -> None:
    body = Pieces()
    for piece in pieces:
        body.add(piece)
    assert body.whole() == b"".join(pieces)


def test_one_piece_is_not_copied() -> None:
    body, piece = Pieces(), b"x" * 100_000
    body.add(piece)
    assert body.whole() is piece


def test_many_small_pieces_weigh_what_they_hold() -> None:
    body = Pieces()
    tracemalloc.start()
    try:
        for number in range(1 << 15):
            body.add(b"%02d" % (number % 100))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body.whole()) == 1 << 16
    assert held < 2 << 16
