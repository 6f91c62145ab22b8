"""Which policies a request meets, and what they say together.

Every policy that matches applies. What they require holds together; every other key comes from the most specific of
them that says it, and `rank` decides between two that are equally so. Nothing lifts what another one requires.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Final

from msgspec import Struct

from gateway.routing.facts import Asker, Local
from gateway.routing.policy import KEYS, Hours, Match, Policy, Require, Rules

# What makes a match specific, the most telling first.
_ORDER: Final = ("keys", "teams", "tags", "headers", "exact", "glob", "operations", "countries", "pops", "hours")
_WEIGHT: Final = {name: 1 << at for at, name in enumerate(reversed(_ORDER))}
_KEPT_MOST: Final = 10_000
_SIGNS: Final = re.compile(r"[*?\[\]]")

_NOBODY: Final = Require()


class Tie(Struct, frozen=True):
    """Two policies that can match one request, equally specific and of one rank, and the keys both say."""

    one: str
    other: str
    keys: tuple[str, ...]


class Book:
    """All policies of one configuration. What they say of requests that are alike is worked out once."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        self._policies = tuple(policies)
        self._by_name = {policy.name: policy for policy in self._policies}
        matches = [policy.match for policy in self._policies]
        self.zones = tuple(sorted({match.hours.zone for match in matches if match.hours is not None}))
        self.headers = tuple(sorted({name for match in matches for name in match.headers}))
        self._tags = tuple(sorted({name for match in matches for name in match.tags}))
        self._by_country = any(match.countries is not None for match in matches)
        self._kept: dict[tuple[object, ...], Rules] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def rules(self, asker: Asker, named: str = "") -> Rules:
        """What holds for this asker; a policy he may name is heard before all that match, its `match` aside."""
        key = (
            asker.model,
            asker.operation,
            asker.key,
            asker.team,
            asker.pop,
            asker.country if self._by_country else "",
            named,
            *[asker.tags.get(name) for name in self._tags],
            *[asker.headers.get(name) for name in self.headers],
            *[asker.local.get(name) for name in self.zones],
        )
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _KEPT_MOST:
                self._kept.clear()
            first = self._by_name.get(named)
            rest = sorted(
                (
                    (-weight, -policy.rank, policy.name, policy)
                    for policy in self._policies
                    if policy is not first and (weight := matched(policy, asker)) is not None
                ),
                key=lambda found: found[:3],
            )
            found = self._kept[key] = together([*([first] if first is not None else []), *(one[-1] for one in rest)])
        return found


def together(policies: Sequence[Policy]) -> Rules:
    """What policies say together, the most specific first."""
    require = _NOBODY
    said: dict[str, object] = {}
    for policy in policies:
        if policy.require is not None:
            require = require.also(policy.require)
        for key in KEYS:
            value = getattr(policy, key)
            if value is not None:
                said.setdefault(key, value)
    return Rules(names=tuple(policy.name for policy in policies), require=require, **said)  # type: ignore[arg-type]  # each by its own key, of the same type there and here


def matched(policy: Policy, asker: Asker) -> int | None:
    """How specifically a policy is for this asker; None where it isn't."""
    match = policy.match
    weight = 0
    for name, value in (
        ("keys", asker.key),
        ("teams", asker.team),
        ("operations", asker.operation),
        ("pops", asker.pop),
    ):
        wanted = getattr(match, name)
        if wanted is not None and value not in wanted:
            return None
        weight += 0 if wanted is None else _WEIGHT[name]
    for name, pairs, has in (("tags", match.tags, asker.tags), ("headers", match.headers, asker.headers)):
        if not all(has.get(key) in values for key, values in pairs.items()):
            return None
        weight += _WEIGHT[name] if pairs else 0
    for more in (_by_model(match, asker), _by_place(policy, asker), _by_hour(match, asker)):
        if more is None:
            return None
        weight += more
    return weight


def _by_model(match: Match, asker: Asker) -> int | None:
    if match.models is None:
        return 0
    if asker.model in match.models:
        return _WEIGHT["exact"]
    return _WEIGHT["glob"] if any(fnmatchcase(asker.model, glob) for glob in match.models) else None


def _by_place(policy: Policy, asker: Asker) -> int | None:
    countries = policy.match.countries
    if countries is None:
        return 0
    # Where nobody knows where he is, what protects somebody protects him, and what favours somebody doesn't.
    fits = asker.country in countries if asker.country else policy.require is not None
    return _WEIGHT["countries"] if fits else None


def _by_hour(match: Match, asker: Asker) -> int | None:
    if match.hours is None:
        return 0
    return _WEIGHT["hours"] if within(match.hours, asker.local) else None


def within(hours: Hours, local: Mapping[str, Local]) -> bool:
    """Whether it is such an hour; the day of an hour after midnight is the one its night began on."""
    at = local.get(hours.zone)
    if at is None:
        return False
    day, minute = at
    if hours.first < hours.last:
        inside = hours.first <= minute < hours.last
    else:
        inside = minute >= hours.first or minute < hours.last
        if minute < hours.last:
            day = (day - 1) % 7
    return inside and (not hours.days or day in hours.days)


def ties(policies: Iterable[Policy]) -> Iterator[Tie]:
    """Every pair whose order nothing decides, for a request that both match."""
    for one, other in combinations(policies, 2):
        keys = tuple(key for key in KEYS if getattr(one, key) is not None and getattr(other, key) is not None)
        if keys and one.rank == other.rank and _can_tie(one.match, other.match):
            yield Tie(one.name, other.name, keys)


def _can_tie(one: Match, other: Match) -> bool:
    for name in ("keys", "teams", "operations", "countries", "pops"):
        left, right = getattr(one, name), getattr(other, name)
        if (left is None) != (right is None) or (left is not None and not set(left) & set(right)):
            return False
    for left, right in ((one.tags, other.tags), (one.headers, other.headers)):
        if bool(left) != bool(right) or any(not set(left[key]) & set(right[key]) for key in left.keys() & right.keys()):
            return False
    if (one.hours is None) != (other.hours is None):
        return False
    if one.hours is not None and other.hours is not None and not _share_an_hour(one.hours, other.hours):
        return False
    return _same_kind_of_name(one.models, other.models)


def _same_kind_of_name(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> bool:
    """Whether some name is in both lists as it stands, or is met by a glob of each."""
    if one is None or other is None:
        return one is None and other is None
    if set(one) & set(other):
        return True
    globs = [[name for name in names if _is_glob(name)] for names in (one, other)]
    return any(_meet(left, right) for left in globs[0] for right in globs[1])


def _is_glob(name: str) -> bool:
    return bool(_SIGNS.search(name))


def _meet(one: str, other: str) -> bool:
    """Whether two globs may have a name in common: surely not where what they begin or end with differs."""
    left, right = _SIGNS.split(one), _SIGNS.split(other)
    begin_alike = left[0].startswith(right[0]) or right[0].startswith(left[0])
    return begin_alike and (left[-1].endswith(right[-1]) or right[-1].endswith(left[-1]))


def _share_an_hour(one: Hours, other: Hours) -> bool:
    """Whether there is a minute of the week in both, which then is one at which either begins, too."""
    if one.zone != other.zone:
        return True
    return any(
        within(one, {one.zone: (day, minute)}) and within(other, {one.zone: (day, minute)})
        for day in range(7)
        for minute in (one.first, other.first)
    )
