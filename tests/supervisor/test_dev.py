from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings.shape import Listen, Secret, Settings
from gateway.supervisor.dev import Dev
from gateway.supervisor.stand_ins import StandIns

# Ports that `--dev` looks at: taken as our own, so that nothing on this machine is asked or found.
BASE = Settings(models={}, backends={}, callers=(), state="memory", listen=Listen(port=0, control_port=0), dev=True)


@pytest.fixture
def servers() -> Iterator[StandIns]:
    servers = StandIns()
    yield servers
    servers.close()


def test_it_adds_three_stand_ins_that_are_there_and_a_key(servers: StandIns, tmp_path: Path) -> None:
    dev = Dev(BASE, servers, tmp_path / "key")
    told = dev.settings(BASE)
    assert {"mock/frankfurt", "mock/virginia", "mock/singapore"} <= set(told.models)
    assert [told.models[name][0].backend.country for name in ("mock/frankfurt", "mock/virginia", "mock/singapore")] == [
        "DE",
        "US",
        "SG",
    ]
    assert told.callers[-1].may.plan
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_reload_changes_neither_key_nor_token_nor_addresses(servers: StandIns, tmp_path: Path) -> None:
    dev = Dev(BASE, servers, tmp_path / "key")
    first = dev.settings(BASE)
    second = dev.settings(replace(BASE, pop="two"), first)
    assert second.admin_token == first.admin_token
    assert second.backends["dev-frankfurt"].base_urls == first.backends["dev-frankfurt"].base_urls
    assert second.pop == "two"


def test_the_banner_has_addresses_key_token_and_a_command_for_each_country(servers: StandIns, tmp_path: Path) -> None:
    dev = Dev(BASE, servers, tmp_path / "key")
    told = replace(dev.settings(BASE), admin_token=Secret("the-token"))
    banner = dev.banner(told, 4711, 4712)
    key = (tmp_path / "key").read_text().strip()
    assert "Meridian listens on http://127.0.0.1:4711\n" in banner
    assert "http://127.0.0.1:4712/metrics" in banner
    assert f"development key     {key}\n" in banner
    assert "admin token         the-token\n" in banner
    commands = [line.strip() for line in banner.splitlines() if line.strip().startswith("curl ")]
    assert len(commands) == 3
    assert all("http://127.0.0.1:4711/v1/chat/completions" in command and key in command for command in commands)
    assert [name for command in commands for name in ("frankfurt", "virginia", "singapore") if name in command] == [
        "frankfurt",
        "virginia",
        "singapore",
    ]


def test_keys_that_may_be_spent_are_named_and_never_shown(
    servers: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-canary-0123456789")
    dev = Dev(BASE, servers, tmp_path / "key")
    told = dev.settings(BASE)
    banner = dev.banner(told, 1, 2)
    assert "may be spent        openai, by the key in OPENAI_API_KEY" in banner
    assert "canary" not in banner
    assert "openai/*" in told.models
