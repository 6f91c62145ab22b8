"""How much one backend may have of ours at once, and whose turn it is where that much is taken.

    priority (strict) ─► caller (fair by tokens) ─► deadline (the earliest first)

Each backend keeps an account of what every caller has had of it since somebody began to wait. A round is one turn for
each of those within QUANTUM tokens of whoever has had least, the earliest deadline first. It is deficit round robin
(Shreedhar and Varghese, SIGCOMM 1995) in which turns are paid for afterwards: nobody can save up for two of them before
one who has had none, however many wait and whatever they ask. Times are monotonic seconds.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from math import exp
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gateway.routing.candidate import Candidate
from gateway.routing.policy import PRIORITIES, Rules
from gateway.routing.snapshot import FOR_EVER, Load

# A server's next request should be there before it has finished the one before; more than that can wait here, where
# somebody knows whose turn it is (slots * 1.2, routing 4.5).
OVER: Final = 5
# Of a limit for those that aren't of the highest priority: the rest is kept free for these (routing 4.5).
UNRESERVED: Final = 0.9
QUANTUM: Final = 1024.0
# A request holds its place for a while however short it is.
LEAST_TOKENS: Final = 64.0
# How fast what was seen of a backend's pace is forgotten.
TAU_S: Final = 10.0


class Limit(Struct, frozen=True):
    """Requests at once: the `most` a backend should have of everybody, and of these one worker's `own` share."""

    most: float
    own: float


def limit_of(slots: int, workers: int = 1) -> Limit:
    """What a backend of so many slots may have: a fifth more than these, one at least."""
    most = float(slots + max(1, slots // OVER))
    return Limit(most, most / workers)


class Bounds(Struct, frozen=True):
    """How much backends may have of ours before they are full for one request.

    `limits` are there where it may wait; of these and of what refusals taught, `share` is for its priority. Whoever has
    fewer than `idle` has reached none of `limits`.
    """

    share: float = 1.0
    limits: Mapping[str, Limit] = {}
    idle: float = FOR_EVER

    def reached(self, backend: str, load: Load) -> bool:
        """Whether a backend is full.

        A worker whose own share of a limit is used up may have more, while others are not known to use theirs.
        """
        if load.in_flight >= self.share * load.most:
            return True
        limit = self.limits.get(backend)
        return (
            limit is not None and load.in_flight >= self.share * limit.own and load.working() >= self.share * limit.most
        )


UNBOUND: Final = Bounds()


def bounds_of(candidates: Iterable[Candidate], rules: Rules, workers: int = 1) -> Bounds:
    """What holds for requests under these rules, where so many workers decide.

    Where nobody may wait here, what is too much for a server waits in the server's own queue.
    """
    share = 1.0 if rules.priority == "high" else UNRESERVED
    limits = {one.backend: limit_of(one.slots, workers) for one in candidates if one.slots} if rules.queue_s else {}
    return Bounds(share, limits, min((share * limit.own for limit in limits.values()), default=FOR_EVER))


class Ticket(Struct, eq=False):
    """One request that waits. `number` says in which order they came; it may go to any of `backends`."""

    caller: str
    priority: int
    until: float
    number: int
    tokens: float
    backends: frozenset[str]


T = TypeVar("T", bound=Ticket)
_Queue = list[tuple[float, int, T]]
_Group = tuple[dict[str, _Queue[T]], ...]
_BY_RANK: Final = tuple(sorted(PRIORITIES.values(), reverse=True))


class _Book:
    """What callers of one priority have had of one backend, in tokens.

    Anybody is taken to have had as much as `_least`: who comes later, or comes back, has nothing saved up.
    """

    __slots__ = ("_had", "_least", "_served")

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._least = 0.0
        self._served: set[str] = set()

    def first(self, heads: dict[str, tuple[float, int, T]]) -> T:
        """The next one of these, which are the first of each caller, by how long they can wait."""
        best = self._next(heads)
        if best is None:
            # All have had their turn, or too much: another round.
            self._least = min(map(self._of, heads))
            self._served.clear()
            best = self._next(heads)
        assert best is not None
        return best[2]

    def pay(self, caller: str, tokens: float) -> None:
        self._had[caller] = self._of(caller) + tokens
        self._served.add(caller)

    def give_back(self, caller: str, tokens: float) -> None:
        self._had[caller] = self._of(caller) - tokens
        self._served.discard(caller)

    def _next(self, heads: dict[str, tuple[float, int, T]]) -> tuple[float, int, T] | None:
        had, served, most = self._had, self._served, self._least + QUANTUM
        best = None
        for caller, head in heads.items():
            if (best is None or head < best) and caller not in served and had.get(caller, 0.0) <= most:
                best = head
        return best

    def _of(self, caller: str) -> float:
        return max(self._least, self._had.get(caller, 0.0))


class _Account(Generic[T]):
    """One backend, as long as somebody waits for it: who, what they have had, and how fast requests end there."""

    __slots__ = ("_at", "_ended", "_since", "books", "groups")

    def __init__(self, now: float) -> None:
        self.groups: dict[frozenset[str], _Group[T]] = {}
        self.books = tuple(_Book() for _ in PRIORITIES)
        self._since = self._at = now
        self._ended = 0.0

    def ended(self, now: float) -> None:
        self._ended = self._ended * exp((self._at - now) / TAU_S) + 1.0
        self._at = now

    def per_second(self, now: float) -> float:
        """How many requests end here in a second, lately; one more is taken to be about to, lest nought be for ever."""
        lasted = TAU_S * (1.0 - exp((self._since - now) / TAU_S))
        return (self._ended * exp((self._at - now) / TAU_S) + 1.0) / lasted if lasted > 0.0 else FOR_EVER


class Line(Generic[T]):
    """Everybody who waits, for whatever backends."""

    def __init__(self) -> None:
        self._groups: dict[frozenset[str], _Group[T]] = {}
        self._accounts: dict[str, _Account[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def backends(self) -> tuple[str, ...]:
        """Those that somebody waits for."""
        return tuple(self._accounts)

    def is_for(self, backend: str) -> bool:
        """Whether anybody waits for this backend."""
        return backend in self._accounts

    # --- who comes and goes -------------------------------------------------------------------------------------------

    def join(self, ticket: T, now: float) -> None:
        """Stand in line. Who left and joins again with the number he had is where he was."""
        group = self._groups.get(ticket.backends)
        if group is None:
            group = self._groups[ticket.backends] = tuple({} for _ in PRIORITIES)
            for backend in ticket.backends:
                account = self._accounts.get(backend)
                if account is None:
                    account = self._accounts[backend] = _Account(now)
                account.groups[ticket.backends] = group
        insort(group[ticket.priority].setdefault(ticket.caller, []), (ticket.until, ticket.number, ticket))
        self._count += 1

    def leave(self, ticket: T) -> None:
        """Be forgotten. KeyError or IndexError for who isn't in line."""
        group = self._groups[ticket.backends]
        callers = group[ticket.priority]
        queue = callers[ticket.caller]
        at = bisect_left(queue, (ticket.until, ticket.number))
        assert queue[at][2] is ticket
        del queue[at]
        self._count -= 1
        if queue:
            return
        del callers[ticket.caller]
        if any(group):
            return
        del self._groups[ticket.backends]
        for backend in ticket.backends:
            account = self._accounts[backend]
            del account.groups[ticket.backends]
            if not account.groups:
                del self._accounts[backend]

    def late(self, now: float) -> list[T]:
        """Those whose time is up."""
        found: list[T] = []
        for group in self._groups.values():
            for queue in _queues(group):
                found += [ticket for _, _, ticket in queue[: bisect_right(queue, (now, FOR_EVER))]]
        return found

    # --- whose turn it is ---------------------------------------------------------------------------------------------

    def first(self, backend: str, now: float) -> T | None:
        """Whose turn it is at a backend; nobody whose time is up."""
        account = self._accounts.get(backend)
        if account is None:
            return None
        for rank in _BY_RANK:
            heads: dict[str, tuple[float, int, T]] = {}
            for group in account.groups.values():
                for caller, queue in group[rank].items():
                    head = queue[0]
                    if head[0] <= now:
                        at = bisect_right(queue, (now, FOR_EVER))
                        if at == len(queue):
                            continue
                        head = queue[at]
                    if caller not in heads or head < heads[caller]:
                        heads[caller] = head
            if heads:
                return account.books[rank].first(heads)
        return None

    def pay(self, ticket: T, backend: str) -> None:
        """He has had his turn there."""
        account = self._accounts.get(backend)
        if account is not None:
            account.books[ticket.priority].pay(ticket.caller, max(LEAST_TOKENS, ticket.tokens))

    def give_back(self, ticket: T, backend: str) -> None:
        """Nothing came of his turn."""
        account = self._accounts.get(backend)
        if account is not None:
            account.books[ticket.priority].give_back(ticket.caller, max(LEAST_TOKENS, ticket.tokens))

    # --- how long it takes --------------------------------------------------------------------------------------------

    def ended(self, backend: str, now: float) -> None:
        """A request has ended there, so that a place came free."""
        account = self._accounts.get(backend)
        if account is not None:
            account.ended(now)

    def wait_s(self, ticket: T, now: float) -> float:
        """How long he would wait by what was seen since people began to; 0.0 where nothing was."""
        speed = 0.0
        for backend in ticket.backends:
            account = self._accounts.get(backend)
            if account is None:
                return 0.0
            speed += account.per_second(now)
        return (self._before(ticket) + 1.0) / speed

    def _before(self, ticket: T) -> float:
        """How many will be called before him: all of higher priority, and of each other caller no more than of him."""
        place, rank = (ticket.until, ticket.number), ticket.priority
        before = own = 0.0
        others: list[tuple[float, Iterable[_Queue[T]]]] = []
        for backends, group in self._groups.items():
            # Who may go elsewhere as well is in his way for a part.
            weight = len(backends & ticket.backends) / len(backends)
            if weight:
                before += weight * sum(map(len, _queues(group[rank + 1 :])))
                own += weight * bisect_left(group[rank].get(ticket.caller, ()), place)
                others.append((weight, [queue for caller, queue in group[rank].items() if caller != ticket.caller]))
        for weight, queues in others:
            before += sum([min(weight * bisect_left(queue, place), own + 1.0) for queue in queues])
        return before + own


def _queues(levels: tuple[Mapping[str, _Queue[T]], ...]) -> Iterator[_Queue[T]]:
    for callers in levels:
        yield from callers.values()
