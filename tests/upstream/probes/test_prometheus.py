"""The reader of Prometheus text. Its rules are those of prometheus/docs, exposition_formats.md."""

import contextlib
import string
from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.probes.prometheus import (
    MOST_BYTES,
    MOST_SAMPLES,
    MOST_WANTED_BYTES,
    Sample,
    Scrape,
    Signal,
    parse,
)
from gateway.upstream.probes.reading import Answer
from tests.upstream.probes.looking import answer, named

# The example of that page, with its oddities: escapes, a time, no labels, no number.
PAGE = rb"""
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

http_request_duration_seconds_bucket{le="+Inf"} 144320
"""
NAMES = st.text("ab_:", min_size=1, max_size=4)
LABELS = st.dictionaries(st.text("ab_", min_size=1, max_size=4), st.text(max_size=8), max_size=3)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def rendered(name: str, labels: dict[str, str], value: float) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    pairs = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def test_the_formats_own_example_is_read() -> None:
    found = parse(PAGE, ["http_requests_total", "metric_without_timestamp_and_labels", "something_weird"])
    assert found["http_requests_total"] == [
        Sample({"method": "post", "code": "200"}, 1027.0),
        Sample({"method": "post", "code": "400"}, 3.0),
    ]
    assert found["metric_without_timestamp_and_labels"] == [Sample({}, 12.47)]
    assert found["something_weird"] == [Sample({"problem": "division by zero"}, inf)]


def test_escapes_in_labels_are_undone() -> None:
    (sample,) = parse(PAGE, ["msdos_file_access_time_seconds"])["msdos_file_access_time_seconds"]
    assert sample.labels == {"path": "C:\\DIR\\FILE.TXT", "error": 'Cannot find file:\n"FILE.TXT"'}


def test_a_name_that_merely_begins_like_a_wanted_one_is_another() -> None:
    assert parse(b"requests_total 1\nrequests 2\nrequests_total_more 3\n", ["requests"]) == {
        "requests": [Sample({}, 2.0)]
    }


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ("m 1", {}, 1.0),
        ("m\t1", {}, 1.0),
        ("m 1\r", {}, 1.0),
        ("m{} 1", {}, 1.0),
        ("m{ } 1", {}, 1.0),
        ('m{a="b",} 1', {"a": "b"}, 1.0),
        ('m { a = "b" , c = "" } 1', {"a": "b", "c": ""}, 1.0),
        ('m{a="}"} 1', {"a": "}"}, 1.0),
        (r'm{a="\x"} 1', {"a": r"\x"}, 1.0),
        ('m{a="b"} 1 # {trace="x"} 0.5', {"a": "b"}, 1.0),
        ("m 1e3", {}, 1000.0),
        ("m -.5", {}, -0.5),
        ("m 7.", {}, 7.0),
        ("m -Inf", {}, -inf),
        ("m\t2\t1395066363000", {}, 2.0),
    ],
)
def test_lines_in_every_spelling_that_is_allowed(line: str, labels: dict[str, str], value: float) -> None:
    assert parse(line.encode(), ["m"]) == {"m": [Sample(labels, value)]}


def test_not_a_number_is_a_number_that_is_none() -> None:
    (sample,) = parse(b"m NaN", ["m"])["m"]
    assert isnan(sample.value)


@pytest.mark.parametrize(
    "line",
    ['m{a="b} 1', 'm{a="b"', "m{a=b} 1", 'm{a="b" c="d"} 1', "m one", "m 1_000", "m 0x10", "m ", "m{} ", "m infinity"],
)
def test_a_wanted_line_that_is_not_in_the_format_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"number|labels"):
        parse(line.encode(), ["m"])


def test_a_page_is_read_no_further_than_anybody_would() -> None:
    with pytest.raises(ValueError, match="more metrics"):
        parse(b"x" * (MOST_BYTES + 1), ["m"])
    with pytest.raises(ValueError, match="more series"):
        parse(b"m 1\n" * (MOST_SAMPLES + 1), ["m"])
    with pytest.raises(ValueError, match="more series"):
        parse(b"m " + b"1" * MOST_WANTED_BYTES, ["m"])


@given(
    st.binary(max_size=200) | st.text(alphabet=string.printable, max_size=200).map(lambda text: ("m" + text).encode())
)
def test_any_bytes_are_read_or_are_a_value_error(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse(body, ["m", "m_total"])
    found = Scrape(Signal("s", ("m",)), also=("m_total",)).read("/metrics", Answer(200, body))
    assert found["s"] is None or found["s"] >= 0.0


@given(st.lists(st.tuples(NAMES, LABELS, NUMBERS), max_size=8), NAMES)
def test_what_was_written_is_read_whatever_lies_around_it(
    rows: list[tuple[str, dict[str, str], float]], name: str
) -> None:
    page = "\n".join(rendered(*row) for row in rows).encode()
    wanted = [Sample(labels, value) for row, labels, value in rows if row == name]
    assert parse(page, [name]) == ({name: wanted} if wanted else {})


# --- signals ----------------------------------------------------------------------------------------------------------


def number(page: str, signal: Signal) -> float | None:
    return Scrape(signal).read("/metrics", answer(page))[signal.word]


def test_series_of_a_count_are_summed_up_and_of_a_share_averaged() -> None:
    page = 'm{engine="0"} 0.25\nm{engine="1"} 0.75\n'
    assert number(page, Signal("s", ("m",))) == 1.0
    assert number(page, Signal("s", ("m",), share=True)) == 0.5


def test_the_first_of_several_names_holds_and_the_others_are_not_added() -> None:
    assert number("old 2\nnew 2\n", Signal("s", ("new", "old"))) == 2.0
    assert number("old 3\n", Signal("s", ("new", "old"))) == 3.0


def test_what_all_ranks_of_an_engine_tell_counts_once() -> None:
    page = 'm{dp="0",tp="0"} 4\nm{dp="0",tp="1"} 4\nm{dp="1",tp="0"} 5\nm{dp="1",tp="1"} 5\n'
    assert number(page, Signal("s", ("m",), repeats=frozenset(named("tp")))) == 9.0


def test_parts_of_a_total_are_not_added_to_it() -> None:
    assert (
        number('m{priority=""} 4\nm{priority="1"} 3\n', Signal("s", ("m",), parts=frozenset(named("priority")))) == 4.0
    )


def test_series_without_the_wanted_labels_are_others() -> None:
    page = 'm{kind="a"} 4\nm{kind="b"} 3\nm 2\n'
    assert number(page, Signal("s", ("m",), labels={"kind": "b"})) == 3.0


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_a_number_that_can_not_be_is_none(value: str) -> None:
    assert number(f"m {value}\n", Signal("s", ("m",))) is None


def test_a_share_above_one_by_rounding_is_one_and_a_percentage_is_not_understood() -> None:
    assert number("m 1.01\n", Signal("s", ("m",), share=True)) == 1.0
    assert number("m 87\n", Signal("s", ("m",), share=True)) is None


# --- what is not there ------------------------------------------------------------------------------------------------

SIGNALS = (Signal("running", ("m_running",)), Signal("rare", ("m_rare",), quiet=True))


def test_a_signal_without_any_known_name_is_unmatched_unless_it_is_quiet() -> None:
    found = Scrape(*SIGNALS).read("/metrics", answer("m_busy 4\n"))
    assert (found["running"], found["rare"], found.unmatched) == (None, None, named("running"))


def test_a_name_with_a_type_and_no_series_yet_is_matched_and_none() -> None:
    found = Scrape(*SIGNALS).read("/metrics", answer("# TYPE m_running gauge\n"))
    assert (found["running"], found.unmatched) == (None, frozenset())


def test_a_name_that_comes_with_the_first_request_is_not_missed_before() -> None:
    scrape = Scrape(*SIGNALS, witnesses=("m_requests",))
    assert scrape.read("/metrics", answer("other 1\n")).unmatched == frozenset()
    assert scrape.read("/metrics", answer("m_requests 1\n# TYPE m_running gauge\n")).unmatched == named("running")


def test_a_number_that_is_none_is_matched_all_the_same() -> None:
    assert Scrape(*SIGNALS).read("/metrics", answer("m_running NaN\n")).unmatched == frozenset()


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        (Answer(404), "/metrics 404"),
        (Answer(), "/metrics silent"),
        (Answer(200, b"m_running one\n"), "/metrics is not Prometheus text"),
    ],
)
def test_metrics_that_can_not_be_read_are_missing_and_nothing_is_unmatched(told: Answer, missing: str) -> None:
    found = Scrape(*SIGNALS).read("/metrics", told)
    assert (found.missing, found.unmatched, found["running"]) == (named(missing), frozenset(), None)


def test_samples_that_are_wanted_as_they_are_are_there() -> None:
    found = Scrape(*SIGNALS, also=("m_info",)).read("/metrics", answer('m_running 1\nm_info{a="b"} 1\n'))
    assert found.samples["m_info"] == [Sample({"a": "b"}, 1.0)]
