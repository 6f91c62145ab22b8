from pathlib import Path

import pytest

from gateway.errors import ConfigUnusable
from gateway.settings import load as module
from gateway.settings.catalogue import PACKAGE
from gateway.settings.load import (
    DEFAULT_CONFIG,
    DEV_CONFIG,
    config_path,
    digest_of,
    load,
    load_options,
    own_environment,
    providers,
    read_settings,
    settings_of,
)
from gateway.settings.options import ServeOptions
from gateway.settings.shape import Settings
from tests.settings.conftest import HASH, Tree

CONFIG = PACKAGE.parent / "config"
HEAD = "state: memory\ncallers: callers.yaml\n"
KEYS = {"OPENAI_API_KEY": "sk-a", "GROQ_API_KEY": "gsk-b", "CLINIC_WEB_KEY_HASH": HASH}


def test_a_file_becomes_settings(tree: Tree) -> None:
    tree.write("gateway.yaml", HEAD)
    settings = load(tree.path, {})
    assert settings.callers[0].name == "web"
    assert settings.dev is False
    assert load(tree.path, {}, dev=True).dev is True


def test_a_wrong_file_raises_every_problem_at_once(tree: Tree) -> None:
    tree.write("gateway.yaml", "drian: 1s\nstate: gold\ncallers: callers.yaml\n")
    with pytest.raises(ConfigUnusable) as caught:
        load(tree.path, {})
    assert [problem.key for problem in caught.value.problems] == ["drian", "state"]
    assert str(caught.value).count("\n") == 1


def test_a_file_that_is_not_there_is_unusable_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnusable, match=r"gone\.yaml:1: file: can't be opened"):
        load(tmp_path / "gone.yaml", {})


def test_the_shipped_example_is_fine_once_its_variables_are_set() -> None:
    settings = load(CONFIG / "gateway.yaml", KEYS)
    own = ["vllm-fra-1", "vllm-fra-2", "vllm-next", "vllm-osl-1", "vllm-iad-1"]
    assert list(settings.backends) == ["openai", "groq", *own]
    assert [target.backend.name for target in settings.models["llama-3.1-8b"]] == [*own, "groq"]
    assert len(settings.policies) == len(list((CONFIG.parent / "policies").glob("*.yaml")))
    assert settings.models["openai/*"][0].model == "*"
    assert settings.callers[0].digest == bytes.fromhex(HASH)
    assert settings.callers[0].models == ("llama-*", "gpt-4o-mini")


def test_the_shipped_example_says_each_variable_that_is_missing() -> None:
    with pytest.raises(ConfigUnusable) as caught:
        load(CONFIG / "gateway.yaml", {})
    assert [problem.what.split()[0] for problem in caught.value.problems] == [
        "OPENAI_API_KEY",
        "GROQ_API_KEY",
        "CLINIC_WEB_KEY_HASH",
    ]


def test_the_shipped_development_file_needs_nothing() -> None:
    settings = load(CONFIG / "dev.yaml", {}, dev=True)
    assert (settings.state, settings.models) == ("memory", {})


def test_serve_reads_what_its_options_and_the_environment_name(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write("gateway.yaml", HEAD)
    settings = load_options(ServeOptions(config=str(tree.path), port=0), {"GATEWAY_WORKERS": "3"})
    assert (settings.listen.port, settings.workers) == (0, 3)
    assert load_options(ServeOptions(), {"GATEWAY_CONFIG": str(tree.path)}).callers[0].name == "web"
    monkeypatch.setenv("GATEWAY_CONFIG", str(tree.path))
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "error")
    assert load_options(ServeOptions()).log_level == "error"


def test_the_file_is_the_one_given_then_the_environments_then_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    around = {"GATEWAY_CONFIG": "around.yaml"}
    assert config_path("given.yaml", around) == Path("given.yaml")
    assert config_path(None, around, dev=True) == Path("around.yaml")
    assert config_path(None, {}) == DEFAULT_CONFIG
    assert config_path(None, {}, dev=True) == DEV_CONFIG
    monkeypatch.setattr(module, "DEV_CONFIG", Path("nowhere.yaml"))
    assert config_path(None, {}, dev=True) is None


def test_dev_without_any_file_works_as_in_an_installed_wheel() -> None:
    reading = read_settings(None, {}, ServeOptions(dev=True))
    assert isinstance(settings_of(reading), Settings)


def test_the_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    before = own_environment()
    monkeypatch.setenv("GATEWAY_POP", "fra")
    assert "GATEWAY_POP" not in before
    assert own_environment()["GATEWAY_POP"] == "fra"


def test_the_catalogue_is_given_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert providers()["openai"].speaks == "openai_chat"
    monkeypatch.setattr(module, "catalogue_path", lambda: tmp_path / "gone.yaml")
    with pytest.raises(ConfigUnusable):
        providers()


def test_a_keys_digest_is_what_the_file_holds(tree: Tree) -> None:
    tree.write(
        "callers.yaml", f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{digest_of("sk-gw-x", "p").hex()}"}}}}\n'
    )
    tree.write("gateway.yaml", HEAD)
    settings = load(tree.path, {"GATEWAY_KEY_PEPPER": "p"})
    assert settings.callers[0].digest == digest_of("sk-gw-x", settings.key_pepper.reveal())


def test_no_secret_shows_in_the_settings(tree: Tree) -> None:
    tree.write(
        "gateway.yaml",
        HEAD + 'backends: {o: {provider: openai, api_key: "${K}"}}\nmodels: {m: [{backend: o, model: m}]}\n',
    )
    around = {"K": "s3cret-k", "GATEWAY_ADMIN_TOKEN": "s3cret-t", "GATEWAY_KEY_PEPPER": "s3cret-p"}
    settings = load(tree.path, around)
    assert settings.models["m"][0].backend.api_key.reveal() == "s3cret-k"
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in f"{settings}"
