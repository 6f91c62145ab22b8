"""Which POP is near whom."""

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.exchange import Call, Origin
from gateway.routing.policy import Require
from gateway.server.pops import Own, answer, centre, ranked
from gateway.server.trips import Trip, Trips
from gateway.settings.countries import countries
from gateway.settings.shape import Caller, Pop, Settings

FRA = Pop("fra", "https://fra.gw.example", "eu-central", "DE", (50.11, 8.68))
IAD = Pop("iad", "https://iad.gw.example", "us-east", "US", (38.95, -77.45))
SIN = Pop("sin", "https://sin.gw.example", "ap-southeast", "SG", (1.35, 103.82))
SETTINGS = Settings(
    models={}, backends={}, callers=(), state="memory", pop="iad", pops={pop.name: pop for pop in (SIN, IAD, FRA)}
)
ANYBODY = Caller("key", "team", b"")


class Known:
    """Round trips somebody has measured."""

    def __init__(self, trips: Mapping[tuple[str, str], Trip] | None = None) -> None:
        self._trips = trips or {}

    def trip(self, country: str, pop: str) -> Trip | None:
        return self._trips.get((country, pop))


def call(country: str = "", location: tuple[float, float] | None = None, *, caller: Caller | None = ANYBODY) -> Call:
    origin = Origin("", country, location=location)
    return Call("GET", "/v1/pops", "", {}, country=country, origin=origin, caller=caller)


def order(asked: Call, known: Known | None = None, own_ms: float | None = None) -> list[str]:
    return [row.name for row in ranked(asked, SETTINGS, known or Known(), own_ms)]


@pytest.mark.parametrize(
    ("country", "names"),
    [("DE", ["fra", "iad", "sin"]), ("US", ["iad", "fra", "sin"]), ("JP", ["sin", "fra", "iad"])],
)
def test_the_nearest_to_a_country_comes_first(country: str, names: list[str]) -> None:
    assert order(call(country)) == names


def test_a_location_says_more_than_its_country() -> None:
    assert order(call("US", (21.3, -157.8)))[0] == "iad"
    assert order(call("RU", (43.1, 131.9)))[0] == "sin"
    assert order(call("RU"))[0] == "fra"


def test_where_nothing_is_known_the_configured_order_stays() -> None:
    rows = ranked(call(), SETTINGS, Known())
    assert [(row.name, row.rtt_ms, row.measured) for row in rows] == [
        ("sin", None, False),
        ("iad", None, False),
        ("fra", None, False),
    ]


def test_what_was_measured_often_replaces_what_was_expected() -> None:
    """Near and reached by a long way: the second nearest comes first, once that is certain."""
    often = Known({("DE", "fra"): Trip(200.0, 1000)})
    assert order(call("DE"), often)[0] == "iad"
    once = Known({("DE", "fra"): Trip(200.0, 1)})
    assert order(call("DE"), once)[0] == "fra"
    (row,) = (row for row in ranked(call("DE"), SETTINGS, often) if row.name == "fra")
    assert (row.measured, row.here) == (True, False)
    assert row.rtt_ms == pytest.approx(196.2, abs=0.5)


def test_measurements_alone_rank_a_country_without_a_place() -> None:
    """Nobody lives in Bouvet Island, so its centre is unknown."""
    assert centre("BV") is None
    known = Known({("BV", "fra"): Trip(30.0, 5), ("BV", "sin"): Trip(300.0, 5)})
    assert order(call("BV"), known) == ["fra", "iad", "sin"]


def test_ones_own_connection_says_more_than_those_of_ones_country() -> None:
    far = Known({("DE", "iad"): Trip(250.0, 1000)})
    (row, *_) = ranked(call("DE", (52.5, 13.4)), SETTINGS, far, own_ms=3.0)
    assert (row.name, row.rtt_ms, row.measured) == ("iad", 3.0, True)
    assert order(call(), own_ms=3.0) == ["iad", "sin", "fra"]
    assert order(call(), own_ms=300.0) == ["sin", "fra", "iad"]


def test_a_team_sees_the_pops_that_may_serve_it() -> None:
    european = replace(ANYBODY, require=Require(jurisdictions=frozenset({"DE", "FR"})))
    assert order(call("US", caller=european)) == ["fra"]
    assert order(call("US", caller=None)) == ["iad", "fra", "sin"]


def test_this_process_knows_the_way_to_its_own_pop() -> None:
    trips = Trips()
    trips.note("DE", 12.0)
    own = Own("fra", trips)
    assert own.trip("DE", "fra") == Trip(12.0, 1)
    assert own.trip("DE", "iad") is None
    assert own.trip("US", "fra") is None


def test_the_answer_names_the_place_it_is_for() -> None:
    asked = replace(call("DE", (52.5, 13.4)), origin=Origin("81.2.69.160", "DE", "BE", "Berlin", (52.5, 13.4)))
    said = orjson.loads(answer(asked, SETTINGS, Known(), None))
    rtt_of_fra = pytest.approx(2 + 0.0165 * 420, abs=0.5)
    assert said == {
        "pops": [
            {
                "name": "fra",
                "url": "https://fra.gw.example",
                "region": "eu-central",
                "country": "DE",
                "rtt_ms": rtt_of_fra,
                "measured": False,
                "here": False,
            },
            *said["pops"][1:],
        ],
        "country": "DE",
        "region": "BE",
        "city": "Berlin",
    }
    assert [pop["here"] for pop in said["pops"]] == [False, True, False]
    unknown = orjson.loads(answer(call(), replace(SETTINGS, pops={}), Known(), None))
    assert unknown == {"pops": [], "country": ""}


def test_every_country_where_somebody_lives_has_a_centre() -> None:
    without = [code for code in countries() if centre(code) is None]
    assert without == ["AQ", "BV", "HM", "UM"]
    for code in countries():
        latitude, longitude = centre(code) or (0.0, 0.0)
        assert abs(latitude) <= 90
        assert abs(longitude) <= 180


@given(
    st.sampled_from(sorted(countries())),
    st.dictionaries(st.sampled_from(["fra", "iad", "sin"]), st.tuples(st.floats(0.1, 500), st.integers(1, 500))),
    st.frozensets(st.sampled_from(["DE", "US", "SG", "FR"])),
)
def test_a_ranking_holds_every_pop_that_may_serve_once_and_the_nearer_first(
    country: str, measured: dict[str, tuple[float, int]], allowed: frozenset[str]
) -> None:
    known = Known({(country, pop): Trip(*trip) for pop, trip in measured.items()})
    asked = call(country, caller=replace(ANYBODY, require=Require(jurisdictions=allowed)))
    rows = ranked(asked, SETTINGS, known)
    assert sorted(row.name for row in rows) == sorted(pop.name for pop in (FRA, IAD, SIN) if pop.country in allowed)
    times = [80.0 if row.rtt_ms is None else row.rtt_ms for row in rows]
    assert times == sorted(times)
