import pytest

from gateway.errors import NoRoute
from gateway.exchange import Exchange
from gateway.telemetry.batch import MOST, Batch
from tests.doubles.settled import settled


class Teller:
    """Keeps what it is told; `fails_at` is the telling that goes wrong."""

    def __init__(self, fails_at: int = -1) -> None:
        self.told: list[Exchange] = []
        self._fails_at = fails_at

    def settle(self, exchange: Exchange) -> None:
        self.told.append(exchange)
        if len(self.told) == self._fails_at:
            raise ValueError("a bug")


class Bugs:
    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def __call__(self, error: BaseException, request_id: str) -> None:
        self.found.append((type(error).__name__, request_id))


def test_everybody_is_told_of_all_in_order_at_the_next_tick() -> None:
    one, other, bugs = Teller(), Teller(), Bugs()
    batch = Batch((one, other), bugs)
    exchanges = [settled() for _ in range(3)]
    for exchange in exchanges:
        batch.settle(exchange)
    assert one.told == []
    batch.tell()
    assert one.told == other.told == exchanges
    batch.tell()
    assert one.told == exchanges
    assert bugs.found == []


def test_many_are_not_kept_waiting_for_a_tick() -> None:
    one = Teller()
    batch = Batch((one,), Bugs())
    for _ in range(MOST - 1):
        batch.settle(settled())
    assert one.told == []
    batch.settle(settled())
    assert len(one.told) == MOST


def test_a_failure_is_told_at_once_with_what_came_before_it() -> None:
    one = Teller()
    batch = Batch((one,), Bugs())
    good, bad = settled(), settled()
    bad.error = NoRoute("No.")
    batch.settle(good)
    batch.settle(bad)
    assert one.told == [good, bad]


def test_a_body_is_let_go() -> None:
    batch = Batch((), Bugs())
    exchange = settled(body=b"x" * 1000)
    batch.settle(exchange)
    assert exchange.call.body == b""


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_teller_that_fails_costs_nobody_else_their_turn(fails_at: int) -> None:
    one, other, bugs = Teller(fails_at), Teller(), Bugs()
    batch = Batch((one, other), bugs)
    exchanges = [settled() for _ in range(3)]
    for number, exchange in enumerate(exchanges, 1):
        exchange.call.request_id = f"req-{number}"
        batch.settle(exchange)
    batch.tell()
    assert one.told == other.told == exchanges
    assert bugs.found == [("ValueError", f"req-{fails_at}")]
