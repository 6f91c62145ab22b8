"""Where writes go and in which order, on transports that note what reaches them."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import HandClock
from gateway.outbox import THICK_S, Outbox, Outgoing
from tests.server.desk import settle_down


class Noting(asyncio.Transport):
    """`heard` is what reached the system: bytes, and how it ended."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.heard: list[bytes | str] = []
        self.calls = 0
        self.on_write: Callable[[], object] = bool
        self._fails = fails
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls += 1
        self.on_write()
        if self._fails:
            raise RuntimeError("broken")
        self.heard.append(bytes(data))

    def writelines(self, list_of_data: object) -> None:
        self.calls += 1
        self.on_write()
        self.heard.extend(list_of_data)  # type: ignore[arg-type]  # a list of bytes

    def write_eof(self) -> None:
        self.heard.append("eof")

    def close(self) -> None:
        self._closing = True
        self.heard.append("close")

    def abort(self) -> None:
        self._closing = True
        self.heard.append("abort")

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 7

    def pause_reading(self) -> None:
        self.heard.append("pause")

    def resume_reading(self) -> None:
        self.heard.append("resume")


class Post:
    """An outbox on a clock moved by hand, and as many transports as wanted."""

    def __init__(self, count: int = 1) -> None:
        self.clock = HandClock()
        self.outbox = Outbox(self.clock.monotonic, asyncio.get_running_loop().call_soon)
        self.transports = [Noting() for _ in range(count)]
        self.out = [Outgoing(transport, self.outbox) for transport in self.transports]


async def test_a_write_by_itself_leaves_at_once() -> None:
    post = Post()
    for number in range(3):
        post.clock.advance(THICK_S * 1.5)
        post.out[0].write(b"%d" % number)
        assert post.transports[0].heard[-1] == b"%d" % number


async def test_writes_that_come_thick_leave_at_the_next_turn_each_transport_in_one_call() -> None:
    post = Post(3)
    post.clock.advance(1.0)
    for number in range(6):
        post.out[number % 3].write(b"%d" % number)
    assert [transport.heard for transport in post.transports] == [[b"0"], [], []]
    await settle_down(1)
    assert [transport.heard for transport in post.transports] == [[b"0", b"3"], [b"1", b"4"], [b"2", b"5"]]
    assert [transport.calls for transport in post.transports] == [2, 1, 1]


async def test_who_wrote_first_is_first() -> None:
    post = Post(4)
    post.clock.advance(1.0)
    post.out[3].write(b"at once")
    left: list[int] = []
    for number, transport in enumerate(post.transports):
        transport.on_write = partial(left.append, number)
    for number in (2, 0, 3, 1, 0):
        post.out[number].write(b"later")
    await settle_down(1)
    assert left == [2, 0, 3, 1]


async def test_while_one_waits_all_do_however_late_they_come() -> None:
    post = Post(2)
    post.clock.advance(1.0)
    post.out[0].write(b"first")
    post.out[0].write(b"waits")
    post.clock.advance(1.0)
    post.out[1].write(b"too")
    assert post.transports[1].heard == []
    await settle_down(1)
    assert (post.transports[0].heard, post.transports[1].heard) == ([b"first", b"waits"], [b"too"])


@pytest.mark.parametrize(("ending", "heard"), [("write_eof", "eof"), ("close", "close"), ("abort", "abort")])
async def test_what_was_written_before_the_end_leaves_before_it(ending: str, heard: str) -> None:
    post = Post()
    post.clock.advance(1.0)
    post.out[0].write(b"one")
    post.out[0].write(b"two")
    getattr(post.out[0], ending)()
    assert post.transports[0].heard == [b"one", b"two", heard]
    await settle_down(1)
    assert post.transports[0].heard == [b"one", b"two", heard]


async def test_large_pieces_never_overtake_what_waits() -> None:
    post = Post()
    post.clock.advance(1.0)
    post.out[0].write(b"one")
    post.out[0].write(b"two")
    post.out[0].writelines([b"large", b"larger"])
    assert post.transports[0].heard == [b"one", b"two", b"large", b"larger"]


async def test_a_transport_is_given_away_with_nothing_left_behind() -> None:
    post = Post()
    post.clock.advance(1.0)
    post.out[0].write(b"one")
    post.out[0].write(b"two")
    assert post.out[0].release() is post.transports[0]
    assert post.transports[0].heard == [b"one", b"two"]


async def test_a_transport_that_went_away_meanwhile_is_left_alone() -> None:
    post = Post(2)
    post.clock.advance(1.0)
    post.out[0].write(b"one")
    post.out[0].write(b"two")
    post.out[1].write(b"three")
    post.transports[0].close()
    await settle_down(1)
    assert post.transports[0].heard == [b"one", "close"]
    assert post.transports[1].heard == [b"three"]
    assert post.out[0].get_write_buffer_size() == 7


async def test_a_transport_that_fails_costs_the_others_nothing_but_a_turn() -> None:
    post = Post(3)
    post.transports[1] = Noting(fails=True)
    post.out[1] = Outgoing(post.transports[1], post.outbox)
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    post.clock.advance(1.0)
    post.out[0].write(b"at once")
    for out in post.out:
        out.write(b"later")
    await settle_down(2)
    assert post.transports[0].heard == [b"at once", b"later"]
    assert post.transports[2].heard == [b"later"]
    assert [type(error) for error in told] == [RuntimeError]
    post.clock.advance(1.0)
    with pytest.raises(RuntimeError):
        post.out[1].write(b"told at once, and not kept back behind what was lost")
    post.clock.advance(1.0)
    post.out[2].write(b"again")
    assert post.transports[2].heard[-1] == b"again"


async def test_what_waits_counts_as_not_yet_taken() -> None:
    post = Post()
    post.clock.advance(1.0)
    post.out[0].write(b"one")
    post.out[0].write(b"four")
    assert post.out[0].get_write_buffer_size() == 7 + 4
    assert not post.out[0].is_closing()
    post.out[0].pause_reading()
    post.out[0].resume_reading()
    assert post.transports[0].heard == [b"one", "pause", "resume"]


STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["write", "writelines", "turn", "pause", "flush"])))


@given(steps=STEPS)
def test_every_byte_leaves_once_and_in_order(steps: list[tuple[int, str]]) -> None:
    async def play() -> None:
        post = Post(3)
        wanted: list[list[bytes]] = [[], [], []]
        for number, (which, step) in enumerate(steps):
            data = b"%d;" % number
            if step == "write":
                post.out[which].write(data)
                wanted[which].append(data)
            elif step == "writelines":
                post.out[which].writelines([data, data])
                wanted[which] += [data, data]
            elif step == "turn":
                await settle_down(1)
            elif step == "pause":
                post.clock.advance(THICK_S * 2)
            else:
                post.out[which].flush()
        await settle_down(2)
        assert [transport.heard for transport in post.transports] == wanted

    asyncio.run(play())
