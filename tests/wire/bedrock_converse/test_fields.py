import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.bedrock_converse.fields import content_of, fields_of, said, understood, wanted, wrong
from gateway.wire.ir import Cache, Foreign, Text
from tests.wire.bedrock_converse.said import NAME, js


def test_null_is_absent() -> None:
    fields = {"a": Raw(b"null"), "b": Raw(b"0")}
    assert said(fields, "a") is None
    assert said(fields, "b") == Raw(b"0")
    assert said(fields, "c") is None


def test_what_cannot_be_read_is_told_by_its_place() -> None:
    with pytest.raises(BadRequest) as told:
        understood(fields_of, Raw(b"[]"), "toolConfig")
    assert (told.value.param, told.value.reason) == ("toolConfig", "invalid_type")
    deep = Raw(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")
    with pytest.raises(BadRequest):
        understood(fields_of, deep, "toolConfig")


def test_what_must_be_there_is_asked_for() -> None:
    assert wanted(Raw(b"1"), "messages") == Raw(b"1")
    with pytest.raises(BadRequest) as told:
        wanted(None, "messages")
    assert (told.value.param, told.value.reason) == ("messages", "missing_field")


def test_a_mistake_has_a_place_and_a_code() -> None:
    assert (wrong("a[0]", "is odd").param, wrong("a[0]", "is odd").reason) == ("a[0]", "invalid_value")
    assert wrong("a[0]", "is odd", "untranslatable").reason == "untranslatable"


def test_each_block_has_its_place_though_a_mark_is_none() -> None:
    guarded = {"guardContent": {"text": {"text": "b"}}}
    blocks, places = content_of(js([{"text": "a"}, {"cachePoint": {"type": "default"}}, guarded]), "system", asked=True)
    assert blocks == [Text("a", cache=Cache()), Foreign(NAME, "guardContent", js(guarded)), Text("b")]
    assert places == ["system[0]", "system[2]", "system[2]"]


def test_a_block_that_is_none_is_told_by_its_place() -> None:
    with pytest.raises(BadRequest) as told:
        content_of(js([{"text": "a"}, {}]), "messages[1].content", asked=True)
    assert told.value.param == "messages[1].content[1]"
