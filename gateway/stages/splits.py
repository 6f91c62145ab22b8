"""Splits that watch themselves: what their requests come to is held against the others', and a bad one ends.

Fed by settling. Whoever ends is added to `snapshot.ended`, which decisions read; it stays there until its policy says
something else of it. Each worker sees its own requests only, and decides by them.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from gateway.errors import CallerLeft
from gateway.exchange import HEDGE_LOST, Attempt, Exchange
from gateway.routing.policy import Policy, Split
from gateway.routing.snapshot import Snapshot
from gateway.routing.split_rule import Tally, Why

ANSWERED: Final = "answered"


class Ended(Protocol):
    """Who is told of splits."""

    def split_ended(self, tally: Tally, why: Why) -> None:
        """A split was ended by its rule, for what the tally shows."""

    def split_begins(self, name: str) -> None:
        """A split that was ended may have requests again."""


class Splits:
    """The splits of one worker that have a rule to end them, by their names."""

    def __init__(self, told: Ended) -> None:
        self._told = told
        self._tallies: dict[str, Tally] = {}
        self._snapshot = Snapshot()

    def use(self, policies: Iterable[Policy], snapshot: Snapshot) -> None:
        """Go by these policies from now on; a split that is not as it was, or new, begins at nought."""
        known = self._tallies
        self._tallies = {
            split.name: known[split.name] if split.name in known and known[split.name].split == split else Tally(split)
            for split in watched(policies)
        }
        stay = frozenset(name for name in snapshot.ended if name in known and self._tallies.get(name) is known[name])
        for name in snapshot.ended - stay:
            self._told.split_begins(name)
        snapshot.ended = stay
        self._snapshot = snapshot

    def settle(self, exchange: Exchange) -> None:
        """Count one finished request for every split it could have been part of."""
        for split in exchange.splits:
            tally = self._tallies.get(split.name)
            if tally is not None and tally.split == split:
                self._count(tally, exchange)

    def _count(self, tally: Tally, exchange: Exchange) -> None:
        split = tally.split
        own = exchange.split == split.name
        if not own and exchange.split:
            return  # another one's, which may be bad in its own way
        attempt = _first_at(exchange.attempts, split.backend if own else "")
        # Who left before anything came has seen neither.
        if attempt is None or (attempt.outcome == CallerLeft.code and not attempt.first_content):
            return
        why = tally.count(own=own, failed=_failed(attempt), ttft_ms=_ttft_ms(attempt))
        ended = self._snapshot.ended
        if why and split.name not in ended:
            self._snapshot.ended = ended | {split.name}
            self._told.split_ended(tally, why)


def watched(policies: Iterable[Policy]) -> list[Split]:
    """The splits that have a rule to end them; where there are none, nobody need tell of requests."""
    return [split for policy in policies for split in policy.split or () if split.stop is not None]


def _first_at(attempts: Iterable[Attempt], backend: str) -> Attempt | None:
    """The first attempt of a request, at this backend or ("") anywhere: what came of the choice, whoever saved it."""
    found = [attempt for attempt in attempts if not backend or attempt.target.backend.name == backend]
    return min(found, key=lambda attempt: attempt.started, default=None)


def _failed(attempt: Attempt) -> bool:
    """Whether no answer came, for whatever reason: what is wrong with requests themselves is so on both sides."""
    return attempt.outcome not in (ANSWERED, HEDGE_LOST, CallerLeft.code)


def _ttft_ms(attempt: Attempt) -> float | None:
    """The time to the first content; of one that lost a race, how long it was waited for, which is less."""
    seen = attempt.ended if attempt.outcome == HEDGE_LOST else attempt.first_content
    return (seen - (attempt.sent or attempt.started)) * 1e3 if seen else None
