from base64 import b64encode

import pytest

from gateway.errors import UnsupportedFeature
from gateway.wire.gemini.fields import raw_of
from gateway.wire.gemini.media import guess, is_stored, kind_of, read_file, read_inline, write
from gateway.wire.ir import Cache, Media, MediaKind
from gateway.wire.losses import Losses


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/png", "image"),
        ("Audio/wav", "audio"),
        ("video/mp4", "video"),
        ("application/pdf", "document"),
        ("", "document"),
    ],
)
def test_a_media_type_has_a_kind(media_type: str, kind: str) -> None:
    assert kind_of(media_type) == kind


@pytest.mark.parametrize(
    ("uri", "media_type"),
    [
        ("https://x.example/a.PNG?b=c", "image/png"),
        ("https://youtu.be/abc", "video/mp4"),
        ("https://m.youtube.com/watch?v=a.pdf", "video/mp4"),
        ("https://x.example/a.unknown", ""),
        ("https://x.example/", ""),
    ],
)
def test_an_address_may_tell_a_media_type(uri: str, media_type: str) -> None:
    assert guess(uri) == media_type


@pytest.mark.parametrize(
    ("uri", "stored"),
    [
        ("https://generativelanguage.googleapis.com/v1beta/files/abc-1", True),
        ("generativelanguage.googleapis.com/%66iles/x", True),
        ("files/abc", True),
        ("/v1beta/files/abc", True),
        ("https://x.example/files/a.png", False),
        ("gs://bucket/files/a.png", True),
    ],
)
def test_uploads_are_known_by_their_address(uri: str, *, stored: bool) -> None:
    assert is_stored(uri) is stored


def test_inline_data_is_read_into_the_usual_base64() -> None:
    fields = {"mimeType": raw_of("image/png"), "data": raw_of("-_8"), "displayName": raw_of("a.png")}
    assert read_inline(fields, "p") == Media("image", "image/png", "+/8=", name="a.png")


def test_an_address_is_read() -> None:
    assert read_file({"fileUri": raw_of("https://x.example/a.mp3")}, "p") == Media(
        "audio", url="https://x.example/a.mp3"
    )
    upload = "https://generativelanguage.googleapis.com/v1beta/files/a"
    fields = {"fileUri": raw_of(upload), "mimeType": raw_of("application/pdf")}
    assert read_file(fields, "p") == Media("document", "application/pdf", file=upload)


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (Media("image", "image/png", "AA=="), {"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
        (Media("audio", "", "AA=="), {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}),
        (Media("image", url="https://x/a.gif"), {"fileData": {"mimeType": "image/gif", "fileUri": "https://x/a.gif"}}),
        (Media("video", url="https://x/a"), {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x/a"}}),
        (
            Media("document", text="Hé"),
            {"inlineData": {"mimeType": "text/plain", "data": b64encode("Hé".encode()).decode()}},
        ),
    ],
)
def test_a_medium_is_written(media: Media, part: object) -> None:
    losses = Losses()
    assert write(media, losses, own=False) == part
    assert not losses.noted


def test_what_only_others_say_of_a_medium_is_lost() -> None:
    losses = Losses()
    media = Media("document", "a/b", "AA==", name="n", detail="low", title="t", context="c", cites=True, cache=Cache())
    write(media, losses, own=False)
    assert losses.names() == [
        "images.detail",
        "documents.context",
        "documents.citations",
        "cache",
        "documents.title",
    ]


def test_googles_own_names_and_uploads_are_written_back() -> None:
    media = Media("document", "a/b", file="files/a", name="n")
    assert write(media, Losses(), own=True) == {
        "fileData": {"mimeType": "a/b", "fileUri": "files/a", "displayName": "n"}
    }


@pytest.mark.parametrize(("kind", "word"), [("image", "images"), ("audio", "audio")])
def test_what_cannot_be_said_is_lost_or_refused_where_it_is_what_is_asked(kind: MediaKind, word: str) -> None:
    losses = Losses()
    assert write(Media(kind), losses, own=False) is None
    assert write(Media(kind, file="file-1"), losses, own=False) is None
    assert losses.names() == [word, "files"]
    with pytest.raises(UnsupportedFeature) as caught:
        write(Media(kind, file="file-1"), losses, own=False, asked=True)
    assert caught.value.param == "files"
