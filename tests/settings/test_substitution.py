from pathlib import Path

import pytest

from gateway.settings.scalars import Unclear
from gateway.settings.substitution import FromEnvironment, private_file, secret, substitute

HERE = Path()
SECRET = "s3cret-value-that-must-not-show"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$NAME and $", "$NAME and $"),
        ("${NAME}", "gw"),
        ("https://${NAME}.example/${OTHER}", "https://gw.example/x y"),
        ("${GONE:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${GONE:-}", ""),
        ("${NAME:-default}", "gw"),
        ("${LOOP}", "${NAME}"),
    ],
)
def test_references_are_replaced_once(text: str, value: str) -> None:
    found = substitute(text, {"NAME": "gw", "OTHER": "x y", "EMPTY": "", "LOOP": "${NAME}"})
    assert found == value
    assert isinstance(found, FromEnvironment) is ("${" in text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${GONE}", "GONE is not set in the environment; set GONE, or write ${GONE:-default}"),
        ("${EMPTY}", "EMPTY is empty in the environment; set EMPTY, or write ${EMPTY:-default}"),
        ("${NAME", "a ${ that isn't ${NAME} or ${NAME:-default}; write ${NAME}"),
        ("${a b}", "a ${ that isn't ${NAME} or ${NAME:-default}; write ${NAME}"),
        ("${}", "a ${ that isn't ${NAME} or ${NAME:-default}; write ${NAME}"),
        ("${A:-${B}}", "a ${ that isn't ${NAME} or ${NAME:-default}; write ${NAME}"),
    ],
)
def test_a_reference_to_nothing_is_refused_with_its_mend(text: str, words: str) -> None:
    with pytest.raises(Unclear) as caught:
        substitute(text, {"EMPTY": ""})
    assert str(caught.value) == words


@pytest.mark.parametrize("value", [f"{SECRET}\nx", f"{SECRET}\0", f"{SECRET}\x1b[0m", f"{SECRET}\udcff"])
def test_a_value_that_is_not_one_line_of_text_is_refused_and_never_shown(value: str) -> None:
    with pytest.raises(Unclear) as caught:
        substitute("${NAME}", {"NAME": value})
    assert "one line of text" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_secret_comes_from_the_environment() -> None:
    found, source = secret("${KEY}", {"KEY": SECRET}, HERE)
    assert found.reveal() == SECRET
    assert source == ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (SECRET, "a secret written into the file"),
        ("sk-proj-" + SECRET, "a secret written into the file"),
        ("${KEY:-" + SECRET + "}", "a secret with a default"),
        ("Bearer ${KEY}", "a secret mixed with other text"),
        ("${GONE}", "GONE is not set in the environment"),
        ("${EMPTY}", "EMPTY is empty in the environment"),
        ("${LINES}", "LINES isn't one line of printable ASCII without spaces"),
        ("${SPACED}", "SPACED isn't one line of printable ASCII without spaces"),
        ("${BYTES}", "BYTES isn't one line of printable ASCII without spaces"),
    ],
)
def test_a_secret_that_is_not_safe_is_refused_and_never_shown(text: str, what: str) -> None:
    environment = {
        "KEY": SECRET,
        "EMPTY": "",
        "LINES": f"{SECRET}\n",
        "SPACED": f"a {SECRET}",
        "BYTES": f"{SECRET}\udcff",
    }
    with pytest.raises(Unclear) as caught:
        secret(text, environment, HERE)
    assert caught.value.what == what
    assert SECRET not in str(caught.value)


def test_a_secret_comes_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    for text in (f"file:{path}", "file:key"):
        found, source = secret(text, {}, tmp_path)
        assert found.reveal() == SECRET
        assert source == str(path)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o622, 0o602])
def test_a_secrets_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    path.chmod(mode)
    with pytest.raises(Unclear) as caught:
        secret(f"file:{path}", {}, tmp_path)
    assert str(caught.value) == f"{path} may be read or changed by other users; chmod 600 {path}"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"two\nlines", "isn't one line of printable ASCII without spaces"),
        (b"\xff\xfe", "isn't one line of printable ASCII without spaces"),
        (b"x" * 70_000, "is larger than 65536 bytes"),
    ],
)
def test_a_secrets_file_that_holds_no_secret_is_refused(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(Unclear) as caught:
        secret("file:key", {}, tmp_path)
    assert caught.value.what == f"{path} {what}"


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unclear, match="can't be read"):
        private_file(tmp_path / "gone")
