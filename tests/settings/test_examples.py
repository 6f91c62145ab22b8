import pytest

from gateway.settings.check import check
from tests.settings.conftest import HASH, Tree

FLEET = """\
state: memory
callers: callers.yaml
policies: ["p/*.yaml"]
pop: fra
private_networks: [10.0.0.0/8]
backends:
  fra-1:
    {provider: vllm, base_url: 'http://10.0.0.1:8000', country: DE, region: eu, location: [50, 8],
     slots: 10, tier: edge}
  fra-2: {provider: vllm, base_url: 'http://10.0.0.2:8000', country: DE, region: eu, location: [50, 8], tier: edge}
  iad-1: {provider: vllm, base_url: 'http://10.0.0.3:8000', country: US, region: us, location: [39, -77], slots: 10}
  lost: {provider: vllm, base_url: 'http://10.0.0.4:8000'}
models:
  llama: [{backend: fra-1, model: l}, {backend: iad-1, model: l}]
  twins: [{backend: fra-1, model: l}, {backend: fra-2, model: l}]
  pair: [{backend: fra-2, model: l, order: 1}, {backend: fra-1, model: l}]
  small: [{backend: iad-1, model: s, context_window: 2000}]
  mixed: [{backend: iad-1, model: x}, {backend: lost, model: x}]
  "any/*": [{backend: iad-1, model: "*"}]
  "chat-*": [{backend: fra-1, model: l}]
"""
POPS = """\
fra: {url: "https://f.example", region: eu, country: DE, location: [50, 8]}
iad: {url: "https://i.example", region: us, country: US, location: [39, -77]}
"""
CALLERS = f"""\
teams: {{clinic: {{tags: {{data: personal}}, models: ["llama", "t*"]}}, strict: {{jurisdictions: [EU]}}, open: {{}}}}
keys:
  web: {{team: clinic, hash: "{HASH}"}}
  lab: {{team: strict, hash: "{"cd" * 32}"}}
  free: {{team: open, hash: "{"ef" * 32}", may: {{complexity: true}}}}
"""
HARMLESS = "retry: {attempts: 3}\n"


def said(tree: Tree, when: str, then: str, policy: str = HARMLESS, fleet: str = FLEET) -> list[str]:
    """What is said of one example of one policy, without the policy's file."""
    tree.write("pops.yaml", POPS)
    tree.write("callers.yaml", CALLERS)
    tree.write("p/p.yaml", f"{policy}examples: [{{when: {{{when}}}, then: {{{then}}}}}]\n")
    lines, code = check(str(tree.write("gateway.yaml", fleet)), environment={})
    wrong = [line.partition(": ")[2] for line in lines if "/p/p.yaml:" in line and not line.startswith("note")]
    assert code == bool(wrong), lines
    return wrong


EU = "require: {jurisdictions: [EU]}\n"
FAST = "prefer: {objective: latency}\n"
SMALL = "match: {models: [llama, 'any/*', 'chat-*']}\ncomplexity: {simple: small}\n"


@pytest.mark.parametrize(
    ("when", "then", "policy"),
    [
        ("model: llama", "first: fra-1", FAST),
        ("model: llama", "order: [fra-1, iad-1]", FAST),
        ("model: pair", "order: [fra-1, fra-2]", FAST),
        ("model: twins", "first: [fra-1, fra-2]", FAST),
        ("model: any/thing", "order: [iad-1]", FAST),
        ("model: llama, down: [fra-1]", "order: [iad-1]", FAST),
        ("model: llama, load: {fra-1: 5}", "first: iad-1", FAST),
        ("model: twins, load: {fra-2: 0.5}", "first: [fra-1, fra-2]", FAST),
        ("model: llama", "order: [fra-1], only_in: [EU, US], never: {backends: [iad-1], regions: [us]}", EU),
        ("model: llama, pop: iad", "refused: residency_violation", EU),
        ("model: small", "refused: residency_violation", EU),
        ("model: llama, down: [fra-1]", "refused: unavailable", EU),
        ("model: small, tokens: {in: 1900, out: 200}", "refused: context", FAST),
        ("model: small, tokens: {in: 100, out: 200}", "first: iad-1", FAST),
        ("model: llama, key: lab", "order: [fra-1]", FAST),
        ("model: small, key: web", "refused: model_not_allowed", FAST),
        ("model: llama, pop: iad", "first: iad-1", FAST),
        ("model: llama", "model: llama", SMALL),
        ("model: llama, complexity: complex", "model: llama", SMALL),
        ("model: llama, complexity: simple", "model: small, first: iad-1", SMALL),
        ("model: any/thing, complexity: simple", "model: any/thing", SMALL),
        ("model: chat-fast, complexity: simple", "model: small", SMALL),
        ("model: any/thing, key: free, complexity: simple", "model: small", SMALL),
        ("model: pair, complexity: simple", "model: pair", "complexity: {simple: small}\n"),
        ("model: pair, key: free, complexity: simple", "model: small", "complexity: {simple: small}\n"),
        ("model: llama", "first: fra-1", f"{FAST}split: [{{name: s, to: {{backend: iad-1}}, percent: 30}}]\n"),
        ("model: llama", "first: iad-1", f"{FAST}split: [{{name: s, to: {{backend: iad-1}}, percent: 100}}]\n"),
    ],
)
def test_an_example_that_holds_is_said_nothing_of(tree: Tree, when: str, then: str, policy: str) -> None:
    assert said(tree, when, then, policy) == []


@pytest.mark.parametrize(
    ("when", "then", "policy", "line"),
    [
        (
            "model: llama",
            "first: iad-1",
            FAST,
            "examples[0].then.first: fra-1 came first, not iad-1; policies: p; mend the policy, or the example",
        ),
        (
            "model: llama, down: [fra-1]",
            "order: [fra-1, iad-1]",
            FAST,
            (
                "examples[0].then.order: came out as iad-1; out: fra-1 (down); policies: p; "
                "mend the policy, or the example"
            ),
        ),
        (
            "model: llama",
            "only_in: [EU]",
            FAST,
            "examples[0].then.only_in: may go to iad-1 (US); policies: p; mend the policy, or the example",
        ),
        (
            "model: mixed",
            "only_in: [US]",
            FAST,
            (
                "examples[0].then.only_in: may go to lost (nobody knows where it is); policies: p; "
                "mend the policy, or the example"
            ),
        ),
        (
            "model: llama",
            "never: {backends: [iad-1], regions: [eu], providers: [vllm]}",
            FAST,
            None,
        ),
        (
            "model: llama",
            "refused: full",
            FAST,
            (
                "examples[0].then.refused: came out as fra-1, iad-1, not refused: full; policies: p; "
                "mend the policy, or the example"
            ),
        ),
        (
            "model: llama, down: [fra-1]",
            "only_in: [EU]",
            EU,
            (
                "examples[0].then: refused: unavailable; out: iad-1 (residency), fra-1 (down); policies: p; "
                "mend the policy, or the example"
            ),
        ),
        (
            "model: llama, down: [fra-1]",
            "refused: full",
            EU,
            (
                "examples[0].then.refused: refused: unavailable, not refused: full; "
                "out: iad-1 (residency), fra-1 (down); policies: p; mend the policy, or the example"
            ),
        ),
        (
            "model: llama, pop: iad",
            "first: fra-1",
            EU,
            (
                "examples[0].then: refused: residency_violation; the POP iad is in US; policies: p; "
                "mend the policy, or the example"
            ),
        ),
        (
            "model: small, key: web",
            "first: iad-1",
            "match: {countries: [DE]}\ntiers: [edge]\n",
            (
                "examples[0].then: refused: model_not_allowed; the team of web may call llama, t*; policies: none; "
                "mend the policy, or the example"
            ),
        ),
        (
            "model: llama",
            "model: small",
            FAST,
            "examples[0].then.model: llama is served, not small; policies: p; mend the policy, or the example",
        ),
    ],
)
def test_an_example_that_fails_says_what_came_out_and_why(
    tree: Tree, when: str, then: str, policy: str, line: str | None
) -> None:
    found = said(tree, when, then, policy)
    if line is not None:
        assert found == [line]
    assert found != []


def test_each_promise_that_is_not_kept_is_said(tree: Tree) -> None:
    found = said(tree, "model: llama", "first: iad-1, order: [iad-1], only_in: [US], never: {regions: [eu]}", FAST)
    assert [line.split(": ")[0] for line in found] == [
        f"examples[0].then.{key}" for key in ("first", "order", "only_in", "never.regions")
    ]


def test_what_chance_decides_is_never_proven(tree: Tree) -> None:
    (line,) = said(tree, "model: twins", "first: fra-1", FAST)
    assert " came first in " in line
    assert " of 64 draws, not fra-1" in line


def test_a_split_stays_within_what_is_promised_of_places(tree: Tree) -> None:
    text = f"{FAST}split: [{{name: s, to: {{backend: iad-1}}, percent: 30, copy: true}}]\n"
    (line,) = said(tree, "model: llama", "only_in: [EU]", text)
    assert line.startswith("examples[0].then.only_in: may go to iad-1 (US)")


def test_a_pop_that_nobody_knows_is_no_place_for_what_must_stay_somewhere(tree: Tree) -> None:
    fleet = FLEET.replace("pop: fra\n", "")
    (line,) = said(tree, "model: llama", "first: fra-1", EU, fleet)
    assert "refused: residency_violation; nobody knows where this POP is" in line


# --- who asks, and when -----------------------------------------------------------------------------------------------

ONLY_US = "require: {backends: {only: [iad-1]}}\n"


@pytest.mark.parametrize(
    ("match", "when"),
    [
        ("tags: {data: personal}", "key: web"),
        ("tags: {app: [x, y]}", "tags: {app: y}"),
        ("tags: {data: personal, app: x}", "key: web, tags: {app: x, data: personal}"),
        ("headers: {x-department: a}", "headers: {x-department: a}"),
        ("keys: [web]", "key: web"),
        ("teams: [clinic]", "key: web"),
        ("teams: [clinic]", "team: clinic"),
        ("countries: [DE]", "country: DE"),
        ("countries: [DE]", ""),
        ("operations: [embeddings]", "operation: embeddings"),
        ("pops: [iad]", "pop: iad"),
        ("models: ['ll*']", ""),
        ("hours: {from: '22:00', to: '06:00', zone: Europe/Berlin}", "at: '2026-11-21T21:30Z'"),
        ("hours: {from: '22:00', to: '06:00', days: [sat]}", "at: '2026-11-22T05:59Z'"),
        ("hours: {from: '12:00', to: '12:01', days: [wed]}", ""),
    ],
)
def test_a_policy_is_heard_for_whom_it_is_meant(tree: Tree, match: str, when: str) -> None:
    policy = f"match: {{{match}}}\n{ONLY_US}"
    assert said(tree, f"model: llama, {when}".removesuffix(", "), "order: [iad-1]", policy) == []


@pytest.mark.parametrize(
    ("match", "when"),
    [
        ("tags: {data: personal}", "key: lab"),
        ("tags: {data: personal}", "tags: {data: public}"),
        ("headers: {x-department: a}", "headers: {x-department: b}"),
        ("keys: [web]", "team: clinic"),
        ("countries: [DE]", "country: FR"),
        ("operations: [embeddings]", ""),
        ("hours: {from: '22:00', to: '06:00', days: [sat]}", "at: '2026-11-21T05:59Z'"),
        ("hours: {from: '12:00', to: '12:01', days: [tue]}", ""),
    ],
)
def test_a_policy_is_not_heard_for_others(tree: Tree, match: str, when: str) -> None:
    policy = f"match: {{{match}}}\n{ONLY_US}"
    assert said(tree, f"model: llama, {when}".removesuffix(", "), "first: fra-1", policy) == []


def test_what_the_other_models_policies_protect_holds_where_it_takes_a_requests_place(tree: Tree) -> None:
    tree.write("p/q.yaml", "match: {models: [small]}\nrequire: {training: no}\n")
    policy = "match: {models: [llama]}\ncomplexity: {simple: small}\n"
    (line,) = said(tree, "model: llama, complexity: simple", "first: iad-1", policy)
    assert "refused: not_allowed; out: iad-1 (training)" in line


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "then", "line"),
    [
        ("model: lama", "first: fra-1", "when.model: lama isn't a model of this configuration; did you mean llama?"),
        ("model: llama", "model: lama", "then.model: lama isn't a model of this configuration; did you mean llama?"),
        (
            "model: llama",
            "first: fra-9",
            "then.first: fra-9 isn't a backend of this configuration; did you mean fra-2?",
        ),
        ("model: llama", "order: [fra-1, fro]", "then.order: fro isn't a backend of this configuration; known: fra-1"),
        ("model: llama, down: [oslo]", "first: fra-1", "when.down: oslo isn't a backend of this configuration; known:"),
        ("model: llama, load: {oslo: 1}", "first: fra-1", "when.load: oslo isn't a backend of this configuration"),
        (
            "model: llama, key: wab",
            "first: fra-1",
            "when.key: wab isn't a key of this configuration; did you mean web?",
        ),
        ("model: llama, team: x", "first: fra-1", "when.team: x isn't a team of this configuration; known: clinic, "),
        (
            "model: llama, pop: fro",
            "first: fra-1",
            "when.pop: fro isn't a POP of this configuration; did you mean fra?",
        ),
        ("model: llama", "never: {regions: [asia]}", "then.never.regions: asia isn't a region of this configuration"),
        (
            "model: llama",
            "never: {providers: [depseek]}",
            "then.never.providers: depseek isn't a provider of this configuration; did you mean deepseek?",
        ),
        (
            "model: llama",
            "refused: residency",
            "then.refused: residency isn't a refusal of this configuration; did you mean residency_violation?",
        ),
        (
            "model: llama, key: web, tags: {data: public}",
            "first: fra-1",
            ("when.tags.data: is personal for every request of web; a tag can be added, and never changed"),
        ),
    ],
)
def test_a_name_nobody_has_is_said_with_the_likely_one(tree: Tree, when: str, then: str, line: str) -> None:
    (found,) = said(tree, when, then)
    assert found.startswith(f"examples[0].{line}")


def test_every_unknown_name_is_said(tree: Tree) -> None:
    assert len(said(tree, "model: lama, down: [x, y]", "order: [z]")) == 4


def test_a_configuration_without_pops_has_its_own(tree: Tree) -> None:
    tree.write("callers.yaml", CALLERS)
    tree.write("p/p.yaml", HARMLESS + "examples: [{when: {model: llama, pop: fra}, then: {first: [fra-1, iad-1]}}]\n")
    assert check(str(tree.write("gateway.yaml", FLEET)), environment={})[1] == 0


def test_under_dev_a_team_may_be_any(tree: Tree) -> None:
    tree.write("pops.yaml", POPS)
    tree.write("callers.yaml", CALLERS)
    tree.write("p/p.yaml", HARMLESS + "examples: [{when: {model: pair, team: dev}, then: {first: fra-1}}]\n")
    assert check(str(tree.write("gateway.yaml", FLEET)), environment={}, dev=True)[1] == 0
