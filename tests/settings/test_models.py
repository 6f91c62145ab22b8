from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from gateway.settings import models
from gateway.settings.catalogue import PACKAGE
from gateway.settings.fields import Row
from gateway.settings.models import AliasesFile, CallersFile, GatewayFile, NamesFile, PopsFile, ProvidersFile
from gateway.settings.shape import Caps, Deadlines, Timeouts
from gateway.settings.yaml import Value, read_file

# Every key of gateway.yaml that the contract names.
CONTRACT: Value = {
    "pop": "fra",
    "state": "embedded",
    "listen": {
        "host": "127.0.0.1",
        "port": 8080,
        "unix": None,
        "tls": {"cert": "a", "key": "b"},
        "names": ["gw.example"],
    },
    "trusted_proxies": [
        {"from": "10.0.3.0/24", "address": "x-forwarded-for"},
        {"from": "cloudflare", "address": "cf-connecting-ip", "country": "cf-ipcountry"},
    ],
    "private_networks": ["10.1.0.0/16"],
    "drain": "600s",
    "caps": {"json": "32MiB", "files": "512MiB", "connections": 10000, "per_address": 1000},
    "decisions": {"keep": 10000, "sample": 1.0, "file": None},
    "sinks": {"ledger": {"url": "x", "country": "DE"}, "otlp": {"country": "DE"}, "access_log": {"country": "DE"}},
    "backends": {
        "openai": {
            "provider": "openai",
            "api_key": "${OPENAI_API_KEY}",
            "processes_in": ["US"],
            "retention": "30d",
            "training": "no",
        },
        "vllm-fra-1": {
            "provider": "vllm",
            "base_url": "http://10.1.0.7:8000",
            "pop": "fra",
            "location": [50.11, 8.68],
            "country": "DE",
            "region": "eu-central",
            "tier": "edge",
            "hardware": {"class": "gpu", "type": "h100", "count": 1},
            "slots": 64,
            "usd_per_hour": 2.5,
            "power_watts": 700,
            "carbon_g_per_kwh": 380,
        },
        "many": {"provider": "vllm", "base_url": ["http://10.1.0.7:8000", "http://10.1.0.8:8000"]},
        "by-dns": {"provider": "vllm", "endpoints": {"dns": "vllm.ml.svc:8000"}, "processes_in": ["anywhere"]},
    },
    "models": {
        "gpt-4o-mini": [{"backend": "openai", "model": "gpt-4o-mini"}],
        "llama-3.1-8b": [
            {
                "backend": "vllm-fra-1",
                "model": "meta-llama/Llama-3.1-8B-Instruct",
                "quantization": "bf16",
                "weight": 1,
                "order": 0,
                "price": {"usd_per_request": 0.1, "usd_per_mtok_in": 1, "usd_per_mtok_out": 2},
                "context_window": 8192,
                "capabilities": ["tools"],
                "timeouts": {"connect": "1s", "first_token": "30s", "idle": "30s", "total": "590s"},
            }
        ],
    },
    "policies": ["../policies/*.yaml"],
    "callers": "callers.yaml",
}
CALLERS: Value = {
    "teams": {
        "clinic": {
            "organisation": "acme",
            "home": "eu",
            "jurisdictions": ["EU"],
            "tags": {"data": "personal"},
            "priority": "normal",
            "models": ["llama-*"],
            "providers": {"not": ["deepseek"]},
            "limits": {"tokens_per_minute": 200000, "concurrency": 50},
            "budget": {"usd_per_day": 50, "usd_per_month": 900},
        }
    },
    "keys": {
        "clinic-web": {
            "team": "clinic",
            "hash": "ab" * 32,
            "expires": "2027-01-01",
            "may": {"policies": [], "priority": "normal", "plan": False, "byok": []},
        }
    },
}


def rows() -> list[type[BaseModel]]:
    return [
        kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, Row) and kind is not Row
    ]


def test_the_contracts_own_example_is_taken_whole() -> None:
    file = GatewayFile.model_validate(CONTRACT)
    assert file.backends["vllm-fra-1"].location == (50.11, 8.68)
    assert file.backends["many"].base_url == ("http://10.1.0.7:8000", "http://10.1.0.8:8000")
    assert file.backends["openai"].base_url is None
    assert file.drain == 600.0
    team = CallersFile.model_validate(CALLERS).teams["clinic"]
    assert team.providers is not None
    assert team.providers.not_ == ("deepseek",)


def test_an_empty_file_of_each_kind_is_its_defaults() -> None:
    for kind in (GatewayFile, AliasesFile, CallersFile, NamesFile, PopsFile, ProvidersFile):
        kind.model_validate({})


@pytest.mark.parametrize("kind", rows(), ids=lambda kind: kind.__name__)
def test_every_row_refuses_what_it_does_not_know_and_converts_nothing(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"no_such_key": 1})
    assert ("extra_forbidden", ("no_such_key",)) in {(e["type"], e["loc"]) for e in caught.value.errors()}
    assert kind.model_config["strict"] is True
    assert kind.model_config["frozen"] is True


@pytest.mark.parametrize("kind", rows(), ids=lambda kind: kind.__name__)
def test_no_row_shows_its_input_in_an_error(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate("s3cret")
    assert "s3cret" not in str(caught.value)


def test_every_cap_and_deadline_can_be_set_under_its_short_name() -> None:
    caps = {name.removesuffix("_bytes") for name in Caps.__struct_fields__ if not name.startswith("pipelined")}
    named = {field.alias or name for name, field in models.CapsRow.model_fields.items()}
    assert named == {"header" if name == "header_field" else "headers" if name == "header" else name for name in caps}
    deadlines = {name.removesuffix("_s") for name in Deadlines.__struct_fields__} - {"body_bytes_per", "linger"}
    assert set(models.DeadlinesRow.model_fields) == deadlines
    assert {f"{name}_s" for name in models.TimeoutsRow.model_fields} == set(Timeouts.__struct_fields__)


def test_each_file_has_a_json_schema() -> None:
    for kind in (GatewayFile, AliasesFile, CallersFile, NamesFile, PopsFile, ProvidersFile):
        schema = kind.model_json_schema(by_alias=True)
        assert schema["type"] == "object"
    assert "from" in GatewayFile.model_json_schema(by_alias=True)["$defs"]["TrustedProxyRow"]["properties"]


def test_carbon_and_elasticity_are_said_or_not_known() -> None:
    row = models.BackendRow.model_validate({"provider": "vllm"})
    assert (row.carbon_g_per_kwh, row.elastic, row.usd_per_kwh) == (None, False, 0.15)


def test_every_key_is_documented() -> None:
    text = (Path(PACKAGE).parent / "docs" / "configuration.md").read_text()
    missing = [
        f"{kind.__name__}.{field.alias or name}"
        for kind in rows()
        for name, field in kind.model_fields.items()
        if f"`{field.alias or name}`" not in text
    ]
    assert missing == []


def test_the_shipped_pops_are_pops() -> None:
    document, problems = read_file(PACKAGE.parent / "config" / "pops.yaml")
    assert problems == []
    assert document is not None
    assert PopsFile.model_validate(document.value).root["fra"].egress_country == "DE"
