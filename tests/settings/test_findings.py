import pytest
from pydantic import BaseModel, ValidationError

from gateway.settings.findings import Findings, is_blank, meant, suggestion, value_at
from gateway.settings.models import CallersFile, GatewayFile, PopsFile
from gateway.settings.policy_rows import PolicyFile
from gateway.settings.yaml import Document, read


def document(text: str) -> Document:
    found, problems = read(text.encode(), "x.yaml")
    assert problems == []
    assert found is not None
    return found


def said(text: str, kind: type[BaseModel] = GatewayFile) -> list[str]:
    found, findings = document(text), Findings()
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(found.value)
    findings.invalid(found, kind, caught.value)
    return [str(problem) for problem in findings.sorted()]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("drian: 10s", "x.yaml:1: drian: is not a key here; did you mean drain?"),
        ("listen:\n  prot: 1", "x.yaml:2: listen.prot: is not a key here; did you mean port?"),
        (
            "listen: {quux: 1}",
            (
                "x.yaml:1: listen.quux: is not a key here; "
                "known: host, port, unix, tls, names, control_host, control_port"
            ),
        ),
        (
            "trusted_proxies:\n  - {form: x}",
            "x.yaml:2: trusted_proxies[0].form: is not a key here; did you mean from?",
        ),
        (
            "backends:\n  a:\n    provider: x\n    timeouts: {conect: 1s}",
            "x.yaml:4: backends.a.timeouts.conect: is not a key here; did you mean connect?",
        ),
        ("backends:\n  a: {}", "x.yaml:2: backends.a.provider: is missing; add it"),
        ("backends:\n  a: {provder: x}", "x.yaml:2: backends.a.provder: is not a key here; did you mean provider?"),
        ("listen: {port: '80'}", "x.yaml:1: listen.port: must be a whole number, not text"),
        ("listen: {port: 80.5}", "x.yaml:1: listen.port: must be a whole number, not a number"),
        ("listen: {port: 70000}", "x.yaml:1: listen.port: 70000 is out of range; write at most 65535"),
        ("listen: [1]", "x.yaml:1: listen: must be a mapping, not a list"),
        ("backends: [a]", "x.yaml:1: backends: must be a mapping, not a list"),
        ("policies: x", "x.yaml:1: policies: must be a list, not text"),
        ("callers: 7", "x.yaml:1: callers: must be text, not a number"),
        ("callers: ''", "x.yaml:1: callers: is empty; write at least one, or remove the key"),
        ("models: {a: []}", "x.yaml:1: models.a: is empty; write at least one, or remove the key"),
        (
            "models: {a b: [{backend: x, model: y}]}",
            "x.yaml:1: models.a b: isn't a model's name; use letters, digits and . _ : / @ + -, and * in a glob",
        ),
        (
            "backends: {a: {provider: x, training: never}}",
            "x.yaml:1: backends.a.training: never isn't one of no, yes, unknown; write one of them",
        ),
        (
            "backends: {a: {provider: x, training: Yes}}",
            "x.yaml:1: backends.a.training: Yes isn't one of no, yes, unknown; did you mean yes?",
        ),
        (
            "backends: {a: {provider: x, training: false}}",
            "x.yaml:1: backends.a.training: must be one of no, yes, unknown, not true or false; write the word",
        ),
        (
            "models: {a: [{backend: x, model: y, weight: -1}]}",
            "x.yaml:1: models.a[0].weight: -1 is out of range; write at least 0",
        ),
        (
            "models: {a: [{backend: x, model: y, reasoning: yes}]}",
            "x.yaml:1: models.a[0].reasoning: must be true or false, not text; write true",
        ),
        (
            "models: {a: [{backend: x, model: y, reasoning: off}]}",
            "x.yaml:1: models.a[0].reasoning: must be true or false, not text; write false",
        ),
        (
            "models: {a: [{backend: x, model: y, reasoning: much}]}",
            "x.yaml:1: models.a[0].reasoning: must be true or false, not text",
        ),
        ("[]", "x.yaml:1: file: must be a mapping, not a list"),
        (f"callers: {'x' * 5000}", "x.yaml:1: callers: String should have at most 4096 characters"),
        ("decisions: {sample: .5, keep: 1.5}", "x.yaml:1: decisions.keep: must be a whole number, not a number"),
    ],
)
def test_an_error_is_one_line_with_its_mend(text: str, line: str) -> None:
    assert said(text) == [line]


def test_errors_come_in_the_order_of_the_lines() -> None:
    text = "listen: {port: x}\npops: 1\nbackends:\n  b: {provider: x, slots: x}\n  a: {provider: x, zzz: 1}\ndrain: 1\n"
    lines = [int(line.split(":")[1]) for line in said(text)]
    assert lines == [1, 2, 4, 5, 6]


def test_a_value_that_could_be_a_secret_is_not_shown() -> None:
    secret = "sk-" + "x" * 60
    (line,) = said(f"backends: {{a: {{provider: x, training: {secret}}}}}")
    assert secret not in line
    assert "the value isn't one of" in line


def test_keys_of_a_mapping_of_rows_are_known() -> None:
    assert said("fra: {ulr: x, region: a, country: DE, location: [1, 2]}", PopsFile) == [
        "x.yaml:1: fra.ulr: is not a key here; did you mean url?"
    ]
    assert said("teams: {a: {providers: {nto: [x]}}}", CallersFile) == [
        "x.yaml:1: teams.a.providers.nto: is not a key here; did you mean not?"
    ]


def test_of_several_words_on_one_key_the_first_counts() -> None:
    found, findings = document("a: 1\nb: 2"), Findings()
    findings.wrong(found, ("a",), "first")
    findings.wrong(found, ("a",), "second")
    findings.wrong(found, ("b",), "other")
    findings.wrong(found, (), "one of the file")
    findings.wrong(found, (), "another of the file")
    words = [problem.what for problem in findings.problems]
    assert words == ["first", "other", "one of the file", "another of the file"]


def test_what_was_said_of_a_misspelt_key_is_not_said_of_the_right_one() -> None:
    found, findings = document("bakends: {x: 1}"), Findings()
    findings.wrong(found, ("bakends", "x"), "said")
    findings.renamed(found, ("bakends",), ("backends",))
    findings.wrong(found, ("backends", "x"), "again")
    findings.wrong(found, ("backends", "y"), "new")
    assert [problem.what for problem in findings.problems] == ["said", "new"]


def test_notes_are_no_problems() -> None:
    findings = Findings()
    findings.note(document("a: 1"), ("a",), "has no effect")
    assert findings.problems == []
    assert str(findings.notes[0]) == "x.yaml:1: a: has no effect"


@pytest.mark.parametrize(
    ("word", "known", "words"),
    [
        ("opena", ["openai", "ollama"], "did you mean openai?"),
        ("zzz", ["openai", "ollama"], "known: openai, ollama"),
        ("zzz", [f"name-{n}" for n in range(50)], "known: " + ", ".join(f"name-{n}" for n in range(12)) + ", …"),
        ("zzz", [], "there is no provider"),
    ],
)
def test_a_suggestion_is_the_likeliest_name_or_those_there_are(word: str, known: list[str], words: str) -> None:
    assert suggestion(word, known, "provider") == words


def test_a_key_nothing_resembles_means_nothing() -> None:
    assert meant(GatewayFile, ("listen", "prot")) == "port"
    assert meant(GatewayFile, ("listen", "zzzzzz")) == ""
    assert meant(GatewayFile, ("nothing", "of", "this")) == ""
    assert meant(GatewayFile, ("listen", "port", "deeper")) == ""


def test_a_value_is_found_at_its_place() -> None:
    value = document("a: [{b: 1}]").value
    assert value_at(value, ("a", 0, "b")) == 1
    assert value_at(value, ("a", 1)) is None
    assert value_at(value, ("a", "b")) is None
    assert value_at(value, ()) == value


def test_a_node_is_blank_where_nothing_is_written_in_it() -> None:
    found = document("a: {}\nb: {c: }\n")
    assert is_blank(found, ("a",))
    assert not is_blank(found, ("b",))


def test_what_was_left_out_for_being_wrong_is_not_called_missing_or_empty() -> None:
    findings = Findings()
    with pytest.raises(ValidationError) as caught:
        PolicyFile.model_validate({"tiers": [], "examples": [{"when": {"model": "m"}}]})
    findings.invalid(document("tiers: [3]\nexamples: [{when: {}, then: {}}]\n"), PolicyFile, caught.value)
    assert findings.problems == []
