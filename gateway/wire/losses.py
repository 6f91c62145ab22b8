"""Losses are values: what a language can't carry is written down, never passed over in silence (DESIGN.md, 4)."""

import re
from typing import Final, Literal

from gateway.errors import UnsupportedFeature

# What a name ends with where something near it crossed instead.
MAPPED: Final = "=mapped"

Action = Literal["dropped", "mapped"]
# A name comes from what a caller sent and goes into a header line.
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_MOST_CHARACTERS: Final = 64
_MOST: Final = 32


class Losses:
    """What one crossing cost, by the field's path in the language it was read from (`messages[2].content[0].title`).

    `dropped`: it is gone. `mapped`: something near it crossed instead. Under `strict` a drop is a refusal.
    """

    __slots__ = ("_strict", "noted")

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self.noted: dict[str, Action] = {}

    def dropped(self, path: str) -> None:
        """Note that a field is gone. UnsupportedFeature where nothing may be lost."""
        if self._strict:
            self.refused(path)
        self._note(path, "dropped")

    def mapped(self, path: str) -> None:
        """Note that something near it crossed instead."""
        if self.noted.get(safe(path)) != "dropped":
            self._note(path, "mapped")

    def refused(self, path: str) -> None:
        """Raise UnsupportedFeature: without it the request would mean something else."""
        raise UnsupportedFeature("No backend of this model can carry this field.", param=safe(path))

    def names(self) -> list[str]:
        """For `x-gateway-dropped`: the path of each drop, and `path=mapped` of the others."""
        return [path if action == "dropped" else f"{path}{MAPPED}" for path, action in self.noted.items()]

    def _note(self, path: str, action: Action) -> None:
        if len(self.noted) < _MOST:
            self.noted[safe(path)] = action


def safe(path: str) -> str:
    """A name that may stand in a header line."""
    return _UNSAFE.sub("?", path[:_MOST_CHARACTERS])
