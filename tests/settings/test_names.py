"""Rules for names: the shipped file, and one of somebody's own."""

from pathlib import Path

import pytest

from gateway.settings import names
from gateway.settings.catalogue import PACKAGE
from gateway.settings.names import CHECKOUT, shipped_names
from gateway.settings.shape import NameRule
from tests.settings.conftest import Tree

CONFIG = "state: memory\ncallers: callers.yaml\n"
OWN = f"{CONFIG}names: own.yaml\n"


def said(tree: Tree, rules: str) -> list[str]:
    tree.write("own.yaml", rules)
    return tree.said(OWN)


def test_the_shipped_rules_hold_unless_others_are_named(tree: Tree) -> None:
    settings = tree.settings(CONFIG)
    assert NameRule(ends="[1m]") in settings.name_rules
    assert NameRule(ends="@20######", becomes="-20######") in settings.name_rules
    assert str(CHECKOUT) in settings.sources
    tree.write("own.yaml", "rules:\n- {starts: team-, why: ours}\n- {ends: '-##', becomes: '#', why: ours}\n")
    own = tree.settings(OWN)
    assert own.name_rules == (NameRule(starts="team-"), NameRule(ends="-##", becomes="#"))
    assert str(tree.root / "own.yaml") in own.sources
    assert own.revision != settings.revision


def test_rules_can_be_done_without(tree: Tree) -> None:
    tree.write("own.yaml", "rules: []\n")
    assert tree.settings(OWN).name_rules == ()


def test_every_shipped_rule_says_why(tree: Tree) -> None:
    text = CHECKOUT.read_text()
    assert text.count("    why: ") == len(tree.settings(CONFIG).name_rules) > 5


def test_a_wheels_copy_wins_and_none_is_no_rules(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_names() == CHECKOUT == PACKAGE.parent / "config" / "models.yaml"
    wheel = tree.write("wheel.yaml", "rules: [{ends: '-x', why: y}]\n")
    monkeypatch.setattr(names, "WHEEL", wheel)
    assert shipped_names() == wheel
    assert tree.settings(CONFIG).name_rules == (NameRule(ends="-x"),)
    monkeypatch.setattr(names, "WHEEL", tmp_path / "gone")
    monkeypatch.setattr(names, "CHECKOUT", tmp_path / "gone")
    assert shipped_names() is None
    assert tree.settings(CONFIG).name_rules == ()


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ("rules: [{why: x}]", "own.yaml:1: rules[0]: says of no name that it is meant; add starts or ends"),
        (
            "rules:\n- {ends: a, why: x}\n- {starts: a, ends: b, why: x}\n",
            "own.yaml:3: rules[1]: has both starts and ends; make two rules of it",
        ),
        (
            "rules: [{ends: a, becomes: a, why: x}]",
            "own.yaml:1: rules[0]: changes nothing; write what it becomes, or leave becomes out to remove it",
        ),
        (
            "rules: [{ends: '-#', becomes: '-##', why: x}]",
            "own.yaml:1: rules[0]: becomes has more digits than there are; write at most as many #",
        ),
        ("rules: [{ends: a}]", "own.yaml:1: rules[0].why: is missing; add it"),
        ("rules: [{end: a, why: x}]", "own.yaml:1: rules[0].end: is not a key here; did you mean ends?"),
        (
            "rules: [{ends: 'a b', why: x}]",
            "own.yaml:1: rules[0].ends: can't stand in a name; use up to 64 ASCII characters, # for a digit",
        ),
        (
            f"rules: [{{ends: {'a' * 65}, why: x}}]",
            "own.yaml:1: rules[0].ends: can't stand in a name; use up to 64 ASCII characters, # for a digit",
        ),
        ("rules: [{ends: 1, why: x}]", 'own.yaml:1: rules[0].ends: must be text, not a number; write "-latest"'),
        ("rules: {}", "own.yaml:1: rules: must be a list, not a mapping"),
        ("rule: []", "own.yaml:1: rule: is not a key here; did you mean rules?"),
    ],
)
def test_a_wrong_rule_is_said_with_its_line(tree: Tree, rules: str, line: str) -> None:
    assert said(tree, rules) == [line]


def test_there_is_an_end_to_rules(tree: Tree) -> None:
    rows = "".join(f"- {{ends: '-{number}', why: x}}\n" for number in range(65))
    (line,) = said(tree, f"rules:\n{rows}")
    assert line.startswith("own.yaml:1: rules: ")


def test_a_file_that_is_named_must_be_there(tree: Tree) -> None:
    (line,) = tree.said(OWN)
    assert line.startswith("own.yaml:1: file: can't be opened")
