import pytest

from gateway.errors import BadRequest
from gateway.wire.ir import Block, Cache, Foreign, Media, Refusal, Text, Thinking
from gateway.wire.openai_chat.content import media_of, read_content
from tests.wire.openai_chat.saying import raw

DATA = "data:image/png;base64,aGk="


def parts(*values: object) -> list[Block]:
    return read_content(raw(list(values)), "content")


def fault(value: object) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        read_content(raw(value), "content")
    return caught.value.reason, caught.value.param


def test_a_string_is_one_text_and_an_empty_one_is_none() -> None:
    assert read_content(raw("hi"), "content") == [Text("hi")]
    assert read_content(raw(""), "content") == []


def test_texts_and_refusals_are_parts() -> None:
    assert parts({"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}) == [Text("a"), Refusal("no")]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": DATA}}, Media("image", "image/png", data="aGk=")),
        (
            {"type": "image_url", "image_url": {"url": "https://a/b", "detail": "low", "format": "image/png"}},
            Media("image", "image/png", url="https://a/b", detail="low"),
        ),
        ({"type": "image_url", "image_url": "https://a/b"}, Media("image", url="https://a/b")),
        ({"type": "video_url", "video_url": {"url": "https://a/b"}}, Media("video", url="https://a/b")),
        ({"type": "audio_url", "audio_url": {"url": "https://a/b"}}, Media("audio", url="https://a/b")),
        (
            {"type": "document_url", "document_url": "https://a/b", "document_name": "n"},
            Media("document", url="https://a/b", name="n"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            Media("audio", "audio/wav", "aGk="),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
            Media("audio", "audio/mpeg", "aGk="),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
            Media("document", "application/pdf", "aGk=", name="a.pdf"),
        ),
        ({"type": "file", "file": {"file_data": DATA}}, Media("image", "image/png", "aGk=")),
        ({"type": "file", "file": {"file_data": "aGk="}}, Media("document", data="aGk=")),
        (
            {"type": "file", "file": {"file_data": "https://a/b", "format": "application/pdf"}},
            Media("document", "application/pdf", url="https://a/b"),
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, Media("document", file="f1")),
    ],
)
def test_what_is_shown_is_media(part: object, block: Media) -> None:
    assert parts(part) == [block]


def test_data_in_an_address_becomes_base64() -> None:
    assert media_of("image", "data:image/svg+xml;charset=utf-8,%3Csvg%2F%3E") == Media(
        "image", "image/svg+xml", data="PHN2Zy8+"
    )
    assert media_of("image", "data:image/png") is None


def test_thoughts_may_be_parts() -> None:
    mistral = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "closed": True,
    }
    assert parts(mistral) == [Thinking("ab")]
    signed = {"type": "thinking", "thinking": "a", "signature": "s"}
    assert parts(signed) == [Thinking("a", "s", origin="anthropic_messages")]
    packed = {"type": "thinking", "signature": "gw1.gemini.s"}
    assert parts(packed) == [Thinking("", "s", origin="gemini")]
    assert parts({"type": "redacted_thinking", "data": "x"}) == [Thinking(redacted="x", origin="anthropic_messages")]


def test_a_mark_belongs_to_its_part() -> None:
    text, image = parts(
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image_url", "image_url": {"url": DATA}, "cache_control": {"type": "ephemeral"}},
    )
    assert isinstance(text, Text)
    assert isinstance(image, Media)
    assert (text.cache, image.cache) == (Cache("1h"), Cache())


def test_an_unknown_part_is_kept_whole() -> None:
    part = {"type": "reference", "reference_ids": [1]}
    assert parts(part) == [Foreign("openai_chat", "reference", raw(part))]


@pytest.mark.parametrize(
    ("part", "kind", "left"),
    [
        ({"type": "text", "text": "a", "new": 1}, "content.new", 1),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "scope": "x"}},
            "content.cache_control",
            {"scope": "x"},
        ),
        ({"type": "image_url", "image_url": {"url": DATA, "new": 1}}, "content.image_url", {"new": 1}),
        (
            {"type": "input_audio", "input_audio": {"data": "a", "format": "wav", "new": 1}},
            "content.input_audio",
            {"new": 1},
        ),
        ({"type": "file", "file": {"file_data": "a", "new": 1}}, "content.file", {"new": 1}),
        ({"type": "refusal", "refusal": "no", "cache_control": {}}, "content.cache_control", {}),
    ],
)
def test_an_unknown_field_is_kept_behind_its_part(part: object, kind: str, left: object) -> None:
    assert parts(part)[1:] == [Foreign("openai_chat", kind, raw(left))]


def test_a_field_that_is_null_is_nothing() -> None:
    assert parts({"type": "text", "text": "a", "new": None}) == [Text("a")]


@pytest.mark.parametrize(
    ("value", "reason", "param"),
    [
        (1, "invalid_type", "content"),
        ([1], "invalid_type", "content[0]"),
        ([{"text": "a"}], "missing_field", "content[0].type"),
        ([{"type": "text", "text": 1}], "invalid_type", "content[0].text"),
        ([{"type": "image_url"}], "missing_field", "content[0].image_url"),
        ([{"type": "image_url", "image_url": {}}], "missing_field", "content[0].image_url.url"),
        ([{"type": "image_url", "image_url": {"url": "data:x"}}], "invalid_value", "content[0].image_url.url"),
        ([{"type": "image_url", "image_url": "data:x"}], "invalid_value", "content[0].image_url"),
        ([{"type": "input_audio", "input_audio": {"data": "a"}}], "missing_field", "content[0].input_audio.format"),
        ([{"type": "file", "file": {}}], "missing_field", "content[0].file.file_data"),
        ([{"type": "thinking", "thinking": 1}], "invalid_type", "content[0].thinking"),
        ([{"type": "text", "text": "a", "cache_control": 1}], "invalid_type", "content[0].cache_control"),
    ],
)
def test_what_can_not_be_read_is_named(value: object, reason: str, param: str) -> None:
    assert fault(value) == (reason, param)
