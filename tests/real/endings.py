"""How one call of an official client ended, as the person who made it sees it."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

from msgspec import Struct

Kind = Literal["chat", "stream", "completion", "embeddings"]
# whole: an answer with its end. broken: an error after the first content. failed: an error instead of an answer.
# silent: it ended as if all were well, and wasn't: the one that must never be.
Outcome = Literal["whole", "broken", "failed", "silent"]
# In turn, for callers who keep on.
KINDS: tuple[Kind, ...] = ("stream", "chat", "stream", "embeddings", "stream", "completion")


class Ending(Struct, frozen=True):
    """`error` is the code the client was given, or the name of what it raised; `backend` who answered."""

    client: str
    kind: Kind
    outcome: Outcome
    backend: str = ""
    error: str = ""
    pieces: int = 0
    request_id: str = ""


def count(endings: Iterable[Ending]) -> dict[str, int]:
    """How many ended in each way."""
    counted = Counter(ending.outcome for ending in endings)
    return {outcome: counted[outcome] for outcome in get_args(Outcome)}
