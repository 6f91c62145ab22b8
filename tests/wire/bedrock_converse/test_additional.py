import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.wire.bedrock_converse.additional import (
    family,
    fixed_by,
    is_strict,
    keeps_cache,
    read_additional,
    version,
    write_additional,
)
from gateway.wire.ir import Ask, Effort
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import CLAUDE, NAME, NEW_CLAUDE, NOVA, Json, ask, js

GPT = "openai.gpt-oss-120b-1:0"
QWEN = "qwen.qwen3-32b-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
OPAQUE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/fm16bt65tzgx"
OLD_CLAUDE = "anthropic.claude-3-7-sonnet-20250219-v1:0"
FREE_CLAUDE = "anthropic.claude-fable-5"
UNASKED_CLAUDE = "anthropic.claude-opus-5"


def written(asked: Ask, model: str) -> tuple[Json, list[str]]:
    losses = Losses()
    return decode(encode(write_additional(asked, model, losses))), losses.names()


def thought(model: str, effort: Effort, **more: Json) -> tuple[Json, list[str]]:
    return written(ask(thinking=effort, **more), model)


def read(said: dict[str, object]) -> Ask:
    asked = ask(origin=NAME)
    read_additional(asked, {name: js(value) for name, value in said.items()})
    return asked


@pytest.mark.parametrize(
    ("model", "of"),
    [
        (CLAUDE, "claude"),
        ("anthropic.next", "claude"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-6", "claude"),
        (NOVA, "nova"),
        (GPT, "openai"),
        (QWEN, "qwen"),
        (LLAMA, "other"),
        ("mistral.mistral-large-2402-v1:0", "other"),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b", "other"),
        (OPAQUE, ""),
        ("my-model", ""),
    ],
)
def test_a_models_name_says_whose_words_it_takes(model: str, of: str) -> None:
    assert family(model) == of


@pytest.mark.parametrize(
    ("model", "number"),
    [
        (CLAUDE, (4, 5)),
        (NEW_CLAUDE, (4, 6)),
        (OLD_CLAUDE, (3, 7)),
        ("anthropic.claude-sonnet-4-20250514-v1:0", (4, 0)),
        (UNASKED_CLAUDE, (5, 0)),
        ("anthropic.claude-mythos-preview", (99, 0)),
    ],
)
def test_a_claudes_version_is_in_its_name(model: str, number: tuple[int, int]) -> None:
    assert version(model) == number


def test_who_takes_strict_tools_and_cache_points() -> None:
    assert [is_strict(model) for model in (CLAUDE, OLD_CLAUDE, NOVA, GPT, OPAQUE)] == [True, False, False, True, True]
    assert [keeps_cache(model) for model in (CLAUDE, NOVA, OPAQUE, GPT, LLAMA)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("said", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Effort(tokens=1024)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}},
            Effort(tokens=1024, shown=False),
        ),
        ({"thinking": {"type": "adaptive"}}, Effort()),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, Effort("high")),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, Effort(shown=True)),
        ({"thinking": {"type": "disabled"}}, Effort("none")),
    ],
)
def test_claudes_thinking_is_read_and_written(said: dict[str, object], effort: Effort) -> None:
    asked = read(said)
    assert (asked.thinking, asked.other) == (effort, {})
    assert written(asked, CLAUDE) == (said, [])
    assert written(asked, OPAQUE) == (said, [])


@pytest.mark.parametrize(
    ("said", "effort", "model"),
    [
        ({"reasoning_effort": "high"}, Effort("high"), GPT),
        ({"reasoning_config": "low"}, Effort("low"), QWEN),
        ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, Effort("low"), NOVA),
        ({"reasoningConfig": {"type": "disabled"}}, Effort("none"), NOVA),
    ],
)
def test_the_thinking_of_others_is_read_and_written(said: dict[str, object], effort: Effort, model: str) -> None:
    asked = read(said)
    assert (asked.thinking, asked.other) == (effort, {})
    assert written(asked, model) == (said, [])


@pytest.mark.parametrize(("said", "model"), [({"top_k": 20}, CLAUDE), ({"inferenceConfig": {"topK": 20}}, NOVA)])
def test_top_k_is_read_and_written(said: dict[str, object], model: str) -> None:
    asked = read(said)
    assert (asked.sampling, asked.other) == ({"top_k": Raw(b"20")}, {})
    assert written(asked, model) == (said, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anthropic_beta", ["context-1m-2025-08-07"]),
        ("top_k", "many"),
        ("thinking", {"type": "tomorrow"}),
        ("thinking", {"type": "enabled"}),
        ("thinking", {"type": "adaptive", "budget_tokens": 5}),
        ("thinking", {"type": "adaptive", "more": 1}),
        ("inferenceConfig", {"topK": 1, "more": 2}),
        ("reasoning_config", {"type": "enabled", "budget_tokens": 1024}),
        ("tool_choice", {"type": "auto"}),
    ],
)
def test_what_is_not_understood_is_kept_by_its_full_name(name: str, value: object) -> None:
    asked = read({name: value})
    assert (asked.thinking, asked.sampling) == (None, {})
    assert asked.other == {f"additionalModelRequestFields.{name}": js(value)}


@pytest.mark.parametrize(
    ("model", "effort", "said", "losses"),
    [
        (OLD_CLAUDE, Effort(tokens=2000), {"thinking": {"type": "enabled", "budget_tokens": 2000}}, []),
        (
            OLD_CLAUDE,
            Effort("low"),
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            ["thinking=mapped"],
        ),
        (NEW_CLAUDE, Effort("high"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, []),
        (NEW_CLAUDE, Effort(shown=True), {"thinking": {"type": "adaptive"}}, []),
        (CLAUDE, Effort("none"), {}, []),
        (CLAUDE, Effort(tokens=0), {}, []),
        (UNASKED_CLAUDE, Effort("none"), {"thinking": {"type": "disabled"}}, []),
        (FREE_CLAUDE, Effort("none"), {}, ["thinking=mapped"]),
        (GPT, Effort("xhigh"), {"reasoning_effort": "high"}, ["thinking=mapped"]),
        (GPT, Effort(tokens=1024), {"reasoning_effort": "low"}, ["thinking=mapped"]),
        (GPT, Effort(tokens=8000), {"reasoning_effort": "medium"}, ["thinking=mapped"]),
        (GPT, Effort(tokens=30000), {"reasoning_effort": "high"}, ["thinking=mapped"]),
        (GPT, Effort(shown=True), {"reasoning_effort": "medium"}, ["thinking=mapped"]),
        (GPT, Effort("none"), {}, ["thinking"]),
        (QWEN, Effort("medium"), {"reasoning_config": "high"}, ["thinking=mapped"]),
        (LLAMA, Effort("high"), {}, ["thinking"]),
        (OPAQUE, Effort("high"), {}, ["thinking"]),
        ("amazon.nova-lite-v1:0", Effort("high"), {}, ["thinking"]),
    ],
)
def test_what_others_ask_for_is_said_in_the_models_words(
    model: str, effort: Effort, said: dict[str, object], losses: list[str]
) -> None:
    assert thought(model, effort) == (said, losses)


def test_a_claude_that_must_call_a_tool_keeps_its_effort_alone() -> None:
    from gateway.wire.ir import ToolChoice

    said, losses = thought(NEW_CLAUDE, Effort("low"), choice=ToolChoice("required"))
    assert (said, losses) == ({"output_config": {"effort": "low"}}, ["thinking=mapped"])
    assert thought(OLD_CLAUDE, Effort("low"), choice=ToolChoice("required"))[0] == {}


def test_top_k_is_lost_where_nobody_knows_it() -> None:
    asked = ask(sampling={"top_k": Raw(b"5")})
    assert written(asked, LLAMA) == ({}, ["top_k"])
    assert written(asked, OPAQUE) == ({}, ["top_k"])


def test_a_claude_that_thinks_takes_no_top_k() -> None:
    asked = ask(sampling={"top_k": Raw(b"5")}, thinking=Effort(tokens=2000))
    said, losses = written(asked, CLAUDE)
    assert (said, losses) == ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, ["top_k"])
    assert fixed_by(asked, CLAUDE, said) == {"top_k"}
    assert fixed_by(asked, CLAUDE, {"thinking": {"type": "disabled"}}) == frozenset()
    assert fixed_by(ask(origin=NAME), CLAUDE, said) == frozenset()
    assert fixed_by(asked, CLAUDE, {}) == frozenset()


def test_the_newest_claude_takes_no_top_k() -> None:
    asked = ask(sampling={"top_k": Raw(b"5")})
    assert written(asked, "anthropic.claude-opus-4-7") == ({}, ["top_k"])
    assert written(asked, "anthropic.claude-sonnet-4-6") == ({"top_k": 5}, [])


def test_beta_flags_in_an_anthropic_body_go_to_claude_alone() -> None:
    flags = js(["context-1m-2025-08-07"])
    asked = ask(origin="anthropic_messages", other={"anthropic_beta": flags})
    assert written(asked, CLAUDE) == ({"anthropic_beta": ["context-1m-2025-08-07"]}, [])
    assert written(asked, NOVA) == ({}, ["anthropic_beta"])
