"""The official clients: a file for each, which calls with it and reads what its own types hold.

They run in the clients' environment (`calling.py`) and know nothing of the gateway's code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from tests.conformance.recorded.claims import Heard

QUESTION = "What do you say?"
TIMEOUT_S = 60.0
MOST_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a model's name, streamed or whole, the probabilities of tokens with it or not.

    `strict`: a stream must be one that its client could also put together from its pieces.
    """

    model: str
    stream: bool = False
    logprobs: bool = False
    strict: bool = False


class Caller(Protocol):
    """An official client at one address. Safe to use from several threads."""

    def ask(self, question: Question) -> Heard:
        """Call, and read the answer or the client's own error. Any other exception is trouble."""


def caller(name: str, url: str, key: str) -> Caller:
    """The client of that file name."""
    module: Any = import_module(f"{__name__}.{name}")
    return cast("Callable[[str, str], Caller]", module.CALLER)(url, key)
