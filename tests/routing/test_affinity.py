from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.affinity import BOUND, home, rendezvous
from gateway.routing.candidate import Candidate
from gateway.routing.snapshot import Home, Load, Snapshot
from tests.routing.places import draws, fleet

GROUP = fleet("a", "b", "c", "d")
KEY = 7
TTL_S = 60.0


def test_a_conversation_goes_back_to_where_it_was() -> None:
    snapshot = Snapshot(homes={KEY: Home("c", 990.0)})
    assert home(KEY, GROUP, snapshot, 1000.0, TTL_S) == (GROUP[2], True)


def test_a_place_it_left_too_long_ago_or_that_is_not_here_is_forgotten() -> None:
    by_hash = rendezvous(KEY, GROUP), False
    assert home(KEY, GROUP, Snapshot(homes={KEY: Home("c", 939.0)}), 1000.0, TTL_S) == by_hash
    assert home(KEY, GROUP, Snapshot(homes={KEY: Home("gone", 990.0)}), 1000.0, TTL_S) == by_hash
    assert home(KEY, GROUP, Snapshot(), 1000.0, TTL_S) == by_hash


def test_a_place_with_more_than_its_fair_share_sends_its_conversations_on() -> None:
    """Of 11 requests in flight and this one, 3 are its share of four; a quarter and one request more are its most."""
    homes = {KEY: Home("c", 990.0)}
    others = {"a": Load(in_flight=3), "b": Load(in_flight=2), "d": Load(in_flight=3)}
    fair = Snapshot(loads={**others, "c": Load(in_flight=4)}, homes=homes)
    assert home(KEY, GROUP, fair, 1000.0, TTL_S) == (GROUP[2], True)
    hot = Snapshot(loads={**others, "c": Load(in_flight=8)}, homes=homes)
    found, is_known = home(KEY, GROUP, hot, 1000.0, TTL_S)
    assert found is not GROUP[2]
    assert not is_known


def test_where_a_hot_conversation_goes_instead_is_one_place_for_all_who_see_the_same() -> None:
    hot = Snapshot(loads={"c": Load(in_flight=9)}, homes={KEY: Home("c", 990.0)})
    colder = [one for one in GROUP if one.backend != "c"]
    assert home(KEY, GROUP, hot, 1000.0, TTL_S) == (rendezvous(KEY, colder), False)


def test_a_heavier_place_has_a_greater_share() -> None:
    heavy = [Candidate(0, "a", "m", weight=3.0), Candidate(1, "b", "m", weight=1.0)]
    snapshot = Snapshot(loads={"a": Load(in_flight=6)}, homes={KEY: Home("a", 990.0)})
    assert home(KEY, heavy, snapshot, 1000.0, TTL_S) == (heavy[0], True)
    assert home(KEY, fleet("a", "b"), snapshot, 1000.0, TTL_S)[1] is False


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 2**64 - 1))
def test_among_equally_near_ones_there_always_is_a_place_and_it_never_has_more_than_the_bound(
    running: list[int], key: int
) -> None:
    group = fleet(*(f"b{number}" for number in range(len(running))))
    loads = {one.backend: Load(in_flight=has) for one, has in zip(group, running, strict=True)}
    found, _ = home(key, group, Snapshot(loads=loads), 1000.0, TTL_S)
    assert found is not None
    assert loads[found.backend].in_flight <= BOUND * (sum(running) + 1) / len(running) + 1


def test_where_all_that_are_near_are_hot_a_hash_has_nobody_to_choose() -> None:
    group = [Candidate(0, "fra", "m", rtt_ms=10.0), Candidate(1, "tyo", "m", rtt_ms=230.0)]
    assert home(KEY, group, Snapshot(loads={"fra": Load(in_flight=30)}), 1000.0, TTL_S) == (None, False)


def test_what_nobody_has_warmed_is_never_sent_far_away() -> None:
    """A hash knows no distances: in a fleet around the world it would send half of Europe's to Asia."""
    group = [Candidate(0, "fra", "m", rtt_ms=10.0), Candidate(1, "par", "m", rtt_ms=19.0)]
    group += [Candidate(at, f"tyo-{at}", "m", rtt_ms=230.0) for at in range(2, 8)]
    chosen = Counter(home(key, group, Snapshot(), 1000.0, TTL_S)[0] for key in draws(1000))
    assert {one.backend for one in chosen if one is not None} == {"fra", "par"}


def test_how_near_a_place_is_says_the_measured_trip_where_there_is_one() -> None:
    snapshot = Snapshot(loads={"b": Load(rtt_ms=90.0)})
    chosen = {found.backend for key in draws(200) if (found := home(key, GROUP, snapshot, 1000.0, TTL_S)[0])}
    assert chosen == {"a", "c", "d"}


def test_a_hash_spreads_evenly_and_whoever_leaves_moves_only_his_own() -> None:
    keys = draws(10_000)
    before = {key: rendezvous(key, GROUP) for key in keys}
    assert all(2300 < many < 2700 for many in Counter(before.values()).values())
    after = {key: rendezvous(key, GROUP[:3]) for key in keys}
    assert all(after[key] is before[key] for key in keys if before[key] is not GROUP[3])


@given(st.integers(0, 2**64 - 1), st.permutations(GROUP))
def test_the_order_of_a_group_does_not_matter_to_a_hash(key: int, shuffled: list[Candidate]) -> None:
    assert rendezvous(key, shuffled) is rendezvous(key, GROUP)
