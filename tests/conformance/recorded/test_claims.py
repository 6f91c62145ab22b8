import base64
import json

from tests.conformance.recorded.claims import Claims, Heard, Refusal, Tool, Used, parsed


def test_what_was_heard_survives_its_way_between_two_environments() -> None:
    claims = Claims(text="hi", finish="tools", usage=Used(3, 2, 1), others=["web_search_call"])
    claims.call("look", '{"at": [1, {"b": null}]}', "c")
    claims.weigh("hi", -0.25)
    for heard in (
        Heard(claims, request_id="r", dropped="citations"),
        Heard(refusal=Refusal("NotFoundError", 404, "no")),
        Heard(trouble="ValueError"),
    ):
        assert Heard.read(json.loads(json.dumps(heard.written()))) == heard


def test_arguments_are_values_and_no_arguments_are_an_empty_object() -> None:
    assert parsed('{"a": 1.0}') == {"a": 1}
    assert parsed("") == parsed(None) == parsed({}) == {}
    assert parsed("{broken") == "{broken"


def test_a_seal_is_the_same_bare_or_packed_as_text_or_as_bytes() -> None:
    seal = base64.b64encode(b"\x01\x02").decode()
    claims = Claims()
    claims.seal(seal)
    claims.seal(f"gw1.gemini.{seal}")
    claims.seal(b"\x01\x02")
    claims.seal(f"gw1.gemini.{seal}".encode())
    claims.seal("")
    assert claims.seals == [seal] * 4


def test_a_seal_of_bytes_that_are_text_is_that_text() -> None:
    claims = Claims()
    claims.seal(b"EtkECkgI+/=")
    claims.seal(b'gw1.gemini.["","x"]')
    claims.seal("sig", loose=True)
    assert (claims.seals, claims.loose_seals) == (["EtkECkgI+/=", '["","x"]'], ["sig"])


def test_a_citation_is_known_by_its_address_and_what_else_names_it_and_counted_once() -> None:
    claims = Claims()
    claims.cite(None, "", "a title", "a quote")
    claims.cite("https://a.example", "a title")
    claims.cite("https://a.example", "a title")
    claims.cite(None)
    assert claims.citations == [["", "a title", "a quote"], ["https://a.example", "a title"]]


def test_an_image_is_known_by_what_it_holds() -> None:
    claims = Claims()
    claims.show("image", b"png")
    claims.show("image", base64.b64encode(b"png").decode())
    assert claims.media[0] == claims.media[1]


def test_calls_keep_their_order() -> None:
    claims = Claims()
    claims.call("b", {"x": 1}, "1")
    claims.call(None, None, None)
    assert claims.tools == [Tool("b", {"x": 1}), Tool("", {})]
    assert claims.ids == ["1", ""]
