"""Which addresses a name has, for how long, and which of them may be dialled."""

import asyncio

import pytest

from gateway.clock import HandClock
from gateway.errors import UpstreamUnreachable
from gateway.sweep import Sweeper
from gateway.upstream.dial import ASK_S, FAILED_S, FRESH_S, STALE_S, Addresses, ask_system
from tests.upstream.scripted import Names, turn

HOST = "api.example"


class Book:
    """Addresses on a clock moved by hand."""

    def __init__(self, names: Names, *private: str) -> None:
        self.clock = HandClock()
        self.sweeper = Sweeper()
        self.addresses = Addresses(self.clock, self.sweeper, private, names)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sweeper.sweep(self.clock.monotonic())

    async def resolve(self, host: str = HOST) -> list[str]:
        return await self.addresses.resolve(host, 443)


PUBLIC = ["1.1.1.1", "8.8.8.8", "104.18.7.192", "2606:4700::6812:7c0", "2a00:1450:4001:81b::200e"]
# reliability 4.5: every range that reaches somebody's inside, and every way to write one into a public-looking address.
REFUSED = [
    *("0.0.0.0", "0.1.2.3"),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    *("100.64.0.1", "100.127.255.255"),
    *("127.0.0.1", "127.255.255.255", "127.0.0.53"),
    *("169.254.0.1", "169.254.169.254", "169.254.170.2"),
    *("192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::10.0.0.1", "::8.8.8.8"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::"),
    *("2001::1", "2001:0:a9fe:a9fe::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2001:2::1"),
    *("100::1", "3fff::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fd12:3456::1"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "feff::1"),
    *("ff00::1", "ff02::1", "ff0e::1"),
    *("", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "1.1.1.1.1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_dialled(address: str) -> None:
    assert Addresses(HandClock(), Sweeper(), ()).may_dial(HOST, address)


@pytest.mark.parametrize("address", REFUSED)
def test_what_reaches_an_inside_may_not_be_dialled_by_a_public_name(address: str) -> None:
    assert not Addresses(HandClock(), Sweeper(), ()).may_dial(HOST, address)


def test_private_addresses_may_be_dialled_inside_the_networks_that_are_named() -> None:
    addresses = Addresses(HandClock(), Sweeper(), ("10.1.0.0/16", "fd00:1::/32"))
    assert addresses.may_dial("vllm.internal", "10.1.2.3")
    assert addresses.may_dial("vllm.internal", "fd00:1::7")
    assert not addresses.may_dial("vllm.internal", "10.2.0.1")
    assert not addresses.may_dial("vllm.internal", "::ffff:10.1.2.3")
    assert not addresses.may_dial("vllm.internal", "127.0.0.1")


@pytest.mark.parametrize(
    ("host", "address", "may"),
    [
        ("localhost", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.2", True),
        ("::1", "::1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1.example", "127.0.0.1", False),
        ("127.evil.example", "127.0.0.1", False),
        ("localhost.example", "127.0.0.1", False),
        ("localhost", "10.0.0.1", False),
    ],
)
def test_loopback_is_for_who_names_it(host: str, address: str, may: bool) -> None:
    assert Addresses(HandClock(), Sweeper(), ()).may_dial(host, address) is may


async def test_an_answer_is_used_for_half_a_minute() -> None:
    book = Book(names := Names("1.1.1.1", "8.8.8.8", "1.1.1.1"))
    assert await book.resolve() == ["1.1.1.1", "8.8.8.8"]
    book.pass_time(FRESH_S - 0.1)
    names.addresses = ["9.9.9.9"]
    assert await book.resolve() == ["1.1.1.1", "8.8.8.8"]
    book.pass_time(0.1)
    assert await book.resolve() == ["9.9.9.9"]
    assert names.asked == [HOST] * 2


async def test_a_literal_address_is_never_asked_for() -> None:
    book = Book(names := Names("1.1.1.1"))
    assert await book.resolve("127.0.0.1") == ["127.0.0.1"]
    assert await book.resolve("2606:4700::1") == ["2606:4700::1"]
    with pytest.raises(UpstreamUnreachable, match="not allowed"):
        await book.resolve("169.254.169.254")
    assert names.asked == []


async def test_the_last_good_answer_serves_for_an_hour_while_asking_fails() -> None:
    book = Book(names := Names("1.1.1.1"))
    await book.resolve()
    names.addresses = []
    book.pass_time(FRESH_S)
    assert await book.resolve() == ["1.1.1.1"]
    book.pass_time(STALE_S - FRESH_S - 0.1)
    assert await book.resolve() == ["1.1.1.1"]
    book.pass_time(FAILED_S)
    with pytest.raises(UpstreamUnreachable, match="did not resolve"):
        await book.resolve()
    names.addresses = ["8.8.8.8"]
    book.pass_time(FAILED_S)
    assert await book.resolve() == ["8.8.8.8"]


async def test_dial_failures_do_not_lengthen_an_answers_hour() -> None:
    book = Book(names := Names("1.1.1.1"))
    await book.resolve()
    names.addresses = []
    for _ in range(60):
        book.pass_time(STALE_S / 60)
        book.addresses.forget(HOST, 443)
    with pytest.raises(UpstreamUnreachable):
        await book.resolve()


async def test_a_name_that_never_resolved_is_unreachable_and_asked_for_once_a_second() -> None:
    book = Book(names := Names())
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable):
            await book.resolve()
    assert len(names.asked) == 1
    book.pass_time(FAILED_S)
    with pytest.raises(UpstreamUnreachable):
        await book.resolve()
    assert len(names.asked) == 2


async def test_after_a_failed_dial_the_name_is_asked_for_again_once_a_second_at_most() -> None:
    book = Book(names := Names("1.1.1.1"))
    await book.resolve()
    book.pass_time(5.0)
    names.addresses = ["8.8.8.8"]
    book.addresses.forget(HOST, 443)
    assert await book.resolve() == ["8.8.8.8"]
    book.addresses.forget(HOST, 443)
    book.addresses.forget("unheard.example", 443)
    assert await book.resolve() == ["8.8.8.8"]
    assert len(names.asked) == 2


async def test_a_slow_answer_is_not_waited_for_where_an_older_one_will_do() -> None:
    book = Book(names := Names("1.1.1.1"))
    await book.resolve()
    book.pass_time(FRESH_S)
    names.holds = True
    names.addresses = ["8.8.8.8"]
    async with asyncio.TaskGroup() as group:
        resolving = group.create_task(book.resolve())
        await turn()
        book.pass_time(ASK_S)
    assert resolving.result() == ["1.1.1.1"]
    assert await book.resolve() == ["1.1.1.1"]
    names.answer()
    await turn()
    assert await book.resolve() == ["8.8.8.8"]
    assert len(names.asked) == 2


async def test_many_who_ask_at_once_ask_once() -> None:
    book = Book(names := Names("1.1.1.1"))
    names.holds = True
    async with asyncio.TaskGroup() as group:
        resolving = [group.create_task(book.resolve()) for _ in range(20)]
        await turn()
        names.answer()
    assert {tuple(one.result()) for one in resolving} == {("1.1.1.1",)}
    assert len(names.asked) == 1


async def test_an_answer_is_kept_though_the_one_who_asked_has_left() -> None:
    book = Book(names := Names("1.1.1.1"))
    names.holds = True
    async with asyncio.TaskGroup() as group:
        first = group.create_task(book.resolve())
        await turn()
        second = group.create_task(book.resolve())
        await turn()
        first.cancel()
        await turn()
        names.answer()
    assert second.result() == ["1.1.1.1"]
    assert len(names.asked) == 1


async def test_a_failure_that_nobody_waits_for_any_more_is_noted_quietly() -> None:
    book = Book(names := Names())
    names.holds = True
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(book.resolve())
        await turn()
        asking.cancel()
    names.answer()
    await turn()
    with pytest.raises(UpstreamUnreachable):
        await book.resolve()
    assert len(names.asked) == 1


@pytest.mark.parametrize("turned", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1"])
async def test_a_name_that_turns_to_an_inside_address_is_refused(turned: str) -> None:  # F41, rebinding
    book = Book(names := Names("1.1.1.1"))
    await book.resolve()
    names.addresses = [turned]
    book.pass_time(FRESH_S)
    with pytest.raises(UpstreamUnreachable, match="not allowed"):
        await book.resolve()
    names.addresses = [turned, "1.1.1.1"]
    book.pass_time(FRESH_S)
    assert await book.resolve() == ["1.1.1.1"]


async def test_the_address_that_worked_comes_first_until_the_next_answer() -> None:
    book = Book(Names("1.1.1.1", "8.8.8.8"))
    await book.resolve()
    book.addresses.prefer(HOST, 443, "8.8.8.8")
    book.addresses.prefer(HOST, 443, "9.9.9.9")
    book.addresses.prefer("unheard.example", 443, "8.8.8.8")
    assert await book.resolve() == ["8.8.8.8", "1.1.1.1"]
    book.pass_time(FRESH_S)
    assert await book.resolve() == ["1.1.1.1", "8.8.8.8"]


async def test_the_system_knows_localhost() -> None:
    found = await ask_system("localhost", 80)
    assert set(found) <= {"127.0.0.1", "::1"}
    assert found


async def test_a_name_the_system_can_not_even_ask_for_is_unreachable() -> None:
    addresses = Addresses(HandClock(), Sweeper(), ())
    with pytest.raises(UpstreamUnreachable):
        await addresses.resolve("a" * 64 + ".example", 80)
