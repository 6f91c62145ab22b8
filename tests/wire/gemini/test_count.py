import json

import pytest
from msgspec.json import decode

from gateway.errors import UpstreamOverloaded
from gateway.features import Request
from gateway.wire.gemini.codec import CODEC
from gateway.wire.ir import Ask, Text, Turn
from gateway.wire.losses import Losses
from gateway.wire.raw import read_fields

HI = [{"role": "user", "parts": [{"text": "Hi"}]}]
TURNS = [Turn("user", [Text("Hi")])]


def read(body: object) -> Ask:
    return CODEC.read_count(Request(read_fields(json.dumps(body).encode()), "m"))


def test_contents_alone_or_a_whole_request_is_counted() -> None:
    assert read({"contents": HI}) == Ask("gemini", "m", TURNS, wants_usage=True)
    within = {"model": "models/x", "contents": HI, "system_instruction": {"parts": [{"text": "s"}]}}
    assert read({"generate_content_request": within}) == Ask("gemini", "m", TURNS, [Text("s")], wants_usage=True)


def test_a_count_is_asked_for() -> None:
    def asked(ask: Ask, model: str) -> object:
        return {name: decode(raw) for name, raw in CODEC.write_count_request(ask, model, Losses()).items()}

    assert asked(Ask("x", "m", TURNS), "gemini-3-pro") == {"contents": HI}
    whole = {"contents": HI, "systemInstruction": {"parts": [{"text": "s"}]}}
    for model in ("gemini-3-pro", "models/gemini-3-pro"):
        assert asked(Ask("x", "m", TURNS, [Text("s")]), model) == {
            "generateContentRequest": {"model": "models/gemini-3-pro", **whole}
        }


def test_a_count_comes_back_as_it_went() -> None:
    assert CODEC.read_count_answer(CODEC.write_count(7)) == 7


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"totalTokens":-1}', b'{"totalTokens":null}', b""])
def test_what_is_no_count_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        CODEC.read_count_answer(body)


def test_an_error_told_instead_is_raised() -> None:
    with pytest.raises(UpstreamOverloaded):
        CODEC.read_count_answer(b'{"error":{"code":503}}')
