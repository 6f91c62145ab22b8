import pytest

from gateway.errors import UnsupportedFeature
from gateway.wire.bedrock_converse.media import Names, read_media, write_media
from gateway.wire.ir import Foreign, Media, MediaKind
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import Json, js

PNG = {"format": "png", "source": {"bytes": "iVBO"}}


def written(media: Media) -> tuple[Json, list[str]]:
    losses = Losses()
    return write_media(media, Names(losses), losses), losses.names()


def named(*asked: str, ending: str = "pdf") -> tuple[list[str], list[str]]:
    losses = Losses()
    names = Names(losses)
    return [names.name(Media("document", name=name), ending) for name in asked], losses.names()


@pytest.mark.parametrize(
    ("kind", "said", "media"),
    [
        ("image", PNG, Media("image", "image/png", "iVBO")),
        ("video", {"format": "three_gp", "source": {"bytes": "AA=="}}, Media("video", "video/3gpp", "AA==")),
        ("audio", {"format": "mp3", "source": {"bytes": "AA=="}}, Media("audio", "audio/mpeg", "AA==")),
        (
            "document",
            {"format": "pdf", "name": "Report 1", "source": {"bytes": "JVBE"}, "citations": {"enabled": True}},
            Media("document", "application/pdf", "JVBE", name="Report 1", cites=True),
        ),
        (
            "document",
            {"name": "Notes", "source": {"text": "words"}, "context": "old", "citations": {"enabled": True}},
            Media("document", text="words", name="Notes", context="old", cites=True),
        ),
        (
            "image",
            {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/a.webp"}}},
            Media("image", "image/webp", url="s3://bucket/a.webp"),
        ),
    ],
)
def test_a_file_is_read_and_written_as_it_was(kind: str, said: object, media: Media) -> None:
    assert read_media(kind, js(said)) == [media]
    assert written(media) == ({kind: said}, [])


def test_a_format_nobody_knows_is_a_media_type_of_its_name() -> None:
    assert read_media("image", js({"format": "heic", "source": {"bytes": "AA=="}})) == [
        Media("image", "image/heic", "AA==")
    ]
    assert read_media("image", js({"source": {"bytes": "AA=="}})) == [Media("image", "", "AA==")]


@pytest.mark.parametrize("source", [{}, {"bytes": "AA==", "text": "a"}, {"unknown": 1}])
def test_a_file_without_one_source_is_none(source: object) -> None:
    with pytest.raises(ValueError, match="one source"):
        read_media("document", js({"name": "a", "source": source}))


def test_what_only_converse_says_of_a_file_stands_before_it() -> None:
    owned = {"format": "png", "source": {"s3Location": {"uri": "s3://b/a", "bucketOwner": "123456789012"}}}
    assert read_media("image", js(owned)) == [
        Foreign("bedrock_converse", "bucketOwner", js({"image": owned})),
        Media("image", "image/png", url="s3://b/a"),
    ]
    pieces = {"format": "txt", "name": "a", "source": {"content": [{"text": "one"}, {"text": "two"}]}}
    assert read_media("document", js(pieces)) == [
        Foreign("bedrock_converse", "documents.content", js({"document": pieces})),
        Media("document", "text/plain", text="one\ntwo", name="a"),
    ]


@pytest.mark.parametrize(
    ("media", "losses"),
    [
        (Media("image", "image/bmp", "AA=="), []),
        (Media("image", "image/png", url="https://a.example/b.png"), []),
        (Media("image", "image/png", file="file-1"), []),
        (Media("document", "application/zip", "AA=="), []),
        (Media("video", "", "AA=="), []),
    ],
)
def test_what_bedrock_cannot_read_is_not_written(media: Media, losses: list[str]) -> None:
    assert written(media) == (None, losses)


def test_a_media_type_is_understood_however_it_is_written() -> None:
    assert written(Media("image", "image/JPG; q=1", "AA=="))[0] == {
        "image": {"format": "jpeg", "source": {"bytes": "AA=="}}
    }
    assert written(Media("document", "text/x-python", "AA==", name="a"))[1] == ["documents=mapped"]
    assert written(Media("document", "application/json", "AA==", name="a"))[0]["document"]["format"] == "txt"


def test_a_text_is_bytes_where_it_is_not_cited() -> None:
    plain = {"name": "a", "format": "txt", "source": {"bytes": "aGk="}}
    assert written(Media("document", "text/plain", text="hi", name="a")) == ({"document": plain}, [])
    assert written(Media("document", text="hi", name="a")) == ({"document": plain}, [])


def test_bytes_of_no_type_are_sent_for_the_backend_to_judge() -> None:
    assert written(Media("document", data="AA==", name="a"))[0] == {
        "document": {"name": "a", "source": {"bytes": "AA=="}}
    }


def test_a_wish_for_detail_is_lost() -> None:
    assert written(Media("image", "image/png", "AA==", detail="high"))[1] == ["images.detail"]
    assert written(Media("image", "image/png", "AA==", detail="auto"))[1] == []


def test_a_document_gets_a_name_that_bedrock_takes() -> None:
    assert named("report.pdf", "a", "Q3 (final)") == (["report", "a", "Q3 (final)"], [])
    assert named("Übersicht_2024.pdf") == (["bersicht 2024"], ["documents.title=mapped"])
    assert named("a" * 300)[0] == ["a" * 200]


def test_no_name_is_given_twice() -> None:
    assert named("", "", "a", "a", "Document 5", "")[0] == [
        "Document 1",
        "Document 2",
        "a",
        "a 4",
        "Document 5",
        "Document 6",
    ]


def test_a_title_is_a_name_where_there_is_none() -> None:
    losses = Losses()
    names = Names(losses)
    assert names.name(Media("document", title="The title"), "") == "The title"
    assert losses.names() == []
    assert names.name(Media("document", name="a", title="The title"), "") == "a"
    assert losses.names() == ["documents.title"]


def test_a_strict_policy_refuses_a_lost_title() -> None:
    with pytest.raises(UnsupportedFeature):
        Names(Losses(strict=True)).name(Media("document", name="a", title="b"), "")


@pytest.mark.parametrize("kind", ["image", "document", "video", "audio"])
def test_nothing_in_it_is_no_file(kind: MediaKind) -> None:
    assert written(Media(kind))[0] is None
