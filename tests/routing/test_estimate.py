"""What attempts teach: laws of the averages, and the numbers of a few stories."""

from math import exp, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.estimate import (
    FAILURE,
    KEPT,
    KEPT_EVERY_S,
    KEPT_S,
    LENGTH_FIRST,
    PREFILL_FASTEST,
    PREFILL_SLOWEST,
    SLOWEST,
    Lengths,
    Rtt,
    Track,
    Window,
    cold_ms,
    moved,
    predicted_first_ms,
    size_class,
)
from gateway.routing.facts import Now, Work
from gateway.routing.policy import Prefer
from gateway.routing.score import ADAPTER_MS, TAU_S, score
from gateway.routing.snapshot import Load, Pace

ONE = Candidate(0, "b", "m", rtt_ms=20.0, first_ms=100.0, ms_per_token_in=0.1, ms_per_token_out=10.0)
RATIOS = st.floats(0.01, 50.0)
PAUSES = st.floats(0.0, 60.0)


# --- what is predicted ------------------------------------------------------------------------------------------------


def test_a_prediction_is_the_round_trip_the_fixed_part_and_the_prompts() -> None:
    assert predicted_first_ms(ONE, Load(), Work(1000)) == 20.0 + 100.0 + 100.0
    assert predicted_first_ms(ONE, Load(waiting_tokens=500.0, rtt_ms=5.0), Work(1000)) == 5.0 + 100.0 + 150.0
    assert predicted_first_ms(ONE, Load(), Work(1000), Pace(ms_per_token_in=0.2)) == 320.0
    assert predicted_first_ms(ONE, Load(), Work(1000), hit=0.5) == 170.0


def test_a_model_that_must_be_loaded_is_waited_for() -> None:
    absent = Load(models=frozenset(), loadable=frozenset({"m"}), cold_ms=4000.0)
    assert cold_ms(ONE, absent) == 4000.0
    assert cold_ms(ONE, Load()) == cold_ms(ONE, Load(models=frozenset({"m"}))) == 0.0
    absent.adapters = frozenset()
    assert cold_ms(ONE, absent) == ADAPTER_MS
    absent.loadable = frozenset()
    assert predicted_first_ms(ONE, absent, Work(0)) == 4120.0


@given(
    load=st.builds(
        Load,
        in_flight=st.integers(0, 50),
        waiting_tokens=st.floats(0.0, 1e5),
        reported=st.none() | st.floats(0.0, 80.0),
        queued=st.sampled_from([0.0, 3.0, 40.0]),
        rtt_ms=st.sampled_from([0.0, 3.0, 150.0]),
        models=st.none() | st.sampled_from([frozenset({"m"}), frozenset[str]()]),
        loadable=st.sampled_from([frozenset({"m"}), frozenset[str]()]),
        adapters=st.none() | st.just(frozenset[str]()),
    ),
    pace=st.builds(
        Pace, each=st.sampled_from([0.0, 5.0, 80.0]), ms_per_token_in=st.sampled_from([0.0, 0.03, 2.0]), at=st.just(0.0)
    ),
    slots=st.sampled_from([0, 1, 8, 64]),
    tokens=st.tuples(st.integers(0, 100_000), st.floats(1.0, 4000.0)),
    hit=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_the_score_counts_with_what_is_predicted(
    load: Load, pace: Pace, slots: int, tokens: tuple[int, float], hit: float
) -> None:
    candidate = replace(ONE, slots=slots)
    work = Work(*tokens)
    scored = score(candidate, load, pace, work, Prefer(0.0), Now(100.0), hit)
    assert predicted_first_ms(candidate, load, work, pace, hit) == pytest.approx(scored.soonest)


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_quantile_is_of_the_last_samples() -> None:
    window = Window()
    for number in range(1, 101):
        window.add(float(number), 100.0 + number)
    assert (window.p95, window.p99) == (96.0, 100.0)
    for number in range(KEPT):
        window.add(1.0, 300.0 + number)
    assert (window.p95, window.p99) == (1.0, 1.0)


def test_what_is_too_old_is_left_out_with_the_next_sample() -> None:
    window = Window()
    window.add(9.0, 100.0)
    window.add(1.0, 100.0 + KEPT_S)
    assert window.p99 == 9.0
    window.add(1.0, 100.1 + KEPT_S)
    assert window.p99 == 1.0


def test_of_samples_that_come_thick_a_few_are_enough() -> None:
    window = Window()
    window.add(1.0, 100.0)
    window.add(9.0, 100.0 + KEPT_EVERY_S / 2)
    assert window.p99 == 1.0
    window.add(9.0, 100.0 + KEPT_EVERY_S)
    assert window.p99 == 9.0


def test_nothing_is_known_of_nothing() -> None:
    window = Window()
    assert (window.p95, window.p99) == (0.0, 0.0)
    window.add(1.0, 100.0)
    window.clear()
    assert (window.p95, window.p99) == (0.0, 0.0)


@given(st.lists(st.tuples(RATIOS, st.floats(KEPT_EVERY_S, 20.0)), min_size=1, max_size=300))
def test_quantiles_are_those_of_what_is_kept(samples: list[tuple[float, float]]) -> None:
    window = Window()
    now = 1000.0
    kept: list[tuple[float, float]] = []
    for value, step in samples:
        now += step
        window.add(value, now)
        kept = [*[one for one in kept if one[0] >= now - KEPT_S][-(KEPT - 1) :], (now, value)]
        ordered = sorted(value for _, value in kept)
        assert window.p95 == ordered[len(ordered) * 95 // 100]
        assert window.p99 == ordered[len(ordered) * 99 // 100]


# --- slowness ---------------------------------------------------------------------------------------------------------


def seen(track: Track, now: float) -> float:
    """The slowness that decisions count with, as score.scores reads it."""
    return 1.0 + (track.pace.slow - 1.0) * exp((track.pace.at - now) / TAU_S)


def test_a_first_sample_is_taken_whole() -> None:
    track = Track(ONE)
    assert track.first(0.5, 1000.0)
    assert (track.pace.slow, track.pace.slow_p95, track.pace.slow_p99) == (0.5, 0.5, 0.5)


def test_slowness_rises_at_once_and_falls_slowly() -> None:
    track = Track(ONE)
    track.first(1.0, 1000.0)
    track.first(5.0, 1000.1)
    assert track.pace.slow == 5.0
    track.first(1.0, 1000.2)
    assert 4.8 < track.pace.slow < 5.0


def test_slowness_fades_to_what_was_expected_and_never_to_nought() -> None:
    slow, fast = Track(ONE), Track(ONE)
    slow.first(5.0, 1000.0)
    fast.first(0.2, 1000.0)
    assert seen(slow, 1010.0) == pytest.approx(1.0 + 4.0 / 2.718, rel=1e-3)
    assert seen(slow, 1e5) == pytest.approx(1.0)
    assert 0.2 < seen(fast, 1010.0) < seen(fast, 1e5) == pytest.approx(1.0)


def test_a_place_that_stays_five_times_as_slow_is_known_to_be() -> None:
    track = Track(ONE)
    for number in range(20):
        track.first(5.0, 1000.0 + number)
        assert seen(track, 1000.0 + number + 0.9) > 4.6


def test_good_news_can_be_left_for_later() -> None:
    track = Track(ONE)
    track.first(3.0, 1000.0)
    assert not track.first(1.5, 1000.1, only_slow=True)
    assert track.pace.slow == 3.0
    assert track.first(4.0, 1000.2, only_slow=True)
    assert track.pace.slow == 4.0


def test_what_comes_late_or_together_is_counted_too() -> None:
    track = Track(ONE)
    track.first(2.0, 1000.0)
    track.first(1.0, 1000.0)
    track.first(3.0, 999.0)
    assert (track.pace.slow, track.pace.at) == (3.0, 1000.0)


@given(st.lists(st.tuples(RATIOS, PAUSES), min_size=1, max_size=100))
def test_slowness_stays_between_what_was_expected_and_what_was_seen(samples: list[tuple[float, float]]) -> None:
    track = Track(ONE)
    now = 1000.0
    ratios = [1.0]
    for ratio, pause in samples:
        now += pause
        before = seen(track, now)
        track.first(ratio, now)
        ratios.append(ratio)
        assert min(ratios) * 0.999 <= track.pace.slow <= max(ratios) * 1.001
        if ratio >= before:
            assert track.pace.slow == ratio
        assert track.pace.at == now


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failure_counts_as_three_times_the_slowest_of_a_hundred() -> None:
    track = Track(ONE)
    track.failed(0.0, 1000.0)
    assert track.pace.slow == FAILURE
    track = Track(ONE)
    track.first(2.0, 1000.0)
    track.failed(0.0, 1000.1)
    assert track.pace.slow == FAILURE * 2.0


def test_a_failure_that_was_waited_for_counts_as_what_was_waited() -> None:
    track = Track(ONE)
    track.failed(150.0, 1000.0)
    assert track.pace.slow == 150.0
    track.failed(inf, 1000.0)
    assert track.pace.slow == SLOWEST


def test_failures_do_not_drive_one_another_up() -> None:
    track = Track(ONE)
    track.first(2.0, 1000.0)
    for number in range(100):
        track.failed(0.0, 1000.0 + number / 10)
    assert track.pace.slow == FAILURE * 2.0
    assert track.pace.slow_p99 == 2.0


@given(st.lists(st.tuples(st.booleans(), RATIOS, PAUSES), max_size=60), st.floats(0.0, 100.0))
def test_a_failure_never_makes_a_place_look_faster(steps: list[tuple[bool, float, float]], waited: float) -> None:
    track = Track(ONE)
    now = 1000.0
    for fails, ratio, pause in steps:
        now += pause
        before = seen(track, now)
        if fails:
            track.failed(waited, now)
            assert track.pace.slow >= before * 0.999999
        else:
            track.first(ratio, now)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_tokens_time_rises_at_once_and_falls_slowly() -> None:
    track = Track(ONE)
    track.token(12.0, 1000.0)
    assert (track.pace.each, track.pace.each_p95, track.pace.each_p99) == (12.0, 12.0, 12.0)
    track.token(30.0, 1000.1)
    assert track.pace.each == 30.0
    track.token(12.0, 1001.1)
    assert 12.0 < track.pace.each < 30.0
    assert track.pace.each_p99 == 30.0


def test_tokens_times_that_come_thick_are_averaged_and_a_few_kept() -> None:
    track = Track(ONE)
    track.token(12.0, 1000.0)
    track.token(30.0, 1000.0 + KEPT_EVERY_S / 2)
    assert (track.pace.each, track.pace.each_p99) == (30.0, 12.0)


def test_first_tokens_and_further_ones_are_kept_apart() -> None:
    track = Track(ONE)
    track.token(500.0, 1000.0)
    assert (track.pace.slow, track.pace.slow_p99, track.pace.at) == (1.0, 0.0, 0.0)
    track = Track(ONE)
    track.first(9.0, 1000.0)
    assert (track.pace.each, track.pace.each_p99) == (0.0, 0.0)


def test_a_tokens_time_fades_to_what_is_usual_there() -> None:
    track = Track(ONE)
    for number in range(100):
        track.token(40.0, 1000.0 + number)
    track.token(400.0, 1100.0)
    track.settle(1100.0)
    assert track.pace.each == 400.0
    track.settle(1110.0)
    assert 40.0 < track.pace.each < 400.0
    track.settle(1300.0)
    # The one that was so slow has moved what is usual by a tenth of the way.
    assert 40.0 < track.pace.each < 80.0


def test_tokens_that_came_all_at_once_are_not_unmeasured() -> None:
    track = Track(ONE)
    track.token(0.0, 1000.0)
    assert 0.0 < track.pace.each < 0.01


def test_what_is_measured_no_more_has_no_quantiles() -> None:
    track = Track(ONE)
    track.first(2.0, 1000.0)
    track.token(20.0, 1000.0)
    track.settle(1000.0 + KEPT_S)
    assert (track.pace.slow_p95, track.pace.each_p99) == (2.0, 20.0)
    track.settle(1000.1 + KEPT_S)
    assert (track.pace.slow_p95, track.pace.slow_p99, track.pace.each_p95, track.pace.each_p99) == (0.0, 0.0, 0.0, 0.0)
    Track(ONE).settle(1000.0)


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_a_slow_reader_of_prompts_is_found_out() -> None:
    track = Track(ONE)
    for number in range(50):
        track.prefill(1000.0, 500.0, 1000.0 + number)
    assert track.pace.ms_per_token_in == pytest.approx(0.5, rel=0.05)


def test_a_place_that_is_asked_rarely_is_found_well_again_by_a_few_requests() -> None:
    track = Track(ONE)
    for number in range(50):
        track.prefill(1000.0, 500.0, 1000.0 + number)
        track.token(100.0, 1000.0 + number)
    for number in range(3):
        track.prefill(1000.0, 100.0, 1100.0 + 30 * number)
        track.token(10.0, 1100.0 + 30 * number)
    track.settle(1260.0)
    assert track.pace.ms_per_token_in < 0.15
    assert track.pace.each < 20.0


@given(st.lists(st.tuples(st.floats(200.0, 1e5), st.floats(-1e4, 1e6), PAUSES), min_size=1, max_size=50))
def test_a_learned_rate_stays_within_what_can_be(samples: list[tuple[float, float, float]]) -> None:
    track = Track(ONE)
    now = 1000.0
    for tokens, spent_ms, pause in samples:
        now += pause
        track.prefill(tokens, spent_ms, now)
    slowest, fastest = ONE.ms_per_token_in / PREFILL_SLOWEST, ONE.ms_per_token_in / PREFILL_FASTEST
    assert fastest * 0.999 <= track.pace.ms_per_token_in <= slowest * 1.001


# --- round trips ------------------------------------------------------------------------------------------------------


def test_a_round_trip_is_its_distances_until_it_was_measured_often() -> None:
    rtt = Rtt(80.0)
    assert 70.0 < rtt.measured(10.0) < 80.0
    for _ in range(500):
        last = rtt.measured(10.0)
    assert 10.0 < last < 13.0


def test_nobody_is_nearer_than_light() -> None:
    rtt = Rtt(80.0, floor_ms=40.0)
    for _ in range(500):
        last = rtt.measured(1.0)
    assert last == 40.0


def test_a_ping_is_the_least_of_several() -> None:
    pinged, measured = Rtt(10.0), Rtt(10.0)
    for sample in (10.0, 500.0, 300.0):
        last = pinged.pinged(sample)
        measured.measured(sample)
    assert last == 10.0
    assert measured.measured(10.0) > 10.0


# --- lengths of answers -----------------------------------------------------------------------------------------------


def test_an_answer_nobody_knows_is_taken_for_short_or_for_what_is_asked() -> None:
    lengths = Lengths()
    assert lengths.expected("a", "m") == lengths.reserved("a", "m") == LENGTH_FIRST
    assert lengths.expected("a", "m", 100) == lengths.reserved("a", "m", 100) == 100.0
    assert lengths.expected("a", "m", 4000) == LENGTH_FIRST


def test_the_first_answer_is_taken_whole() -> None:
    lengths = Lengths()
    lengths.saw("a", "m", 900)
    assert lengths.expected("a", "m") == lengths.reserved("a", "m") == 900.0
    assert lengths.expected("a", "m", 100) == 100.0
    assert lengths.expected("b", "m") == LENGTH_FIRST


def test_half_are_shorter_and_four_in_five_below_what_is_reserved() -> None:
    lengths = Lengths()
    answers = [10 * (number * 7919 % 100 + 1) for number in range(3000)]  # from 10 to 1000, evenly
    for tokens in answers:
        lengths.saw("a", "m", tokens)
    assert 350.0 < lengths.expected("a", "m") < 650.0
    assert 650.0 < lengths.reserved("a", "m") < 950.0


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=100))
def test_a_length_is_never_below_one_nor_more_reserved_for_less(answers: list[int]) -> None:
    lengths = Lengths()
    for tokens in answers:
        lengths.saw("a", "m", tokens)
        assert 1.0 <= lengths.expected("a", "m") <= lengths.reserved("a", "m")


def test_the_least_lately_seen_are_forgotten() -> None:
    lengths = Lengths(2)
    lengths.saw("a", "m", 900)
    lengths.saw("b", "m", 900)
    lengths.saw("a", "m", 900)
    lengths.saw("c", "m", 900)
    assert lengths.expected("a", "m") == 900.0
    assert lengths.expected("b", "m") == LENGTH_FIRST


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_an_average_takes_its_first_sample_whole_and_moves_by_a_tenth_after() -> None:
    assert moved(0.0, 0.5) == 0.5
    assert moved(0.5, 1.5) == pytest.approx(0.6)


def test_sizes_are_alike_within_a_factor_of_four() -> None:
    assert [size_class(size) for size in (0, 1, 2, 7, 8, 31, 32, 1000)] == [0, 1, 1, 2, 2, 3, 3, 5]
    assert size_class(255) == size_class(64) == 4 != size_class(256)
