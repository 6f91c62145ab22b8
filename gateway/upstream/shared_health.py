"""What the gateways of one fleet tell one another of their backends, and who of them looks at those.

The law of this file: everything here ends by itself. A gateway that dies stops publishing, and a second later its load
is gone; its lease is another's after three. Nothing is counted up and down by several, so nothing can leak.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.upstream.probes.reading import Reading

LEASE_S: Final = 3.0
# A gateway that hasn't published for this long is taken as gone.
GONE_S: Final = 1.0


class Share(Struct, frozen=True):
    """What one gateway says of one backend: what it has there itself, and what it read of it so long ago, if it did."""

    in_flight: int = 0
    waiting_tokens: float = 0.0
    reading: Reading | None = None
    age_s: float = 0.0


Shares = Mapping[str, Share]


class SharedHealth(Protocol):
    """Never on the way of a request: who calls this waits in the background, and none of it raises.

    `now` is the caller's monotonic clock, `who` its instance. Between machines only differences of it mean anything,
    and what is read is told in the reader's own time.
    """

    async def lead(self, region: str, who: str, now: float) -> bool:
        """Whether this gateway probes for its region: it does until LEASE_S after it last asked."""
        ...

    async def publish(self, who: str, shares: Shares, now: float) -> None:
        """Replace everything this gateway has said, by backend."""
        ...

    async def read(self, now: float) -> Mapping[str, Shares]:
        """What every gateway that lives says, by itself and backend; ages are as of now."""
        ...

    async def cool(self, backend: str, until: float, now: float) -> None:
        """Have nobody ask a backend before `until`; the latest of several holds (LiteLLM #40130)."""
        ...

    async def cooling(self, now: float) -> Mapping[str, float]:
        """The backends that cool, and until when."""
        ...


class MemoryHealth:
    """The same within one process: of one gateway alone, or of several that share this and a clock."""

    def __init__(self) -> None:
        self._leases: dict[str, tuple[str, float]] = {}
        self._said: dict[str, tuple[Shares, float]] = {}
        self._cool: dict[str, float] = {}

    async def lead(self, region: str, who: str, now: float) -> bool:
        holder, until = self._leases.get(region, (who, now))
        if holder != who and now < until:
            return False
        self._leases[region] = (who, now + LEASE_S)
        return True

    async def publish(self, who: str, shares: Shares, now: float) -> None:
        self._said[who] = (dict(shares), now)

    async def read(self, now: float) -> Mapping[str, Shares]:
        self._said = {who: said for who, said in self._said.items() if now - said[1] <= GONE_S}
        return {
            who: {name: replace(share, age_s=share.age_s + now - at) for name, share in shares.items()}
            for who, (shares, at) in self._said.items()
        }

    async def cool(self, backend: str, until: float, now: float) -> None:
        del now
        self._cool[backend] = max(until, self._cool.get(backend, until))

    async def cooling(self, now: float) -> Mapping[str, float]:
        self._cool = {backend: until for backend, until in self._cool.items() if until > now}
        return dict(self._cool)
