"""The rules of the tree itself, which no other machine holds."""

import ast
import json
import re
import subprocess
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
MOST_LINES = 550
LOCKS = sorted((ROOT / "deploy/requirements").glob("*.txt"))
PYPROJECT = (ROOT / "pyproject.toml").read_text()

# Words that name a provider's row and, in that one file, something else.
OTHER_MEANINGS = {
    ("gateway/cli.py", "mock"): "the command",
}
# Where a provider's name may be known: its language, its probe, its credentials, its configuration being imported.
MAY_KNOW_PROVIDERS = re.compile(
    r"gateway/(wire/|upstream/probes/|upstream/credentials\.py|importers?/|.*import_\w+\.py)"
)
# Tests of the whole, which mirror no source file.
OF_THE_WHOLE = {"tests/test_layout.py"}

NAMES_OF_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|root|home|Users)/[\w.]")
REGISTRY_HOST = re.compile(
    r"pypi\.org|python(?:hosted)\.org|npmjs\.(?:org|com)|\bdebian\.org|docker\.(?:io|com)/|quay\.io|ghcr\.io"
)
EXCLUSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no)\b(?:\[[\w, -]+\]|:?\s*(?:[A-Z]+\d+[, ]*)*)")
EXCLUDING_KEY = re.compile(r"(?:extend-)?(?:ignore|exclude|omit)\w*\s*=|exhaustive_ignores\s*=|\"[^\"]+\"\s*=\s*\[")


@cache
def files() -> tuple[PurePosixPath, ...]:
    """What git carries or would carry."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (PurePosixPath(name) for name in listed.stdout.split("\0") if name)
    return tuple(path for path in paths if (ROOT / path).is_file())


def python_files(top: str) -> list[PurePosixPath]:
    return [path for path in files() if path.suffix == ".py" and path.parts[0] == top]


def sources() -> list[PurePosixPath]:
    return [path for path in python_files("gateway") if path.stem not in {"__init__", "__main__"}]


def mirror(source: PurePosixPath) -> PurePosixPath:
    return PurePosixPath("tests", *source.parts[1:-1], f"test_{source.name}")


def test_every_source_file_has_a_test_file_of_its_name() -> None:
    assert [str(source) for source in sources() if mirror(source) not in files()] == []


def test_every_test_file_in_a_room_is_named_for_its_source_file() -> None:
    """A test that outgrows one file goes on in test_<source>_<aspect>.py."""
    stems: dict[PurePosixPath, list[str]] = {PurePosixPath("tests"): []}
    for source in sources():
        stems.setdefault(mirror(source).parent, []).append(mirror(source).stem)
    strays = [
        str(path)
        for path in python_files("tests")
        if path.parent in stems and path.name.startswith("test_") and str(path) not in OF_THE_WHOLE
        if not any(path.stem == stem or path.stem.startswith(f"{stem}_") for stem in stems[path.parent])
    ]
    assert strays == []


def test_no_python_file_is_too_long_to_hold_in_ones_head() -> None:
    lengths = {
        str(path): len((ROOT / path).read_text().splitlines())
        for top in ("gateway", "tests")
        for path in python_files(top)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_python_file_is_named_for_nothing_in_particular() -> None:
    named = [path for top in ("gateway", "tests") for path in python_files(top)]
    assert [str(path) for path in named if NAMES_OF_NOTHING & {path.stem, *path.parts[:-1]}] == []


def decided_on(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each string that a comparison, a match case or a dict key holds, with its line."""
    for node in ast.walk(tree):
        held: Iterable[ast.expr | None] = ()
        if isinstance(node, ast.Compare):
            held = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            held = [node.value]
        elif isinstance(node, ast.Dict | ast.MatchMapping):
            held = node.keys
        for value in held:
            within = value.elts if isinstance(value, ast.Tuple | ast.List | ast.Set) else [value]
            yield from (
                (one.lineno, one.value)
                for one in within
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )


def test_the_strings_that_code_decides_on_are_found() -> None:
    code = """
if name == "a" or "b" != name or name in ("c", "d"): ...
match name:
    case "e" | "f": ...
    case {"g": _}: ...
table = {"h": 1, **rest}
call("not this", key="nor this")
"""
    assert sorted(word for _, word in decided_on(ast.parse(code))) == list("abcdefgh")


def test_no_code_decides_on_a_providers_name() -> None:
    rows = yaml.load((ROOT / "config/providers.yaml").read_text(), Loader=yaml.CSafeLoader)
    found = [
        f"{path}:{line}: {word}"
        for path in python_files("gateway")
        if not MAY_KNOW_PROVIDERS.match(str(path))
        for line, word in decided_on(ast.parse((ROOT / path).read_text()))
        if word in rows and (str(path), word) not in OTHER_MEANINGS
    ]
    assert found == []


def test_no_file_names_a_machines_path_or_a_registrys_host() -> None:
    found = []
    for path in files():
        try:
            lines = (ROOT / path).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path}:{number}"
            for number, line in enumerate(lines, 1)
            if MACHINE_PATH.search(line) or REGISTRY_HOST.search(line)
        ]
    assert found == []


def test_every_locked_package_is_pinned_and_hashed_and_no_lock_names_a_host() -> None:
    assert LOCKS
    for lock in LOCKS:
        text = lock.read_text()
        assert "://" not in text, lock.name
        assert not re.search(r"^\s*--?[a-z-]*(?:index|find-links|trusted)", text, re.MULTILINE), lock.name
        entries = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)[1:]
        assert entries, lock.name
        for entry in entries:
            assert re.match(r"[\w.-]+==\S+", entry), f"{lock.name}: {entry.splitlines()[0]}"
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry.splitlines()[0]}"


def test_every_locked_node_package_is_hashed_and_its_lock_names_no_place() -> None:
    found = [path for path in files() if path.name == "package-lock.json"]
    assert found
    for path in found:
        packages = json.loads((ROOT / path).read_text())["packages"]
        for name, package in packages.items():
            if name:
                assert package["integrity"].startswith("sha512-"), f"{path}: {name}"
                assert "resolved" not in package, f"{path}: {name}"


def pinned(lock: str) -> dict[str, str]:
    found = re.findall(
        r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", (ROOT / f"deploy/requirements/{lock}.txt").read_text(), re.MULTILINE
    )
    return {canonicalize_name(name): version for name, version in found}


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """A dependency that changed without `make lock` shows here."""
    project = tomllib.loads(PYPROJECT)["project"]
    asked = {"runtime": project["dependencies"]}
    for lock in ("dev", "embedded"):
        asked[lock] = [*project["dependencies"], *project["optional-dependencies"][lock]]
    for lock, lines in asked.items():
        versions = pinned(lock)
        for one in map(Requirement, lines):
            assert versions.get(canonicalize_name(one.name), "0") in one.specifier, f"{lock}.txt: {one}"


def test_the_locks_of_one_environment_agree() -> None:
    """`make setup` and `make setup-dev` share an environment, so neither may undo the other."""
    dev = pinned("dev")
    for lock in ("runtime", "build", "embedded"):
        differing = {name: version for name, version in pinned(lock).items() if dev.get(name, version) != version}
        assert differing == {}, lock


def exclusions(path: PurePosixPath) -> Iterator[tuple[int, str, bool]]:
    """Each comment that silences a machine: its line, what it silences, whether it says why."""
    if not EXCLUSION.search((ROOT / path).read_text()):
        return
    with (ROOT / path).open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT and (found := EXCLUSION.search(token.string)):
                why = (token.string[: found.start()] + token.string[found.end() :]).strip(" #()-")
                yield token.start[0], found.group().strip(" ,"), len(why) > 2


def test_every_exclusion_in_code_says_why() -> None:
    """A run of lines with the same exclusion says it once, in its first; an empty line doesn't end it."""
    silent = []
    for path in [*python_files("gateway"), *python_files("tests")]:
        previous = (0, "")
        for line, what, explained in exclusions(path):
            if explained or (line - previous[0] <= 2 and previous[1] == what):
                previous = (line, what)
            else:
                silent.append(f"{path}:{line}: {what}")
    assert silent == []


def test_every_exclusion_in_the_projects_file_says_why() -> None:
    silent = []
    inside = False
    section = ""
    for number, line in enumerate(PYPROJECT.splitlines(), 1):
        bare = line.partition(" #")[0].strip()
        if line.startswith("["):
            section = bare
        elif inside:
            inside = bare != "]"
            if inside and bare and "#" not in line:
                silent.append(f"{number}: {bare}")
        elif EXCLUDING_KEY.match(line) and (not line.startswith('"') or "ignores" in section):
            inside = bare.endswith("[")
            if not inside and "#" not in line:
                silent.append(f"{number}: {bare}")
    assert silent == []
