import json

import pytest

from gateway.errors import UnsupportedFeature
from gateway.wire.ir import Block, Cache, Citation, Foreign, Media, Refusal, Text, Thinking, ToolCall
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.parts import PartsWriter, merge, note_of
from tests.wire.openai_chat.saying import again, raw

PDF = "application/pdf"
CITATION = Citation("anthropic_messages", raw({}), "https://a")


def wrote(*blocks: Block, own: bool = False, last: bool = False) -> tuple[object, list[str]]:
    losses = Losses()
    parts = PartsWriter(losses, own=own, last=last).write(list(blocks))
    return json.loads(bytes(raw_of(parts))), losses.names()


def raw_of(value: object) -> bytes:
    return json.dumps(value, default=lambda one: json.loads(bytes(one))).encode()


def test_one_text_is_a_string_and_more_are_parts() -> None:
    assert wrote(Text("a")) == ("a", [])
    assert wrote() == ("", [])
    assert wrote(Text("a"), Text("b")) == ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], [])


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media("image", "image/png", "aGk=", detail="low"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
        ),
        (Media("image", url="https://a"), {"type": "image_url", "image_url": {"url": "https://a"}}),
        (Media("video", url="https://a"), {"type": "video_url", "video_url": {"url": "https://a"}}),
        (Media("audio", url="https://a"), {"type": "audio_url", "audio_url": {"url": "https://a"}}),
        (
            Media("audio", "audio/mpeg", "aGk="),
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
        ),
        (
            Media("document", PDF, "aGk=", name="a.pdf"),
            {"type": "file", "file": {"file_data": f"data:{PDF};base64,aGk=", "filename": "a.pdf"}},
        ),
        (
            Media("document", PDF, "aGk="),
            {"type": "file", "file": {"file_data": f"data:{PDF};base64,aGk=", "filename": "document.pdf"}},
        ),
        (
            Media("document", "x/y", "aGk="),
            {"type": "file", "file": {"file_data": "data:x/y;base64,aGk=", "filename": "document"}},
        ),
    ],
)
def test_media_are_parts(media: Media, part: object) -> None:
    assert wrote(media, last=True) == ([part], [])


def test_a_document_of_text_is_text_below_its_title() -> None:
    assert wrote(Media("document", text="a")) == ("a", ["documents=mapped"])
    assert wrote(Media("document", text="a", name="n")) == ("n\n\na", ["documents=mapped"])


def test_what_a_document_says_of_itself_is_noted() -> None:
    document = Media("document", PDF, "aGk=", name="n", title="t", context="c", cites=True)
    assert wrote(document)[1] == ["documents.title", "documents.context", "documents.citations"]
    file, lost = wrote(Media("document", PDF, "aGk=", title="t"))
    assert file == [{"type": "file", "file": {"file_data": f"data:{PDF};base64,aGk=", "filename": "t"}}]
    assert lost == ["documents.title=mapped"]


@pytest.mark.parametrize(
    ("media", "word"),
    [
        (Media("image", file="f"), "files"),
        (Media("image"), "images"),
        (Media("document", url="https://a"), "documents"),
        (Media("document", file="f"), "files"),
        (Media("audio", "audio/ogg", "aGk="), "audio"),
        (Media("audio", "audio/wav"), "audio"),
        (Media("video"), "video"),
    ],
)
def test_what_can_not_be_shown_is_lost_and_refused_where_it_is_asked_about(media: Media, word: str) -> None:
    assert wrote(media) == ("", [word])
    with pytest.raises(UnsupportedFeature) as caught:
        wrote(media, last=True)
    assert caught.value.param == word


def test_marks_and_citations_of_others_are_lost() -> None:
    assert wrote(Text("a", Cache("1h"), [CITATION])) == ("a", ["citations", "cache"])
    assert wrote(Text("a", Cache("1h"), [CITATION]), own=True) == (
        [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        [],
    )


def test_what_is_no_content_is_noted() -> None:
    assert wrote(Refusal("no")) == ("no", ["refusal=mapped"])
    assert wrote(Thinking("hm"), ToolCall("c", "f")) == ("", ["thinking.blocks", "tools"])
    assert wrote(Foreign("gemini", "video_metadata", raw({}))) == ("", ["video_metadata"])


def test_a_field_is_put_back_into_its_part() -> None:
    lost = Foreign("openai_chat", "content.new", raw(1))
    assert wrote(lost, own=True) == ("", [])
    assert wrote(Text("a"), lost, own=True) == ([{"type": "text", "text": "a", "new": 1}], [])
    part: dict[str, object] = {"file": {"a": 1}}
    merge(part, "file", raw({"b": 2}))
    assert json.loads(raw_of(part)) == {"file": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "reference", "reference_ids": [1]},
        {"type": "image_url", "image_url": {"url": "https://a", "new": 1}},
        {"type": "document_url", "document_url": "https://a"},
        {"type": "document_url", "document_url": "https://a", "document_name": "n"},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "file", "file": {"file_id": "f", "format": "image/png"}},
        {"type": "file", "file": {"file_data": "aGk="}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "flac"}},
    ],
)
def test_a_part_goes_back_as_it_came(part: dict[str, object]) -> None:
    said = again([{"role": "user", "content": [part]}])["messages"]
    wanted = json.loads(json.dumps(part))
    if "file" in wanted:
        wanted["file"].pop("format", None)
    assert said == [{"role": "user", "content": [wanted]}]


def test_a_citation_is_mapped_or_lost() -> None:
    losses = Losses()
    assert note_of(CITATION, 0, 1, losses)
    assert losses.names() == ["citations=mapped"]
    assert note_of(Citation("anthropic_messages", raw({})), 0, 1, losses) == []
    assert losses.names() == ["citations"]
    losses = Losses()
    assert note_of(Citation("openai_chat", raw({})), 0, 1, losses) == [raw({})]
    assert losses.names() == []
