"""Counting who is there."""

import pytest

from gateway.server.guests import REFUSED_MOST, Guests
from gateway.settings.shape import Caps, TrustedProxy
from gateway.sweep import Sweeper


class Visitor:
    """A guest of an address, who notes what is asked of him."""

    under_way = False

    def __init__(self, address: str) -> None:
        self.address = address
        self.swept: list[float] = []

    def sweep(self, now: float) -> None:
        self.swept.append(now)

    def finish(self) -> None: ...

    def abort(self) -> None: ...


def guests(
    sweeper: Sweeper | None = None, *, connections: int = 100, per_address: int = 2, proxies: str = ""
) -> Guests:
    found = Guests(Sweeper() if sweeper is None else sweeper)
    found.use(
        Caps(connections=connections, per_address=per_address), tuple(TrustedProxy(p) for p in proxies.split(",") if p)
    )
    return found


def entering(book: Guests, *addresses: str) -> list[bool]:
    return [book.enter(Visitor(address)) for address in addresses]


def test_one_address_has_a_limit_of_its_own() -> None:
    assert entering(guests(), *["203.0.113.7"] * 3, "203.0.113.8") == [True, True, False, True]


def test_all_addresses_together_have_one_too() -> None:
    assert entering(guests(connections=2), "203.0.113.7", "203.0.113.8", "203.0.113.9") == [True, True, False]


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_and_the_unix_socket_are_only_limited_by_the_process(address: str) -> None:
    assert entering(guests(connections=5), *[address] * 6) == [True] * 5 + [False]


@pytest.mark.parametrize("address", ["10.0.3.9", "::ffff:10.0.3.9", "2001:db8::1"])
def test_trusted_proxies_are_only_limited_by_the_process(address: str) -> None:
    book = guests(proxies="10.0.3.0/24,2001:db8::/32,cloudflare")
    assert entering(book, *[address] * 3, *["10.0.4.1"] * 3) == [True] * 5 + [False]


def test_a_mapped_address_is_the_address_it_maps() -> None:
    assert entering(guests(), "203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7") == [True, True, False]


def test_an_ipv6_caller_is_counted_by_his_network() -> None:
    assert entering(guests(), "2001:db8::1", "2001:db8::2%eth0", "2001:db8::3", "2001:db8:0:1::1") == [
        True,
        True,
        False,
        True,
    ]


def test_who_leaves_makes_room_once() -> None:
    book = guests()
    first, second = Visitor("203.0.113.7"), Visitor("203.0.113.7")
    assert book.enter(first)
    assert book.enter(second)
    book.leave(first)
    book.leave(first)
    assert entering(book, "203.0.113.7", "203.0.113.7") == [True, False]
    assert len(book) == 2


def test_who_never_came_in_leaves_nothing_behind() -> None:
    book = guests(per_address=1)
    assert book.enter(Visitor("203.0.113.7"))
    stranger = Visitor("203.0.113.7")
    assert not book.enter(stranger)
    book.leave(stranger)
    assert entering(book, "203.0.113.7") == [False]


def test_a_successor_keeps_his_predecessors_place() -> None:
    sweeper = Sweeper()
    book = guests(sweeper, per_address=1)
    first, second = Visitor("203.0.113.7"), Visitor("203.0.113.7")
    book.enter(first)
    book.replace(first, second)
    book.leave(first)
    sweeper.sweep(5.0)
    assert (first.swept, second.swept) == ([], [5.0])
    assert entering(book, "203.0.113.7") == [False]
    book.leave(second)
    assert entering(book, "203.0.113.7") == [True]


def test_everyone_inside_is_swept_and_nobody_else() -> None:
    sweeper = Sweeper()
    book = guests(sweeper)
    inside, refused, gone = Visitor(""), Visitor(""), Visitor("")
    book.enter(inside)
    book.refuse(refused)
    book.enter(gone)
    book.leave(gone)
    sweeper.sweep(7.0)
    assert (inside.swept, refused.swept, gone.swept) == ([7.0], [7.0], [])
    assert set(book) == {inside, refused}


def test_those_who_are_told_there_is_no_room_are_few() -> None:
    book = guests(connections=0)
    refused = [Visitor("203.0.113.7") for _ in range(REFUSED_MOST)]
    assert all(book.refuse(visitor) for visitor in refused)
    assert not book.refuse(Visitor("203.0.113.7"))
    book.leave(refused[0])
    assert book.refuse(Visitor("203.0.113.7"))
