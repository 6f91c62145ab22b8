import pytest
from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.wire.anthropic_messages import kept
from gateway.wire.anthropic_messages.kept import Kept


class Box(Struct, forbid_unknown_fields=True):
    width: int
    label: str = ""


BOX = Decoder(Box)


def test_unknown_fields_are_kept_by_feature_and_place() -> None:
    found = Kept()
    assert found.read(BOX, "boxes", "boxes[1]", Raw(b'{"width": 1, "tint": "red", "gone": null}')) == Box(1)
    assert found.read(BOX, "boxes", "boxes[2]", Raw(b'{"width":2,"tint":"blue"}')) == Box(2)
    assert found.read(BOX, "boxes", "boxes[3]", Raw(b'{"width":3}')) == Box(3)
    assert found.fields() == {"boxes.tint": Raw(b'{"boxes[1]":"red","boxes[2]":"blue"}')}
    assert kept.sort(found.fields()) == (
        {},
        {"boxes[1]": {"tint": Raw(b'"red"')}, "boxes[2]": {"tint": Raw(b'"blue"')}},
    )


def test_an_object_inside_of_something_is_kept_whole() -> None:
    found = Kept()
    assert found.read(BOX, "crates", "crates[0]", Raw(b'{"width":1,"tint":2}'), inside="box") == Box(1)
    assert found.read(BOX, "crates", "crates[1]", Raw(b'{"width":1,"tint":null}'), inside="box") == Box(1)
    assert found.fields() == {"crates.box": Raw(b'{"crates[0]":{"width":1,"tint":2}}')}


def test_fields_of_the_request_itself_are_told_from_those_kept_inside() -> None:
    plain = {"container": Raw(b'"c"'), "odd.name": Raw(b"7"), "empty.name": Raw(b"{}")}
    assert kept.sort(plain) == (plain, {})


@pytest.mark.parametrize(
    ("said", "inside", "code", "param"),
    [
        (b"7", "", "invalid_type", "boxes[1]"),
        (b'{"tint":1}', "", "missing_field", "boxes[1].width"),
        (b'{"width":"x"}', "", "invalid_type", "boxes[1].width"),
        (b'{"width":"x","tint":1}', "box", "invalid_type", "boxes[1].box.width"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(said: bytes, inside: str, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Kept().read(BOX, "boxes", "boxes[1]", Raw(said), inside=inside)
    assert (refused.value.reason, refused.value.param) == (code, param)


def test_at_the_top_the_place_is_the_fields_own_name() -> None:
    with pytest.raises(BadRequest) as refused:
        Kept().read(BOX, "boxes", "", Raw(b'{"width":"x"}'), inside="box")
    assert refused.value.param == "box.width"


@pytest.mark.parametrize("said", [b'{"a":"\\ud800"}', b"7"])
def test_what_is_no_object_or_no_json_is_refused(said: bytes) -> None:
    with pytest.raises(BadRequest):
        kept.read_object(Raw(said), "x")
    with pytest.raises(BadRequest):
        kept.read_items(Raw(said.replace(b"{", b"[").replace(b'"a":', b"").replace(b"}", b"]")), "x")


def test_a_type_is_a_string_and_must_be_there() -> None:
    assert kept.read_kind({"type": Raw(b'"text"')}, "x") == "text"
    with pytest.raises(BadRequest, match="missing"):
        kept.read_kind({}, "x")
    with pytest.raises(BadRequest, match="string"):
        kept.read_kind({"type": Raw(b"7")}, "x")
