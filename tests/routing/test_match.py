import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.candidate import Candidate
from gateway.routing.facts import Asker
from gateway.routing.filters import allowed
from gateway.routing.match import Book, Tie, matched, ties, together, within
from gateway.routing.policy import OBJECTIVES, Hours, Match, Policy, Priority, Require, Rules, Slo, Split
from tests.routing.places import candidates, requires

LLAMA = Asker(
    "llama-3.1-8b",
    key="clinic-web",
    team="clinic",
    country="DE",
    pop="fra",
    tags={"data": "personal"},
    headers={"x-app": "web"},
    local={"Europe/Berlin": (5, 23 * 60), "UTC": (5, 22 * 60)},
)
NIGHT = Hours(22 * 60, 6 * 60, "Europe/Berlin")
BERLIN = "Europe/Berlin"


def policy(name: str, match: dict[str, object] | None = None, priority: Priority | None = None) -> Policy:
    return Policy(name, match=Match(**match or {}), priority=priority)  # type: ignore[arg-type]  # as a file would say it


def names(rules: Rules) -> tuple[str, ...]:
    return rules.names


@pytest.mark.parametrize(
    ("match", "is_met"),
    [
        ({}, True),
        ({"models": ("llama-3.1-8b",)}, True),
        ({"models": ("gpt-*", "llama-*")}, True),
        ({"models": ("gpt-*",)}, False),
        ({"models": ("LLAMA-*",)}, False),
        ({"keys": ("clinic-web", "x")}, True),
        ({"keys": ("x",)}, False),
        ({"teams": ("clinic",)}, True),
        ({"teams": ("x",)}, False),
        ({"operations": ("chat",)}, True),
        ({"operations": ("embeddings",)}, False),
        ({"pops": ("fra",)}, True),
        ({"pops": ("iad",)}, False),
        ({"countries": ("DE", "FR")}, True),
        ({"countries": ("US",)}, False),
        ({"tags": {"data": ("personal", "secret")}}, True),
        ({"tags": {"data": ("public",)}}, False),
        ({"tags": {"data": ("personal",), "tier": ("gold",)}}, False),
        ({"headers": {"x-app": ("web",)}}, True),
        ({"headers": {"x-app": ("ios",)}}, False),
        ({"hours": NIGHT}, True),
        ({"hours": Hours(6 * 60, 22 * 60, BERLIN)}, False),
        ({"models": ("llama-*",), "teams": ("x",)}, False),
    ],
)
def test_a_policy_is_met_where_each_key_holds_one_of_its_values(match: dict[str, object], is_met: bool) -> None:
    assert (matched(policy("p", match), LLAMA) is not None) is is_met


def test_what_is_more_telling_outweighs_all_that_is_less() -> None:
    """Key, team, tag, header, exact name, glob, operation, country, POP, hours."""
    less_and_less: list[dict[str, object]] = [
        {"keys": ("clinic-web",)},
        {"teams": ("clinic",)},
        {"tags": {"data": ("personal",)}},
        {"headers": {"x-app": ("web",)}},
        {"models": ("llama-3.1-8b",)},
        {"models": ("llama-*",)},
        {"operations": ("chat",)},
        {"countries": ("DE",)},
        {"pops": ("fra",)},
        {"hours": NIGHT},
    ]
    weights = [matched(policy("p", match), LLAMA) for match in less_and_less]
    for at, weight in enumerate(weights):
        assert weight is not None
        rest = [other for other in weights[at + 1 :] if other is not None]
        assert weight > (0 if at == 4 else sum(rest))  # an exact name and a glob never meet in one policy
    assert matched(policy("p"), LLAMA) == 0


def test_an_unknown_origin_meets_what_protects_and_not_what_favours() -> None:
    nowhere = replace(LLAMA, country="")
    favours = policy("favours", {"countries": ("DE",)})
    protects = replace(favours, name="protects", require=Require(no_training=True))
    assert matched(favours, nowhere) is None
    assert matched(protects, nowhere) == matched(favours, LLAMA) == matched(protects, LLAMA)


@pytest.mark.parametrize(
    ("hours", "at", "inside"),
    [
        (Hours(540, 1020), (0, 540), True),
        (Hours(540, 1020), (0, 1019), True),
        (Hours(540, 1020), (0, 1020), False),
        (Hours(1320, 360), (0, 1320), True),
        (Hours(1320, 360), (0, 359), True),
        (Hours(1320, 360), (0, 360), False),
        (Hours(0, 0), (3, 700), True),
        (Hours(540, 1020, days=frozenset({4})), (4, 600), True),
        (Hours(540, 1020, days=frozenset({4})), (5, 600), False),
        (Hours(1320, 360, days=frozenset({4})), (4, 1400), True),
        (Hours(1320, 360, days=frozenset({4})), (5, 300), True),
        (Hours(1320, 360, days=frozenset({4})), (4, 300), False),
        (Hours(1320, 360, days=frozenset({6})), (0, 300), True),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(hours: Hours, at: tuple[int, int], inside: bool) -> None:
    assert within(hours, {"UTC": at}) is inside


def test_where_nobody_told_the_time_of_a_zone_it_is_never_such_an_hour() -> None:
    assert not within(Hours(0, 0, "Asia/Tokyo"), {"UTC": (0, 0)})


def test_requirements_hold_together_and_of_all_else_the_most_specific_word() -> None:
    strict = Policy("strict", match=Match(teams=("clinic",)), require=Require(no_training=True), priority="high")
    broad = Policy("broad", require=Require(retention_days=0), priority="low", slo=Slo(ttft_ms=300.0))
    rules = Book([broad, strict]).rules(LLAMA)
    assert rules.names == ("strict", "broad")
    assert (rules.require.no_training, rules.require.retention_days) == (True, 0)
    assert rules.priority == "high"
    assert rules.slo == Slo(ttft_ms=300.0)


def test_what_nobody_says_is_as_usual() -> None:
    assert Book().rules(LLAMA) == Rules() == together([])


def test_rank_decides_between_two_that_are_equally_specific_and_the_name_after_it() -> None:
    one = policy("one", {"teams": ("clinic",)}, "high")
    other = policy("other", {"teams": ("clinic",)}, "low")
    assert names(Book([other, one]).rules(LLAMA)) == ("one", "other")
    assert names(Book([one, replace(other, rank=1)]).rules(LLAMA)) == ("other", "one")


def test_a_policy_that_was_named_is_heard_first_whether_or_not_it_is_met_and_lifts_nothing() -> None:
    law = Policy("law", match=Match(keys=("clinic-web",)), require=Require(jurisdictions=frozenset({"DE"})))
    law = replace(law, priority="low")
    wish = Policy("wish", match=Match(teams=("others",)), require=Require(no_training=True), priority="high")
    book = Book([law, wish])
    assert "wish" in book
    assert "nothing" not in book
    rules = book.rules(LLAMA, "wish")
    assert rules.names == ("wish", "law")
    assert rules.priority == "high"
    assert rules.require == Require(jurisdictions=frozenset({"DE"}), no_training=True)
    assert book.rules(LLAMA).names == book.rules(LLAMA, "nothing").names == ("law",)


def test_what_is_worked_out_once_is_kept_by_all_that_some_policy_looks_at() -> None:
    book = Book(
        [
            policy("tag", {"tags": {"data": ("personal",)}}),
            policy("header", {"headers": {"x-app": ("web",)}}),
            policy("night", {"hours": NIGHT}),
            policy("country", {"countries": ("DE",)}),
        ]
    )
    assert book.zones == (BERLIN,)
    assert book.headers == ("x-app",)
    assert book.rules(LLAMA) is book.rules(replace(LLAMA, tags={**LLAMA.tags, "unlooked": "at"}))
    assert set(book.rules(LLAMA).names) == {"tag", "header", "night", "country"}
    assert "tag" not in book.rules(replace(LLAMA, tags={})).names
    assert "header" not in book.rules(replace(LLAMA, headers={})).names
    assert "night" not in book.rules(replace(LLAMA, local={BERLIN: (5, 700)})).names
    assert "country" not in book.rules(replace(LLAMA, country="US")).names


def test_where_no_policy_asks_for_the_country_it_is_not_kept_by_country() -> None:
    book = Book([policy("all")])
    assert book.rules(LLAMA) is book.rules(replace(LLAMA, country="US"))


def test_no_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.routing.match._KEPT_MOST", 2)
    book = Book([policy("all")])
    first = book.rules(replace(LLAMA, key="0"))
    for key in "12":
        book.rules(replace(LLAMA, key=key))
    again = book.rules(replace(LLAMA, key="0"))
    assert again == first
    assert again is not first


# --- ties -------------------------------------------------------------------------------------------------------------

WEEKEND = frozenset({5, 6})


def tied(one: dict[str, object], other: dict[str, object]) -> bool:
    found = {
        bool([*ties([policy("a", left, "high"), policy("b", right, "low")])])
        for left, right in ((one, other), (other, one))
    }
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"teams": ("x", "y")}, {"teams": ("y", "z")}),
        ({"models": ("a", "b*")}, {"models": ("a", "c*")}),
        ({"models": ("llama-*",)}, {"models": ("*-8b",)}),
        ({"models": ("llama-*",)}, {"models": ("llama-3*",)}),
        ({"models": ("gpt-?*",)}, {"models": ("gpt-4*",)}),
        ({"models": ("gpt-[45]*",)}, {"models": ("gpt-4*",)}),
        ({"models": ("*-[78]b",)}, {"models": ("*-8b",)}),
        ({"tags": {"a": ("1",)}}, {"tags": {"b": ("1",)}}),
        ({"tags": {"a": ("1", "2")}}, {"tags": {"a": ("2",)}}),
        ({"headers": {"a": ("1",)}}, {"headers": {"a": ("1",)}}),
        ({"hours": Hours(540, 1020)}, {"hours": Hours(1019, 1080)}),
        ({"hours": Hours(1320, 360)}, {"hours": Hours(300, 420)}),
        ({"hours": Hours(1320, 360, days=frozenset({6}))}, {"hours": Hours(0, 60, days=frozenset({0}))}),
        ({"hours": Hours(540, 1020)}, {"hours": Hours(0, 60, "Asia/Tokyo")}),
        ({"hours": Hours(0, 0)}, {"hours": Hours(600, 660)}),
    ],
)
def test_two_that_one_request_can_meet_are_a_tie(one: dict[str, object], other: dict[str, object]) -> None:
    assert tied(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"teams": ("x",)}, {}),
        ({"teams": ("x",)}, {"teams": ("y",)}),
        ({"teams": ("x",)}, {"keys": ("x",)}),
        ({"operations": ("chat",)}, {"operations": ("embeddings",)}),
        ({"models": ("a",)}, {}),
        ({"models": ("a",)}, {"models": ("b",)}),
        ({"models": ("a",)}, {"models": ("a*",)}),
        ({"models": ("a*",)}, {"models": ("b*",)}),
        ({"models": ("*-8b",)}, {"models": ("*-70b",)}),
        ({"models": ("gpt-4?",)}, {"models": ("gpt-5?",)}),
        ({"tags": {"a": ("1",)}}, {}),
        ({"tags": {"a": ("1",)}}, {"tags": {"a": ("2",), "b": ("1",)}}),
        ({"headers": {"a": ("1",)}}, {"headers": {"a": ("2",)}}),
        ({"hours": Hours(540, 1020)}, {}),
        ({"hours": Hours(540, 1020)}, {"hours": Hours(1020, 540)}),
        ({"hours": Hours(0, 0, days=WEEKEND)}, {"hours": Hours(0, 0, days=frozenset({0}))}),
        ({"hours": Hours(1320, 360, days=frozenset({6}))}, {"hours": Hours(0, 60, days=frozenset({6}))}),
    ],
)
def test_two_that_no_request_meets_or_of_which_one_is_more_specific_are_none(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert not tied(one, other)


def test_a_tie_names_what_both_say_and_rank_or_silence_ends_it() -> None:
    one = Policy("one", priority="high", prefer=OBJECTIVES["cost"])
    other = Policy("other", priority="low")
    assert [*ties([one, other])] == [Tie("one", "other", ("priority",))]
    assert [*ties([one, replace(other, rank=1)])] == []
    assert [*ties([one, replace(other, priority=None, slo=Slo())])] == []


minutes = st.integers(0, 24 * 60 - 1)
hours = st.builds(Hours, minutes, minutes, st.just("UTC"), st.frozensets(st.integers(0, 6), max_size=3))


@pytest.mark.slow
@given(hours, hours)
def test_hours_tie_where_some_minute_of_the_week_is_in_both(one: Hours, other: Hours) -> None:
    week = [{"UTC": (day, minute)} for day in range(7) for minute in range(24 * 60)]
    in_both = any(within(one, local) and within(other, local) for local in week)
    assert tied({"hours": one}, {"hours": other}) is in_both


# --- nothing widens ---------------------------------------------------------------------------------------------------

few = st.sampled_from(["1", "2"])
pairs = st.dictionaries(st.sampled_from(["a", "b"]), few, max_size=2)
wanted = st.dictionaries(st.sampled_from(["a", "b"]), st.tuples(few) | st.tuples(few, few), max_size=2)
matches = st.builds(
    Match,
    models=st.none() | st.sampled_from([("m",), ("m*",), ("other",)]),
    keys=st.none() | st.tuples(few),
    teams=st.none() | st.tuples(few),
    operations=st.none() | st.just(("chat",)),
    countries=st.none() | st.sampled_from([("DE",), ("US",)]),
    tags=wanted,
    headers=wanted,
    hours=st.none() | st.just(Hours(0, 600)),
)
policies = st.builds(
    Policy,
    name=st.text("xyz", min_size=1, max_size=3),
    rank=st.integers(0, 1),
    match=matches,
    require=st.none() | requires,
    tiers=st.none() | st.just(("edge",)),
    split=st.none() | st.just((Split("canary", "b1", 50.0),)),
)
books = st.lists(policies, max_size=4, unique_by=lambda one: one.name)
askers = st.builds(
    Asker,
    st.just("m"),
    key=few,
    team=few,
    country=st.sampled_from(["", "DE", "US"]),
    tags=pairs,
    headers=pairs,
    local=st.just({"UTC": (0, 300)}),
)


def reach(book: list[Policy], asker: Asker, places: list[Candidate], named: str = "") -> set[int]:
    """The places a request may reach at all."""
    fit, _ = allowed(places, Book(book).rules(asker, named).require, "")
    return {one.at for one in fit}


@given(books, policies, askers, candidates())
def test_another_policy_never_enlarges_the_set_of_allowed_places(
    book: list[Policy], more: Policy, asker: Asker, places: list[Candidate]
) -> None:
    with_more = [*book, replace(more, name="more")]
    assert reach(with_more, asker, places) <= reach(book, asker, places)


@given(books, askers, pairs, candidates())
def test_another_tag_or_header_never_enlarges_the_set_of_allowed_places(
    book: list[Policy], asker: Asker, more: dict[str, str], places: list[Candidate]
) -> None:
    """A header may add a tag, and never change or remove one."""
    usual = reach(book, asker, places)
    assert reach(book, replace(asker, tags={**more, **asker.tags}), places) <= usual
    assert reach(book, replace(asker, headers={**more, **asker.headers}), places) <= usual


@given(books, askers, st.text("xyz", max_size=3), candidates())
def test_naming_a_policy_never_enlarges_the_set_of_allowed_places(
    book: list[Policy], asker: Asker, named: str, places: list[Candidate]
) -> None:
    assert reach(book, asker, places, named) <= reach(book, asker, places)


@given(books, askers, candidates())
def test_hiding_where_one_is_never_enlarges_what_a_protecting_policy_allows(
    book: list[Policy], asker: Asker, places: list[Candidate]
) -> None:
    assert reach(book, replace(asker, country=""), places) <= reach(book, asker, places)


@given(st.data(), books, askers)
def test_the_order_of_policies_does_not_matter(data: st.DataObject, book: list[Policy], asker: Asker) -> None:
    assert Book(data.draw(st.permutations(book))).rules(asker) == Book(book).rules(asker)
