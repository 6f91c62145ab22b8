from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.policy import KEYS, OBJECTIVES, PRIORITIES, Choice, Policy, Require, Rules
from tests.routing.places import requires

names = st.frozensets(st.sampled_from("abcd"))
choices = st.builds(Choice, st.none() | names, names)


@given(choices, choices, st.sampled_from("abcde"))
def test_two_choices_together_allow_what_both_allow(one: Choice, other: Choice, name: str) -> None:
    assert one.also(other).allows(name) == (one.allows(name) and other.allows(name))


def test_a_choice_of_nothing_allows_everything() -> None:
    assert Choice().allows("a")
    assert not Choice(never=frozenset("a")).allows("a")
    assert not Choice(only=frozenset("b")).allows("a")


@given(requires, requires, requires)
def test_it_does_not_matter_in_which_order_requirements_meet_or_how_often(
    one: Require, two: Require, six: Require
) -> None:
    assert one.also(two) == two.also(one)
    assert one.also(two).also(six) == one.also(two.also(six))
    assert one.also(one) == one
    assert one.also(Require()) == one


def test_together_the_stricter_number_and_the_places_of_both_hold() -> None:
    one = Require(jurisdictions=frozenset({"DE", "FR"}), retention_days=30, usd_per_request=0.1)
    other = Require(jurisdictions=frozenset({"FR", "US"}), retention_days=0, no_training=True)
    both = one.also(other)
    assert both.jurisdictions == frozenset({"FR"})
    assert (both.retention_days, both.usd_per_request, both.no_training) == (0, 0.1, True)


def test_every_key_of_a_policy_but_its_name_and_match_is_one_of_the_rules() -> None:
    told_otherwise = {"name", "rank", "match", "require"}
    assert set(KEYS) == set(Policy.__struct_fields__) - told_otherwise
    assert set(KEYS) == set(Rules.__struct_fields__) - {"names", "require"}


def test_objectives_differ_in_what_a_dollar_and_a_gram_are_worth() -> None:
    assert OBJECTIVES["latency"].ms_per_usd == 0.0
    assert OBJECTIVES["balanced"].ms_per_usd < OBJECTIVES["cost"].ms_per_usd
    assert [name for name, prefer in OBJECTIVES.items() if prefer.ms_per_gram] == ["carbon"]


def test_priorities_have_an_order() -> None:
    assert PRIORITIES["low"] < PRIORITIES["normal"] < PRIORITIES["high"]
