"""Configurations written to a directory of their own, and what a reading says of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.settings.load import read_settings
from gateway.settings.options import ServeOptions
from gateway.settings.reader import Reading
from gateway.settings.shape import Settings

HASH = "ab" * 32
CALLERS = f"""\
teams:
  clinic: {{models: ["llama-*"]}}
keys:
  web: {{team: clinic, hash: "{HASH}"}}
"""


class Tree:
    """A directory with gateway.yaml and the files it names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "gateway.yaml"
        self.write("callers.yaml", CALLERS)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(0o600)
        return path

    def reading(
        self, text: str, environment: Mapping[str, str] | None = None, options: ServeOptions | None = None
    ) -> Reading:
        self.write("gateway.yaml", text)
        return read_settings(self.path, environment or {}, options or ServeOptions())

    def said(
        self, text: str, environment: Mapping[str, str] | None = None, options: ServeOptions | None = None
    ) -> list[str]:
        """The problems, each without the directory in front."""
        reading = self.reading(text, environment, options)
        return [str(problem).replace(f"{self.root}/", "") for problem in reading.problems]

    def settings(
        self, text: str, environment: Mapping[str, str] | None = None, options: ServeOptions | None = None
    ) -> Settings:
        reading = self.reading(text, environment, options)
        assert reading.settings is not None, "\n".join(map(str, reading.problems))
        return reading.settings


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)
