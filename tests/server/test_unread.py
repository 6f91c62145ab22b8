"""A slow reader moves, a stuck one doesn't."""

import asyncio

from gateway.server.unread import Unread


class Backlog(asyncio.WriteTransport):
    """A transport with so many bytes waiting."""

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.size = size

    def get_write_buffer_size(self) -> int:
        return self.size


def test_the_size_is_that_of_all_transports() -> None:
    assert Unread(Backlog(3), Backlog(4)).size == 7


def test_nothing_unread_is_never_stalled() -> None:
    unread = Unread(Backlog())
    unread.begin(0.0)
    assert not unread.stalled(1e9, 30.0)


def test_who_reads_nothing_for_too_long_has_stalled() -> None:
    unread = Unread(Backlog(100))
    unread.begin(0.0)
    assert not unread.stalled(30.0, 30.0)
    assert unread.stalled(30.1, 30.0)


def test_each_byte_read_gives_new_time() -> None:
    transport = Backlog(100)
    unread = Unread(transport)
    unread.begin(0.0)
    for now in (25.0, 50.0, 75.0):
        transport.size -= 1
        assert not unread.stalled(now, 30.0)
    assert not unread.stalled(105.0, 30.0)
    assert unread.stalled(105.1, 30.0)


def test_waiting_begins_anew_with_each_pause() -> None:
    unread = Unread(Backlog(100))
    unread.begin(0.0)
    unread.begin(100.0)
    assert not unread.stalled(130.0, 30.0)
    assert unread.stalled(130.1, 30.0)


def test_that_everything_was_taken_is_said_once_and_only_of_those_who_were_waited_for() -> None:
    transport = Backlog(100)
    unread = Unread(transport)
    assert not unread.taken()
    unread.begin(0.0)
    assert not unread.taken()
    transport.size = 0
    assert unread.taken()
    assert not unread.taken()
