from msgspec.structs import replace

from gateway.routing.plan import route
from gateway.routing.policy import Require, Split
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
