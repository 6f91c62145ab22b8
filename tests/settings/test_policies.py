from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.channel import Configure, Unframer, frame
from gateway.routing.policy import (
    OBJECTIVES,
    Choice,
    Fallback,
    Hedge,
    Hours,
    Match,
    Patience,
    Policy,
    Prefer,
    Require,
    Retry,
    Slo,
    Split,
    Sticky,
    Stop,
)
from gateway.settings.options import ServeOptions
from gateway.settings.policies import policy, written
from gateway.settings.policy_rows import PolicyFile
from gateway.settings.shape import Settings
from gateway.settings.yaml import Value
from tests.settings.conftest import HASH, Tree
from tests.settings.test_policy_rows import CONTRACT, rows

FLEET = """\
state: memory
callers: callers.yaml
pops: places.yaml
policies: ["p/*.yaml"]
private_networks: [10.0.0.0/8]
backends:
  fra: {provider: vllm, base_url: 'http://10.0.0.1:8000', country: DE, region: eu-central, tier: edge}
  iad: {provider: vllm, base_url: 'http://10.0.0.2:8000', country: US, region: us-east}
models:
  llama-3.1-8b: [{backend: fra, model: llama}, {backend: iad, model: llama}]
  "openai/*": [{backend: iad, model: "*"}]
"""
PLACES = "fra: {url: 'https://f.example', region: eu-central, country: DE, location: [50, 8]}\n"


def put(tree: Tree, **files: str) -> None:
    tree.write("places.yaml", PLACES)
    for name, text in files.items():
        tree.write(f"p/{name}.yaml", text)


def said(tree: Tree, options: ServeOptions | None = None, **files: str) -> list[str]:
    put(tree, **files)
    return tree.said(FLEET, options=options)


def read(tree: Tree, **files: str) -> Settings:
    put(tree, **files)
    return tree.settings(FLEET)


def made(value: Value) -> Policy:
    return policy("p", PolicyFile.model_validate(value))


# --- rows as structs --------------------------------------------------------------------------------------------------


def test_the_contracts_own_policy_becomes_routings_word_for_word() -> None:
    found = made(CONTRACT)
    assert found.match == Match(
        models=("llama-*",),
        keys=("web",),
        teams=("clinic",),
        operations=("chat", "embeddings"),
        countries=("DE",),
        pops=("fra",),
        tags={"data": ("personal",)},
        headers={"x-department": ("a", "b")},
        hours=Hours(22 * 60, 6 * 60, "Europe/Berlin", frozenset({0, 4})),
    )
    assert found.require is not None
    assert found.require.jurisdictions is not None
    assert {"DE", "FR"} < found.require.jurisdictions
    assert found.require == Require(
        jurisdictions=found.require.jurisdictions,
        retention_days=0,
        no_training=True,
        providers=Choice(never=frozenset({"deepseek"})),
        backends=Choice(only=frozenset({"fra"})),
        hardware=frozenset({"gpu", "asic"}),
        quantization=frozenset({"bf16", "fp8"}),
        capabilities=frozenset({"tools"}),
        usd_per_request=0.05,
    )
    assert found.prefer == Prefer(200_000.0, 0.0, frozenset({"eu"}))
    assert found.slo == Slo(300.0, 50.0, "p95", "fastest")
    assert (found.tiers, found.overflow, found.priority) == (("edge", "self_hosted", "external"), 0.85, "normal")
    assert found.queue_s == 2.0
    assert found.split == (
        Split("canary", "vllm-fra-2", 5.0, stop=Stop(1.5, 1.3, 200)),
        Split("shadow", "vllm-new", 1.0, copy=True),
    )
    assert (found.affinity, found.complexity) == (Sticky("prefix", 3600.0), {"simple": "llama-3.2-1b"})
    assert (found.strict, found.resume) == (False, False)
    assert found.timeouts == Patience(1.0, 30.0, 30.0, 590.0)
    assert (found.retry, found.hedge) == (Retry(3, 0.1), Hedge(at="p95", budget=0.02))
    causes = {"unavailable", "rate_limited", "context_length", "content_policy", "budget", "deadline"}
    assert found.fallback == Fallback(("claude-haiku-4-5",), frozenset(causes))


def test_an_empty_file_is_a_policy_that_says_nothing() -> None:
    assert made({}) == Policy("p")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"objective": "carbon"}, OBJECTIVES["carbon"]),
        ({"trade": {"ms_per_usd": 5}}, Prefer(5.0, 0.0)),
        ({"trade": {"ms_per_gram": 7}}, Prefer(0.0, 7.0)),
        ({"regions": ["a"]}, Prefer(regions=frozenset({"a"}))),
    ],
)
def test_an_objective_is_a_name_for_a_trade(value: Value, found: Prefer) -> None:
    assert made({"prefer": value}).prefer == found


@pytest.mark.parametrize(
    ("value", "found"),
    [("p99", Hedge(at="p99")), ("150ms", Hedge(after_ms=150.0)), ("p95", Hedge(at="p95"))],
)
def test_a_second_attempt_comes_after_a_time_or_a_quantile(value: Value, found: Hedge) -> None:
    assert made({"hedge": {"after": value}}).hedge == found


def test_words_with_two_values_are_switches() -> None:
    assert made({"fidelity": "strict", "resume": "prefill"}) == Policy("p", strict=True, resume=True)
    assert made({"split": [{"name": "s", "to": {"backend": "b"}, "percent": 1, "by": "request"}]}).split == (
        Split("s", "b", 1.0, by_session=False),
    )
    assert made({"slo": {"tpot": "50ms"}}).slo == Slo(None, 50.0)
    assert made({"require": {"retention": "30d"}}).require == Require(retention_days=30)


def test_policies_reach_a_worker_as_they_were_read(tree: Tree) -> None:
    found = read(tree, a="require: {jurisdictions: [EU]}\nsplit: [{name: s, to: {backend: fra}, percent: 5}]\n")
    (message,) = Unframer().feed(frame(Configure(found)))
    assert isinstance(message, Configure)
    assert message.settings.policies == found.policies


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_policy_is_called_what_it_says_or_what_its_file_is_called(tree: Tree) -> None:
    found = read(tree, a="name: alpha\nretry: {attempts: 2}\n", b="require: {training: no}\n")
    assert [one.name for one in found.policies] == ["alpha", "b"]


WRONG = [
    ("nam: x\n", "p/a.yaml:1: nam: is not a key here; did you mean name?"),
    ("match: {modls: [llama-3.1-8b]}\n", "p/a.yaml:1: match.modls: is not a key here; did you mean models?"),
    ("match: {models: []}\n", "p/a.yaml:1: match.models: is empty; write at least one, or remove the key"),
    ("match: {}\n", "p/a.yaml:1: match: is empty; write a key into it, or remove it"),
    ("require:\n  providers: {}\n", None),
    ("match: {models: [llama-3.1-9b]}\n", "match.models[0]: llama-3.1-9b isn't a model; did you mean llama-3.1-8b?"),
    ("match: {keys: [wab]}\n", "match.keys[0]: wab isn't a key; did you mean web?"),
    ("match: {teams: [clinics]}\n", "match.teams[0]: clinics isn't a team; did you mean clinic?"),
    ("match: {pops: [fro]}\n", "match.pops[0]: fro isn't a POP; did you mean fra?"),
    ("match: {countries: [UK]}\n", "match.countries[0]: UK isn't an ISO 3166-1 code; write GB (United Kingdom)"),
    ("match: {countries: [EU]}\n", "match.countries[0]: EU is a group of countries; name the one country, such as DE"),
    ("match: {operations: [chats]}\n", None),
    (
        "match: {headers: {authorization: x}}\n",
        "match.headers.authorization: holds a key, which has no place in a file; match on keys or teams",
    ),
    ("match: {hours: {from: 22:00, to: '06:00'}}\n", None),
    (
        "match: {hours: {from: '22:00', to: '22:00'}}\n",
        "match.hours: begins when it ends; leave hours out for the whole day",
    ),
    (
        "match: {hours: {from: '22:00', to: '06:00', zone: Europe/Berlim}}\n",
        "match.hours.zone: isn't a time zone; did you mean Europe/Berlin?",
    ),
    (
        "match: {hours: {from: '22:00', to: '06:00', zone: Nowhere}}\n",
        "match.hours.zone: isn't a time zone; write one such as Europe/Berlin, or UTC",
    ),
    ("require: {jurisdictions: [UK]}\n", None),
    ("require: {training: false}\n", "require.training: must be one of no, not true or false; write the word"),
    ("require: {retention: unknown}\n", None),
    (
        "require: {providers: {not: [depseek]}}\n",
        "require.providers.not[0]: depseek isn't a provider; did you mean deepseek?",
    ),
    ("require: {backends: {only: [fro]}}\n", "require.backends.only[0]: fro isn't a backend; did you mean fra?"),
    ("prefer: {regions: [eu-centrall]}\n", "prefer.regions[0]: eu-centrall isn't a region; did you mean eu-central?"),
    ("prefer: {objective: cost, trade: {ms_per_usd: 1}}\n", "prefer.trade: beside an objective; keep one of them"),
    ("slo: {at: p95}\n", "slo: promises nothing; add ttft or tpot"),
    ("tiers: [egde]\n", "tiers[0]: egde isn't a tier; did you mean edge?"),
    ("tiers: [edge, external, edge]\n", "tiers[2]: edge stands there already; remove it"),
    ("overflow: 0\n", None),
    (
        "split: [{name: s, to: {backend: frb}, percent: 5}]\n",
        "split[0].to.backend: frb isn't a backend; did you mean fra?",
    ),
    (
        "split: [{name: s, to: {backend: fra}, percent: 60}, {name: t, to: {backend: iad}, percent: 50}]\n",
        "split: gives away 110 percent; let it be 100 at most",
    ),
    (
        "split: [{name: s, to: {backend: fra}, percent: 5, stop: {after: 9}}]\n",
        "split[0].stop: stops at nothing; add errors: 1.5x or ttft_p95: 1.5x",
    ),
    ("split: [{name: s, to: {backend: fra}, percent: 5, stop: {errors: 1.5}}]\n", None),
    (
        "complexity: {simple: 'llama-*'}\n",
        "complexity.simple: llama-* is a glob; write one model's name",
    ),
    ("complexity: {hard: llama-3.1-8b}\n", None),
    ("fallback: {models: [gpt]}\n", None),
    ("hedge: {after: 150}\n", "hedge.after: 150 has no unit; a duration carries one: write 150s"),
    ("hedge: {budget: 0.1}\n", "hedge.after: is missing; add it"),
    ("spend: {usd_per_day: 50}\n", "p/a.yaml:1: spend: is not built yet; leave it out until it is"),
    ("limits: {per: key}\n", "limits: is not built yet; leave it out until it is"),
    ("cache: {exact: 1h}\n", "cache: is not built yet; leave it out until it is"),
    (
        "examples: [{when: {model: x, spent: {usd_per_day: 1}}, then: {first: fra}}]\n",
        "examples[0].when.spent: is not built yet; leave it out until it is",
    ),
    ("examples: [{when: {model: x}, then: {}}]\n", "examples[0].then: is empty; write a key into it, or remove it"),
    ("examples: [3]\n", None),
    ("examples: [{when: {}, then: {first: fra}}]\n", "examples[0].when.model: is missing; add it"),
    ("examples: {a: 1}\n", None),
    ("[]\n", "p/a.yaml:1: file: must be a mapping, not a list"),
    ("rank: 1001\n", None),
]


@pytest.mark.parametrize(("text", "line"), WRONG, ids=[text.strip() for text, _ in WRONG])
def test_each_slip_is_one_line_with_its_mend(tree: Tree, text: str, line: str | None) -> None:
    (found,) = said(tree, a=text)
    assert found.startswith("p/a.yaml:")
    if line is not None:
        assert found.endswith(line)


def test_slips_of_all_policies_come_together(tree: Tree) -> None:
    found = said(tree, a="match: {teams: [x]}\nretry: {attempts: 0}\n", b="spend: {}\noverflow: 0\n")
    assert [line.split(": ")[0] for line in found] == ["p/a.yaml:1", "p/a.yaml:2", "p/b.yaml:1", "p/b.yaml:2"]


def test_two_policies_of_one_name_are_one_too_many(tree: Tree) -> None:
    found = said(tree, a="name: x\nretry: {attempts: 1}\n", b="name: x\nretry: {attempts: 2}\n")
    assert found == [
        f"p/b.yaml:1: name: x is the name of {tree.root}/p/a.yaml too; give each its own".replace(f"{tree.root}/", "")
    ]


def test_a_file_whose_name_is_no_name_must_say_one(tree: Tree) -> None:
    tree.write("p/a b.yaml", "retry: {attempts: 1}\n")
    assert said(tree) == ["p/a b.yaml:1: name: is missing, and the file's isn't a name; add name: …"]


def test_two_splits_of_one_name_could_not_be_told_apart(tree: Tree) -> None:
    text = "match: {{teams: [clinic]}}\nrank: {}\nsplit: [{{name: s, to: {{backend: fra}}, percent: 5}}]\n"
    assert said(tree, a=text.format(1), b=text.format(2)) == [
        "p/b.yaml:3: split[0].name: s is a split of p/a.yaml too; give each its own"
    ]


def test_a_tie_names_both_and_the_way_out(tree: Tree) -> None:
    a, b = "tiers: [edge]\nfidelity: strict\n", "tiers: [external]\nfidelity: best\nqueue: {wait: 1s}\n"
    assert said(tree, a=a, b=b) == [
        (
            "p/b.yaml:1: rank: b and a (p/a.yaml) can match one request, "
            "and nothing says whose tiers, fidelity counts; add rank: 1 to the one that counts, or narrow its match"
        )
    ]
    assert [one.rank for one in read(tree, a=a, b="rank: 1\n" + b).policies] == [0, 1]


def test_every_tie_is_said(tree: Tree) -> None:
    found = said(tree, a="tiers: [edge]\n", b="tiers: [edge]\n", c="tiers: [edge]\n")
    assert [line.partition(":")[0] for line in found] == ["p/b.yaml", "p/c.yaml", "p/c.yaml"]


def test_policies_that_only_require_never_tie(tree: Tree) -> None:
    read(tree, a="require: {training: no}\n", b="require: {retention: none}\n")


def test_a_wrong_policy_is_not_said_to_tie(tree: Tree) -> None:
    assert len(said(tree, a="match: {teams: [x]}\ntiers: [edge]\n", b="tiers: [edge]\n")) == 1


def test_names_that_a_configured_glob_serves_are_models(tree: Tree) -> None:
    read(tree, a="match: {models: [openai/o5]}\nfallback: {models: [openai/o4]}\n")


def test_a_glob_that_matches_nothing_here_is_noted(tree: Tree) -> None:
    put(tree, a="match: {models: ['lama-*', 'llama-*', 'openai/gpt-*']}\nretry: {attempts: 1}\n")
    assert [str(note).replace(f"{tree.root}/", "") for note in tree.reading(FLEET).notes] == [
        "p/a.yaml:1: match.models[0]: lama-* matches no model here"
    ]


def test_complexity_of_a_policy_that_names_no_model_is_noted(tree: Tree) -> None:
    put(
        tree,
        a="match: {keys: [web]}\ncomplexity: {simple: llama-3.1-8b}\n",
        b="match: {models: [llama-3.1-8b]}\ncomplexity: {simple: llama-3.1-8b}\n",
        c="rank: 1\ncomplexity: {simple: llama-3.1-8b}\n",
    )
    reading = tree.reading(FLEET)
    assert reading.problems == []
    what = "is for no name, since match has no models: it holds for keys with may: {complexity: true} only"
    assert [str(note).replace(f"{tree.root}/", "") for note in reading.notes] == [
        f"p/a.yaml:2: complexity: {what}; add models to match",
        f"p/c.yaml:2: complexity: {what}; add models to match",
    ]


def test_under_dev_the_names_it_brings_are_known(tree: Tree) -> None:
    text = "match: {models: [mock/frankfurt, ollama/x], keys: [dev], teams: [dev]}\nretry: {attempts: 1}\n"
    assert said(tree, ServeOptions(dev=True), a=text) == []
    assert len(said(tree, a=text)) == 4
    assert said(tree, ServeOptions(dev=True), a="match: {models: [lama]}\nretry: {attempts: 1}\n") != []


def test_names_of_rows_that_are_themselves_wrong_are_known(tree: Tree) -> None:
    put(tree, a="match: {keys: [bad]}\nsplit: [{name: s, to: {backend: odd}, percent: 5}]\n")
    tree.write("callers.yaml", f'teams: {{clinic: {{}}}}\nkeys: {{web: {{team: clinic, hash: "{HASH}"}}, bad: {{}}}}\n')
    found = tree.said(FLEET.replace("models:\n", "  odd: {provider: nobody}\nmodels:\n"))
    assert not any(Path(line.partition(":")[0]).parent.name == "p" for line in found)


def test_a_policys_examples_are_kept_for_check_and_are_no_setting(tree: Tree) -> None:
    put(tree, a="name: x\nretry: {attempts: 1}\nexamples: [{when: {model: m}, then: {first: nobody}}]\n")
    reading = tree.reading(FLEET)
    assert reading.problems == []
    (proof,) = reading.proofs
    assert (proof.policy, len(proof.examples)) == ("x", 1)


def test_keys_are_called_as_the_file_has_them() -> None:
    assert [written(key) for key in ("queue_s", "strict", "tiers")] == ["queue", "fidelity", "tiers"]


words = st.sampled_from(
    sorted(
        {field.alias or name for kind in rows() for name, field in kind.model_fields.items()}
        | {"spend", "spent", "fra", "a", "llama-*", "chat", "p95", "simple"}
    )
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 200)
    | st.floats(-1, 200)
    | words
    | st.sampled_from(["10s", "EU", "NO", "22:00", "1.5x", "${X}", "Europe/Berlin", "llama-3.1-8b", "none", "no"])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.dictionaries(words, values, max_size=6), other=values)
def test_no_policy_whatsoever_breaks_the_reader(tree: Tree, one: dict[str, Value], other: Value) -> None:
    put(tree, a=yaml.safe_dump(one, allow_unicode=False), b=yaml.safe_dump(other, allow_unicode=False))
    reading = tree.reading(FLEET)
    assert (reading.settings is None) is bool(reading.problems)
    assert all(problem.line >= 1 and problem.what for problem in reading.problems)
