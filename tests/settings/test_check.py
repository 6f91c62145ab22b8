import json
import subprocess
import sys

import pytest

from gateway.settings.check import check, differences, schema
from gateway.settings.models import GatewayFile
from gateway.settings.policy_rows import PolicyFile
from tests.settings.conftest import HASH, Tree

HEAD = "state: memory\ncallers: callers.yaml\n"
KEY = {"OPENAI_API_KEY": "sk-s3cret"}
GOOD = """\
state: memory
callers: callers.yaml
backends:
  openai:
    provider: openai
    api_key: "${OPENAI_API_KEY}"
    country: NO
    slots: 10
models:
  gpt-4o: [{backend: openai, model: gpt-4o}]
"""
# What must be shown: the same file with one thing wrong, and the one line it gets.
WRONG = [
    pytest.param(
        GOOD.replace("slots", "slts"),
        KEY,
        "gateway.yaml:8: backends.openai.slts: is not a key here; did you mean slots?",
        id="a misspelt key",
    ),
    pytest.param(
        GOOD.replace("provider: openai", "provider: opnai"),
        KEY,
        "gateway.yaml:5: backends.openai.provider: opnai isn't a provider; did you mean openai?",
        id="an unknown provider",
    ),
    pytest.param(
        GOOD,
        {},
        (
            "gateway.yaml:6: backends.openai.api_key: OPENAI_API_KEY is not set in the environment; "
            "set OPENAI_API_KEY, or write file:/run/secrets/x"
        ),
        id="a missing secret",
    ),
    pytest.param(
        GOOD.replace("    slots", "    country: NO\n    slots"),
        KEY,
        "gateway.yaml:8: backends.openai.country: is written twice (first on line 7); keep one of them",
        id="a duplicate key",
    ),
    pytest.param(
        GOOD.replace("country: NO", "country: no"),
        KEY,
        "gateway.yaml:7: backends.openai.country: no isn't an ISO 3166-1 code; write NO (Norway)",
        id="country: no",
    ),
    pytest.param(
        GOOD.replace("country: NO", "country: UK"),
        KEY,
        "gateway.yaml:7: backends.openai.country: UK isn't an ISO 3166-1 code; write GB (United Kingdom)",
        id="country: UK",
    ),
    pytest.param(
        GOOD.replace("slots: 10", "slots: 010"),
        KEY,
        ('gateway.yaml:8: backends.openai.slots: 010 is an octal number to some readers; write 10, or "010" for text'),
        id="010 as a number",
    ),
]


@pytest.mark.parametrize(("text", "environment", "line"), WRONG)
def test_each_slip_is_one_line_with_file_line_and_mend(
    tree: Tree, text: str, environment: dict[str, str], line: str
) -> None:
    path = tree.write("gateway.yaml", text)
    lines, code = check(str(path), environment=environment)
    assert [one.replace(f"{tree.root}/", "") for one in lines] == [line]
    assert code == 1


def test_all_slips_at_once_are_as_many_lines(tree: Tree) -> None:
    text = GOOD.replace("slots: 10", "slts: 010").replace("provider: openai", "provider: opnai")
    text = text.replace("country: NO", "country: UK").replace("models:", "models:\n  gpt-4o: []")
    lines, code = check(str(tree.write("gateway.yaml", text)), environment={})
    numbers = [int(line.replace(f"{tree.root}/gateway.yaml:", "").split(":")[0]) for line in lines]
    assert (numbers, code) == ([5, 6, 7, 8, 8, 11], 1)


def test_country_no_in_capitals_is_norway(tree: Tree) -> None:
    assert tree.settings(GOOD, KEY).backends["openai"].country == "NO"
    assert check(str(tree.path), environment=KEY) == (["ok: 1 backends, 1 models, 1 keys"], 0)


@pytest.mark.slow
def test_the_command_prints_to_stdout_and_exits_with_one(tree: Tree) -> None:
    tree.write("gateway.yaml", GOOD.replace("country: NO", "country: no"))
    run = subprocess.run(
        [sys.executable, "-m", "gateway", "check", "--config", "gateway.yaml"],
        cwd=tree.root,
        env={**KEY, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == ("gateway.yaml:7: backends.openai.country: no isn't an ISO 3166-1 code; write NO (Norway)\n")
    assert (run.returncode, run.stderr) == (1, "")


def test_keys_without_effect_are_noted_and_no_problem(tree: Tree) -> None:
    lines, code = check(str(tree.write("gateway.yaml", GOOD + "decisions: {keep: 10}\n")), environment=KEY)
    assert lines == [
        f"note: {tree.path}:11: decisions: has no effect in this version",
        "ok: 1 backends, 1 models, 1 keys",
    ]
    assert code == 0


def test_under_dev_a_file_needs_no_callers(tree: Tree) -> None:
    path = str(tree.write("gateway.yaml", "state: memory\n"))
    assert check(path, environment={}, dev=True) == (["ok: 0 backends, 0 models, 0 keys"], 0)
    assert check(path, environment={})[1] == 1


def test_the_schema_is_json_and_names_every_key_of_the_file() -> None:
    found = json.loads(schema())
    assert set(found["properties"]) == {field.alias or name for name, field in GatewayFile.model_fields.items()}
    assert found["additionalProperties"] is False


def test_the_schema_holds_that_of_callers_and_what_their_keys_may_do() -> None:
    found = json.loads(schema())
    assert set(found["$defs"]["CallersFile"]["properties"]) == {"teams", "keys"}
    assert found["$defs"]["MayRow"]["properties"]["complexity"]["type"] == "boolean"


def test_the_schema_holds_that_of_a_policy() -> None:
    found = json.loads(schema())
    policy = found["$defs"]["PolicyFile"]
    assert set(policy["properties"]) == {field.alias or name for name, field in PolicyFile.model_fields.items()}
    assert policy["additionalProperties"] is False
    named = {piece.split('"')[0] for piece in json.dumps(found).split("#/$defs/")[1:]}
    assert named <= set(found["$defs"])


def test_a_policy_is_counted_with_its_examples(tree: Tree) -> None:
    tree.write("p.yaml", "retry: {attempts: 1}\nexamples: [{when: {model: gpt-4o}, then: {first: openai}}]\n")
    path = str(tree.write("gateway.yaml", GOOD + "policies: [p.yaml]\n"))
    assert check(path, environment=KEY) == (["ok: 1 backends, 1 models, 1 keys, 1 policies, 1 examples"], 0)


def test_an_example_that_fails_is_a_line_and_exit_code_1(tree: Tree) -> None:
    tree.write("p.yaml", "require: {training: no}\nexamples: [{when: {model: gpt-4o}, then: {first: openai}}]\n")
    path = str(tree.write("gateway.yaml", GOOD + "policies: [p.yaml]\n"))
    lines, code = check(path, environment=KEY)
    assert [line.replace(f"{tree.root}/", "") for line in lines] == [
        (
            "p.yaml:2: examples[0].then: refused: not_allowed; out: openai (training); policies: p; "
            "mend the policy, or the example"
        )
    ]
    assert code == 1


def test_an_example_at_another_pop_sees_what_that_pop_sees(tree: Tree) -> None:
    tree.write(
        "pops.yaml",
        """\
fra: {url: "https://fra.example", region: eu, country: DE, location: [50, 8]}
iad: {url: "https://iad.example", region: us, country: US, location: [39, -77]}
""",
    )
    tree.write(
        "p.yaml",
        """\
retry: {attempts: 1}
examples:
  - {when: {model: llama}, then: {order: [here]}}
  - {when: {model: llama, pop: iad}, then: {order: [there]}}
""",
    )
    text = """\
state: memory
callers: callers.yaml
policies: [p.yaml]
pop: fra
private_networks: [10.0.0.0/8]
backends:
  here: {provider: vllm, base_url: "http://10.0.0.1:8000", pop: fra}
  there: {provider: vllm, base_url: "http://10.0.0.2:8000", pop: iad}
models: {llama: [{backend: here, model: llama}, {backend: there, model: llama}]}
"""
    lines, code = check(str(tree.write("gateway.yaml", text)), environment={})
    assert (lines[-1].startswith("ok: "), code) == (True, 0)


def test_a_change_of_a_policy_is_shown_by_its_name(tree: Tree) -> None:
    text = GOOD + "policies: [p.yaml]\n"
    tree.write("p.yaml", "require: {jurisdictions: [NO, DE]}\n")
    before = tree.settings(text, KEY)
    tree.write("p.yaml", "require: {jurisdictions: [NO]}\n")
    assert differences(before, tree.settings(text, KEY)) == ["~ policies.p.require.jurisdictions: [DE, NO] -> [NO]"]


def test_what_changes_is_shown_key_by_key(tree: Tree) -> None:
    old = tree.write("gateway.yaml", GOOD)
    new = tree.write(
        "next.yaml",
        GOOD.replace("slots: 10", "slots: 20").replace("gpt-4o:", "gpt-5:") + "private_networks: [10.0.0.0/8]\n",
    )
    lines, code = check(str(old), str(new), environment=KEY)
    assert code == 0
    assert [line for line in lines if line[0] == "~"] == [
        "~ backends.openai.slots: 10 -> 20",
        "~ private_networks: [] -> [10.0.0.0/8]",
    ]
    assert "+ models.gpt-5[0].backend: openai" in lines
    assert "- models.gpt-4o[0].model: gpt-4o" in lines


def test_a_change_of_secrets_is_seen_and_not_shown(tree: Tree) -> None:
    before = tree.settings(GOOD, KEY)
    after = tree.settings(GOOD, {"OPENAI_API_KEY": "sk-0ther"})
    assert differences(before, after) == ["~ backends.openai.api_key: *** -> ***"]


def test_a_callers_change_is_shown_by_its_name(tree: Tree) -> None:
    before = tree.settings(GOOD, KEY)
    tree.write("callers.yaml", f'teams: {{clinic: {{}}}}\nkeys: {{web: {{team: clinic, hash: "{"cd" * 32}"}}}}\n')
    assert differences(before, tree.settings(GOOD, KEY)) == [
        f"~ callers.web.digest: {HASH[:12]}… -> {'cd' * 6}…",
        "~ callers.web.models: [llama-*] -> []",
    ]


def test_the_same_configuration_changes_nothing(tree: Tree) -> None:
    path = str(tree.write("gateway.yaml", GOOD))
    assert check(path, path, environment=KEY) == (["nothing changes"], 0)


def test_a_difference_to_a_wrong_file_is_that_files_problems(tree: Tree) -> None:
    old, new = tree.write("gateway.yaml", GOOD), tree.write("next.yaml", GOOD.replace("NO", "no"))
    lines, code = check(str(old), str(new), environment=KEY)
    assert code == 1
    assert lines[0].startswith(f"{new}:7: ")


def test_the_processs_own_environment_is_taken_unless_one_is_given(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("GATEWAY_CONFIG", str(tree.write("gateway.yaml", GOOD)))
    assert check(None) == (["ok: 1 backends, 1 models, 1 keys"], 0)
