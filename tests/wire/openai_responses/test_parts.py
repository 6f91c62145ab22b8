import json

import pytest
from msgspec import Raw

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, Refusal, Text, Thinking
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.parts import PartWriter, read_citation, read_content, write_citation
from tests.wire.openai_responses.talk import JSON, NAME, raw


def read(*parts: object) -> list[Block]:
    return read_content(raw(parts), "content")


def write(*blocks: Block, own: bool = False, text: str = "input_text", needed: bool = False) -> tuple[object, Losses]:
    losses = Losses()
    writer = PartWriter(losses, own=own)
    writer.needed = needed
    parts = writer.parts(list(blocks), text)
    return json.loads(bytes(raw(parts))), losses


PARTS: list[tuple[JSON, Block]] = [
    ({"type": "input_text", "text": "a"}, Text("a")),
    (
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
        Text("a", Cache("30m")),
    ),
    ({"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}, Text("a", Cache())),
    (
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        Media("image", url="https://x/y.png", detail="low"),
    ),
    (
        {"type": "input_image", "image_url": "data:image/jpeg;base64,AAA=", "detail": "auto"},
        Media("image", "image/jpeg", data="AAA=", detail="auto"),
    ),
    ({"type": "input_image", "file_id": "file-1", "detail": "high"}, Media("image", file="file-1", detail="high")),
    (
        {"type": "input_image", "image_url": "data:image/svg+xml,%3Csvg%3E", "detail": "auto"},
        Media("image", url="data:image/svg+xml,%3Csvg%3E", detail="auto"),
    ),
    (
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAA=", "filename": "a.pdf"},
        Media("document", "application/pdf", data="AAA=", name="a.pdf"),
    ),
    ({"type": "input_file", "file_url": "https://x/y.pdf"}, Media("document", url="https://x/y.pdf")),
    ({"type": "input_file", "file_id": "file-1", "detail": "low"}, Media("document", file="file-1", detail="low")),
    (
        {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "mp3"}},
        Media("audio", "audio/mpeg", data="AAA="),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "wav"}},
        Media("audio", "audio/wav", data="AAA="),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "flac"}},
        Media("audio", "audio/flac", data="AAA="),
    ),
]


@pytest.mark.parametrize(("part", "block"), PARTS)
def test_a_part_is_read_and_written_as_it_was(part: JSON, block: Block) -> None:
    assert read(part) == [block]
    assert write(block, own=True)[0] == [part]


def test_a_content_is_a_text_or_a_list() -> None:
    assert read_content(raw("a"), "content") == [Text("a")]
    with pytest.raises(BadRequest) as raised:
        read_content(raw(1), "input[0].content")
    assert raised.value.param == "input[0].content"


def test_bare_base64_is_a_pdf_and_a_files_type_says_what_it_is() -> None:
    assert read({"type": "input_file", "file_data": "AAA="}) == [Media("document", "application/pdf", data="AAA=")]
    assert read({"type": "input_file", "file_data": "data:video/mp4;base64,AAA="}) == [
        Media("video", "video/mp4", data="AAA=")
    ]


def test_an_unknown_part_stays_whole_and_an_unknown_field_stands_beside() -> None:
    strange: JSON = {"type": "input_smell", "smell": [1]}
    blocks = read(strange, {"type": "input_text", "text": "a", "tone": "warm", "loud": False})
    assert blocks == [
        Foreign(NAME, "input_smell", raw(strange)),
        Text("a"),
        Foreign(NAME, "content.tone", raw("warm")),
    ]
    assert write(*blocks, own=True)[0] == [strange, {"type": "input_text", "text": "a", "tone": "warm"}]
    assert write(blocks[2], own=True)[0] == []


def test_what_an_assistant_said_keeps_its_refusals_and_citations_and_not_its_logprobs() -> None:
    note: JSON = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    said: list[JSON] = [
        {"type": "output_text", "text": "a", "annotations": [note], "logprobs": [{"token": "a", "logprob": 0}]},
        {"type": "refusal", "refusal": "no"},
    ]
    blocks = read(*said)
    assert blocks == [Text("a", citations=[Citation(NAME, raw(note), "u", "t", "", 0, 1)]), Refusal("no")]
    written = [{"type": "output_text", "text": "a", "annotations": [note]}, said[1]]
    assert write(*blocks, own=True, text="output_text")[0] == written


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"text": "a"}, "content[0].type"),
        ({"type": "input_text"}, "content[0].text"),
        ({"type": "input_text", "text": 1}, "content[0].text"),
        ({"type": "input_image"}, "content[0].image_url"),
        ({"type": "input_file"}, "content[0].file_data"),
        ({"type": "input_audio"}, "content[0].input_audio.data"),
        ("a", "content[0]"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(part: object, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(part)
    assert raised.value.param == param


def test_an_annotation_of_a_file_has_its_name_and_a_strange_one_its_own_form_only() -> None:
    known = raw({"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 3})
    strange = raw({"url": 1})
    assert read_citation(known) == Citation(NAME, known, title="a.pdf")
    assert read_citation(strange) == Citation(NAME, strange)


def test_a_citation_of_another_language_is_one_of_an_address_or_a_loss() -> None:
    losses = Losses()
    placed = write_citation(Citation("gemini", Raw(b"{}"), "u", "t", "words", 2, 5), 9, losses)
    assert losses.names() == ["citations=mapped"]
    whole = write_citation(Citation("gemini", Raw(b"{}"), "u"), 9, losses)
    assert write_citation(Citation("gemini", Raw(b"{}"), title="book"), 9, losses) is None
    assert losses.names() == ["citations"]
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 2, "end_index": 5}
    assert placed == raw(note)
    assert whole == raw({**note, "title": "", "start_index": 0, "end_index": 9})
    text = Text("four", citations=[Citation("gemini", Raw(b"{}"), title="book")])
    assert write(text)[0] == [{"type": "input_text", "text": "four", "annotations": []}]


def test_another_languages_document_bears_a_name_since_data_without_one_are_refused() -> None:
    pdf, losses = write(Media("document", data="AAA=", title="Plan", context="c", cites=True))
    assert pdf == [{"type": "input_file", "file_data": "data:application/pdf;base64,AAA=", "filename": "Plan"}]
    assert losses.names() == ["documents.title=mapped", "documents.context", "documents.citations"]
    named, losses = write(Media("document", text="hé", name="a.txt", title="Plan", detail="low"))
    assert named == [{"type": "input_file", "file_data": "data:text/plain;base64,aMOp", "filename": "a.txt"}]
    assert losses.names() == ["documents.title"]
    bare, _ = write(Media("document", text="a"), Media("document", "application/pdf", data="AAA="))
    assert isinstance(bare, list)
    assert [part["filename"] for part in bare] == ["document.txt", "document.pdf"]


def test_marks_of_another_language_are_mapped_to_the_caching_that_is_always_on() -> None:
    parts, losses = write(Text("a", Cache("1h")), Media("image", data="A", cache=Cache()))
    assert parts == [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": "data:image/png;base64,A", "detail": "auto"},
    ]
    assert losses.names() == ["cache=mapped"]


@pytest.mark.parametrize(
    ("media", "word"),
    [
        (Media("image", file="f"), "files"),
        (Media("image"), "images"),
        (Media("document"), "documents"),
        (Media("audio", "audio/flac", data="A"), "audio"),
        (Media("audio", "audio/mpeg", url="u"), "audio"),
        (Media("video", data="A"), "video"),
    ],
)
def test_what_cannot_be_shown_is_a_loss_and_refused_where_the_caller_asks_about_it(media: Media, word: str) -> None:
    parts, losses = write(media)
    assert parts == []
    assert losses.names() == [word]
    with pytest.raises(UnsupportedFeature):
        write(media, needed=True)


def test_an_assistant_shows_no_pictures_and_a_user_refuses_in_plain_words() -> None:
    assert write(Media("image", data="A"), text="output_text")[1].names() == ["images"]
    parts, losses = write(Refusal("no"))
    assert parts == [{"type": "input_text", "text": "no"}]
    assert losses.names() == ["refusal=mapped"]


def test_what_only_another_language_says_is_a_loss_by_its_name() -> None:
    parts, losses = write(Foreign("gemini", "executableCode", Raw(b"{}")), Thinking("hm"))
    assert parts == []
    assert losses.names() == ["executableCode", "thinking.blocks"]


def test_a_film_goes_back_as_the_file_it_was() -> None:
    (block,) = read({"type": "input_file", "file_data": "data:video/mp4;base64,AAA="})
    assert write(block, own=True)[0] == [{"type": "input_file", "file_data": "data:video/mp4;base64,AAA="}]
