import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.openai_chat import fields
from tests.wire.openai_chat.saying import raw


def fault(call: object, *args: object, **named: object) -> tuple[str, str | None]:
    assert callable(call)
    with pytest.raises(BadRequest) as caught:
        call(*args, **named)
    return caught.value.reason, caught.value.param


def test_what_is_taken_is_gone_and_null_is_nothing() -> None:
    said = {"a": raw("x"), "b": Raw(b"null")}
    assert fields.take(said, "a") == raw("x")
    assert fields.take(said, "b") is None
    assert fields.take(said, "c") is None
    assert said == {}


def test_a_text_is_a_string_and_nothing_else() -> None:
    assert fields.take_text({"a": raw("x")}, "a", "in.") == "x"
    assert fields.take_text({}, "a", "in.") == ""
    assert fault(fields.take_text, {"a": raw(1)}, "a", "in.") == ("invalid_type", "in.a")
    assert fields.need_text({"a": raw("x")}, "a", "in.") == "x"
    assert fault(fields.need_text, {"a": raw("")}, "a", "in.") == ("missing_field", "in.a")


def test_an_object_is_its_fields() -> None:
    assert fields.take_object({"a": raw({"b": 1})}, "a", "in.") == {"b": raw(1)}
    assert fields.take_object({}, "a", "in.") is None
    assert fault(fields.take_object, {"a": raw([])}, "a", "in.") == ("invalid_type", "in.a")
    assert fields.need_object({"a": raw({})}, "a", "in.") == {}
    assert fault(fields.need_object, {}, "a", "in.") == ("missing_field", "in.a")


def test_a_list_of_objects_names_the_one_that_is_none() -> None:
    assert fields.take_objects({"a": raw([{"b": 1}])}, "a", "in.") == [{"b": raw(1)}]
    assert fields.take_objects({}, "a", "in.") == []
    assert fault(fields.take_objects, {"a": raw([{}, 1])}, "a", "in.") == ("invalid_type", "in.a[1]")
    assert fault(fields.take_objects, {"a": raw({})}, "a", "in.") == ("invalid_type", "in.a")


def test_a_flag_is_true_or_false() -> None:
    assert fields.take_flag({"a": raw(value=True)}, "a", "") is True
    assert fields.take_flag({}, "a", "") is None
    assert fault(fields.take_flag, {"a": raw(1)}, "a", "in.") == ("invalid_type", "in.a")


@pytest.mark.parametrize("value", [True, 1.5, 1.0, "1", []])
def test_d4_a_count_is_a_whole_number(value: object) -> None:
    assert fault(fields.take_count, {"a": raw(value)}, "a", "") == ("invalid_type", "a")


def test_d4_a_count_is_within_bounds() -> None:
    assert fields.take_count({"a": raw(2**31 - 1)}, "a", "") == 2**31 - 1
    assert fields.take_count({}, "a", "") is None
    for value in (0, -1, 2**31):
        assert fault(fields.take_count, {"a": raw(value)}, "a", "") == ("invalid_value", "a")
    assert fields.take_count({"a": raw(0)}, "a", "", least=0) == 0


def test_one_string_is_a_list_of_one() -> None:
    assert fields.take_strings({"stop": raw("x")}, "stop") == ["x"]
    assert fields.take_strings({"stop": raw(["x", "y"])}, "stop") == ["x", "y"]
    assert fields.take_strings({}, "stop") == []
    assert fault(fields.take_strings, {"stop": raw([1])}, "stop") == ("invalid_type", "stop")


def test_names_are_an_object_of_strings() -> None:
    assert fields.names_in(raw({"a": "b"})) == {"a": "b"}
    assert fields.names_in(raw({"a": 1})) is None
