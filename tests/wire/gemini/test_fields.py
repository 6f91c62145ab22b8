from collections.abc import Callable

import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.gemini.fields import (
    MOST,
    camel,
    list_in,
    members,
    need_text,
    object_in,
    raw_of,
    take_count,
    take_flag,
    take_list,
    take_object,
    take_strings,
    take_text,
    untranslatable,
)


def said(**values: object) -> dict[str, Raw]:
    return {name: raw_of(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("name", "known"),
    [("mime_type", "mimeType"), ("mimeType", "mimeType"), ("a_1b", "a1b"), ("_x", "X"), ("top_", "top_")],
)
def test_a_field_is_known_by_its_camel_name(name: str, known: str) -> None:
    assert camel(name) == known


def test_null_is_as_good_as_absent() -> None:
    assert members(said(a=None, b_c=1), "x") == {"bC": Raw(b"1")}


def test_a_field_in_both_spellings_has_no_value() -> None:
    with pytest.raises(BadRequest) as caught:
        members(said(topK=1, top_k=2), "generationConfig")
    assert (caught.value.param, caught.value.reason) == ("generationConfig.topK", "invalid_value")


def test_an_object_is_a_list_of_one() -> None:
    assert list_in(Raw(b'{"a":1}'), "x") == [Raw(b'{"a":1}')]
    assert list_in(Raw(b"[1,2]"), "x") == [Raw(b"1"), Raw(b"2")]


def test_values_are_taken_out() -> None:
    fields = said(text="t", flag=True, count=3, words=["a"], inner={"x_y": 1}, items=[1])
    assert take_text(fields, "text", "") == "t"
    assert take_flag(fields, "flag", "") is True
    assert take_count(fields, "count", "") == 3
    assert take_strings(fields, "words", "") == ["a"]
    assert take_object(fields, "inner", "") == {"xY": Raw(b"1")}
    assert take_list(fields, "items", "") == [Raw(b"1")]
    assert not fields


def test_what_is_absent_is_nothing() -> None:
    assert take_text({}, "a", "") == ""
    assert take_flag({}, "a", "") is None
    assert take_count({}, "a", "") is None
    assert take_strings({}, "a", "") == []
    assert take_object({}, "a", "") is None
    assert take_list({}, "a", "") == []


@pytest.mark.parametrize(
    ("take", "value"),
    [
        (take_text, 1),
        (take_flag, "true"),
        (take_flag, 1),
        (take_count, True),
        (take_count, 1.5),
        (take_count, "3"),
        (take_strings, "a"),
        (take_strings, [1]),
        (take_object, []),
        (take_list, "a"),
    ],
)
def test_a_wrong_type_names_its_spot(take: Callable[[dict[str, Raw], str, str], object], value: object) -> None:
    with pytest.raises(BadRequest) as caught:
        take(said(a=value), "a", "contents[0]")
    assert (caught.value.param, caught.value.reason) == ("contents[0].a", "invalid_type")


@pytest.mark.parametrize("count", [0, -1, MOST + 1])
def test_a_count_has_bounds(count: int) -> None:
    with pytest.raises(BadRequest) as caught:
        take_count(said(n=count), "n", "")
    assert (caught.value.param, caught.value.reason) == ("n", "invalid_value")


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(BadRequest):
        object_in(Raw(b"7"), "x")


def test_a_needed_text_must_be_there() -> None:
    assert need_text(said(a="b"), "a", "x") == "b"
    with pytest.raises(BadRequest) as caught:
        need_text(said(a=""), "a", "x")
    assert (caught.value.param, caught.value.reason) == ("x.a", "missing_field")


def test_what_cannot_be_translated_says_so() -> None:
    assert untranslatable("x", "is odd").reason == "untranslatable"
