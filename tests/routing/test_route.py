from msgspec.structs import replace

from gateway.routing.plan import route
from gateway.routing.policy import Require, Rules, Split
from tests.routing.places import LATENCY, fleet


def test_what_needs_no_request_is_settled_once() -> None:
    places = [replace(one, tier=tier) for one, tier in zip(fleet("d", "c", "b", "a"), "xxyy", strict=True)]
    places[0] = replace(places[0], no_training=False)
    places[1:] = [replace(one, no_training=True) for one in places[1:]]
    rules = replace(LATENCY, tiers=("y",), require=Require(no_training=True), split=(Split("canary", "b", 5.0),))
    way = route(places, rules)
    assert [[one.backend for one in group] for group in way.groups] == [["a"], ["c"]]
    assert [(left.candidate.backend, left.why) for left in way.out] == [("d", "training")]
    assert [(split.name, [one.backend for one in to]) for split, to in way.shares] == [("canary", ["b"])]
    assert not way.choosy
    assert route([replace(places[1], window=10)], rules).choosy


def test_what_costs_the_same_everywhere_decides_nothing() -> None:
    dear = [replace(one, usd_per_token_out=1e-5) for one in fleet("a", "b")]
    assert route(dear, Rules()).prefer.ms_per_usd == 0.0
    assert route([dear[0], replace(dear[1], usd_per_token_out=2e-5)], Rules()).prefer == Rules().prefer
