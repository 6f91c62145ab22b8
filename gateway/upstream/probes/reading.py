"""What a look at a model server asks, and what it shows. Pure: a reader yields what to ask and is sent the answers.

The law of this room: what a server doesn't tell is None. It is neither zero, which would draw all traffic to it, nor
full, which would stop it (GAIE #1497; llm-d-router #2100, #2408, #2547).
"""

from collections.abc import Generator, Iterable
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

_Read = TypeVar("_Read")

# What a server that still reads its model says of itself with its 503: llama.cpp's "Loading model", and our stand-in's.
_LOADING: Final = b"oading model"


class Ask(Struct, frozen=True):
    """One request to a server: a path after its base URL; on another port of the same host where `port` isn't 0."""

    path: str
    body: bytes | None = None  # a POST where there is one
    port: int = 0

    @property
    def where(self) -> str:
        """What is asked, as operators are told of it."""
        return f":{self.port}{self.path}" if self.port else self.path


class Site(Struct, frozen=True):
    """What a reader is told of its backend: the models it is configured for, and the port it is asked at.

    `metrics_port` is where its metrics are, 0 where nobody says: where its kind has them.
    """

    models: tuple[str, ...] = ()
    port: int = 0
    metrics_port: int = 0


class Answer(Struct, frozen=True):
    """What came back; a status of 0 where nothing did, or not in time."""

    status: int = 0
    body: bytes = b""

    @property
    def alive(self) -> bool:
        """Whether something answers there. A path that is hidden or wants a key says nothing against its server."""
        return 0 < self.status < 500

    @property
    def loading(self) -> bool:
        return self.status == 503 and _LOADING in self.body


class Reading(Struct, frozen=True):
    """What one look at a server showed; None is what it doesn't tell.

    `alive` is None where nobody has looked for a while. `loading`: it is up and its model isn't yet. `kv` is the used
    share of its cache, from 0 to 1; `slots` are the requests it works on at once; `queue_s` is how long those waited
    that began since the look before. `models` are those in its memory, `loadable` those it loads by itself when they
    are asked for; `adapters` are the LoRA adapters in use, of `adapters_most`. `watts` are what it draws now.
    `tokens_in` and `tokens_out` are its counters. `rtt_ms` is how long the first answer took on a connection that was
    there already. `unmatched` are signals of which a scrape that was read has no name that we know; `missing` are paths
    that should answer and don't, each with its status or what was wrong.
    """

    alive: bool | None = None
    loading: bool = False
    running: float | None = None
    waiting: float | None = None
    kv: float | None = None
    slots: int | None = None
    queue_s: float | None = None
    models: frozenset[str] | None = None
    loadable: frozenset[str] = frozenset()
    adapters: frozenset[str] | None = None
    adapters_most: int | None = None
    watts: float | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    rtt_ms: float | None = None
    unmatched: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    @property
    def working(self) -> float | None:
        """Requests it works on or keeps waiting, as far as it tells; None where it tells neither."""
        if self.running is None:
            return self.waiting
        return self.running + (self.waiting or 0.0)

    def over(self, older: "Reading") -> "Reading":
        """What this one tells, and where it doesn't, the older one: for answers that tell a part."""
        mine = {name: getattr(self, name) for name in self.__struct_fields__}
        return replace(older, **{name: value for name, value in mine.items() if not _says_nothing(value)})


def _says_nothing(value: object) -> bool:
    return value is None or value is False or value == frozenset()


UNKNOWN: Final = Reading()
DEAD: Final = Reading(alive=False)

Look = Generator[Ask, Answer, Reading]


class Reader(Protocol):
    """How one kind of server is looked at. It keeps what differences need, so each backend has its own.

    `orca`: its answers can carry the load report of upstream/orca.py.
    """

    orca: bool

    def look(self, now: float) -> Look:
        """One look at `now` (monotonic seconds). Only what is wrong with us is raised."""


def not_serving(answer: Answer, expected: Iterable[str] = ()) -> Reading | None:
    """What the answer of a health check ends a look with; None where it may go on.

    `expected` are the models that a server which is still loading is loading.
    """
    if answer.loading:
        return Reading(alive=True, loading=True, models=frozenset(), loadable=frozenset(expected))
    return None if answer.alive else DEAD


def wrong(path: str, answer: Answer) -> frozenset[str]:
    """A path whose answer is no 200, as `missing` has it."""
    return frozenset() if answer.status == 200 else frozenset({f"{path} {answer.status or 'silent'}"})


def read_json(decoder: msgspec.json.Decoder[_Read], body: bytes) -> _Read:
    """A body in the shape that is expected. ValueError where it isn't."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ValueError("not the JSON that was expected") from error
