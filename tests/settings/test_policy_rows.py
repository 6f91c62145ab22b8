from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from gateway.routing.policy import KEYS, OBJECTIVES, Policy
from gateway.settings import policy_rows
from gateway.settings.catalogue import PACKAGE
from gateway.settings.fields import Row
from gateway.settings.policies import written
from gateway.settings.policy_rows import NOT_BUILT, PolicyFile, PreferRow
from gateway.settings.yaml import Value

# Every key of a policy that the contract names, less those whose machinery isn't there yet.
CONTRACT: Value = {
    "name": "eu-personal",
    "rank": 0,
    "match": {
        "models": ["llama-*"],
        "keys": ["web"],
        "teams": ["clinic"],
        "tags": {"data": "personal"},
        "countries": ["DE"],
        "pops": ["fra"],
        "headers": {"x-department": ["a", "b"]},
        "operations": ["chat", "embeddings"],
        "hours": {"from": "22:00", "to": "06:00", "zone": "Europe/Berlin", "days": ["mon", "fri"]},
    },
    "require": {
        "jurisdictions": ["EU"],
        "retention": "none",
        "training": "no",
        "providers": {"not": ["deepseek"]},
        "backends": {"only": ["fra"]},
        "hardware": ["gpu", "asic"],
        "quantization": ["bf16", "fp8"],
        "capabilities": ["tools"],
        "usd_per_request": 0.05,
    },
    "prefer": {"objective": "balanced", "regions": ["eu"]},
    "slo": {"ttft": "300ms", "tpot": "50ms", "at": "p95", "otherwise": "fastest"},
    "tiers": ["edge", "self_hosted", "external"],
    "overflow": 0.85,
    "priority": "normal",
    "queue": {"wait": "2s"},
    "split": [
        {
            "name": "canary",
            "to": {"backend": "vllm-fra-2"},
            "percent": 5,
            "by": "session",
            "stop": {"errors": "1.5x", "ttft_p95": "1.3x", "after": 200},
        },
        {"name": "shadow", "to": {"backend": "vllm-new"}, "percent": 1, "copy": True},
    ],
    "affinity": {"by": "prefix", "ttl": "1h"},
    "complexity": {"simple": "llama-3.2-1b"},
    "fidelity": "best",
    "timeouts": {"connect": "1s", "first_token": "30s", "idle": "30s", "total": "590s"},
    "retry": {"attempts": 3, "budget": 0.1},
    "hedge": {"after": "p95", "budget": 0.02},
    "fallback": {
        "models": ["claude-haiku-4-5"],
        "on": ["unavailable", "rate_limited", "context_length", "content_policy", "budget", "deadline"],
    },
    "resume": "off",
    "examples": [
        {
            "when": {
                "model": "llama-3.1-8b",
                "country": "DE",
                "pop": "fra",
                "at": "2026-11-21T23:00+01:00",
                "down": ["vllm-fra-1"],
                "load": {"vllm-fra-2": 0.95},
            },
            "then": {
                "first": "vllm-fra-2",
                "only_in": ["EU"],
                "never": {"backends": ["openai"], "regions": ["us-east"]},
            },
        },
        {"when": {"model": "x", "tokens": {"in": 5}}, "then": {"refused": "residency_violation", "order": ["a", "b"]}},
    ],
}


def rows() -> list[type[BaseModel]]:
    return [
        kind
        for kind in vars(policy_rows).values()
        if isinstance(kind, type) and issubclass(kind, Row) and kind.__module__ == policy_rows.__name__
    ]


def test_the_contracts_own_policy_is_taken_whole() -> None:
    file = PolicyFile.model_validate(CONTRACT)
    assert set(PolicyFile.model_fields) == set(file.model_fields_set)
    assert file.match is not None
    assert file.match.hours is not None
    assert (file.match.hours.from_, file.match.hours.to) == (22 * 60, 6 * 60)
    assert file.match.tags == {"data": ("personal",)}
    assert file.examples[0].when.at == 1795298400.0
    assert file.examples[0].then.first == ("vllm-fra-2",)
    assert (file.examples[1].when.tokens.in_, file.examples[1].when.tokens.out) == (5, 256)
    assert (file.examples[0].when.tokens.in_, file.examples[0].when.tokens.out) == (1000, 256)


def test_every_key_of_routings_policy_can_be_written() -> None:
    assert {written(key) for key in KEYS} | {"name", "rank", "match", "require", "examples"} == set(
        PolicyFile.model_fields
    )
    assert set(KEYS) < set(Policy.__struct_fields__)


def test_every_objective_can_be_named() -> None:
    (named, _) = get_args(PreferRow.model_fields["objective"].annotation)
    assert set(get_args(named)) == set(OBJECTIVES)


def test_an_empty_policy_says_nothing() -> None:
    assert PolicyFile.model_validate({}).model_fields_set == set()


def test_what_is_not_built_is_no_key() -> None:
    assert not set(NOT_BUILT) & set(PolicyFile.model_fields)


@pytest.mark.parametrize("kind", rows(), ids=lambda kind: kind.__name__)
def test_every_row_refuses_what_it_does_not_know_and_converts_nothing(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"no_such_key": 1})
    assert ("extra_forbidden", ("no_such_key",)) in {(e["type"], e["loc"]) for e in caught.value.errors()}
    assert kind.model_config["strict"] is True


EMPTY: list[tuple[Value, str]] = [
    ({"match": {key: []}}, f"match.{key}") for key in ("models", "keys", "teams", "countries", "pops", "operations")
]
EMPTY += [({"match": {key: {}}}, f"match.{key}") for key in ("tags", "headers")]
EMPTY += [({"match": {"tags": {"data": []}}}, "match.tags.data")]
EMPTY += [({"match": {"hours": {"from": "22:00", "to": "23:00", "days": []}}}, "match.hours.days")]
EMPTY += [
    ({"require": {key: []}}, f"require.{key}") for key in ("jurisdictions", "hardware", "quantization", "capabilities")
]
EMPTY += [({"require": {"providers": {"not": []}}}, "require.providers.not"), ({"tiers": []}, "tiers")]
EMPTY += [
    ({"split": []}, "split"),
    ({"complexity": {}}, "complexity"),
    ({"fallback": {"models": []}}, "fallback.models"),
]


@pytest.mark.parametrize(("value", "place"), EMPTY, ids=[place for _, place in EMPTY])
def test_an_empty_list_is_never_any(value: Value, place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PolicyFile.model_validate(value)
    (error,) = caught.value.errors()
    assert (error["type"], ".".join(map(str, error["loc"]))) == ("too_short", place)


def test_every_key_is_documented() -> None:
    text = (Path(PACKAGE).parent / "docs" / "policies.md").read_text()
    missing = [
        f"{kind.__name__}.{field.alias or name}"
        for kind in rows()
        for name, field in kind.model_fields.items()
        if f"`{field.alias or name}`" not in text
    ]
    assert missing == []
    assert all(f"`{key}`" in text for key in NOT_BUILT)
