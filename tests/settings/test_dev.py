import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.settings.dev import ANY, curl, dev_key, dev_settings, key_path, model_of, stand_ins
from gateway.settings.found import Found, FoundKey, FoundServer
from gateway.settings.keys import digest_of
from gateway.settings.load import providers
from gateway.settings.shape import Backend, Caller, Listen, Provider, Secret, Settings, Target, Tls
from gateway.settings.words import STAND_IN

PROVIDERS = providers()
BASE = Settings(models={}, backends={}, callers=(), state="memory")
URLS = {one.name: f"http://127.0.0.1:{2000 + at}/" for at, one in enumerate(stand_ins())}
KEY = "sk-gw-" + "k" * 43


def served(base: Settings = BASE, found: Found = Found(), before: Settings | None = None) -> Settings:  # noqa: B008  (frozen)
    return dev_settings(base, URLS, KEY, found, PROVIDERS, before)


def test_three_stand_ins_are_in_three_regions_and_countries() -> None:
    assert len({one.name for one in stand_ins()}) == 3
    assert len({one.region for one in stand_ins()}) == 3
    assert {one.country for one in stand_ins()} == {"DE", "US", "SG"}


def test_each_stand_in_answers_to_its_name_and_any_to_all_of_them_in_order() -> None:
    settings = served()
    assert list(settings.models) == ["mock/frankfurt", "mock/virginia", "mock/singapore", "mock/any"]
    for one in stand_ins():
        (target,) = settings.models[model_of(one)]
        assert target.backend.base_urls == (URLS[one.name].rstrip("/"),)
        assert (target.backend.country, target.backend.region) == (one.country, one.region)
        assert (target.backend.location, target.backend.processes_in) == (one.location, (one.country,))
    assert [target.backend.country for target in settings.models[ANY]] == ["DE", "US", "SG"]


def test_a_stand_in_never_stands_among_another_models_targets() -> None:
    key = FoundKey("openai", "OPENAI_API_KEY", Secret("sk-a"))
    server = FoundServer("vLLM", "http://127.0.0.1:8000", "vllm", ("llama",))
    settings = served(found=Found((key,), (server,)))
    mine = {f"dev-{one.name}" for one in stand_ins()}
    for name, targets in settings.models.items():
        backends = {target.backend.name for target in targets}
        assert backends <= mine if name.startswith(STAND_IN) else not backends & mine


def test_the_development_key_may_ask_for_plans_and_call_everything() -> None:
    settings = served()
    (caller,) = settings.callers
    assert (caller.name, caller.models, caller.may.plan, caller.expires_at) == ("dev", (), True, None)
    assert caller.digest == digest_of(KEY, settings.key_pepper.reveal())
    assert settings.key_pepper
    assert settings.dev is True


def test_configured_callers_stay_and_so_does_what_their_keys_were_hashed_under() -> None:
    mine = Caller("web", "clinic", digest_of("sk-gw-mine", ""))
    settings = served(replace(BASE, callers=(mine, Caller("dev", "x", b""))))
    assert [caller.name for caller in settings.callers] == ["web", "dev"]
    assert not settings.key_pepper
    assert settings.callers[1].digest == digest_of(KEY, "")
    peppered = served(replace(BASE, key_pepper=Secret("p")))
    assert peppered.callers[0].digest == digest_of(KEY, "p")


def test_the_admin_token_is_made_per_run_and_stays_over_a_reload() -> None:
    first, second = served(), served()
    assert first.admin_token
    assert first.admin_token != second.admin_token
    assert served(before=first).admin_token == first.admin_token
    assert served(replace(BASE, admin_token=Secret("t")), before=first).admin_token == Secret("t")


def test_a_providers_key_makes_its_models_callable_under_its_name_only() -> None:
    settings = served(found=Found((FoundKey("openai", "OPENAI_API_KEY", Secret("sk-a")),)))
    (target,) = settings.models["openai/*"]
    assert target.model == "*"
    assert target.backend.api_key.reveal() == "sk-a"
    assert target.backend.base_urls == ("https://api.openai.com/v1",)
    assert [name for name in settings.models if not name.startswith(STAND_IN)] == ["openai/*"]


def test_a_local_servers_models_are_listed_and_any_other_can_be_asked_for() -> None:
    server = FoundServer("Ollama", "http://127.0.0.1:11434", "ollama", ("llama3.2:1b",))
    settings = served(found=Found((), (server,)))
    assert settings.models["ollama/llama3.2:1b"][0].model == "llama3.2:1b"
    assert settings.models["ollama/*"][0].backend.base_urls == ("http://127.0.0.1:11434",)


def test_a_server_that_was_only_seen_serves_nothing() -> None:
    settings = served(found=Found((), (FoundServer("Triton", "http://127.0.0.1:8000", ""),)))
    assert all(name.startswith(STAND_IN) for name in settings.models)


def test_what_the_configuration_names_wins_over_what_is_found() -> None:
    mine = Backend("openai", PROVIDERS["openai"], ("https://mine.example",))
    base = replace(BASE, backends={"openai": mine}, models={"gpt": (Target(mine, "gpt-4o"),)})
    settings = served(base, Found((FoundKey("openai", "OPENAI_API_KEY", Secret("sk-a")),)))
    assert settings.backends["openai"] is mine
    assert "openai/*" not in settings.models
    assert settings.models["gpt"] == base.models["gpt"]


def test_the_configuration_itself_is_left_as_it_was() -> None:
    served()
    assert (BASE.models, BASE.backends, BASE.callers) == ({}, {}, ())


@pytest.mark.parametrize(
    ("listen", "start"),
    [
        (Listen(), "http://127.0.0.1:8080/"),
        (Listen(host="::1", port=9), "http://[::1]:9/"),
        (Listen(tls=Tls("c", "k")), "https://127.0.0.1:8080/"),
    ],
)
def test_the_curl_to_copy_names_address_key_and_model(listen: Listen, start: str) -> None:
    line = curl(replace(BASE, listen=listen), KEY, "mock/any", "SG")
    assert f" {start}v1/chat/completions " in line
    assert f"Bearer {KEY}'" in line
    assert "-H 'cf-ipcountry: SG'" in line
    body = re.search(r"-d '(.*)'", line)
    assert body is not None
    assert msgspec.json.decode(body[1])["model"] == "mock/any"


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = key_path(tmp_path)
    key = dev_key(path)
    assert re.fullmatch(r"sk-gw-[A-Za-z0-9_-]{43}", key)
    assert dev_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("spoil", ["lax", "short", "binary", "link"])
def test_a_key_that_others_could_have_read_or_written_is_made_anew(tmp_path: Path, spoil: str) -> None:
    path = key_path(tmp_path)
    key = dev_key(path)
    match spoil:
        case "lax":
            path.chmod(0o644)
        case "short":
            path.write_text("sk-gw-short\n")
        case "binary":
            path.write_bytes(b"\xff" * 50)
        case _:
            path.rename(path.with_name("elsewhere"))
            path.symlink_to("elsewhere")
    fresh = dev_key(path)
    assert fresh != key
    assert dev_key(path) == fresh
    assert not path.is_symlink()


def test_where_nothing_can_be_written_the_key_is_of_this_run(tmp_path: Path) -> None:
    (tmp_path / ".dev").write_text("a file where the directory would be")
    first, second = dev_key(key_path(tmp_path)), dev_key(key_path(tmp_path))
    assert first.startswith("sk-gw-")
    assert first != second


def test_of_two_first_runs_at_once_one_key_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_path(tmp_path)
    real = Path.hardlink_to
    others = []

    def second_run_first(self: Path, target: Path) -> None:
        monkeypatch.setattr(Path, "hardlink_to", real)
        others.append(dev_key(path))
        real(self, target)

    monkeypatch.setattr(Path, "hardlink_to", second_run_first)
    assert [dev_key(path)] == others
    assert [one.name for one in path.parent.iterdir()] == ["key"]


def test_the_checkouts_key_is_kept_where_git_does_not_look() -> None:
    path = key_path()
    assert (path.parent.name, path.name) == (".dev", "key")
    assert ".dev/" in (path.parent.parent / ".gitignore").read_text().splitlines()


def test_every_stand_ins_row_is_in_the_catalogue() -> None:
    settings = served()
    assert all(isinstance(one.backend.provider, Provider) for one in settings.models[ANY])
    assert {one.backend.provider.auth.scheme for one in settings.models[ANY]} == {"none"}
