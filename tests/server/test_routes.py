"""Paths are matched raw and whole."""

import pytest

from gateway.errors import UnknownRoute, WrongMethod
from gateway.server.routes import UNREAD_BYTES, error_language, find
from gateway.settings.shape import Caps


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/audio/transcriptions", "audio_transcriptions"),
        ("/v1/audio/translations", "audio_translations"),
        ("/v1/images/edits", "image_edits"),
    ],
)
def test_a_post_path_leads_to_its_operation(path: str, operation: str) -> None:
    endpoint = find("POST", path).endpoint
    assert endpoint is not None
    assert endpoint.operation == operation


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1",
        "/v1/chat/completions/",
        "/v1/Chat/completions",
        "//v1/models",
        "/v1/models/",
        "/v1beta/models/",
        "/v1beta",
        "*",
    ],
)
def test_anything_near_a_path_is_not_the_path(path: str) -> None:
    with pytest.raises(UnknownRoute):
        find("GET", path)


def test_a_method_a_path_hasnt_is_told_those_it_has() -> None:
    with pytest.raises(WrongMethod) as refused:
        find("GET", "/v1/chat/completions")
    assert refused.value.headers == (("allow", "OPTIONS, POST"),)


def test_get_routes_answer_head_too() -> None:
    assert find("HEAD", "/v1/models") is find("GET", "/v1/models")
    assert find("HEAD", "/v1/models/m") is find("GET", "/v1/models/a/b")
    assert find("GET", "/v1beta/models") is find("GET", "/v1/models")
    assert find("GET", "/v1beta/models/m") is find("GET", "/v1/models/m")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/chat/completions", b"allow: OPTIONS, POST\r\n"),
        ("/v1/models", b"allow: GET, HEAD, OPTIONS\r\n"),
        ("/v1/models/m", b"allow: GET, HEAD, OPTIONS\r\n"),
        ("*", b"allow: DELETE, GET, HEAD, OPTIONS, POST\r\n"),
    ],
)
def test_options_says_what_a_path_has_and_needs_no_key(path: str, allow: bytes) -> None:
    route = find("OPTIONS", path)
    assert (route.lines, route.public, route.endpoint) == (allow, True, None)


def test_options_of_nothing_is_nothing() -> None:
    with pytest.raises(UnknownRoute):
        find("OPTIONS", "/v1/nothing")


def test_only_health_needs_no_key() -> None:
    assert [find("GET", path).public for path in ("/healthz", "/readyz", "/v1/models", "/v1/models/m")] == [
        True,
        True,
        False,
        False,
    ]


def test_bodies_are_capped_by_what_a_route_takes() -> None:
    caps = Caps(json_bytes=100_000, files_bytes=200_000)
    assert find("POST", "/v1/chat/completions").most_bytes(caps) == 100_000
    assert find("POST", "/v1/audio/transcriptions").most_bytes(caps) == 100_000
    assert find("POST", "/v1/images/edits").most_bytes(caps) == 200_000
    assert find("OPTIONS", "/v1/chat/completions").most_bytes(caps) == UNREAD_BYTES
    assert find("GET", "/healthz").most_bytes(caps) == UNREAD_BYTES


def test_what_this_door_doesnt_speak_is_marked() -> None:
    assert find("POST", "/v1/audio/transcriptions").slow == "form"
    assert find("GET", "/v1/realtime").slow == "realtime"
    assert find("OPTIONS", "/v1/realtime").slow == ""
    assert find("POST", "/v1/chat/completions").slow == ""


def test_errors_are_said_in_the_language_of_the_path() -> None:
    assert error_language("/v1/embeddings") == "openai_embeddings"
    assert error_language("/v1/nothing") == "openai_chat"


@pytest.mark.parametrize(
    ("path", "header", "language"),
    [
        ("/v1/models", b"accept", "openai_chat"),
        ("/v1/models", b"anthropic-version", "anthropic_messages"),
        ("/v1/models/m", b"anthropic-version", "anthropic_messages"),
        ("/v1/models", b"x-goog-api-key", "gemini"),
        ("/v1/models/m", b"x-goog-api-client", "gemini"),
        ("/v1beta/models", b"anthropic-version", "gemini"),
        ("/v1beta/models/m", b"accept", "gemini"),
        ("/v1/chat/completions", b"anthropic-version", "openai_chat"),
        ("/v1/messages", b"x-goog-api-key", "anthropic_messages"),
        ("/v1/modelsx", b"anthropic-version", "openai_chat"),
    ],
)
def test_where_models_are_asked_for_the_asker_is_known_by_a_header(path: str, header: bytes, language: str) -> None:
    assert error_language(path, {header: b"x"}) == language
