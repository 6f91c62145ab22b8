import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.openai_responses.fields import (
    MOST,
    Fields,
    items_in,
    names_in,
    need_text,
    object_in,
    says_nothing,
    take,
    take_count,
    take_flag,
    take_items,
    take_object,
    take_text,
    text_in,
)


def fields(text: bytes) -> Fields:
    return {"x": Raw(text)}


def test_what_is_taken_is_gone_and_null_is_as_good_as_nothing() -> None:
    some = fields(b"null")
    assert take(some, "x") is None
    assert some == {}
    assert take(some, "x") is None


def test_each_kind_of_value_is_taken() -> None:
    assert take_text(fields(b'"a"'), "x", "") == "a"
    assert take_text({}, "x", "") == ""
    assert take_object(fields(b'{"a":1}'), "x", "") == {"a": Raw(b"1")}
    assert take_object({}, "x", "") == {}
    assert take_items(fields(b"[1]"), "x", "") == [Raw(b"1")]
    assert take_items({}, "x", "") == []
    assert take_flag(fields(b"true"), "x", "") is True
    assert take_flag({}, "x", "") is None
    assert take_count(fields(b"7"), "x", least=1) == 7
    assert take_count({}, "x", least=1) is None
    assert names_in(Raw(b'{"a":"b"}')) == {"a": "b"}
    assert names_in(Raw(b'{"a":1}')) is None


@pytest.mark.parametrize("text", [b"null", b"false", b"[]", b"{}"])
def test_a_default_says_nothing(text: bytes) -> None:
    assert says_nothing(Raw(text))


@pytest.mark.parametrize("text", [b"0", b"-1", b"1.5", b"true", b'"7"', str(MOST + 1).encode()])
def test_a_count_that_is_none_is_named(text: bytes) -> None:
    with pytest.raises(BadRequest) as raised:
        take_count(fields(text), "x", least=1)
    assert raised.value.param == "x"


def test_a_value_of_another_type_is_named_with_its_path() -> None:
    with pytest.raises(BadRequest) as text:
        text_in(Raw(b"1"), "input[2].role")
    with pytest.raises(BadRequest) as inner:
        object_in(Raw(b"1"), "text")
    with pytest.raises(BadRequest) as listed:
        items_in(Raw(b"1"), "tools")
    with pytest.raises(BadRequest) as flag:
        take_flag(fields(b"1"), "x", "a.")
    with pytest.raises(BadRequest) as absent:
        need_text({}, "x", "a.")
    errors = (text, inner, listed, flag, absent)
    assert [error.value.param for error in errors] == ["input[2].role", "text", "tools", "a.x", "a.x"]
    assert [error.value.reason for error in errors] == [*["invalid_type"] * 4, "missing_field"]
