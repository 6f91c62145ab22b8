import pytest
from msgspec.structs import replace

from gateway.errors import UpstreamDisconnected
from gateway.exchange import Attempt, Exchange
from gateway.features import Usage
from gateway.settings.shape import Backend, Price, Target
from gateway.stages.settle import Settler
from gateway.upstream.prices import Prices
from tests.doubles.inside import PROVIDER
from tests.stages.kept import exchange

PRICE = Price(usd_per_request=0.01, usd_per_mtok_in=2.0, usd_per_mtok_out=10.0)
TARGET = Target(backend=Backend(name="one", provider=PROVIDER, base_urls=("http://10.1.0.7",)), model="m", price=PRICE)


class Told:
    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def settle(self, exchange: Exchange) -> None:
        assert exchange.settled
        assert exchange.ended
        self.exchanges.append(exchange)


def answered(usage: Usage | None = None, pieces: int = 0) -> Exchange:
    told = exchange(started=100.0)
    told.target = TARGET
    told.attempts.append(Attempt(TARGET, started=100.1, sent=100.2, headers=100.9, ended=101.0))
    told.usage = usage
    told.pieces = pieces
    return told


def test_everyone_is_told_once_however_often_a_request_is_settled() -> None:
    one, other = Told(), Told()
    settler = Settler(Prices(), (one, other))
    request = answered()
    settler.settle(request, 101.1)
    settler.settle(request, 200.0)
    assert one.exchanges == other.exchanges == [request]
    assert request.ended == 101.1


def test_what_it_cost_of_our_own_time_is_known_then() -> None:
    request = answered()
    Settler(Prices(), ()).settle(request, 101.1)
    assert request.own_s == pytest.approx(0.4)


def test_usage_has_its_price() -> None:
    request = answered(Usage(input_tokens=1000, output_tokens=500))
    Settler(Prices(), ()).settle(request, 101.1)
    assert request.cost_usd == pytest.approx(0.01 + 0.002 + 0.005)


def test_a_stream_without_usage_is_counted_in_pieces_and_said_to_be() -> None:
    request = answered(pieces=12)
    request.error = UpstreamDisconnected("gone")
    Settler(Prices(), ()).settle(request, 101.1)
    assert request.usage == Usage(input_tokens=20, output_tokens=12, estimated=True)
    assert request.cost_usd == pytest.approx(0.01 + 20 * 2e-6 + 12 * 1e-5)


def test_usage_that_was_told_is_never_replaced_by_a_guess() -> None:
    request = answered(Usage(), pieces=12)
    Settler(Prices(), ()).settle(request, 101.1)
    assert request.usage == Usage()
    assert request.cost_usd == 0.01


def test_what_nobody_saw_costs_nothing() -> None:
    request = answered()
    Settler(Prices(), ()).settle(request, 101.1)
    assert (request.usage, request.cost_usd) == (None, None)


def test_a_target_without_a_price_has_no_cost() -> None:
    request = answered(Usage(input_tokens=1000, output_tokens=500))
    request.target = replace(TARGET, price=None)
    Settler(Prices(), ()).settle(request, 101.1)
    assert request.cost_usd is None


def test_a_request_that_went_nowhere_is_settled_too() -> None:
    told = Told()
    request = exchange()
    Settler(Prices(), (told,)).settle(request, 100.3)
    assert told.exchanges == [request]
    assert request.own_s == pytest.approx(0.3)
