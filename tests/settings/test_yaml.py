import os
import re
from pathlib import Path

import pytest
import yaml as reference
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.scalars import LARGEST, Unclear
from gateway.settings.yaml import (
    MOST_BYTES,
    MOST_DEPTH,
    MOST_NODES,
    Document,
    Value,
    path_of,
    read,
    read_file,
    read_once,
)

DUMP_WIDTHS = (20, 80, 10_000)


def document(text: str) -> Document:
    found, problems = read(text.encode(), "x.yaml")
    assert problems == []
    assert found is not None
    return found


def said(text: str | bytes) -> list[str]:
    _, problems = read(text if isinstance(text, bytes) else text.encode(), "x.yaml")
    return [str(problem) for problem in problems]


def dumped(value: Value, width: int, *, flow: bool | None) -> bytes:
    text: str = reference.safe_dump(value, width=width, default_flow_style=flow, allow_unicode=False)
    return text.encode()


# The reference doesn't quote texts that only YAML 1.2 takes for numbers (0E0), or that are none to anybody (08).
digits = re.compile(r"[-+]?[0-9.][0-9.eExoA-Fa-f_:+-]*")


def is_text(value: str) -> bool:
    return digits.fullmatch(value) is None


# What a configuration may hold. Exponents are left out: the reference writes 1e-05 as YAML 1.1 reads it, as text.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 3))
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(is_text)
)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda key: key != "<<" and is_text(key)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)


@pytest.mark.slow
@given(value=values, width=st.sampled_from(DUMP_WIDTHS), flow=st.sampled_from([None, True, False]))
def test_whatever_the_reference_writes_is_read_back(value: Value, width: int, *, flow: bool | None) -> None:
    found, problems = read(dumped(value, width, flow=flow), "x.yaml")
    assert problems == []
    assert found is not None
    assert found.value == value


@pytest.mark.slow
@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_every_node_has_a_line_inside_the_file(value: dict[str, Value]) -> None:
    data = dumped(value, 80, flow=False)
    found, _ = read(data, "x.yaml")
    assert found is not None
    assert {(key,) for key in value} <= set(found.lines)
    assert all(1 <= line <= data.count(b"\n") + 1 for line in found.lines.values())


@given(st.text(max_size=200) | st.text(alphabet="ab:-?&*!|>'\"[]{},# \n%@`~<0123", max_size=60))
def test_no_text_whatsoever_breaks_the_reader(text: str) -> None:
    found, problems = read(text.encode("utf-8", "surrogatepass"), "x.yaml")
    assert found is not None or problems
    assert all(problem.line >= 1 for problem in problems)


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_break_the_reader(data: bytes) -> None:
    found, problems = read(data, "x.yaml")
    assert found is not None or problems


def test_nodes_keep_their_line_and_a_missing_one_takes_the_line_around_it() -> None:
    found = document("a: 1\nb:\n  - x\n  - {c: 2}\n\nd: 3\n")
    assert found.line_of(("a",)) == 1
    assert found.line_of(("b",)) == 2
    assert found.line_of(("b", 1, "c")) == 4
    assert found.line_of(("b", 1, "missing", "deeper")) == 4
    assert found.line_of(("d",)) == 6
    assert found.line_of(()) == 1
    assert str(found.problem(("b", 1, "c"), "is odd", "write 1")) == "x.yaml:4: b[1].c: is odd; write 1"


def test_a_place_reads_as_one_says_it() -> None:
    assert path_of(("models", "gpt", 0, "backend")) == "models.gpt[0].backend"
    assert path_of(()) == "file"
    assert path_of((1, "a")) == "[1].a"


def test_norway_stays_norway() -> None:
    assert document("regions: [NO, SE, no, on, yes]").value == {"regions": ["NO", "SE", "no", "on", "yes"]}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert document("on: 1\nNO: 2\n010: 3\n12: 4\ntrue: 5\n").value == {"on": 1, "NO": 2, "010": 3, "12": 4, "true": 5}


def test_quoted_words_are_text() -> None:
    text = "a: \"010\"\nb: 'true'\nc: |\n  12\nd: \"12:30\"\ne: ''\n"
    assert document(text).value == {"a": "010", "b": "true", "c": "12\n", "d": "12:30", "e": ""}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        # F-1: words that readers disagree on
        ("a: 1\nb: 010\n", ['x.yaml:2: b: 010 is an octal number to some readers; write 10, or "010" for text']),
        ("t: 12:30:45", ['x.yaml:1: t: 12:30:45 is a number in base 60 to some readers; write "12:30:45" for text']),
        # F-2: what YAML can do and a configuration must not
        ("a: 1\nb: 2\na: 3\n", ["x.yaml:3: a: is written twice (first on line 1); keep one of them"]),
        ("a: {b: 1, b: 2}", ["x.yaml:1: a.b: is written twice (first on line 1); keep one of them"]),
        ('a: 1\n"a": 2\n', ["x.yaml:2: a: is written twice (first on line 1); keep one of them"]),
        (
            "a: &x 1\nb: *x\n",
            [
                "x.yaml:1: a: an anchor (&x); write the value where it is needed",
                "x.yaml:2: b: an alias (*x); write the value out",
            ],
        ),
        ("a: {x: 1}\nb:\n  <<: {y: 2}\n", ["x.yaml:3: b.<<: a merge key; write the keys out"]),
        ("a: !!python/object:os.system x", ["x.yaml:1: a: a tag (!); remove it; quotes make text"]),
        ("a: !!str 1", ["x.yaml:1: a: a tag (!); remove it; quotes make text"]),
        ("a: ! 1", ["x.yaml:1: a: a tag (!); remove it; quotes make text"]),
        ("a: !x [1]", ["x.yaml:1: a: a tag (!); remove it; quotes make text"]),
        ("a: 1\n---\nb: 2\n", ["x.yaml:2: file: a second document; keep one document a file"]),
        ("%YAML 1.1\n---\na: 1\n", ["x.yaml:1: file: a % directive; remove it"]),
        ("a: 1\nb:\t2\n", ["x.yaml:2: file: a tab in the text; use spaces, or write it as an escape in quotes"]),
        ("\ta: 1\n", ["x.yaml:1: file: a tab in the text; use spaces, or write it as an escape in quotes"]),
        (
            "a: x\u2028b: 2\n",
            ["x.yaml:1: file: a line separator in the text; use spaces, or write it as an escape in quotes"],
        ),
        ("[a]: 1", ["x.yaml:1: file: a list or mapping as a key; a key is one word"]),
        ("{a: 1}: 1", ["x.yaml:1: file: a list or mapping as a key; a key is one word"]),
        ("*a : 1", ["x.yaml:1: file: an alias (*a); write the value out"]),
        ("? ~\n: 1", ["x.yaml:1: file: a key without a name; name it"]),
        # F-3: nothing there
        ("", ["x.yaml:1: file: is empty; write at least one key"]),
        ("# only words\n", ["x.yaml:1: file: is empty; write at least one key"]),
        # not YAML
        (
            "a: 1\n b: 2\n",
            [
                (
                    "x.yaml:2: file: isn't YAML: mapping values are not allowed in this context; "
                    "look at this line and the one before it"
                )
            ],
        ),
        (
            "a: {b: ${KEY}}",
            ["x.yaml:1: file: isn't YAML: did not find expected ',' or '}'; inside { } write \"${NAME}\" in quotes"],
        ),
        ("a: 1\nb: \x07\n", ["x.yaml:2: file: a control character in the text; remove it"]),
        (b"a: 1\nb: \xff\n", ["x.yaml:2: file: isn't UTF-8 text; save it as UTF-8"]),
        ('a: "\\ud800"', None),
        ("a: 'never closed\n", None),
    ],
)
def test_what_is_refused_names_its_line_and_its_mend(text: str | bytes, lines: list[str] | None) -> None:
    if lines is None:
        (line,) = said(text)
        assert line.startswith("x.yaml:1: file: isn't YAML: ")
    else:
        assert said(text) == lines


def test_one_reading_shows_every_problem() -> None:
    text = "a: 010\na: 2\nb: &x 1\nc: !t 2\nd: 1_0\n"
    assert [line.split(": ")[0] for line in said(text)] == [f"x.yaml:{n}" for n in (1, 2, 3, 4, 5)]


def test_a_file_of_another_shape_than_a_mapping_still_is_a_document() -> None:
    assert document("[]").value == []
    assert document("word").value == "word"


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    found = document("\ufeffa: 1\r\nb: 2\r\n")
    assert found.value == {"a": 1, "b": 2}
    assert found.line_of(("b",)) == 2


def test_depth_is_capped_before_it_can_hurt() -> None:
    deepest = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    assert document(deepest).value is not None
    (line,) = said("[" * 5000)
    assert line.endswith(f"nested deeper than {MOST_DEPTH}; flatten it")
    (line,) = said("".join(" " * level + "a:\n" for level in range(200)))
    assert line.startswith(f"x.yaml:{MOST_DEPTH + 1}: ")


@pytest.mark.slow
def test_the_number_of_values_is_capped() -> None:
    (line,) = said("[" + "1," * (MOST_NODES + 10) + "]")
    assert line == f"x.yaml:1: file: more than {MOST_NODES} values; split the file"


def test_size_is_capped_before_anything_is_parsed() -> None:
    assert said(b"a: " + b"x" * MOST_BYTES) == [f"x.yaml:1: file: is larger than {MOST_BYTES} bytes; split it"]


def test_a_hundred_thousand_rules_are_refused_and_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("".join(f"- {{name: rule-{n}, to: somewhere}}\n" for n in range(100_000)))
    _, problems = read_file(path)
    assert [str(problem) for problem in problems] == [f"{path}:1: file: is larger than {MOST_BYTES} bytes; split it"]


def test_a_billion_laughs_never_begin() -> None:
    rows = ["a: &a [x, x]"] + [f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    assert len(said("\n".join(rows))) == len(rows) + 2 * (len(rows) - 1)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    found, problems = read_file(tmp_path / "gone.yaml")
    assert found is None
    assert "can't be opened (No such file or directory)" in str(problems[0])


def test_only_regular_files_are_read_and_a_pipe_never_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        _, problems = read_file(path)
        assert "isn't a regular file" in str(problems[0])


def test_a_file_is_read_through_a_link_once_and_whole(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("a: 1\n")
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    found, problems = read_file(tmp_path / "link.yaml")
    assert problems == []
    assert found is not None
    assert found.value == {"a": 1}
    assert found.file == str(tmp_path / "link.yaml")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\n")
    real = os.fstat
    seen: list[int] = []

    def growing(fd: int) -> os.stat_result:
        found = real(fd)
        if not seen:
            seen.append(fd)
            with path.open("a") as file:
                file.write("b: 2\n")
        return found

    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(Unclear, match="changed while it was read"):
        read_once(path, MOST_BYTES)


def test_the_digest_is_of_the_files_bytes() -> None:
    assert document("a: 1").digest == document("a: 1").digest != document("a: 2").digest
    assert len(document("a: 1").digest) == 32
