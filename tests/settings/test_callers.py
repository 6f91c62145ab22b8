import pytest

from gateway.routing.policy import Choice, Require
from gateway.settings.shape import Caller, May
from tests.settings.conftest import HASH, Tree

CONFIG = "state: memory\ncallers: callers.yaml\n"
OTHER = "cd" * 32


def said(tree: Tree, callers: str) -> list[str]:
    tree.write("callers.yaml", callers)
    return tree.said(CONFIG)


def callers(tree: Tree, text: str) -> tuple[Caller, ...]:
    tree.write("callers.yaml", text)
    return tree.settings(CONFIG).callers


def test_a_key_is_its_teams_models_and_its_own_rights(tree: Tree) -> None:
    text = f"""\
teams:
  clinic: {{models: ["llama-*", gpt-4o]}}
keys:
  web:
    team: clinic
    hash: "{HASH}"
    expires: "2027-01-01"
    may: {{policies: [cheap], priority: high, plan: true, byok: [anthropic], complexity: true}}
"""
    tree.write("policies/cheap.yaml", "prefer: {objective: cost}\n")
    tree.write("callers.yaml", text)
    assert tree.settings(f'{CONFIG}policies: ["policies/*.yaml"]\n').callers == (
        Caller(
            name="web",
            team="clinic",
            digest=bytes.fromhex(HASH),
            models=("llama-*", "gpt-4o"),
            expires_at=1798761600.0,
            may=May(("cheap",), "high", plan=True, byok=("anthropic",), complexity=True),
        ),
    )


def test_a_key_may_steer_nothing_and_call_every_model_unless_said(tree: Tree) -> None:
    (caller,) = callers(tree, f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{HASH}"}}}}\n')
    assert (caller.may, caller.models, caller.expires_at) == (May(), (), None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            f'teams: {{clinic: {{}}}}\nkeys: {{k: {{team: clinics, hash: "{HASH}"}}}}\n',
            "callers.yaml:2: keys.k.team: clinics isn't a team; did you mean clinic?",
        ),
        (
            f'keys: {{k: {{team: a, hash: "{HASH}"}}}}\n',
            "callers.yaml:1: keys.k.team: a isn't a team; there is no team",
        ),
        (
            f'teams: {{a: {{}}}}\nkeys:\n  k: {{team: a, hash: "{HASH}"}}\n  l: {{team: a, hash: "{HASH.upper()}"}}\n',
            "callers.yaml:4: keys.l.hash: is the hash of k too; make a key of its own",
        ),
        (
            f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{HASH}", may: {{byok: [openai, antropic]}}}}}}\n',
            "callers.yaml:2: keys.k.may.byok[1]: antropic isn't a provider; did you mean anthropic?",
        ),
        ("teams: {a: {}}\nkeys: {}\n", "callers.yaml:2: keys: names no key: nobody could call; add one"),
        ("[]", "callers.yaml:1: file: must be a mapping, not a list"),
        ("teams: {a: {models: []}}\n" + f'keys: {{k: {{team: a, hash: "{HASH}"}}}}\n', None),
        (f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{HASH}", may: {{plan: yes}}}}}}\n', None),
    ],
)
def test_a_wrong_key_is_one_line_with_its_mend(tree: Tree, text: str, line: str | None) -> None:
    found = said(tree, text)
    assert len(found) == 1
    if line is not None:
        assert found == [line]


@pytest.mark.parametrize("row", ["limits: {concurrency: 5}", "budget: {usd_per_day: 5}"])
def test_what_protects_and_is_not_enforced_yet_is_refused(tree: Tree, row: str) -> None:
    text = f'teams: {{a: {{{row}}}}}\nkeys: {{k: {{team: a, hash: "{OTHER}"}}}}\n'
    key = row.partition(":")[0]
    assert said(tree, text) == [
        f"callers.yaml:1: teams.a.{key}: is not enforced by this version; leave it out until it is"
    ]


def test_what_only_describes_and_has_no_effect_yet_is_noted(tree: Tree) -> None:
    text = f"""\
teams:
  a: {{organisation: acme, home: eu}}
keys: {{k: {{team: a, hash: "{HASH}"}}}}
"""
    tree.write("callers.yaml", text)
    notes = [str(note) for note in tree.reading(CONFIG).notes]
    assert len(notes) == 2
    assert all(note.endswith("has no effect in this version") for note in notes)


def test_what_a_team_says_holds_for_its_keys(tree: Tree) -> None:
    (caller,) = callers(
        tree,
        f"""\
teams:
  a:
    tags: {{data: personal}}
    priority: high
    jurisdictions: [DE, EFTA]
    providers: {{not: [deepseek]}}
keys: {{k: {{team: a, hash: "{HASH}"}}}}
""",
    )
    assert (caller.tags, caller.priority) == ({"data": "personal"}, "high")
    assert caller.require == Require(
        jurisdictions=frozenset({"DE", "CH", "IS", "LI", "NO"}), providers=Choice(never=frozenset({"deepseek"}))
    )


def test_a_team_that_says_nothing_requires_nothing(tree: Tree) -> None:
    (caller,) = callers(tree, f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{HASH}"}}}}\n')
    assert (caller.tags, caller.priority, caller.require) == ({}, "normal", Require())


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("providers: {}", "teams.a.providers: is empty; write only: […] or not: […], or remove the key"),
        ("providers: {only: []}", "teams.a.providers.only: is empty; write at least one, or remove the key"),
        (
            "providers: {only: [openai], not: [depseek]}",
            "teams.a.providers.not[0]: depseek isn't a provider; did you mean deepseek?",
        ),
        ("jurisdictions: [UK]", "teams.a.jurisdictions[0]: UK isn't an ISO 3166-1 code; write GB (United Kingdom)"),
        ("jurisdictions: []", "teams.a.jurisdictions: is empty; write at least one, or remove the key"),
    ],
)
def test_what_protects_and_is_wrong_is_one_line(tree: Tree, row: str, line: str) -> None:
    text = f'teams: {{a: {{{row}}}}}\nkeys: {{k: {{team: a, hash: "{HASH}"}}}}\n'
    assert said(tree, text) == [f"callers.yaml:1: {line}"]


def test_a_key_may_name_policies_that_are_there(tree: Tree) -> None:
    text = f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{HASH}", may: {{policies: [cheep]}}}}}}\n'
    tree.write("cheap.yaml", "prefer: {objective: cost}\n")
    tree.write("callers.yaml", text)
    assert tree.said(f"{CONFIG}policies: [cheap.yaml]\n") == [
        "callers.yaml:2: keys.k.may.policies[0]: cheep isn't a policy; did you mean cheap?"
    ]


@pytest.mark.parametrize("limit", ["-1", '"100/min "', "1.5", "010"])
def test_a_limit_that_is_no_number_is_refused(tree: Tree, limit: str) -> None:
    text = f'teams: {{a: {{limits: {{concurrency: {limit}}}}}}}\nkeys: {{k: {{team: a, hash: "{HASH}"}}}}\n'
    assert any(line.startswith("callers.yaml:1: teams.a.limits.concurrency: ") for line in said(tree, text))
