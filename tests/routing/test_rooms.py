import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Work
from gateway.routing.plan import plan, route
from gateway.routing.policy import Rules, Slo, Split
from gateway.routing.rooms import is_shut
from gateway.routing.snapshot import Load, Pace, Snapshot
from tests.routing.places import LATENCY, NOW, WORK, decided, draws, ejected, fleet, names, tiers, whys

DOWN = Load(shut="drained", shut_until=2000.0)
FULL = Load(in_flight=4, most=4.0)


# --- who is left out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (Load(shut="drained", shut_until=2000.0), "drained"),
        (Load(shut_until=2000.0), "shut"),
        (Load(half_open=True, probing=True), "half_open"),
        (Load(in_flight=4, most=4.0), "full"),
        (Load(models=frozenset({"other"})), "not_served"),
        (ejected(), "ejected"),
    ],
)
def test_a_place_that_takes_no_requests_is_out_with_its_reason(load: Load, why: str) -> None:
    found = decided(fleet("a", "b", "c"), loads={"b": load})
    assert names(found) == ["a", "c"]
    assert whys(found) == {"b": why}


@pytest.mark.parametrize(
    "load",
    [
        Load(shut="cooling", shut_until=1000.0),
        Load(half_open=True),
        Load(models=frozenset({"m"})),
        Load(in_flight=3, most=4.0),
    ],
)
def test_a_place_that_takes_requests_again_or_still_is_asked(load: Load) -> None:
    assert not decided(fleet("a", "b"), loads={"b": load}).out


def test_a_model_that_is_not_loaded_but_can_be_is_asked_last() -> None:
    cold = Load(models=frozenset(), loadable=frozenset({"m"}), cold_ms=9000.0)
    assert names(decided(fleet("a", "b"), loads={"a": cold})) == ["b", "a"]


def test_a_target_whose_provider_was_seen_to_refuse_this_country_is_out_here_and_its_backend_is_not() -> None:
    places = [Candidate(0, "a", "m"), Candidate(1, "a", "n")]
    found = decided(places, refused_here=frozenset({("a", "m")}))
    assert [one.model for one in found.order] == ["n"]
    assert whys(found) == {"a": "egress"}


def test_who_is_away_is_shut_and_who_is_full_is_not() -> None:
    one, *_ = fleet("a")
    seen = {"a": Load(shut="dead", shut_until=2000.0)}
    assert is_shut(one, Snapshot(seen), NOW.monotonic)
    assert is_shut(one, Snapshot(cooling={("a", "m"): 1001.0}), NOW.monotonic)
    assert not is_shut(one, Snapshot({"a": Load(in_flight=4, most=4.0)}), NOW.monotonic)
    assert not is_shut(one, Snapshot(), NOW.monotonic)


def test_a_model_that_is_cooling_is_not_asked_for_and_the_others_of_its_backend_are() -> None:
    places = [Candidate(0, "a", "m"), Candidate(1, "a", "n")]
    found = decided(places, cooling={("a", "m"): 1001.0, ("a", "n"): 999.0})
    assert ([one.model for one in found.order], whys(found)) == (["n"], {"a": "cooling"})
    # Its own word weighs more than what was seen of its backend, and less than an operator's.
    out = decided(fleet("a", "b"), loads={"a": ejected()}, cooling={("a", "m"): 1001.0})
    assert whys(out) == {"a": "cooling"}
    shut = Load(shut="drained", shut_until=2000.0)
    assert whys(decided(fleet("a", "b"), loads={"a": shut}, cooling={("a", "m"): 1001.0})) == {"a": "drained"}


def test_of_models_that_are_cooling_the_first_to_be_ready_is_the_last_resort() -> None:
    found = decided(fleet("a", "b"), cooling={("a", "m"): 1020.0, ("b", "m"): 1010.0})
    assert (names(found), found.out) == (["b", "a"], ())


def test_what_a_request_needs_and_a_place_lacks_is_the_reason() -> None:
    places = [replace(one, window=1000, capabilities=frozenset({"tools"})) for one in fleet("a", "b")]
    places[1] = replace(places[1], capabilities=frozenset({"tools", "vision"}))
    found = decided(places, work=replace(WORK, capabilities=frozenset({"vision"})))
    assert (names(found), whys(found)) == (["b"], {"a": "capability"})
    assert decided(places, work=replace(WORK, window=2000)).refused == "context"


def test_a_place_whose_first_token_would_come_too_late_is_not_asked() -> None:
    found = decided(fleet("a", "b"), work=replace(WORK, left_ms=400.0), loads={"a": Load(rtt_ms=500.0)})
    assert (names(found), whys(found)) == (["b"], {"a": "deadline"})
    assert decided(fleet("a"), work=replace(WORK, left_ms=50.0)).refused == "deadline"


def test_whether_there_is_time_is_asked_of_what_is_usual_not_of_what_is_promised() -> None:
    """A caller with little time is better served by a place that is rarely late than by a refusal."""
    rules = replace(LATENCY, slo=Slo(at="p99"))
    paces = {("a", "m"): Pace(slow=1.0, slow_p99=9.0, at=1000.0)}
    assert names(decided(fleet("a"), rules, replace(WORK, left_ms=500.0), paces=paces)) == ["a"]


# --- panic ------------------------------------------------------------------------------------------------------------


def test_where_most_are_ejected_something_else_is_wrong_and_all_are_asked() -> None:
    loads = {"a": ejected(), "b": ejected()}
    assert sorted(names(decided(fleet("a", "b", "c"), loads=loads))) == ["a", "b", "c"]


def test_half_of_a_group_is_not_most_of_it() -> None:
    loads = {"a": ejected(), "b": ejected()}
    found = decided(fleet("a", "b", "c", "d"), loads=loads)
    assert (names(found), whys(found)) == (["c", "d"], {"a": "ejected", "b": "ejected"})


def test_panic_takes_back_nobody_but_the_ejected() -> None:
    loads = {"a": ejected(), "b": ejected(), "c": Load(shut="drained", shut_until=2000.0)}
    found = decided(fleet("a", "b", "c"), loads=loads)
    assert (sorted(names(found)), whys(found)) == (["a", "b"], {"c": "drained"})


@pytest.mark.parametrize(
    ("more", "why"), [({"in_flight": 4, "most": 4.0}, "ejected"), ({"models": frozenset()}, "not_served")]
)
def test_panic_does_not_take_back_who_could_not_serve_anyhow(more: dict[str, object], why: str) -> None:
    found = decided(fleet("a", "b"), loads={"a": replace(ejected(), **more), "b": ejected()})
    assert (names(found), whys(found)) == (["b"], {"a": why})


def test_there_is_no_panic_while_another_group_can_take_the_traffic() -> None:
    """As in Envoy: else a primary that is alone in its tier could not be ejected at all."""
    places, rules = tiers(primary="edge", secondary="external")
    found = decided(places, rules, loads={"primary": ejected()})
    assert (names(found), whys(found)) == (["secondary"], {"primary": "ejected"})


def test_where_no_group_is_well_each_panics_and_the_traffic_is_spread_by_their_health() -> None:
    places, rules = tiers(a="edge", b="edge", c="edge", d="external", e="external", f="external")
    loads = {name: ejected() for name in "abde"}
    way = route(places, rules)
    found = [plan(WORK, way, Snapshot(loads=loads), NOW, draw) for draw in draws(2000)]
    assert all(len(one.order) == 6 for one in found)
    assert 900 < sum(one.order[0].tier == "edge" for one in found) < 1100


# --- the last resort --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["cooling", "dead", "loading"])
def test_where_nobody_is_left_those_who_may_be_well_again_are_asked_the_soonest_first(why: str) -> None:
    loads = {
        "a": Load(shut=why, shut_until=1030.0),
        "b": Load(shut=why, shut_until=1010.0),
        "c": Load(half_open=True, probing=True),
    }
    found = decided(fleet("a", "b", "c"), loads=loads)
    assert (names(found), found.out) == (["c", "b", "a"], ())


def test_while_anybody_is_left_nobody_is_asked_against_better_knowledge() -> None:
    found = decided(fleet("a", "b"), loads={"a": Load(shut="dead", shut_until=2000.0)})
    assert (names(found), whys(found)) == (["b"], {"a": "dead"})


def test_whom_somebody_shut_or_who_refuses_this_country_is_no_last_resort() -> None:
    loads = {"a": Load(shut="drained", shut_until=2000.0), "b": Load(shut="cooling", shut_until=2000.0)}
    found = decided(fleet("a", "b", "c"), loads=loads, refused_here=frozenset({("c", "m")}))
    assert (names(found), whys(found)) == (["b"], {"a": "drained", "c": "egress"})


def test_who_is_full_will_have_a_slot_before_a_dead_one_lives_again() -> None:
    """So the request is refused as one that may wait; who is both is no hope, either."""
    loads = {"a": Load(shut="dead", shut_until=2000.0), "b": Load(in_flight=4, most=4.0)}
    found = decided(fleet("a", "b"), loads=loads)
    assert (names(found), found.refused, whys(found)) == ([], "full", {"a": "dead", "b": "full"})
    both = Load(shut="cooling", shut_until=2000.0, in_flight=4, most=4.0)
    assert decided(fleet("a"), loads={"a": both}).refused == "unavailable"


# --- tiers ------------------------------------------------------------------------------------------------------------


def leads(places: list[Candidate], rules: Rules, loads: dict[str, Load], work: Work = WORK) -> dict[str, float]:
    """The share of the traffic that each tier gets."""
    way = route(places, rules)
    firsts = [plan(work, way, Snapshot(loads=loads), NOW, draw).order[0].tier for draw in draws(4000)]
    return {tier: firsts.count(tier) / 4000 for tier in dict.fromkeys(one.tier for one in places)}


@pytest.mark.parametrize(("busy", "spilt"), [(5, 0.0), (8, 0.0), (9, 1 / 3), (10, 1.0), (30, 1.0)])
def test_what_is_too_much_for_a_tier_goes_to_the_next_in_the_measure_that_it_is(busy: int, spilt: float) -> None:
    places, rules = tiers(a="edge", b="external")
    assert leads(places, rules, {"a": Load(in_flight=busy)})["external"] == pytest.approx(spilt, abs=0.03)


def test_a_tier_of_which_some_are_down_keeps_what_its_health_bears() -> None:
    """Envoy's factor of 1.4: three of four still take all, one of two takes 70 %."""
    down = Load(shut="dead", shut_until=2000.0)
    places, rules = tiers(a="edge", b="edge", c="edge", d="edge", e="external")
    assert leads(places, rules, {"a": down})["edge"] == 1.0
    assert leads(places, rules, {"a": down, "b": down})["edge"] == pytest.approx(0.7, abs=0.03)
    assert leads(places, rules, dict.fromkeys("abc", down))["edge"] == pytest.approx(0.35, abs=0.03)
    assert leads(places, rules, dict.fromkeys("abcd", down))["edge"] == 0.0


def test_what_is_left_of_a_tier_is_busy_for_what_it_has_lost_and_that_counts_once() -> None:
    down = Load(shut="dead", shut_until=2000.0)
    places, rules = tiers(a="edge", b="edge", c="external")
    assert leads(places, rules, {"a": down, "b": Load(in_flight=8)})["edge"] == pytest.approx(0.7, abs=0.03)
    assert leads(places, rules, {"a": down, "b": Load(in_flight=9)})["edge"] == pytest.approx(2 / 3, abs=0.03)


def test_a_tier_keeps_what_is_its_own_where_the_next_is_about_as_busy() -> None:
    places, rules = tiers(a="edge", b="external")
    for busy, kept in ((8, 1.0), (9, 1.0), (7, 2 / 3)):
        shares = leads(places, rules, {"a": Load(in_flight=9), "b": Load(in_flight=busy)})
        assert shares["edge"] == pytest.approx(kept, abs=0.03)


def test_each_tier_takes_what_it_can_of_what_those_before_it_leave() -> None:
    """Health 0.7, 0.7 and 1.0: Envoy's table gives 70, 30 and nothing."""
    down = Load(shut="dead", shut_until=2000.0)
    places, rules = tiers(a="edge", b="edge", c="self_hosted", d="self_hosted", e="external")
    shares = leads(places, rules, {"a": down, "c": down})
    assert shares == pytest.approx({"edge": 0.7, "self_hosted": 0.3, "external": 0.0}, abs=0.03)


def test_where_tiers_can_not_take_everything_it_is_shared_in_proportion() -> None:
    down = Load(shut="dead", shut_until=2000.0)
    places, rules = tiers(
        a="edge", b="edge", c="edge", d="edge", e="external", f="external", g="external", h="external"
    )
    shares = leads(places, rules, {**dict.fromkeys("abc", down), **dict.fromkeys("efg", down)})
    assert shares == pytest.approx({"edge": 0.5, "external": 0.5}, abs=0.03)


def test_a_full_tier_spills_into_no_fuller_one() -> None:
    places, rules = tiers(a="edge", b="external")
    assert leads(places, rules, {"a": Load(in_flight=9), "b": Load(in_flight=40)})["edge"] == 1.0
    assert leads(places, rules, {"a": Load(in_flight=60), "b": Load(in_flight=40)})["edge"] == 0.0


def test_without_a_margin_a_tier_spills_all_at_once() -> None:
    places, rules = tiers(a="edge", b="external")
    rules = replace(rules, overflow=1.0)
    assert leads(places, rules, {"a": Load(in_flight=9)})["edge"] == 1.0
    assert leads(places, rules, {"a": Load(in_flight=10)})["edge"] == 0.0


def test_what_spilt_over_comes_back_to_the_first_tier_before_it_goes_to_a_third() -> None:
    places, rules = tiers(a="edge", b="self_hosted", c="external")
    found = decided(places, rules, loads={"a": Load(in_flight=20)})
    assert (names(found), found.reason) == (["b", "a", "c"], "overflow")


def test_places_that_can_not_do_the_work_do_not_count_as_ill() -> None:
    """One of four sees pictures: those who send pictures all go there, not to the next tier."""
    places, rules = tiers(a="edge", b="edge", c="edge", d="edge", e="external")
    places = [replace(one, capabilities=frozenset({"vision" if one.backend in "ae" else "tools"})) for one in places]
    work = replace(WORK, capabilities=frozenset({"vision"}))
    assert leads(places, rules, {}, work) == {"edge": 1.0, "external": 0.0}


# --- priority ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("busy", "share"), [(6, 0.0), (8, 0.4), (9, 0.8), (10, 1.0)])
def test_low_priority_gives_way_the_more_surely_the_busier_its_places_are(busy: int, share: float) -> None:
    way = route(fleet("a", "b", slots=10), replace(LATENCY, priority="low"))
    seen = Snapshot(loads={"a": Load(in_flight=busy), "b": Load(in_flight=busy)})
    found = [plan(WORK, way, seen, NOW, draw) for draw in draws(2000)]
    assert sum(one.refused == "shed" for one in found) / 2000 == pytest.approx(share, abs=0.04)


def test_who_gives_way_is_told_of_every_place_that_it_was_for_others() -> None:
    loads = {"a": Load(in_flight=10), "b": Load(in_flight=10), "c": DOWN}
    found = decided(fleet("a", "b", "c", slots=10), replace(LATENCY, priority="low"), loads=loads)
    assert whys(found) == {"a": "shed", "b": "shed", "c": "drained"}
    split = (Split("canary", "d", 100.0), Split("shadow", "e", 100.0, copy=True))
    rules = replace(LATENCY, priority="low", split=split)
    found = decided(fleet("a", "d", "e", slots=10), rules, loads=loads)
    assert (found.refused, whys(found)) == ("shed", {"a": "shed", "d": "shed", "e": "shed"})


@pytest.mark.parametrize("priority", ["normal", "high", None])
def test_nobody_else_gives_way(priority: str | None) -> None:
    loads = {"a": Load(in_flight=99)}
    assert decided(fleet("a", slots=10), replace(LATENCY, priority=priority), loads=loads).order
