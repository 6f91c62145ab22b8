import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Now, Work
from gateway.routing.policy import OBJECTIVES, Prefer, Quantile, Rules
from gateway.routing.score import ADAPTER_MS, Terms, busy, score, token_ms
from gateway.routing.snapshot import IDLE, UNKNOWN, Load, Pace
from tests.routing.places import NOW, candidates, loads, paces, rules, works

FAST = OBJECTIVES["latency"]
PLACE = Candidate(
    0, "a", "m", region="eu", rtt_ms=12.0, first_ms=20.0, ms_per_token_in=0.1, ms_per_token_out=20.0, slots=10
)
WORK = Work(tokens_in=1000, tokens_out=200.0)
IDLE_MS = 12.0 + 20.0 + 100.0 + 0.2 * 200 * 20.0


def total(
    load: Load = IDLE, pace: Pace = UNKNOWN, *, place: Candidate = PLACE, work: Work = WORK, prefer: Prefer = FAST
) -> float:
    return score(place, load, pace, work, prefer, NOW).total


def test_an_idle_place_costs_the_network_the_prompt_and_a_share_of_the_answer() -> None:
    assert score(PLACE, IDLE, UNKNOWN, WORK, FAST, NOW) == Terms(
        total=IDLE_MS, network=12.0, first=132.0, soonest=132.0, money=0.0, carbon=0.0
    )


def test_an_answer_that_comes_whole_is_waited_for_whole() -> None:
    assert total(work=replace(WORK, stream=False)) == 132.0 + 200 * 20.0


def test_a_measured_round_trip_replaces_the_expected_one() -> None:
    assert total(Load(rtt_ms=40.0)) == IDLE_MS + 28.0


def test_prompts_that_wait_before_this_one_are_waited_for() -> None:
    assert total(Load(waiting_tokens=5000.0)) == pytest.approx(IDLE_MS + 500.0)


def test_the_part_of_a_prompt_that_is_cached_is_not_computed_again() -> None:
    assert score(PLACE, IDLE, UNKNOWN, WORK, FAST, NOW, hit=0.9).total == pytest.approx(IDLE_MS - 90.0)


def test_what_was_learned_of_a_place_counts_before_what_was_expected() -> None:
    learned = Pace(ms_per_token_in=0.3, each=40.0)
    assert total(pace=learned) == pytest.approx(12.0 + 20.0 + 300.0 + 0.2 * 200 * 40.0)


def test_slowness_multiplies_the_time_to_the_first_token_and_fades() -> None:
    assert total(pace=Pace(slow=5.0, at=1000.0)) == pytest.approx(IDLE_MS + 4 * 120.0)
    assert total(pace=Pace(slow=5.0, at=990.0)) == pytest.approx(IDLE_MS + 4 * 120.0 * 0.3679, rel=1e-4)
    assert total(pace=Pace(slow=5.0, at=0.0)) == pytest.approx(IDLE_MS)


def test_beyond_85_percent_of_its_slots_each_request_waits_for_one() -> None:
    """Of ten slots one comes free every tenth of an answer's four seconds."""
    assert total(Load(in_flight=7)) == IDLE_MS
    assert total(Load(in_flight=9)) == pytest.approx(IDLE_MS + 1.5 * 400.0)
    assert total(Load(in_flight=29)) == pytest.approx(IDLE_MS + 21.5 * 400.0)


def test_others_requests_and_our_own_are_counted_together() -> None:
    assert total(Load(in_flight=9, reported=20.0)) == total(Load(in_flight=29))
    assert total(Load(in_flight=0, reported=29.0)) == total(Load(in_flight=29))


def test_a_server_that_says_that_some_wait_is_full_whatever_its_slots() -> None:
    """Its cache may be full long before its slots are."""
    assert total(Load(in_flight=4, queued=6.0)) == pytest.approx(IDLE_MS + 6 * 400.0)
    unknown_slots = replace(PLACE, slots=0)
    assert total(Load(in_flight=4), place=unknown_slots) == IDLE_MS
    assert total(Load(in_flight=4, queued=8.0), place=unknown_slots) == pytest.approx(IDLE_MS + 8 * 4000.0 / 16)


def test_an_idle_server_of_one_slot_keeps_nobody_waiting() -> None:
    assert total(place=replace(PLACE, slots=1)) == IDLE_MS


def test_a_model_that_is_not_in_memory_costs_its_loading_and_an_adapter_little() -> None:
    assert total(Load(models=frozenset({"m"}), cold_ms=8000.0)) == IDLE_MS
    assert total(Load(models=frozenset({"n"}), cold_ms=8000.0)) == IDLE_MS + 8000.0
    adapter = Load(models=frozenset({"n"}), loadable=frozenset({"m"}), adapters=frozenset())
    assert total(adapter) == IDLE_MS + ADAPTER_MS
    assert total(replace(adapter, loadable=frozenset())) == IDLE_MS + adapter.cold_ms


def test_a_place_that_asked_for_less_is_held_against_it_as_long() -> None:
    assert total(Load(held_ms=750.0)) == IDLE_MS + 750.0


def test_whoever_can_go_elsewhere_pays_for_the_delay_of_those_who_can_not() -> None:
    wanted = Load(only_here=5)
    assert total(wanted) == pytest.approx(IDLE_MS + 4000.0 * 0.5)
    assert total(wanted, place=replace(PLACE, only_here=True)) == IDLE_MS
    assert total(Load(only_here=50)) == pytest.approx(IDLE_MS + 4000.0)


def test_dollars_and_grams_are_milliseconds_at_the_policys_rates() -> None:
    dear = replace(PLACE, usd_per_request=0.001, usd_per_token_in=1e-6, usd_per_token_out=1e-5, joules_out=3.6)
    usd = 0.001 + 0.001 + 0.002
    terms = score(dear, IDLE, UNKNOWN, WORK, Prefer(1000.0, 0.0), NOW)
    assert terms.money == pytest.approx(usd * 1000.0)
    assert terms.total == pytest.approx(IDLE_MS + usd * 1000.0)
    grid = replace(dear, grams=(100.0, 500.0, 100.0))
    terms = score(grid, IDLE, UNKNOWN, WORK, Prefer(0.0, 10.0), Now(1000.0, 4 * 3600.0))
    assert terms.carbon == pytest.approx(3.6 * 200 / 3.6e6 * 500.0 * 10.0)
    assert terms.money == 0.0
    assert terms.total == pytest.approx(IDLE_MS + terms.carbon)


def test_a_region_nobody_prefers_is_a_little_farther_away() -> None:
    assert total(prefer=Prefer(0.0, regions=frozenset({"eu"}))) == IDLE_MS
    assert total(prefer=Prefer(0.0, regions=frozenset({"us"}))) == IDLE_MS + 50.0


def test_weight_divides_what_a_place_costs() -> None:
    assert total(place=replace(PLACE, weight=2.0)) == IDLE_MS / 2


def test_at_a_quantile_the_measured_quantiles_count_and_the_soonest_is_still_the_mean() -> None:
    pace = Pace(slow=1.5, slow_p95=3.0, slow_p99=5.0, each=20.0, each_p95=30.0, each_p99=60.0, at=1000.0)
    quantiles: tuple[Quantile, ...] = ("mean", "p95", "p99")
    mean, p95, p99 = (score(PLACE, IDLE, pace, WORK, FAST, NOW, 0.0, at) for at in quantiles)
    assert (mean.first, p95.first, p99.first) == pytest.approx((12 + 180.0, 12 + 360.0, 12 + 600.0))
    assert mean.soonest == p95.soonest == p99.soonest == mean.first
    assert p99.total == pytest.approx(612.0 + 0.2 * 200 * 60.0)


def test_where_a_quantile_was_not_measured_the_mean_stands_for_it() -> None:
    pace = Pace(slow=2.0, each=25.0, at=1000.0)
    assert score(PLACE, IDLE, pace, WORK, FAST, NOW, 0.0, "p95") == score(
        PLACE, IDLE, pace, WORK, FAST, NOW, 0.0, "p99"
    )
    assert score(PLACE, IDLE, pace, WORK, FAST, NOW, 0.0, "p99") == score(PLACE, IDLE, pace, WORK, FAST, NOW)
    assert token_ms(PLACE, pace, "p99") == token_ms(PLACE, pace, "mean") == 25.0
    assert token_ms(PLACE, UNKNOWN, "p95") == 20.0
    assert token_ms(PLACE, Pace(each_p95=30.0), "p95") == 30.0


@pytest.mark.parametrize(
    ("load", "share"),
    [
        (Load(), 0.0),
        (Load(in_flight=5), 0.5),
        (Load(in_flight=5, reported=10.0), 1.5),
        (Load(kv=0.6), 0.75),
        (Load(queued=4.0), 0.8),
    ],
)
def test_a_server_is_as_busy_as_what_it_has_least_left_of(load: Load, share: float) -> None:
    assert busy(PLACE, load) == pytest.approx(share)


def test_nobody_knows_how_busy_a_place_without_slots_or_signals_is() -> None:
    assert busy(replace(PLACE, slots=0), Load(in_flight=1000)) == 0.0


@given(candidates(1, 1), loads, paces, works, rules(), st.sampled_from(["mean", "p95", "p99"]))
def test_more_load_never_makes_a_place_look_better(
    places: list[Candidate], load: Load, pace: Pace, work: Work, said: Rules, at: Quantile
) -> None:
    """So moving traffic away never lowers a place's rank, either."""

    def cost(seen: Load) -> float:
        return score(places[0], seen, pace, work, said.prefer, NOW, 0.0, at).total

    busier = (
        replace(load, in_flight=load.in_flight + 1),
        replace(load, reported=(load.reported or 0.0) + 1.0),
        replace(load, queued=load.queued + 1.0),
        replace(load, waiting_tokens=load.waiting_tokens + 100.0),
        replace(load, only_here=load.only_here + 1),
        replace(load, held_ms=load.held_ms + 10.0),
        replace(load, models=frozenset()),
    )
    assert all(cost(other) >= cost(load) - 1e-6 for other in busier)
    assert all(busy(places[0], other) >= busy(places[0], load) for other in busier)


@given(candidates(1, 1), loads, paces, works, rules())
def test_a_cost_is_a_number_of_milliseconds_and_its_parts_are_in_it(
    places: list[Candidate], load: Load, pace: Pace, work: Work, said: Rules
) -> None:
    terms = score(places[0], load, pace, work, said.prefer, NOW)
    assert 0.0 <= terms.network <= terms.first == terms.soonest
    assert terms.total * places[0].weight >= (terms.first + terms.money + terms.carbon) * (1 - 1e-9)
