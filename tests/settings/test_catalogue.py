import re
from pathlib import Path

import pytest

from gateway.settings.catalogue import CHECKOUT, catalogue_path, read_catalogue
from gateway.settings.findings import Findings
from gateway.settings.places import base_url
from gateway.settings.shape import Auth, Provider
from gateway.upstream.credentials import SCHEMES
from gateway.wire.resuming import load


def rows(text: str, tmp_path: Path) -> tuple[dict[str, Provider], list[str]]:
    path = tmp_path / "providers.yaml"
    path.write_text(text)
    findings = Findings()
    found = read_catalogue(path, findings)
    return found, [str(problem).replace(f"{tmp_path}/", "") for problem in findings.problems]


@pytest.fixture(scope="module")
def shipped() -> dict[str, Provider]:
    findings = Findings()
    found = read_catalogue(catalogue_path(), findings)
    assert [str(problem) for problem in findings.problems] == []
    return found


def test_a_checkouts_catalogue_is_beside_the_package() -> None:
    assert catalogue_path() == CHECKOUT


def test_a_row_is_five_lines_and_the_rest_are_defaults(tmp_path: Path) -> None:
    text = """\
groq:
  speaks: openai_chat
  url: https://api.groq.com/openai/v1/
  paths: {chat: /chat/completions}
  auth: {scheme: bearer, secret: GROQ_API_KEY}
"""
    found, problems = rows(text, tmp_path)
    assert problems == []
    assert found == {
        "groq": Provider(
            name="groq",
            speaks="openai_chat",
            url="https://api.groq.com/openai/v1",
            paths={"chat": "/chat/completions"},
            auth=Auth("bearer", "GROQ_API_KEY"),
        )
    }


def test_values_a_dialect_sets_become_json_texts(tmp_path: Path) -> None:
    dialect = '{drop: [n], rename: {a: b}, cap: {n: 1}, set: {s: NO, n: 1, o: {k: [true]}, "t": "1"}}'
    text = f"a: {{speaks: x, dialect: {dialect}}}"
    found, _ = rows(text, tmp_path)
    made = found["a"].dialect
    assert made.set == {"s": '"NO"', "n": "1", "o": '{"k":[true]}', "t": '"1"'}
    assert (made.drop, made.rename, made.cap) == (("n",), {"a": "b"}, {"n": 1.0})


def test_a_row_says_how_it_goes_on_with_an_answer(tmp_path: Path) -> None:
    found, _ = rows("a: {speaks: x, prefill: appended}\nb: {speaks: x}", tmp_path)
    assert [found[name].prefill for name in "ab"] == ["appended", ""]
    _, problems = rows("a: {speaks: x, prefill: somehow}", tmp_path)
    assert len(problems) == 1
    assert problems[0].startswith("providers.yaml:1: a.prefill: somehow isn't one of ")


def test_who_goes_on_speaks_a_language_that_can(shipped: dict[str, Provider]) -> None:
    can = [row for row in shipped.values() if row.prefill]
    assert len(can) > 3
    assert all(load(row.speaks) is not None and "chat" in row.paths for row in can)


def test_a_wrong_row_is_said_with_its_line(tmp_path: Path) -> None:
    text = (
        "a: {speaks: x}\nb: {speaks: x, stream_usage: sometimes}\nc: {speaks: x, auth: {scheme: bearer, heaader: y}}\n"
    )
    found, problems = rows(text, tmp_path)
    assert found == {}
    assert problems == [
        "providers.yaml:2: b.stream_usage: sometimes isn't one of options, always, never; write one of them",
        "providers.yaml:3: c.auth.heaader: is not a key here; did you mean header?",
    ]


def test_a_header_scheme_names_its_header(tmp_path: Path) -> None:
    _, problems = rows("a: {speaks: x, auth: {scheme: header}}", tmp_path)
    assert problems == ["providers.yaml:1: a.auth: names no header; add header: x-api-key"]


def test_a_catalogue_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    findings = Findings()
    assert read_catalogue(tmp_path / "gone.yaml", findings) == {}
    assert len(findings.problems) == 1


def test_every_shipped_row_can_be_called(shipped: dict[str, Provider]) -> None:
    assert len(shipped) > 30
    for name, provider in shipped.items():
        assert provider.name == name
        assert provider.paths, name
        assert provider.docs, name
        assert all(path.startswith("/") for path in provider.paths.values()), name
        assert provider.auth.scheme in SCHEMES, name
        if provider.url:
            url = re.sub(r"\{[a-z]+\}", "x", provider.url)
            assert base_url(url, ()) == url, name
            assert url.startswith("https://"), name


def test_no_two_shipped_rows_mean_the_same_address_and_paths(shipped: dict[str, Provider]) -> None:
    places = [(row.url, *sorted(row.paths.items())) for row in shipped.values() if row.url]
    assert len(set(places)) == len(places)
