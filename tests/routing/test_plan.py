import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Now, Work
from gateway.routing.plan import Plan, plan, route
from gateway.routing.policy import OBJECTIVES, Prefer, Require, Retry, Rules, Slo, Split, Sticky
from gateway.routing.snapshot import Home, Load, Pace, Snapshot
from tests.routing.places import LATENCY, NOW, WORK, draws, ejected, fleet, names, whys

EXPLORING = (1 << 64) - 1  # the draw of those that are sent to look after the forgotten


def decided(
    places: list[Candidate],
    rules: Rules = LATENCY,
    work: Work = WORK,
    draw: int = 0,
    now: Now = NOW,
    **seen: object,
) -> Plan:
    return plan(work, route(places, rules), Snapshot(**seen), now, draw)  # type: ignore[arg-type]  # a snapshot's fields


def tiers(**backends: str) -> tuple[list[Candidate], Rules]:
    """Places by their tiers, which are asked in the order in which they are first named."""
    places = [replace(one, tier=backends[one.backend]) for one in fleet(*backends, slots=10)]
    return places, replace(LATENCY, tiers=tuple(dict.fromkeys(backends.values())))


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


# --- conversations ----------------------------------------------------------------------------------------------------

BY_SESSION = replace(LATENCY, affinity=Sticky("session"))
BY_PREFIX = replace(LATENCY, affinity=Sticky("prefix"))


def test_a_conversation_stays_where_it_is_though_another_place_is_better() -> None:
    places = [replace(one, rtt_ms=trip) for one, trip in zip(fleet("a", "b", "c"), (10.0, 200.0, 10.0), strict=True)]
    homes = {7: Home("b", 990.0)}
    for draw in (0, *draws(50), EXPLORING):
        found = decided(places, BY_SESSION, replace(WORK, session=7), draw, homes=homes)
        assert (names(found)[0], found.reason) == ("b", "affinity")


def test_a_prefix_is_worth_what_it_saves_and_no_more() -> None:
    places = [replace(one, rtt_ms=trip) for one, trip in zip(fleet("a", "b"), (10.0, 50.0), strict=True)]
    homes = {7: Home("b", 990.0)}
    long, short = replace(WORK, prefix=7, tokens_in=2000), replace(WORK, prefix=7, tokens_in=200)
    found = decided(places, BY_PREFIX, long, homes=homes)
    assert (names(found), found.reason) == (["b", "a"], "affinity")
    assert names(decided(places, BY_PREFIX, short, homes=homes)) == ["a", "b"]


def test_a_new_conversation_begins_where_it_is_best_and_not_where_a_hash_would_send_it() -> None:
    """Else a hash would settle half of all conversations on the far side of the world, for as long as they last."""
    places = [replace(one, rtt_ms=trip) for one, trip in zip(fleet("a", "b"), (10.0, 230.0), strict=True)]
    for session in draws(50):
        assert names(decided(places, BY_SESSION, replace(WORK, session=session)))[0] == "a"


def test_workers_who_know_nothing_of_each_other_begin_a_conversation_at_the_same_place() -> None:
    work = replace(WORK, session=7, tokens_in=4000)
    firsts = {names(decided(fleet("a", "b", "c"), BY_SESSION, work, draw))[0] for draw in draws(50)}
    assert len(firsts) == 1


def test_without_a_conversation_there_is_no_place_for_it() -> None:
    assert decided(fleet("a", "b"), BY_SESSION, homes={0: Home("b", 990.0)}).reason == "fastest"


def test_a_promise_goes_before_a_conversation() -> None:
    rules = replace(BY_SESSION, slo=Slo(ttft_ms=500.0))
    paces = {("b", "m"): Pace(slow=9.0, at=1000.0)}
    work = replace(WORK, session=7)
    assert names(decided(fleet("a", "b"), rules, work, homes={7: Home("b", 990.0)}, paces=paces))[0] == "a"


# --- promises ---------------------------------------------------------------------------------------------------------

SLOW = {("a", "m"): Pace(slow=4.0, at=1000.0)}
DEAR = Prefer(1.0)


def promise(otherwise: str, ttft_ms: float | None = 500.0, tpot_ms: float | None = None) -> Rules:
    return Rules(prefer=DEAR, slo=Slo(ttft_ms, tpot_ms, otherwise=otherwise))  # type: ignore[arg-type]  # one of its words


def cheap_but_slow() -> list[Candidate]:
    return [replace(one, usd_per_request=usd) for one, usd in zip(fleet("a", "b"), (0.0, 5000.0), strict=True)]


@pytest.mark.parametrize("otherwise", ["fastest", "next_tier", "refuse"])
def test_those_that_keep_a_promise_go_before_the_others_whatever_they_cost(otherwise: str) -> None:
    found = decided(cheap_but_slow(), promise(otherwise), paces=SLOW)
    assert names(found) == ["b", "a"]
    assert names(decided(cheap_but_slow(), promise(otherwise, None))) == ["a", "b"]


def test_a_promise_of_the_time_between_tokens_is_kept_likewise() -> None:
    paces = {("a", "m"): Pace(each=60.0)}
    assert names(decided(cheap_but_slow(), promise("fastest", None, 50.0), paces=paces)) == ["b", "a"]


def test_a_queue_or_a_cold_start_breaks_a_promise_too() -> None:
    cold = {"a": Load(models=frozenset(), loadable=frozenset({"m"}))}
    assert names(decided(cheap_but_slow(), promise("fastest"), loads=cold)) == ["b", "a"]
    queue = {"a": Load(queued=9.0)}
    assert names(decided(cheap_but_slow(), promise("fastest"), loads=queue)) == ["b", "a"]


def test_where_nobody_keeps_a_promise_the_fastest_is_next_best() -> None:
    paces = {("a", "m"): Pace(slow=9.0, at=1000.0), ("b", "m"): Pace(slow=4.0, at=1000.0)}
    assert names(decided(cheap_but_slow(), promise("fastest"), paces=paces)) == ["b", "a"]


def test_where_nobody_keeps_a_promise_it_may_be_a_refusal() -> None:
    found = decided(fleet("a", "b"), promise("refuse", 1.0))
    assert (found.refused, whys(found)) == ("slo", {"a": "slo", "b": "slo"})


def test_the_next_tier_is_asked_where_it_keeps_the_promise_and_the_fastest_of_all_where_none_does() -> None:
    places, rules = tiers(a="edge", b="edge", c="external")
    rules = replace(rules, slo=Slo(500.0, otherwise="next_tier"))
    paces = {("a", "m"): Pace(slow=5.0, at=1000.0), ("b", "m"): Pace(slow=4.0, at=1000.0)}
    found = decided(places, rules, paces=paces)
    assert (names(found), found.reason) == (["c", "b", "a"], "fastest")
    paces |= {("c", "m"): Pace(slow=4.5, at=1000.0)}
    found = decided(places, rules, paces=paces)
    assert (names(found), found.reason, found.out) == (["b", "c", "a"], "fastest", ())


def test_a_promise_that_a_later_tier_keeps_is_no_refusal() -> None:
    places, rules = tiers(a="edge", b="external")
    rules = replace(rules, slo=Slo(500.0, otherwise="refuse"))
    found = decided(places, rules, paces=SLOW)
    assert (names(found), whys(found)) == (["b"], {"a": "slo"})


# --- looking after the forgotten --------------------------------------------------------------------------------------


def test_one_draw_in_a_hundred_looks_after_a_place_of_which_nothing_is_known_any_more() -> None:
    paces = {("a", "m"): Pace(at=995.0), ("b", "m"): Pace(each=500.0, at=960.0)}
    way, seen = route(fleet("a", "b"), LATENCY), Snapshot(paces=paces)
    firsts = [plan(WORK, way, seen, NOW, draw).order[0].backend for draw in draws(20_000)]
    assert 140 < firsts.count("b") < 260


def test_nobody_waits_for_a_model_to_load_only_to_look_after_a_place() -> None:
    paces = {("a", "m"): Pace(at=995.0)}
    cold = {"b": Load(models=frozenset(), loadable=frozenset({"m"}))}
    assert names(decided(fleet("a", "b"), draw=EXPLORING, paces=paces, loads=cold)) == ["a", "b"]


def test_where_everybody_was_asked_lately_nobody_is_looked_after() -> None:
    paces = {("a", "m"): Pace(at=995.0), ("b", "m"): Pace(each=500.0, at=995.0)}
    assert names(decided(fleet("a", "b"), draw=EXPLORING, paces=paces)) == ["a", "b"]
