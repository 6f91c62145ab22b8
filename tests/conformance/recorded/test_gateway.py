from pathlib import Path

import orjson
import pytest

from gateway.settings.load import load, providers
from tests.conformance.recorded import gateway
from tests.conformance.recorded.gateway import OPERATIONS, Gateway, model, rows


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gateway:
    """One that was configured, and whose process is none."""

    class Nothing:
        def __init__(self, *given: object, **more: object) -> None:
            del given, more

        def says(self, pattern: str) -> dict[int, str]:
            return {1: "8080"} if "serving" in pattern else {}

    monkeypatch.setattr(gateway, "Program", Nothing)
    return Gateway(tmp_path, "http://127.0.0.1:9000")


def test_a_place_for_a_language_speaks_no_other() -> None:
    for language, name in rows().items():
        paths = set(providers()[name].paths)
        assert paths & set(OPERATIONS.values()) == {OPERATIONS[language]}


def test_the_two_languages_that_were_there_first_have_a_provider() -> None:
    assert {"openai_chat", "anthropic_messages"} <= set(rows()) <= set(OPERATIONS)


def test_its_configuration_is_one_that_a_gateway_takes(built: Gateway, tmp_path: Path) -> None:
    settings = load(tmp_path / "gateway.yaml", {"RECORDED_KEY": "x"})
    assert built.url == "http://127.0.0.1:8080"
    assert set(settings.models) == {model(language, "*") for language in rows()}
    [target] = settings.models[model("openai_chat", "*")]
    assert (target.backend.base_urls, target.model) == (("http://127.0.0.1:9000",), "*")


@pytest.mark.parametrize("name", ["lost", "losses", "dropped"])
def test_the_losses_of_a_request_are_those_its_line_names(built: Gateway, name: str) -> None:
    built._hear(orjson.dumps({"event": "request", "request_id": "a", name: ["citations", "images=mapped"]}))
    built._hear(orjson.dumps({"event": "request", "request_id": "b", name: "citations, images=mapped"}))
    built._hear(orjson.dumps({"event": "request", "request_id": "c"}))
    built._hear(b"no JSON at all")
    assert built.lost("a") == built.lost("b") == ("citations", "images=mapped")
    assert built.lost("c") == ()
