import pytest
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.plan import plan, route
from gateway.routing.policy import Prefer, Rules, Slo, Sticky
from gateway.routing.snapshot import Home, Load, Pace, Snapshot
from tests.routing.places import EXPLORING, LATENCY, NOW, WORK, decided, draws, fleet, names, tiers, whys

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
