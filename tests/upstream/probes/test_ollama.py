"""Ollama. The answers are those of its docs/api.md, List Running Models and List Local Models."""

import pytest

from gateway.upstream.probes.ollama import ON_DISK_EVERY, Ollama
from gateway.upstream.probes.reading import DEAD, Site
from tests.upstream.probes.looking import Told, asked, look, named, while_loading

LOADED = """{"models":[{"name":"mistral:latest","model":"mistral:latest","size":5137025024,
"digest":"2ae6f6dd7a3dd734790bbbf58b8909a606e0e7e97e94b7604e0aa7ae4490e6d8",
"details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"7.2B",
"quantization_level":"Q4_0"},"expires_at":"2024-06-04T14:38:31.83753-07:00","size_vram":5137025024}]}"""
ON_DISK = """{"models":[{"name":"mistral:latest","model":"mistral:latest","size":5137025024},
{"name":"qwen3:0.6b","model":"qwen3:0.6b","size":522653767},
{"name":"gpt-oss:120b-cloud","model":"gpt-oss:120b-cloud","remote_model":"gpt-oss:120b",
"remote_host":"https://ollama.com:443","size":384}]}"""
SERVER: dict[str, Told] = {"/api/ps": LOADED, "/api/tags": ON_DISK}


def test_what_is_in_memory_is_served_and_what_is_on_disk_is_loaded_when_asked() -> None:
    reading = look(Ollama(Site()), SERVER)
    assert (reading.alive, reading.running) == (True, None)
    assert reading.models == named("mistral:latest", "mistral")
    assert reading.loadable == named("qwen3:0.6b")


def test_a_model_of_its_cloud_is_not_here() -> None:
    reading = look(Ollama(Site()), SERVER)
    assert not any("cloud" in name for name in (reading.models or set()) | reading.loadable)


def test_a_model_that_has_expired_is_on_disk_again() -> None:
    ollama = Ollama(Site())
    look(ollama, SERVER)
    reading = look(ollama, {**SERVER, "/api/ps": '{"models":null}'})
    assert (reading.models, "mistral" in reading.loadable) == (frozenset(), True)


def test_what_is_loaded_is_asked_each_time_and_the_disk_now_and_then() -> None:
    ollama = Ollama(Site())
    asks = [[ask.path for ask in asked(ollama, SERVER)[1]] for _ in range(ON_DISK_EVERY + 1)]
    assert [len(paths) for paths in asks] == [2, *[1] * (ON_DISK_EVERY - 1), 2]
    for _ in range(ON_DISK_EVERY):
        reading = look(ollama, {**SERVER, "/api/tags": 0})
    assert "qwen3:0.6b" in reading.loadable


@pytest.mark.parametrize("answers", [{"/api/ps": LOADED}, {"/api/tags": ON_DISK}, {"/api/ps": "<html>"}])
def test_half_of_the_truth_excludes_no_model(answers: dict[str, Told]) -> None:
    reading = look(Ollama(Site()), answers)
    assert (reading.alive, reading.models) == (True, None)


def test_one_that_is_gone_is_dead_and_what_it_has_on_disk_is_asked_anew_when_it_is_back() -> None:
    ollama = Ollama(Site())
    look(ollama, SERVER)
    assert look(ollama, {**SERVER, "/api/ps": 0}) is DEAD
    assert len(asked(ollama, SERVER)[1]) == 2
    assert while_loading(Ollama(Site(("m",)))).loading
