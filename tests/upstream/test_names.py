"""What a name means: one configured name, and of its targets those that were asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.findings import Findings
from gateway.settings.models import NamesFile
from gateway.settings.names import CHECKOUT, name_rules
from gateway.settings.shape import Backend, NameRule, Provider, Target
from gateway.settings.yaml import read_file
from gateway.upstream.names import Names, rewritten


def target(backend: str, model: str, provider: str = "") -> Target:
    row = Provider(name=provider or backend, speaks="openai_chat")
    return Target(Backend(name=backend, provider=row, base_urls=("http://127.0.0.1:1",)), model)


def shipped() -> tuple[NameRule, ...]:
    document, problems = read_file(CHECKOUT)
    assert document is not None
    findings = Findings()
    rules = name_rules(document, NamesFile.model_validate(document.value), findings)
    assert problems == findings.problems == []
    return rules


RULES = shipped()
MODELS = {
    "claude-sonnet-4-5": (target("anthropic", "claude-sonnet-4-5-20250929"),),
    "claude-opus-4-8": (target("anthropic", "claude-opus-4-8"), target("vertex", "claude-opus-4-8@default")),
    "gpt-4o": (target("eu", "gpt-4o-2024-08-06", "openai"), target("us", "gpt-4o-2024-08-06", "openai")),
    "gpt-4o-mini": (target("us", "gpt-4o-mini", "openai"),),
    "llama": (target("here", "meta-llama/Llama-3.1-8B-Instruct", "vllm"), target("groq", "llama-3.1-8b-instant")),
    "fast": (target("groq", "shared"), target("groq", "only-fast")),
    "cheap": (target("groq", "shared"),),
    "away": (),
    "or/*": (target("openrouter", "*"),),
    "any-*": (target("here", "one-for-all", "vllm"),),
    "mock/any": (target("dev-fra", "mock-model", "mock"),),
}
NAMES = Names(MODELS, RULES)


def meant(asked: str, names: Names = NAMES) -> tuple[str, list[str]]:
    """The name, and the backends of the targets; ("", []) where it means nothing."""
    found = names.find(asked)
    return (found.name, [one.backend.name for one in found.targets]) if found is not None else ("", [])


@pytest.mark.parametrize("name", [name for name in MODELS if "*" not in name])
def test_a_configured_name_is_itself_whole(name: str) -> None:
    found = NAMES.find(name)
    assert found is not None
    assert (found.name, found.targets) == (name, MODELS[name])


def test_globs_are_names_too_and_not_listed() -> None:
    assert meant("or/x-ai/grok:free") == ("or/x-ai/grok:free", ["openrouter"])
    found = NAMES.find("or/x-ai/grok:free")
    assert found is not None
    assert found.targets[0].model == "x-ai/grok:free"
    assert list(NAMES.exact) == [name for name in MODELS if "*" not in name]


@pytest.mark.parametrize(
    ("asked", "name", "backends"),
    [
        ("groq/llama-3.1-8b-instant", "llama", ["groq"]),
        ("vllm/meta-llama/Llama-3.1-8B-Instruct", "llama", ["here"]),
        ("here/meta-llama/Llama-3.1-8B-Instruct", "llama", ["here"]),
        ("openai/gpt-4o-2024-08-06", "gpt-4o", ["eu", "us"]),
        ("us/gpt-4o-2024-08-06", "gpt-4o", ["us"]),
        ("anthropic/claude-opus-4-8", "claude-opus-4-8", ["anthropic"]),
        ("groq/only-fast", "fast", ["groq"]),
    ],
)
def test_provider_and_model_leave_the_targets_that_were_named(asked: str, name: str, backends: list[str]) -> None:
    assert meant(asked) == (name, backends)


@pytest.mark.parametrize(
    ("asked", "name", "backends"),
    [
        ("llama-3.1-8b-instant", "llama", ["here", "groq"]),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama", ["here", "groq"]),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5", ["anthropic"]),
        ("claude-opus-4-8@default", "claude-opus-4-8", ["anthropic", "vertex"]),
    ],
)
def test_a_providers_own_id_is_the_one_name_that_has_it(asked: str, name: str, backends: list[str]) -> None:
    assert meant(asked) == (name, backends)


@pytest.mark.parametrize(
    "asked",
    [
        *("shared", "groq/shared"),  # two names have it
        *("nobody", "openai/nobody", "nobody/gpt-4o", "groq/", "/gpt-4o", "groq", ""),
        *("mock-model", "mock/mock-model", "dev-fra/mock-model", "mock/else"),  # stand-ins answer to their own names
        *("one-for-all", "vllm/one-for-all", "openrouter/x"),  # what only a glob serves
        *("GPT-4o", " gpt-4o", "gpt-4o ", "gpt-4o\n", "groq//llama-3.1-8b-instant"),
        "*",
    ],
)
def test_what_nothing_or_more_than_one_has_means_nothing(asked: str) -> None:
    assert meant(asked) == ("", [])


def test_a_name_that_reads_as_a_place_of_two_names_is_not_taken_for_an_own_id() -> None:
    names = Names({"a": (target("x", "y"),), "b": (target("x", "y"),), "c": (target("z", "x/y"),)})
    assert meant("x/y", names) == ("", [])


def test_a_backend_and_a_provider_of_one_name_are_one_place() -> None:
    names = Names({"a": (target("groq", "m"), target("groq", "m", "other"), target("else", "m", "groq"))})
    assert meant("groq/m", names) == ("a", ["groq", "groq", "else"])


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("claude-opus-4-8[1m]", "claude-opus-4-8"),
        ("claude-sonnet-4-5-20250929[1m]", "claude-sonnet-4-5"),
        ("anthropic/claude-opus-4-8[1m]", "claude-opus-4-8"),
        ("claude-opus-4-8-20260528", "claude-opus-4-8"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-opus-4-8@20260528", "claude-opus-4-8"),
        ("claude-sonnet-4-5@default", "claude-sonnet-4-5"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-latest", "gpt-4o"),
        ("llama:latest", "llama"),
        ("models/gpt-4o", "gpt-4o"),
        ("or/x[1m]", "or/x"),
    ],
)
def test_what_says_when_or_how_a_model_is_asked_for_is_taken_off(asked: str, name: str) -> None:
    assert meant(asked)[0] == name


@pytest.mark.parametrize(
    "asked",
    [
        *("gpt-4o-audio-preview", "gpt-4o-mini-tts", "gpt-4", "gpt-4o-pro", "claude-opus-4", "claude-opus-4-80"),
        *("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu.anthropic.claude-opus-4-8"),  # a geography is meant
        *("gpt-4o-20241", "gpt-4o-1024", "gpt-4o-19991231", "gpt-4o-2024-8-6", "gpt-4o-2024-08-06-x"),
        *("gpt-4o[2m]", "[1m]", "-20250929", "gpt-4o[1m]x", "gpt-4o[1m][1m]"),
        *("gpt-4o-٢٠٢٥٠٩٢٩", "gpt-4o-2024-11-20-2024-11-20"),
    ],
)
def test_what_tells_one_model_from_another_stays(asked: str) -> None:
    assert meant(asked) == ("", [])


def test_rules_are_for_names_that_nothing_has() -> None:
    models = {
        "m": (target("a", "x"),),
        "m-latest": (target("b", "y"),),
        "n": (target("a", "m-20250101"),),
        "g-*": (target("c", "*"),),
        "g": (target("d", "z"),),
    }
    names = Names(models, RULES)
    assert meant("m-latest", names) == ("m-latest", ["b"])
    assert meant("m-20250101", names) == ("n", ["a"])
    assert meant("g-20250101", names) == ("g-20250101", ["c"])


def test_without_rules_a_name_is_only_what_it_says() -> None:
    assert meant("gpt-4o-latest", Names(MODELS)) == ("", [])


def test_each_rule_goes_on_from_what_the_one_before_made() -> None:
    rules = (NameRule(ends="-b"), NameRule(starts="x-"), NameRule(ends="-a"))
    names = Names({"m": (target("a", "y"),)}, rules)
    assert [meant(asked, names)[0] for asked in ("x-m-a-b", "m-b", "x-m", "m-b-a", "m-a-b-a")] == [
        "m",
        "m",
        "m",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("rule", "name", "after"),
    [
        (NameRule(ends="@20######", becomes="-20######"), "m@20250929", "m-20250929"),
        (NameRule(ends="-####-##", becomes="-##"), "m-2024-08", "m-20"),
        (NameRule(starts="v#."), "v3.m", "m"),
        (NameRule(starts="a", becomes="b"), "a", "b"),
        (NameRule(ends="-x"), "-x", ""),
        (NameRule(ends="-##"), "-1", "-1"),
        (NameRule(starts="ab"), "a", "a"),
        (NameRule(ends="[1m]"), "m[1m", "m[1m"),
    ],
)
def test_a_rule_rewrites_one_end(rule: NameRule, name: str, after: str) -> None:
    assert rewritten(name, rule) == after


@given(st.text(alphabet="glm4-20o@[1]:.v/*", max_size=40))
def test_whatever_is_asked_for_a_name_gives_its_own_targets_or_fewer(asked: str) -> None:
    found = NAMES.find(asked)
    if found is not None and found.name in MODELS:
        assert set(map(id, found.targets)) <= set(map(id, MODELS[found.name]))
    elif found is not None:
        assert found.name.startswith(("or/", "any-"))


@given(st.text(max_size=300), st.sampled_from(RULES))
def test_a_rule_changes_no_more_than_its_part(name: str, rule: NameRule) -> None:
    after = rewritten(name, rule)
    assert len(name) - len(after) in {0, len(rule.starts or rule.ends) - len(rule.becomes)}
    assert rewritten(name, rule) == after
