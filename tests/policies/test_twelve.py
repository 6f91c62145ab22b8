"""Policies as somebody would write them, and those that come with the program, proven by their examples."""

from pathlib import Path

import pytest
import yaml

from gateway.settings.check import check

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TWELVE = sorted((HERE / "twelve").glob("*.yaml"))
READY = sorted((ROOT / "policies").glob("*.yaml"))
ENVIRONMENT = {
    "KEY": "k",
    "HASH": "a" * 63,
    "OPENAI_API_KEY": "k",
    "GROQ_API_KEY": "k",
    "CLINIC_WEB_KEY_HASH": "a" * 64,
}
MOST_LINES = 25


@pytest.mark.parametrize("config", [HERE / "gateway.yaml", ROOT / "config" / "gateway.yaml"], ids=["twelve", "ready"])
def test_every_example_holds(config: Path) -> None:
    lines, code = check(str(config), environment=ENVIRONMENT)
    assert (lines[:-1], code) == ([], 0)
    assert lines[-1].startswith("ok: ")


def test_the_twelve_are_twelve_and_the_ready_ones_are_there() -> None:
    assert len(TWELVE) == 12
    assert {path.stem for path in READY} >= {
        "default",
        "lowest-latency",
        "lowest-cost",
        "eu-residency",
        "green",
        "self-hosted-first",
        "canary",
    }


@pytest.mark.parametrize("path", [*TWELVE, *READY], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_is_commented_has_its_files_name_and_examples(path: Path) -> None:
    text = path.read_text()
    policy = yaml.safe_load(text)
    assert text.startswith("# ")
    assert policy["name"] == path.stem
    assert policy["examples"]


@pytest.mark.parametrize("path", TWELVE, ids=lambda path: path.stem)
def test_each_of_the_twelve_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_the_ready_ones_fail_by_name_where_the_fleet_is_another(path: Path, tmp_path: Path) -> None:
    """Examples name what the configuration has that loads them; elsewhere the line says what to put there."""
    (tmp_path / "callers.yaml").write_text(
        f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{"a" * 64}"}}}}\n', "utf-8"
    )
    (tmp_path / "gateway.yaml").write_text(
        f'state: memory\ncallers: callers.yaml\npolicies: ["{path}"]\n'
        "backends: {mine: {provider: vllm, base_url: 'http://127.0.0.1:8000', country: DE, tier: edge}}\n"
        "models: {my-llama: [{backend: mine, model: m}]}\n",
        "utf-8",
    )
    lines, code = check(str(tmp_path / "gateway.yaml"), environment={})
    assert code == 1
    assert all("; " in line for line in lines)
    assert any("isn't a" in line for line in lines)
