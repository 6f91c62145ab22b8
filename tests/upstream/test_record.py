from math import inf

import pytest

from gateway.exchange import Attempt
from gateway.routing.candidate import Candidate
from gateway.routing.facts import Work
from gateway.settings.shape import Secret, Target
from gateway.upstream.record import FAILING_AFTER, LEAST_MS, SHOWN_EVERY_S, Record, Trip
from tests.upstream.table import backend

HERE = (50.11, 8.68)
TOKYO = (35.68, 139.69)


@pytest.fixture
def record() -> Record:
    return Record(backend("a", slots=8), None)


def streamed(ttft_s: float, each_s: float, tokens: int = 11) -> tuple[Attempt, int]:
    attempt = Attempt(Target(backend=backend("a"), model="m"), 100.0, sent=101.0)
    attempt.first_content = 101.0 + ttft_s
    attempt.ended = attempt.first_content + each_s * (tokens - 1)
    return attempt, tokens


def test_the_weightiest_reason_is_named_and_the_last_of_them_ends_it(record: Record) -> None:
    record.until["cooling"] = 110.0
    record.until["ejected"] = 130.0
    record.settle(100.0)
    assert (record.load.shut, record.load.shut_until) == ("cooling", 130.0)
    record.settle(110.0)
    assert (record.load.shut, record.load.shut_until) == ("ejected", 130.0)
    record.settle(130.0)
    assert (record.load.shut, record.load.shut_until) == ("", 0.0)


@pytest.mark.parametrize(
    ("reason", "slowly"), [("drained", True), ("dead", True), ("loading", True), ("cooling", False), ("ejected", False)]
)
def test_whose_caches_are_empty_starts_slowly(record: Record, reason: str, *, slowly: bool) -> None:
    record.until[reason] = 110.0
    record.settle(100.0)
    record.settle(111.0)
    assert record.load.since == (111.0 if slowly else -inf)


def test_a_probe_that_nobody_waits_for_any_longer_is_no_probe(record: Record) -> None:
    record.load.half_open = record.load.probing = True
    record.until["ejected"] = 130.0
    record.settle(100.0)
    assert record.load.probing
    record.settle(130.0)
    assert not record.load.probing


def test_the_state_is_one_word_with_its_reason_and_its_time(record: Record) -> None:
    def state(now: float) -> tuple[str, str, float]:
        row = record.shown(now)
        return row.state, row.why, row.until_s

    assert state(100.0) == ("unknown", "", 0.0)
    record.row.answered = 1
    assert state(100.0) == ("healthy", "", 0.0)
    record.row.consecutive_failures, record.row.last_error = FAILING_AFTER, "upstream_timeout"
    assert state(100.0) == ("failing", "upstream_timeout", 0.0)
    record.why = "failure_rate"
    record.until["ejected"], record.load.half_open = 130.0, True
    record.settle(100.0)
    assert state(110.0) == ("ejected", "failure_rate", 20.0)
    record.load.probing = True
    assert state(110.0) == ("half_open", "failure_rate", 0.0)
    assert state(130.0) == ("half_open", "failure_rate", 0.0)
    record.until["cooling"] = 115.0
    record.settle(110.0)
    assert state(110.0) == ("cooling", "retry_after", 5.0)
    record.until["drained"] = inf
    record.settle(110.0)
    assert state(110.0) == ("drained", "operator", inf)


def test_the_load_is_the_fuller_of_slots_and_cache(record: Record) -> None:
    record.load.in_flight = 2
    assert (record.shown(100.0).load, record.row.in_flight) == (0.25, 2)
    record.load.kv = 0.4
    assert record.shown(100.0).load == 0.5
    assert Record(backend("b"), None).shown(100.0).load == 0.0


def test_times_shown_are_of_the_last_streams_and_sorted_once_a_second(record: Record) -> None:
    for number in range(1, 101):
        record.streams.append(streamed(number / 100, number / 1000))
    row = record.shown(100.0)
    assert (row.ttft_s, row.ttft_p95_s, row.ttft_p99_s) == pytest.approx((0.505, 0.96, 1.0))
    assert (row.tpot_s, row.tpot_p95_s, row.tpot_p99_s) == pytest.approx((0.0505, 0.096, 0.1))
    record.streams.extend([streamed(9.0, 9.0)] * 2)
    assert record.shown(100.0 + SHOWN_EVERY_S / 2).ttft_p99_s == pytest.approx(1.0)
    assert record.shown(100.0 + SHOWN_EVERY_S).ttft_p99_s == pytest.approx(9.0)


def test_a_stream_of_one_token_has_no_time_between_tokens(record: Record) -> None:
    record.streams.append(streamed(0.4, 0.0, tokens=1))
    row = record.shown(100.0)
    assert row.ttft_s == pytest.approx(0.4)
    assert row.tpot_s == 0.0


def test_a_first_token_is_expected_when_its_prompt_and_those_before_it_were_read(record: Record) -> None:
    place = Candidate(0, "a", "m", rtt_ms=10.0, first_ms=20.0, ms_per_token_in=0.1)
    trip = Trip(record, 100.0, place, Work(), tokens=100, prompt=300.0)
    assert trip.expected_ms() == pytest.approx(10.0 + 20.0 + 30.0 + LEAST_MS)
    record.load.rtt_ms = 2.0
    assert trip.expected_ms() == pytest.approx(52.0 + LEAST_MS)
    trip.predicted_ms = 70.0
    assert trip.expected_ms() == 70.0
    assert Trip(record, 100.0).expected_ms() == 0.0


def test_others_requests_are_the_servers_count_or_the_gateways_whichever_is_more(record: Record) -> None:
    def reported(scraped: float | None, elsewhere: int) -> float | None:
        record.scraped, record.elsewhere = scraped, elsewhere
        record.count_others()
        return record.load.reported

    assert [reported(None, 0), reported(5.0, 0), reported(5.0, 6), reported(None, 6)] == [None, 5.0, 6.0, 6.0]
    assert reported(0.0, 0) == 0.0


def test_another_address_or_key_is_another_server() -> None:
    for newer in (backend("a", "http://10.1.0.8"), backend("a", api_key=Secret("other"))):
        record = Record(backend("a"), None)
        record.until |= {"ejected": 130.0, "drained": inf}
        record.outlier.out = record.load.half_open = True
        record.load.held_ms, record.load.most, record.load.rtt_ms = 500.0, 5.0, 9.0
        record.cooling = {"": 130.0}
        record.streams.append(streamed(1.0, 1.0))
        assert record.become(Record(newer, None), 100.0)
        assert (record.load.shut, record.load.half_open, record.outlier.out) == ("drained", False, False)
        assert (record.load.held_ms, record.load.most, record.load.rtt_ms) == (0.0, inf, 0.0)
        assert (record.cooling, list(record.streams), record.tracks) == ({}, [], {})
        assert record.backend is newer


def test_the_same_server_under_other_words_is_known_still(record: Record) -> None:
    record.outlier.out = True
    assert not record.become(Record(backend("a", country="FR", region="eu-west", slots=16), None), 100.0)
    assert record.outlier.out
    assert (record.row.country, record.row.region, record.slots) == ("FR", "eu-west", 16)


def test_light_bounds_the_round_trip_where_both_places_are_known() -> None:
    far = Record(backend("a", location=TOKYO), HERE)
    assert 90.0 < far.rtt.floor_ms < 95.0 < far.rtt.prior_ms
    assert Record(backend("a"), HERE).rtt.floor_ms == Record(backend("a", location=TOKYO), None).rtt.floor_ms == 0.0
