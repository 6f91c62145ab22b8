import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.plan import plan, route
from gateway.routing.policy import OBJECTIVES, Prefer, Require, Retry, Rules
from gateway.routing.snapshot import Load, Snapshot
from tests.routing.places import LATENCY, NOW, WORK, decided, draws, fleet, names, tiers, whys

# --- in which order ---------------------------------------------------------------------------------------------------


def test_places_are_asked_in_the_order_of_what_they_cost() -> None:
    places = [replace(one, rtt_ms=trip) for one, trip in zip(fleet("a", "b", "c"), (90.0, 10.0, 200.0), strict=True)]
    assert names(decided(places)) == ["b", "a", "c"]


def test_the_order_of_a_target_goes_before_what_it_costs_and_its_tier_before_that() -> None:
    places = [
        Candidate(0, "near", "m", tier="external", rtt_ms=1.0),
        Candidate(1, "second", "m", tier="edge", order=1, rtt_ms=5.0),
        Candidate(2, "far", "m", tier="edge", rtt_ms=300.0),
        Candidate(3, "unnamed", "m", tier="attic", rtt_ms=1.0),
    ]
    rules = replace(LATENCY, tiers=("edge", "external"))
    assert names(decided(places, rules)) == ["far", "second", "near", "unnamed"]


def test_equal_places_are_told_apart_by_name_however_they_are_written_and_by_chance_where_there_is_any() -> None:
    assert names(decided(fleet("c", "a", "b"))) == ["a", "b", "c"]
    firsts = [names(decided(fleet("c", "a", "b"), draw=draw))[0] for draw in draws(3000)]
    assert all(900 < firsts.count(name) < 1100 for name in "abc")


@pytest.mark.parametrize("many", [2, 5, 9, 30])
def test_chance_is_even_among_equal_places_however_many_there_are(many: int) -> None:
    places = fleet(*(f"b{number:02}" for number in range(many)))
    way = route(places, LATENCY)
    firsts = [plan(WORK, way, Snapshot(), NOW, draw).order[0].at for draw in draws(200 * many)]
    assert all(130 < firsts.count(at) < 280 for at in range(many))


def test_beyond_what_is_tried_nobody_is_compared_but_everybody_is_kept() -> None:
    places, rules = tiers(a="edge", b="edge", c="external", d="external")
    c_is_far = {"c": Load(rtt_ms=500.0)}
    assert names(decided(places, replace(rules, retry=Retry(attempts=2)), loads=c_is_far)) == ["a", "b", "c", "d"]
    assert names(decided(places, replace(rules, retry=Retry(attempts=3)), loads=c_is_far)) == ["a", "b", "d", "c"]


def test_one_that_is_alone_in_its_tier_is_not_compared_with_anybody() -> None:
    places, rules = tiers(a="edge", b="edge", c="external")
    assert names(decided(places, rules)) == ["a", "b", "c"]


# --- why --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "prefer", "reason"),
    [
        ({"rtt_ms": 1.0}, OBJECTIVES["latency"], "nearest"),
        ({"first_ms": 1.0}, OBJECTIVES["latency"], "fastest"),
        ({"usd_per_token_out": 0.0}, OBJECTIVES["cost"], "cheapest"),
        ({"joules_out": 0.0}, OBJECTIVES["carbon"], "greenest"),
        ({"region": "eu"}, Prefer(0.0, 0.0, frozenset({"eu"})), "fastest"),
    ],
)
def test_the_reason_is_that_in_which_the_first_beats_the_second_most(
    better: dict[str, object], prefer: Prefer, reason: str
) -> None:
    usual = [replace(one, usd_per_token_out=1e-5, joules_out=300.0, grams=(400.0,)) for one in fleet("a", "b")]
    found = decided([usual[0], replace(usual[1], **better)], Rules(prefer=prefer))
    assert (names(found), found.reason) == (["b", "a"], reason)


def test_whoever_has_nobody_beside_him_is_the_only_one_allowed() -> None:
    assert decided(fleet("a")).reason == "only_allowed"
    forbidden = replace(LATENCY, require=Require(no_training=True))
    places = [replace(fleet("a")[0], no_training=True), fleet("a", "b")[1]]
    found = decided(places, forbidden)
    assert (names(found), found.reason, whys(found)) == (["a"], "only_allowed", {"b": "training"})


def test_one_that_is_alone_in_the_first_tier_is_compared_with_the_tier_after_it() -> None:
    places, rules = tiers(a="edge", b="external")
    assert decided([replace(places[0], rtt_ms=1.0), places[1]], rules).reason == "nearest"
    assert decided([replace(places[0], rtt_ms=99.0), places[1]], rules).reason == "only_allowed"  # in nothing better


# --- refusals ---------------------------------------------------------------------------------------------------------

DOWN = Load(shut="drained", shut_until=2000.0)
FULL = Load(in_flight=4, most=4.0)


@pytest.mark.parametrize(
    ("loads", "refused"),
    [
        ({"a": DOWN, "b": DOWN}, "unavailable"),
        ({"a": DOWN, "b": FULL}, "full"),
        ({"a": Load(shut="a word of its own", shut_until=2000.0), "b": DOWN}, "unavailable"),
    ],
)
def test_a_refusal_says_the_most_hopeful_reason(loads: dict[str, Load], refused: str) -> None:
    found = decided(fleet("a", "b"), loads=loads)
    assert (names(found), found.refused, found.reason) == ([], refused, "")


def test_what_may_pass_goes_before_what_asks_too_much_and_that_before_what_nobody_may() -> None:
    a, b = (replace(one, window=10, capabilities=frozenset({"tools"})) for one in fleet("a", "b"))
    strict = replace(LATENCY, require=Require(jurisdictions=frozenset({"DE"})))
    here = replace(a, processes_in=frozenset({"DE"}))
    work = replace(WORK, window=20)
    assert decided([here, b], strict, work, loads={"b": DOWN}).refused == "context"
    assert decided([here, b], strict, loads={"a": DOWN}).refused == "unavailable"
    assert decided([a, b], strict).refused == "residency_violation"
    assert decided([a, b], replace(LATENCY, require=Require(no_training=True))).refused == "not_allowed"
    assert decided([]).refused == "nobody"


def test_a_price_that_nobody_keeps_is_a_refusal_of_its_own() -> None:
    dear = [replace(one, priced=True, usd_per_request=1.0) for one in fleet("a")]
    assert decided(dear, replace(LATENCY, require=Require(usd_per_request=0.5))).refused == "price"
