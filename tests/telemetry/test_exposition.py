from gateway.telemetry.exposition import render
from gateway.telemetry.slots import Family
from tests.doubles.prometheus import parse

SEEN = Family("seen_total", "counter", 'Seen: a \\ and\na "quote".', ("place",))
LEVEL = Family("level", "gauge", "Level.")
TOOK = Family("took_seconds", "histogram", "Took.", ("place",), (0.25, 1.0))


def test_each_family_has_its_help_its_type_and_its_series_in_order() -> None:
    text = render((LEVEL, SEEN), {("seen_total", ("b",)): [2.0], ("seen_total", ("a",)): [1.5], ("level", ()): [-3.0]})
    assert text.decode() == (
        "# HELP level Level.\n"
        "# TYPE level gauge\n"
        "level -3\n"
        '# HELP seen_total Seen: a \\\\ and\\na "quote".\n'
        "# TYPE seen_total counter\n"
        'seen_total{place="a"} 1.5\n'
        'seen_total{place="b"} 2\n'
    )


def test_histogram_buckets_are_cumulated_and_end_in_infinity() -> None:
    text = render((TOOK,), {("took_seconds", ("fra",)): [2.0, 1.0, 4.0, 9.5]})
    assert parse(text) == {
        ("took_seconds_bucket", (("le", "0.25"), ("place", "fra"))): 2.0,
        ("took_seconds_bucket", (("le", "1"), ("place", "fra"))): 3.0,
        ("took_seconds_bucket", (("le", "+Inf"), ("place", "fra"))): 7.0,
        ("took_seconds_sum", (("place", "fra"),)): 9.5,
        ("took_seconds_count", (("place", "fra"),)): 7.0,
    }


def test_any_text_survives_as_a_label() -> None:
    for place in ('quote " here', "back \\ slash", "line\nbreak", "Grüße", "}", "a,b=c"):
        assert parse(render((SEEN,), {("seen_total", (place,)): [1.0]})) == {("seen_total", (("place", place),)): 1.0}


def test_a_histogram_nobody_observed_is_left_out_and_a_counter_at_nought_is_not() -> None:
    text = render((SEEN, TOOK), {("took_seconds", ("fra",)): [0.0] * 4, ("seen_total", ("fra",)): [0.0]})
    assert parse(text) == {("seen_total", (("place", "fra"),)): 0.0}


def test_large_and_small_numbers_keep_their_value() -> None:
    for value in (1e15, 1e300, 1e-9, 0.1, 12345678.5):
        assert parse(render((LEVEL,), {("level", ()): [value]})) == {("level", ()): value}
