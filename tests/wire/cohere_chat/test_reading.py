import pytest
from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.wire.cohere_chat.reading import read, there


class Inner(Struct):
    name: str


class Outer(Struct):
    inner: list[Inner]


OUTER = Decoder(Outer)


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        (b"[]", "f", "invalid_type"),
        (b'{"inner":[{"name":"x"},{"name":1}]}', "f.inner[1].name", "invalid_type"),
        (b'{"inner":[{}]}', "f.inner[0].name", "missing_field"),
        (b"{}", "f.inner", "missing_field"),
        (b'{"inner":[{"name":"\\ud800"}]}', "f", "invalid_type"),
    ],
)
def test_a_mistake_is_named_by_its_spot(raw: bytes, param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(OUTER, Raw(raw), "f")
    assert (caught.value.param, caught.value.reason) == (param, code)


def test_what_fits_is_given() -> None:
    assert read(OUTER, Raw(b'{"inner":[]}'), "f") == Outer([])
    assert there("", "f") == ""


def test_what_is_not_there_is_missing() -> None:
    with pytest.raises(BadRequest) as caught:
        there(None, "f.text")
    assert (caught.value.param, caught.value.reason) == ("f.text", "missing_field")
