import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.wire.anthropic_messages import citation
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.ir import Citation
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import PLACES, cited


@pytest.mark.parametrize("place", PLACES)
def test_every_kind_of_place_is_kept_whole_with_its_words(place: dict[str, object]) -> None:
    read = cited(place)
    assert read.quote == place["cited_text"]
    losses = Losses()
    assert citation.write(read, NAME, losses) == Raw(encode(place))
    assert losses.names() == []


def test_an_address_and_a_title_are_found_where_the_kind_has_them() -> None:
    assert [(one.url, one.title) for one in map(cited, PLACES)] == [
        ("", "T"),
        ("", ""),
        ("", ""),
        ("https://a.example", ""),
        ("https://b.example", "S"),
        ("", ""),
    ]


def test_a_place_of_another_shape_is_kept_all_the_same() -> None:
    raw = Raw(b'{"type":"tomorrow","title":7}')
    assert citation.read(raw, NAME) == Citation(NAME, raw)


def test_anothers_citation_with_an_address_is_a_search_result() -> None:
    losses = Losses()
    written = citation.write(Citation("gemini", Raw(b"{}"), "https://a.example", "", "q"), NAME, losses)
    assert written is not None
    assert decode(written) == {
        "type": "web_search_result_location",
        "url": "https://a.example",
        "title": None,
        "cited_text": "q",
        "encrypted_index": "",
    }
    assert losses.names() == ["citations=mapped"]


def test_anothers_citation_without_an_address_is_a_loss() -> None:
    losses = Losses()
    assert citation.write(Citation("cohere_chat", Raw(b"{}"), title="T"), NAME, losses) is None
    assert losses.names() == ["citations"]
