import pytest
from msgspec import DecodeError, Raw
from msgspec.json import decode, encode

from gateway.wire.cohere_chat.documents import encoded, read_document, write_bare_document, write_document
from gateway.wire.ir import Media


@pytest.mark.parametrize(
    ("raw", "media"),
    [
        (b'"words"', Media("document", text="words")),
        (b'{"id":"d","data":"words"}', Media("document", text="words", name="d")),
        (b'{"data":{"text":"w","title":"t"}}', Media("document", "text/plain", text="w", title="t")),
        (b'{"id":null,"data":{"text":"w"}}', Media("document", "text/plain", text="w")),
        (b'{"data":{"text":"w","year":1}}', Media("document", "application/json", text='{"text":"w","year":1}')),
        (b'{"data":{"text":1}}', Media("document", "application/json", text='{"text":1}')),
        (b'{"data":{"title":"t"}}', Media("document", "application/json", text='{"title":"t"}')),
    ],
)
def test_documents_are_read_by_the_form_of_their_data(raw: bytes, media: Media) -> None:
    assert read_document(Raw(raw), cites=False) == media


def test_an_object_without_data_is_its_own_data() -> None:
    assert read_document(Raw(b'{"id":"d","snippet":"s"}'), cites=True) == Media(
        "document", "application/json", text='{"id":"d","snippet":"s"}', name="d", cites=True
    )


@pytest.mark.parametrize("raw", [b"1", b"[]", b'{"id":1,"data":"x"}', b'{"data":[]}'])
def test_anything_else_is_no_document(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        read_document(Raw(raw), cites=True)


def test_a_document_of_another_language_says_its_title_and_context_beside_its_text() -> None:
    media = Media("document", text="w", name="n", title="t", context="c")
    assert write_document(media) == {"id": "n", "data": {"title": "t", "text": "w", "context": "c"}}


def test_only_a_bare_text_is_written_as_one() -> None:
    assert write_bare_document(Media("document", text="w")) == "w"
    assert write_bare_document(Media("document", text="w", name="n")) == {"id": "n", "data": "w"}
    assert write_bare_document(Media("document", "text/plain", text="w")) == {"data": {"text": "w"}}


def test_json_that_is_none_is_a_text() -> None:
    assert write_document(Media("document", "application/json", text="{")) == {"data": {"text": "{"}}


def test_data_is_written_as_it_was() -> None:
    raw = encoded([Media("document", "application/json", text='{"big":12345678901234567890}'), Media("document")])
    assert bytes(raw) == b'[{"data":{"big":12345678901234567890}},""]'
    assert decode(encode(raw)) == decode(raw)
