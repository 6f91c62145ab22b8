from gateway.settings.findings import Findings
from gateway.settings.models import GatewayFile
from gateway.settings.salvage import validated
from gateway.settings.yaml import read


def salvaged(text: str) -> tuple[GatewayFile | None, list[str]]:
    document, problems = read(text.encode(), "x.yaml")
    assert problems == []
    assert document is not None
    findings = Findings()
    file = validated(document, GatewayFile, findings)
    return file, [str(problem) for problem in findings.sorted()]


def test_a_file_without_errors_is_taken_as_it_is() -> None:
    file, problems = salvaged("state: memory\nlisten: {port: 1}")
    assert file is not None
    assert (file.state, file.listen.port, problems) == ("memory", 1, [])


def test_what_is_wrong_is_said_once_and_the_rest_remains() -> None:
    file, problems = salvaged("state: memory\nlisten: {port: x, host: '::1'}\nbackends: {a: {provider: x, slots: -1}}")
    assert file is not None
    assert (file.state, file.listen.host, file.listen.port) == ("memory", "::1", None)
    assert file.backends["a"].provider == "x"
    assert len(problems) == 2


def test_a_misspelt_key_is_taken_for_the_one_it_resembles() -> None:
    file, problems = salvaged("bakends:\n  a: {provdier: openai, contry: DE}\n")
    assert file is not None
    assert (file.backends["a"].provider, file.backends["a"].country) == ("openai", "DE")
    assert problems == [
        "x.yaml:1: bakends: is not a key here; did you mean backends?",
        "x.yaml:2: backends.a.provdier: is not a key here; did you mean provider?",
        "x.yaml:2: backends.a.contry: is not a key here; did you mean country?",
    ]


def test_a_misspelt_key_never_overwrites_the_right_one() -> None:
    file, _ = salvaged("state: memory\nstat: embedded\n")
    assert file is not None
    assert file.state == "memory"


def test_a_row_that_lacks_something_is_left_out() -> None:
    file, problems = salvaged("backends: {a: {country: DE}, b: {provider: x}}\nmodels: {m: [{model: y}]}")
    assert file is not None
    assert set(file.backends) == {"b"}
    assert file.models == {}
    assert len(problems) == 2


def test_a_wrong_name_takes_its_row_with_it() -> None:
    file, _ = salvaged("backends: {a b: {provider: x}, b: {provider: x}}")
    assert file is not None
    assert set(file.backends) == {"b"}


def test_a_wrong_item_takes_its_list_with_it_so_that_places_stay_true() -> None:
    file, problems = salvaged("policies: [a, 7, c]\nprivate_networks: [10.0.0.0/8, x]\n")
    assert file is not None
    assert (file.policies, file.private_networks) == ((), ())
    assert [line.split(": ")[1] for line in problems] == ["policies[1]", "private_networks[1]"]


def test_of_a_file_that_is_no_mapping_nothing_is_left() -> None:
    file, problems = salvaged("[1]")
    assert file is None
    assert problems == ["x.yaml:1: file: must be a mapping, not a list"]
