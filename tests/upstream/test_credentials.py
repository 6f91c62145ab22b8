"""How keys are sent, and that they are shown nowhere else."""

import pytest

from gateway.settings.shape import Auth, Secret
from gateway.upstream.credentials import SCHEMES, header_lines

KEY = Secret("sk-12345")


@pytest.mark.parametrize(
    ("auth", "key", "lines"),
    [
        (Auth("none"), Secret(""), ""),
        (Auth("none"), KEY, ""),
        (Auth("bearer"), KEY, "authorization: Bearer sk-12345\r\n"),
        (Auth("bearer", optional=True), Secret(""), ""),
        (Auth("header", header="api-key"), KEY, "api-key: sk-12345\r\n"),
        (Auth("header", header="x-goog-api-key", optional=True), Secret(""), ""),
    ],
)
def test_each_scheme_gives_its_header_line(auth: Auth, key: Secret, lines: str) -> None:
    assert header_lines(auth, key) == lines


def test_these_are_the_schemes() -> None:
    assert set(SCHEMES) == {"none", "bearer", "header"}


def test_an_unknown_scheme_is_an_error() -> None:
    with pytest.raises(KeyError):
        header_lines(Auth("magic"), KEY)


@pytest.mark.parametrize("key", ["a\r\nx-evil: 1", "a\nb", "a b", "é", "a\0", "\x7f"])
@pytest.mark.parametrize("auth", [Auth("bearer"), Auth("header", header="api-key")])
def test_a_key_that_could_begin_another_header_is_refused_without_being_shown(auth: Auth, key: str) -> None:
    with pytest.raises(ValueError, match="one line") as caught:
        header_lines(auth, Secret(key))
    assert key not in str(caught.value)


@pytest.mark.parametrize("name", ["", "x y", "x:", "x\r\ny"])
def test_a_header_without_a_proper_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no header"):
        header_lines(Auth("header", header=name), KEY)
