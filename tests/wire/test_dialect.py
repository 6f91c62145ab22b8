import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.wire.dialect import Dialect, apply


def edit(dialect: Dialect, **given: str) -> tuple[dict[str, str], list[str]]:
    """The fields after the edits, and what was declared."""
    fields = {name: Raw(text.encode()) for name, text in given.items()}
    changed = apply(dialect, fields)
    return {name: bytes(text).decode() for name, text in fields.items()}, changed


def test_without_a_dialect_nothing_changes() -> None:
    assert edit(Dialect(), n="1", stop='["a"]') == ({"n": "1", "stop": '["a"]'}, [])


def test_a_dropped_field_is_gone_and_declared() -> None:
    assert edit(Dialect(drop=("store", "n")), n="1", user='"u"') == ({"user": '"u"'}, ["n"])


def test_a_renamed_field_keeps_its_value_and_is_declared() -> None:
    dialect = Dialect(rename={"max_completion_tokens": "max_tokens"})
    assert edit(dialect, max_completion_tokens="7.0") == ({"max_tokens": "7.0"}, ["max_completion_tokens"])
    assert edit(dialect, max_tokens="7") == ({"max_tokens": "7"}, [])


def test_a_renamed_field_never_overwrites_one_that_was_sent() -> None:
    dialect = Dialect(rename={"max_completion_tokens": "max_tokens"})
    assert edit(dialect, max_completion_tokens="7", max_tokens="5") == ({"max_tokens": "5"}, ["max_completion_tokens"])


def test_a_set_field_is_declared_only_where_the_caller_said_otherwise() -> None:
    dialect = Dialect(set={"safe": "true"})
    assert edit(dialect) == ({"safe": "true"}, [])
    assert edit(dialect, safe="true") == ({"safe": "true"}, [])
    assert edit(dialect, safe="false") == ({"safe": "true"}, ["safe"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0.5", "0.5"), ("1", "1"), ("1.5", "1"), ("2", "1"), ("1e999", "1"), ("9" * 5000, "1"), ("-1e999", "-1e999")],
)
def test_a_number_above_the_cap_becomes_the_cap(given: str, kept: str) -> None:
    assert edit(Dialect(cap={"n": 1}), n=given) == ({"n": kept}, ["n"] if kept != given else [])


def test_a_cap_may_have_a_fraction() -> None:
    assert edit(Dialect(cap={"temperature": 1.5}), temperature="2") == ({"temperature": "1.5"}, ["temperature"])


@pytest.mark.parametrize("given", ["true", "null", '"9"', "[9]", "[1e999]", '{"a":9}'])
def test_what_is_no_number_is_not_capped(given: str) -> None:
    assert edit(Dialect(cap={"n": 1}), n=given) == ({"n": given}, [])


def test_a_field_that_is_not_there_is_not_capped() -> None:
    assert edit(Dialect(cap={"n": 1})) == ({}, [])


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


@given(
    dialect=st.builds(
        Dialect,
        drop=st.lists(NAMES, max_size=2).map(tuple),
        rename=st.dictionaries(NAMES, NAMES, max_size=2),
        set=st.dictionaries(NAMES, st.sampled_from(["1", '"x"']), max_size=2),
        cap=st.dictionaries(NAMES, st.integers(0, 3), max_size=2),
    ),
    given_=st.dictionaries(NAMES, st.sampled_from(["1", "5", '"x"', "null"])),
)
def test_whatever_is_lost_or_changed_is_declared(dialect: Dialect, given_: dict[str, str]) -> None:
    fields, changed = edit(dialect, **given_)
    for name, text in given_.items():
        assert name in changed or fields[name] == text
