"""The record of one request: what arrived, what was tried, what came of it. Stages fill it in; settle reads it."""

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from gateway.errors import GatewayError
from gateway.features import Usage
from gateway.routing.policy import Split
from gateway.settings.shape import Caller, Target
from gateway.wire import PLAIN, Addressed, Endpoint


class Origin(Struct, frozen=True):
    """Where a caller is, as far as anybody who is trusted knows: "" and None where nobody does.

    `country` is an ISO 3166-1 code, `location` degrees of latitude and longitude.
    """

    address: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    location: tuple[float, float] | None = None


NOWHERE: Final = Origin()


class Call(Struct):
    """One request as the front door read it.

    `path` is raw and undecoded; header names are lower case, values trimmed; `address` is the peer's (or a trusted
    proxy's word for it), "" on a Unix socket; `country` is its origin's. `endpoint`, `addressed` and `caller` are set
    once the head was accepted. `kept` is what was worked out of this head alone, by what it is called, for when the
    same head comes again on its connection.
    """

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes = b""
    address: str = ""
    request_id: str = ""
    endpoint: Endpoint | None = None
    addressed: Addressed = PLAIN
    caller: Caller | None = None
    arrived: float = 0.0
    arrived_wall: float = 0.0
    secure: bool = False
    country: str = ""
    origin: Origin = NOWHERE
    kept: dict[str, object] = {}


# How an attempt ends that another one, beside it, was faster than.
HEDGE_LOST: Final = "hedge_lost"


class Attempt(Struct):
    """One try at one target; times are monotonic seconds, 0.0 where it never came to that.

    `cost_usd` is what an attempt cost us that no caller pays: an estimate.
    """

    target: Target
    started: float
    sent: float = 0.0
    headers: float = 0.0
    first_content: float = 0.0
    ended: float = 0.0
    status: int = 0
    outcome: str = ""
    reused: bool = False
    dialled_s: float = 0.0
    cost_usd: float = 0.0


class Exchange(Struct, eq=False):
    """Everything known about one request, from its head to its settlement.

    Times are monotonic seconds. `own_s` is what the request cost of our own time, known once it is settled; `waited_s`
    is how long it waited for a place at some backend. Where two
    attempts ran beside each other the last of `attempts` is the one that answered. `split` names the split that chose
    where it went, `splits` are those that could have. `jurisdictions` are the countries that it and whatever is told of
    it must stay in, None where it may go anywhere.
    """

    call: Call
    started: float
    operation: str = ""
    model: str = ""
    stream: bool = False
    attempts: list[Attempt] = []
    target: Target | None = None
    status: int = 0
    error: GatewayError | None = None
    usage: Usage | None = None
    finish: str = ""
    changed: tuple[str, ...] = ()
    first_content: float = 0.0
    ended: float = 0.0
    own_s: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    pieces: int = 0
    cost_usd: float | None = None
    complete: bool = False
    left: bool = False
    settled: bool = False
    policies: tuple[str, ...] = ()
    reason: str = ""
    split: str = ""
    splits: tuple[Split, ...] = ()
    waited_s: float = 0.0
    jurisdictions: frozenset[str] | None = None

    def fail(self, error: GatewayError) -> None:
        """Note what it ended with. One that failed before its policies were known stays where its team says."""
        self.error = error
        caller = self.call.caller
        if caller is not None:
            self.stay(caller.require.jurisdictions)

    def stay(self, jurisdictions: frozenset[str] | None) -> None:
        """Stay in these countries, and in those it must stay in already."""
        if jurisdictions is not None:
            known = self.jurisdictions
            self.jurisdictions = jurisdictions if known is None else known & jurisdictions

    def upstream_s(self) -> float:
        """Seconds spent waiting for upstreams' heads (streams) or whole answers, every attempt together."""
        attempts = self.attempts
        if len(attempts) > 1:
            attempts = self._before_content()
            if len(attempts) > 1:
                return _together_s(attempts)
        if not attempts:
            return 0.0
        attempt = attempts[0]
        began = attempt.sent or attempt.started
        return (attempt.headers or attempt.ended or began) - began + attempt.dialled_s

    def overhead_s(self, now: float) -> float:
        """Seconds of our own since the request had arrived whole, up to its answer's first byte or `now`."""
        first = self.first_content
        if first and self.attempts:
            # What an upstream needed between its head and its first content is its own, too.
            now = self._before_content()[-1].headers or first
        own = now - self.started - self.upstream_s() - self.waited_s
        return max(0.0, own)

    def _before_content(self) -> list[Attempt]:
        """The attempts from before the caller heard anything; one that went on with a broken stream is none."""
        first = self.first_content
        return (
            [one for one in self.attempts if one.started < first] if first and len(self.attempts) > 1 else self.attempts
        )

    @property
    def outcome(self) -> str:
        """How it ended, in one word: answered, left, or the error's code."""
        if self.left:
            return "left"
        if self.error is not None:
            return self.error.reason
        return "answered"


def _together_s(attempts: list[Attempt]) -> float:
    """What was waited for several attempts; what two of them took at the same time counts once."""
    waited = 0.0
    until, end = float("-inf"), attempts[-1].headers or float("inf")
    for attempt in sorted(attempts, key=lambda one: one.started):
        began = attempt.sent or attempt.started
        # One that lost was waited for until the other one had content, whatever its head had promised.
        heard = attempt.ended if attempt.outcome == HEDGE_LOST else attempt.headers
        since, ended = max(until, began - attempt.dialled_s), min(end, heard or attempt.ended or began)
        if ended > since:
            waited += ended - since
            until = ended
    return waited


class Telling(Protocol):
    """Somebody who is told of every finished request."""

    def settle(self, exchange: Exchange) -> None: ...


class Reply(Protocol):
    """Where an answer goes; the front door's side of a request."""

    @property
    def started(self) -> bool:
        """Whether the status line has gone out, so that nothing but this answer's rest can follow."""

    @property
    def paused(self) -> bool:
        """Whether the caller reads slower than we write."""

    def whole(self, status: int, lines: bytes, body: bytes) -> None:
        """Write a whole answer; `lines` are finished header lines, each with its line end."""

    def stream(self, lines: bytes, first: bytes) -> None:
        """Send the head of a streamed answer with its first bytes."""

    def write(self, data: bytes) -> None:
        """Send more of a streamed answer."""

    def end(self) -> None:
        """Finish a streamed answer cleanly."""

    def fail(self, frame: bytes) -> None:
        """Finish a streamed answer that broke: with its error frame; without one, or before HTTP/1.1, by hanging up."""

    def on_writable(self, resume: Callable[[], None]) -> None:
        """Call `resume` once the caller has caught up."""
