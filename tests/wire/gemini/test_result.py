import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError, Raw

from gateway.wire.gemini.fields import raw_of
from gateway.wire.gemini.result import read_response, write_arguments, write_response

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
)
OBJECTS = st.dictionaries(st.sampled_from(["output", "error", "x", ""]), ANY, max_size=2)


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "hi"}, "hi", False),
        ({"error": "no"}, "no", True),
        ({"error": {"code": 7}}, '{"code":7}', True),
        ({"error": 7}, '{"error":7}', False),
        ({"output": ["a"]}, '{"output":["a"]}', False),
        ({"output": "a", "error": "b"}, '{"output":"a","error":"b"}', False),
        ({"result": "x"}, '{"result":"x"}', False),
        ({}, None, False),
    ],
)
def test_a_response_has_a_text(response: object, text: str | None, *, is_error: bool) -> None:
    assert read_response(raw_of(response)) == (text, is_error)


def test_what_is_no_object_cannot_be_read() -> None:
    with pytest.raises(DecodeError):
        read_response(Raw(b"[]"))


@given(st.text(max_size=20) | OBJECTS.map(json.dumps) | st.just('{"a": 1} '), st.booleans())
def test_text_comes_back_as_it_went(text: str, is_error: bool) -> None:
    assert read_response(write_response(text, is_error=is_error)) == (text, is_error)


@given(OBJECTS)
def test_a_response_is_written_as_it_was_read(response: dict[str, object]) -> None:
    text, is_error = read_response(raw_of(response))
    assert json.loads(bytes(write_response(text, is_error=is_error))) == response


def test_nothing_is_an_empty_object_or_an_empty_error() -> None:
    assert write_response(None, is_error=False) == Raw(b"{}")
    assert write_response(None, is_error=True) == Raw(b'{"error":""}')


@pytest.mark.parametrize(
    ("text", "arguments", "whole"),
    [
        ('{"a": 1.00}', '{"a": 1.00}', True),
        ("", "{}", True),
        ('{"a": ', '{"arguments":"{\\"a\\": "}', False),
        ("[1]", '{"arguments":"[1]"}', False),
        ('{"a" 1}', '{"arguments":"{\\"a\\" 1}"}', False),
    ],
)
def test_arguments_are_an_object_or_stand_in_one(text: str, arguments: str, *, whole: bool) -> None:
    assert write_arguments(text) == (Raw(arguments.encode()), whole)


def test_text_nested_without_end_stays_text() -> None:
    text = '{"a":' * 100_000 + "}"
    assert read_response(write_response(text, is_error=False)) == (text, False)
