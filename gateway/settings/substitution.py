"""`${NAME}`, `${NAME:-default}` and `file:/run/secrets/x`: what a file takes from outside itself.

No message here ever holds a value that came from the environment or from a secret's file.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.settings.scalars import Unclear
from gateway.settings.shape import Secret
from gateway.settings.yaml import read_once

MOST_SECRET_BYTES = 64 * 1024
FILE = "file:"
# Where container engines mount secrets, readable to all in a container nobody else lives in.
MOUNTS = ("/run/secrets/", "/var/run/secrets/")
READABLE_BY_ALL = 0o004
WRITABLE_BY_OTHERS = 0o022

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}$]*))?\}")
_ONE_LINE = re.compile(r"[\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]*")
_SECRET = re.compile(r"[\x21-\x7e]+")


class FromEnvironment(str):
    """Text that came from the environment: its reader decides whether it is a number."""

    __slots__ = ()


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """The text with its references replaced, once. Unclear where one is unset, empty or malformed."""
    if "${" not in text:
        return text
    if "${" in _REFERENCE.sub("", text):
        raise Unclear("a ${ that isn't ${NAME} or ${NAME:-default}", "write ${NAME}")

    def value(match: re.Match[str]) -> str:
        name, has_default, default = match[1], match[2] is not None, match[3] or ""
        found = environment.get(name, "")
        if not found and has_default:
            return default
        return _checked(name, found, present=name in environment)

    return FromEnvironment(_REFERENCE.sub(value, text))


def _checked(name: str, found: str, *, present: bool) -> str:
    if not found:
        state = "empty" if present else "not set"
        raise Unclear(f"{name} is {state} in the environment", f"set {name}, or write ${{{name}:-default}}")
    if not _ONE_LINE.fullmatch(found):
        raise Unclear(f"{name} holds a line break, a control character or no UTF-8", f"set {name} to one line of text")
    return found


def secret(text: str, environment: Mapping[str, str], beside: Path) -> tuple[Secret, str]:
    """A secret and the file it came from ("" for the environment). Unclear for a literal, a default, or nothing there.

    A relative `file:` is looked for beside the file that names it.
    """
    if text.startswith(FILE):
        path = beside / text[len(FILE) :]
        return _from_file(path), str(path)
    match = _REFERENCE.fullmatch(text)
    if match is None:
        if "${" in text:
            raise Unclear("a secret mixed with other text", "write ${NAME} alone")
        raise Unclear("a secret written into the file", "write ${NAME} and set NAME, or file:/run/secrets/x")
    name = match[1]
    if match[2] is not None:
        raise Unclear("a secret with a default", f"write ${{{name}}}, so that a missing secret is noticed")
    found = environment.get(name, "")
    if not found:
        state = "empty" if name in environment else "not set"
        raise Unclear(f"{name} is {state} in the environment", f"set {name}, or write file:/run/secrets/x")
    if not _SECRET.fullmatch(found):
        raise Unclear(f"{name} isn't one line of printable ASCII without spaces", f"set {name} to the secret alone")
    return Secret(found), ""


def private_file(path: Path) -> None:
    """Unclear where a file isn't there, or may be read or changed by others than its owner."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise Unclear(f"{path} can't be read ({error.strerror})", "name a file that exists and may be read") from error
    if mode & WRITABLE_BY_OTHERS or (mode & READABLE_BY_ALL and not str(path).startswith(MOUNTS)):
        raise Unclear(f"{path} may be read or changed by other users", f"chmod 600 {path}")


def _from_file(path: Path) -> Secret:
    private_file(path)
    try:
        data = read_once(path, MOST_SECRET_BYTES)
    except Unclear as unclear:
        raise Unclear(f"{path} {unclear.what}", unclear.mend) from unclear
    found = data.decode("ascii", "replace").rstrip("\r\n")
    if not _SECRET.fullmatch(found):
        what = "is empty" if not found else "isn't one line of printable ASCII without spaces"
        raise Unclear(f"{path} {what}", "write the secret alone into it")
    return Secret(found)
