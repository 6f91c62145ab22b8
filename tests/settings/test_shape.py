import json
import pickle

import msgspec
import pytest

from gateway.routing.candidate import KEPT_FOR_EVER
from gateway.settings.shape import Backend, Caps, Deadlines, Listen, Provider, Secret, Timeouts

SECRET = "s3cret-value-that-must-not-show"


def test_a_secret_never_shows_itself() -> None:
    kept = Secret(SECRET)
    shown = [repr(kept), str(kept), f"{kept}", f"{kept!r}", f"{kept:>40}", repr([kept]), repr({"key": kept})]
    assert not any(SECRET in one for one in shown)


def test_a_secret_is_neither_pickled_nor_written_as_json() -> None:
    for write in (pickle.dumps, json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            write(Secret(SECRET))


def test_a_secret_is_only_shown_when_asked() -> None:
    assert Secret(SECRET).reveal() == SECRET
    assert Secret("") == Secret("")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert bool(Secret("a")) is True
    assert bool(Secret("")) is False


def test_a_backend_with_a_key_shows_everything_but_the_key() -> None:
    shown = repr(Backend("a", Provider("p", "openai_chat"), ("https://a.example",), Secret(SECRET)))
    assert "https://a.example" in shown
    assert SECRET not in shown


def test_settings_are_never_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        Listen().port = 1  # type: ignore[misc]  # what is tested


def test_the_defaults_are_the_contracts() -> None:
    assert (Caps().json_bytes, Caps().files_bytes, Caps().answer_bytes) == (32 << 20, 512 << 20, 64 << 20)
    assert (Caps().connections, Caps().per_address) == (10_000, 1_000)
    assert (Caps().header_bytes, Caps().header_fields, Caps().header_field_bytes, Caps().uri_bytes) == (
        32 << 10,
        64,
        8 << 10,
        4 << 10,
    )
    assert (Timeouts().connect_s, Timeouts().first_token_s, Timeouts().idle_s, Timeouts().total_s) == (1, 30, 30, 590)
    assert (Deadlines().headers_s, Deadlines().body_s, Deadlines().idle_s, Deadlines().write_stall_s) == (
        10,
        30,
        75,
        30,
    )
    assert (Listen().host, Listen().control_host, Listen().port, Listen().control_port) == (
        "127.0.0.1",
        "127.0.0.1",
        8080,
        8081,
    )


@pytest.mark.parametrize(("said", "days"), [("none", 0), ("30d", 30), ("unknown", KEPT_FOR_EVER)])
def test_how_long_content_is_kept_is_days(said: str, days: int) -> None:
    assert Backend("b", Provider("p", "openai_chat"), (), retention=said).retention_days == days


def test_what_is_not_said_of_a_backend_is_unknown() -> None:
    backend = Backend("b", Provider("p", "openai_chat"), ())
    assert (backend.retention_days, backend.hardware, backend.grams) == (KEPT_FOR_EVER, "", ())
