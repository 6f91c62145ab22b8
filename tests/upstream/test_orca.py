"""Load reports in headers, as vLLM (serve/utils/orca_metrics.py) and Triton (its client's README) send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.orca import EVERY_S, HEADER, MOST_BYTES, REQUEST_LINE, SILENT_S, Reports, read
from gateway.upstream.probes.reading import Reading


def test_the_request_asks_for_text() -> None:
    assert REQUEST_LINE == b"endpoint-load-metrics-format: text\r\n"


@pytest.mark.parametrize(
    "value",
    [
        b"TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=3",
        b"text named_metrics.num_requests_waiting=3.0,named_metrics.kv_cache_usage_perc=0.4",
        b'JSON {"named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 3}}',
        b"named_metrics.kv_cache_usage_perc=0.4,named_metrics.num_requests_waiting=3",
        b'{"named_metrics":{"kv_cache_usage_perc":0.4,"num_requests_waiting":3}}',
        b'json {"cpu_utilization": 0.3, "named_metrics": {"kv_cache_usage_perc": 0.4, "num_requests_waiting": 3.0}}',
    ],
)
def test_what_vllm_tells_is_read_from_text_and_json(value: bytes) -> None:
    assert read(value) == Reading(alive=True, waiting=3.0, kv=0.4)


def test_what_triton_tells_is_read() -> None:
    value = b"TEXT cpu_utilization=0.3, named_metrics.kv_cache_utilization=0.25, named_metrics.max_token_capacity=11488"
    assert read(value) == Reading(alive=True, kv=0.25)


def test_what_runs_is_read_where_somebody_tells_it() -> None:
    assert read(b"TEXT named_metrics.num_requests_running=2").running == 2.0


def test_a_report_is_a_part_of_what_a_probe_reads() -> None:
    probed = Reading(alive=True, running=5.0, waiting=9.0, kv=0.9, slots=64)
    fresh = read(b"TEXT named_metrics.num_requests_waiting=0").over(probed)
    assert fresh == Reading(alive=True, running=5.0, waiting=0.0, kv=0.9, slots=64)


@pytest.mark.parametrize("number", [b"nan", b"inf", b"-1"])
def test_a_number_that_can_not_be_is_not_told(number: bytes) -> None:
    assert read(b"TEXT named_metrics.num_requests_waiting=" + number).waiting is None


def test_a_cache_used_above_its_size_is_not_told() -> None:
    assert read(b"TEXT named_metrics.kv_cache_usage_perc=87").kv is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "neither text nor JSON"),
        (b"BIN CgQBAgME", "neither text nor JSON"),
        (b"TEXT", "without a value"),
        (b"TEXT named_metrics.num_requests_waiting", "without a value"),
        (b"TEXT named_metrics.num_requests_waiting=three", "could not convert"),
        (b"JSON {", "not the JSON"),
        (b'JSON {"named_metrics": {"a": "b"}}', "not the JSON"),
        (b"TEXT " + b"x" * MOST_BYTES, "above the limit"),
    ],
)
def test_anything_else_is_refused_with_its_reason(value: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(value)


@given(st.binary(max_size=64) | st.text(max_size=64).map(lambda text: b"TEXT " + text.encode()))
def test_no_header_does_more_than_be_refused(value: bytes) -> None:
    try:
        reading = read(value)
    except ValueError:
        return
    assert reading.kv is None or 0.0 <= reading.kv <= 1.0


# --- with answers -----------------------------------------------------------------------------------------------------


class Told:
    """Who heard what when."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float | None, float]] = []

    def reported(self, backend: str, reading: Reading, now: float) -> None:
        self.heard.append((backend, reading.waiting, now))


class Answer:
    """A connection on which an answer has come; how often its head was looked at."""

    def __init__(self, value: bytes | None) -> None:
        self._headers = {b"content-type": b"application/json"} | ({} if value is None else {HEADER: value})
        self.looks = 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        self.looks += 1
        return self._headers


def waiting(count: int) -> Answer:
    return Answer(b"TEXT named_metrics.num_requests_waiting=%d" % count)


def test_a_busy_servers_reports_are_read_now_and_then() -> None:
    told = Told()
    reports = Reports(told)
    for count in range(4):
        reports.answered("a", waiting(count), 1000.0 + count * EVERY_S / 2)
    assert told.heard == [("a", 0.0, 1000.0), ("a", 2.0, 1000.0 + EVERY_S)]


def test_each_server_has_its_own_turn() -> None:
    told = Told()
    reports = Reports(told)
    reports.answered("a", waiting(1), 1000.0)
    reports.answered("b", waiting(2), 1000.0)
    assert told.heard == [("a", 1.0, 1000.0), ("b", 2.0, 1000.0)]


@pytest.mark.parametrize("value", [None, b"TEXT nonsense", b"BIN CgQBAgME"])
def test_one_that_tells_nothing_is_looked_at_once_a_minute(value: bytes | None) -> None:
    told, silent = Told(), Answer(value)
    reports = Reports(told)
    for second in range(int(SILENT_S)):
        reports.answered("a", silent, 1000.0 + second)
    assert (told.heard, silent.looks) == ([], 1)
    reports.answered("a", waiting(1), 1000.0 + SILENT_S)
    assert len(told.heard) == 1
