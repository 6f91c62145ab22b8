"""What a decision is told of one request and of the moment."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_HOUR_S: Final = 3600
_HOURS: Final = 24
Local = tuple[int, int]  # weekday (Monday 0) and minute of the day


class Now(Struct, frozen=True):
    """One moment on both clocks, in seconds."""

    monotonic: float
    wall: float = 0.0

    @property
    def hour(self) -> int:
        """UTC's, for grids that change by the hour."""
        return int(self.wall // _HOUR_S % _HOURS)


class Asker(Struct, frozen=True):
    """Who asks, and what for, as far as policies look at it.

    `country` is "" where it is unknown. `local` holds the weekday and minute in every zone that some policy names;
    headers are lower case, and only those that some policy names.
    """

    model: str
    operation: str = "chat"
    key: str = ""
    team: str = ""
    country: str = ""
    pop: str = ""
    tags: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    local: Mapping[str, Local] = {}


class Work(Struct, frozen=True):
    """What a request will cost whoever serves it.

    Tokens are estimates, `window` is the least its prompt and answer can be (0: unknown). `session` and `prefix` are
    hashes, 0 where there is none. `left_ms` is what its deadline leaves it.
    """

    tokens_in: int = 0
    tokens_out: float = 256.0
    window: int = 0
    capabilities: frozenset[str] = frozenset()
    session: int = 0
    prefix: int = 0
    left_ms: float = 600_000.0
    stream: bool = True
