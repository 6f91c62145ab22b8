"""A second attempt beside a slow first one: when there is one, and which of the two the caller hears.

The first *content* wins: of a stream the first event that says something, of a whole answer all of it, read and found
good. A head, an error or an empty stream is no content. Whoever loses is ended in the moment the other one wins, and
what its prompt cost is ours (Dean and Barroso, The Tail at Scale, 2013; an answer is neither cheap nor without
consequences as their reads are, hence all the conditions).
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import Raw

from gateway.errors import BadRequest, GatewayError
from gateway.exchange import HEDGE_LOST, Attempt, Exchange, Reply
from gateway.features import Request
from gateway.routing.estimate import predicted_first_ms
from gateway.routing.facts import Work
from gateway.routing.filters import closed
from gateway.routing.policy import Hedge
from gateway.routing.score import busy, token_ms
from gateway.routing.snapshot import IDLE, UNKNOWN, Snapshot
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Place
from gateway.upstream.connection import UpstreamConnection

# Above it a place is slow because it is busy, and a second attempt makes everybody slower (routing 4.5).
BUSY_MOST: Final = 0.8
PROMPT_MOST: Final = 4096  # tokens; they are paid twice
# A quantile of a handful of quick answers is no reason to ask twice.
LEAST_MS: Final = 200.0

# What may be asked twice: it creates nothing where it is answered. Of the second group there are no streams whose first
# content anybody could know.
_TALKS: Final = frozenset(("chat", "completions", "responses", "messages", "cohere_chat", "generate", "converse"))
_WHOLES: Final = frozenset(("embeddings", "rerank", "moderations", "count_tokens", "gemini_count"))
# Fields that give a model something to act with, in any of the languages.
_TOOLS: Final = ("tools", "functions", "toolConfig", "mcp_servers")
_ACTS: Final = ("conversation", "background", "mcp_servers")
_MCP: Final = re.compile(rb'"type"\s*:\s*"mcp')
_NOTHING: Final = frozenset((b"null", b"[]", b"{}", b'""', b"false"))


class Hedged(Protocol):
    """Who is told of races that are over."""

    def raced(self, backend: str, outcome: str, loser: Attempt | None) -> None:
        """A second attempt was made at `backend`: won, lost, failed or left; and who lost, where somebody won."""


class Silent:
    """Nobody."""

    def raced(self, backend: str, outcome: str, loser: Attempt | None) -> None:
        del backend, outcome, loser


SILENT: Final[Hedged] = Silent()


def suits(operation: str, request: Request, work: Work) -> bool:
    """Whether this may be asked twice: short, without tools, and of no consequence but its answer."""
    if work.tokens_in > PROMPT_MOST:
        return False
    if operation not in _TALKS and (request.stream or operation not in _WHOLES):
        return False
    fields = request.fields
    return not (any(_says(fields, name) for name in _TOOLS) or keeps(operation, fields))


def keeps(operation: str, fields: Mapping[str, Raw]) -> bool:
    """Whether the provider keeps what it answers as a thing of its own.

    OpenAI's responses are stored unless the request says otherwise, its chats where it says so (`store` in its API
    reference).
    """
    if operation == "responses" and bytes(fields.get("store", b"")) != b"false":
        return True
    return _says(fields, "store") or acts(fields)


def acts(fields: Mapping[str, Raw]) -> bool:
    """Whether whoever is asked would do something beside answering.

    He would add to the caller's conversation at OpenAI, work on after the answer, or call a remote server's tools
    himself (MCP; all other tools are the caller's to call, or only look something up).
    """
    return any(_says(fields, name) for name in _ACTS) or _MCP.search(bytes(fields.get("tools", b""))) is not None


def _says(fields: Mapping[str, Raw], name: str) -> bool:
    value = fields.get(name)
    return value is not None and bytes(value).strip() not in _NOTHING


def delay_s(hedge: Hedge, place: Place, work: Work, snapshot: Snapshot) -> float | None:
    """How long a place may be without content before another one is asked beside it; None: for ever.

    To be asked before the attempt is counted as load. A quantile is that of what the place has shown, over what is
    predicted for this request (estimate.py); a whole answer has its content only at its end.
    """
    candidate = place.candidate
    load = snapshot.loads.get(candidate.backend, IDLE)
    if place.lent or busy(candidate, load) > BUSY_MOST:
        return None
    if hedge.after_ms is not None:
        return hedge.after_ms / 1e3
    at = hedge.at or "p95"
    pace = snapshot.paces.get((candidate.backend, candidate.model), UNKNOWN)
    slow = pace.slow_p99 if at == "p99" else pace.slow_p95
    if not slow:  # nothing was measured lately
        return None
    wait_ms = predicted_first_ms(candidate, load, work, pace) * slow
    if not work.stream:
        wait_ms += work.tokens_out * token_ms(candidate, pace, at)
    return max(LEAST_MS, wait_ms) / 1e3


def can_help(place: Place, snapshot: Snapshot, now: float) -> bool:
    """Whether a place may be asked beside another one: it is open, it has room, and its costs are ours."""
    load = snapshot.loads.get(place.candidate.backend, IDLE)
    return not (place.lent or closed(load, now) or busy(place.candidate, load) > BUSY_MOST)


class Racer:
    """One attempt of a request that is hedged. `reason` says why its place answered, if it does."""

    __slots__ = ("attempt", "body", "connection", "failure", "lost", "place", "race", "reason", "task")

    def __init__(self, race: "Race", place: Place, body: bytes, lost: tuple[str, ...], reason: str) -> None:
        self.race = race
        self.place = place
        self.body = body
        self.lost = lost
        self.reason = reason
        self.attempt: Attempt | None = None
        self.connection: UpstreamConnection | None = None
        self.failure: GatewayError | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def won(self) -> bool:
        return self.race.winner is self

    def claim(self) -> None:
        """Its first content is there: it is this one that the caller hears, and the other one ends."""
        self.race.claim(self)

    def lose(self, now: float, work: Work) -> None:
        """End at once, unless it has ended already. The upstream sees its connection close; nobody awaits it."""
        task, attempt = self.task, self.attempt
        if task is None or task.done():
            return
        if attempt is not None:
            attempt.ended, attempt.outcome = now, HEDGE_LOST
            if attempt.sent and self.place.candidate.priced:
                attempt.cost_usd = self.place.candidate.usd(work.tokens_in, 0.0)
        if self.connection is not None:
            self.connection.abort()
        task.cancel()


class Race:
    """One request that is hedged, on its way along the plan; `at` is the next place.

    The record knows of the winner alone, but for the list of attempts. `then` is called when the answer begins.
    """

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        way: Way,
        reply: Reply,
        now: Callable[[], float],
        then: Callable[[], None] | None,
    ) -> None:
        self.exchange = exchange
        self.request = request
        self.way = way
        self.reply = reply
        self.at = 0
        self.winner: Racer | None = None
        self.racers: list[Racer] = []
        self.unsayable: BadRequest | None = None
        self._now = now
        self._then = then
        self._asked = exchange.model
        self._hedged = False

    def hedge(self, second: Racer) -> None:
        """A second attempt begins beside the first."""
        self.at += 1
        self._hedged = True
        self.racers.append(second)

    def may_hedge(self) -> bool:
        """Whether a second attempt may run beside the next one: once in a request, within what its policy has."""
        return not self._hedged and len(self.exchange.attempts) + 2 <= self.way.rules.retry.attempts

    def claim(self, winner: Racer) -> None:
        """The first content is this one's."""
        assert self.winner is None
        self.winner = winner
        now = self._now()
        for racer in self.racers:
            if racer is not winner:
                racer.lose(now, self.way.work)
        exchange = self.exchange
        if len(exchange.attempts) > 1:
            exchange.attempts.sort(key=lambda attempt: attempt is winner.attempt)
        exchange.target = winner.place.target
        exchange.model = winner.place.instead or self._asked
        exchange.changed = winner.lost
        exchange.reason = winner.reason
        if self._then is not None:
            self._then()

    def failure(self) -> GatewayError | None:
        """What the last attempts failed with, none where one of them answered: what can't be cured elsewhere first."""
        if self.winner is not None:
            return self.winner.failure
        failures = [racer.failure for racer in self.racers if racer.failure is not None]
        return next((failure for failure in failures if not failure.try_elsewhere), failures[-1])

    def outcome(self) -> str:
        """What came of the second of two attempts."""
        second = self.racers[1]
        if self.winner is not None:
            return "won" if second.won else "lost" if self._has_lost(second) else "failed"
        return "failed" if second.failure is not None else "left"

    @staticmethod
    def _has_lost(racer: Racer) -> bool:
        return racer.attempt is None or racer.attempt.outcome == HEDGE_LOST

    @property
    def loser(self) -> Attempt | None:
        attempts = (racer.attempt for racer in self.racers)
        return next((one for one in attempts if one is not None and one.outcome == HEDGE_LOST), None)
