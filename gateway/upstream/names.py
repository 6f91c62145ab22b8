"""What a caller asks for, and which configured name that is.

A name is looked for, in this order, among the configured names, the configured globs, `provider/model` (the name of a
provider's row or of a backend, then a target's model), and the models of the targets, providers' own ids. A name that
nothing has is rewritten by the rules of config/models.yaml, one after the other, until something has it. A spelling
that leads to several configured names leads to none.

The law of this file: what a caller may do is decided by the configured name, so a spelling gives its targets or fewer.
"""

from collections.abc import KeysView, Mapping
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.settings.shape import NameRule, Target
from gateway.settings.words import STAND_IN

# No model of any provider has one in its name: what begins so is a client's own mark, which no place understands.
_MARK: Final = "["
_DIGIT: Final = "#"
_DIGITS: Final = frozenset("0123456789")


class Named(Struct, frozen=True):
    """A configured name, or one that a configured glob matches; and of its targets those that were asked for."""

    name: str
    targets: tuple[Target, ...]


class Names:
    """Every name a configuration has, by all that it can be called."""

    def __init__(self, models: Mapping[str, tuple[Target, ...]], rules: tuple[NameRule, ...] = ()) -> None:
        self._rules = rules
        self._exact = {name: Named(name, targets) for name, targets in models.items() if "*" not in name}
        self._globs = [(name, targets) for name, targets in models.items() if "*" in name]
        self._spelled = _spellings(self._exact)

    @property
    def exact(self) -> KeysView[str]:
        """The configured names that are no globs, in the order of the configuration."""
        return self._exact.keys()

    def find(self, asked: str) -> Named | None:
        """What a name means; None where it means nothing, or more than one thing."""
        found = self._known(asked)
        for rule in self._rules:
            if found is not None:
                return found
            name, asked = asked, rewritten(asked, rule)
            if asked != name:
                found = self._known(asked)
        return found

    def _known(self, asked: str) -> Named | None:
        return self._exact.get(asked) or self._globbed(asked) or self._spelled.get(asked)

    def _globbed(self, asked: str) -> Named | None:
        if _MARK in asked:
            return None
        for pattern, targets in self._globs:
            if fnmatchcase(asked, pattern):
                start = len(pattern.partition("*")[0])
                part = asked[start : len(asked) - (len(pattern) - start - 1)]
                return Named(asked, tuple(_with_model(target, part) for target in targets))
        return None


def rewritten(name: str, rule: NameRule) -> str:
    """The name after a rule; the same where the rule isn't meant for it."""
    piece = rule.starts or rule.ends
    at = 0 if rule.starts else len(name) - len(piece)
    there = name[at : at + len(piece)] if at >= 0 else ""
    if len(there) != len(piece) or not all(map(_fits, piece, there)):
        return name
    digits = (found for wanted, found in zip(piece, there, strict=True) if wanted == _DIGIT)
    becomes = "".join(next(digits) if wanted == _DIGIT else wanted for wanted in rule.becomes)
    return name[:at] + becomes + name[at + len(piece) :]


def _fits(wanted: str, found: str) -> bool:
    return found in _DIGITS if wanted == _DIGIT else found == wanted


def _with_model(target: Target, part: str) -> Target:
    """A target whose model is `*` serves what the glob matched, under that name."""
    return replace(target, model=part) if target.model == "*" else target


def _spellings(exact: Mapping[str, Named]) -> dict[str, Named]:
    """What else leads to exactly one configured name: `provider/model`, then a provider's own id."""
    placed: dict[str, dict[str, Named]] = {}
    own: dict[str, dict[str, Named]] = {}
    for name, named in exact.items():
        if name.startswith(STAND_IN):
            continue  # those are asked for by these names and no others
        for target in named.targets:
            own.setdefault(target.model, {})[name] = named
            for place in {target.backend.name, target.backend.provider.name}:
                found = placed.setdefault(f"{place}/{target.model}", {})
                before = found[name].targets if name in found else ()
                found[name] = Named(name, (*before, target))
    return {
        spelling: named
        for spelling, by_name in {**own, **placed}.items()
        for named in by_name.values()
        if len(by_name) == 1 and not spelling.startswith(STAND_IN)
    }
