"""What every client is asked, and what must come of it, by script.json. Known to the clients' environments alone.

    python -m tests.clients.python.FILE KIND URL KEY PLACES

KIND is one of the clients that the file has; PLACES is a JSON array of places as `run.py` writes them. Each case is
told as a JSON line when it is done.
"""

import asyncio
import json
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TextIO, TypeVar

SCRIPT: Final[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "script.json").read_bytes())
SYSTEM: Final[str] = SCRIPT["system"]
TOOL: Final[dict[str, Any]] = SCRIPT["tool"]
TIMEOUT_S: Final = 30.0
MOST_TOKENS: Final = 4096
THINKING_TOKENS: Final = 2048
UNKNOWN: Final = "nobody-serves-this"
WRONG_KEY: Final = "sk-gw-wrong-0123456789abcdef"
FEWEST_PIECES: Final = 3  # of a stream, to be one
_LOOP: Final = asyncio.new_event_loop()
_T = TypeVar("_T")
# What a place may lack, by the word in the names of its cases.
_WORDS: Final = {"streams": "stream", "thoughts": "thinking"}


@dataclass
class Called:
    """A tool's call with its arguments read."""

    name: str
    arguments: Any
    id: str


@dataclass
class Heard:
    """What a client made of an answer. `used` are tokens in and out; `pieces` counts a stream's."""

    text: str = ""
    thought: str = ""
    calls: list[Called] = field(default_factory=list)
    finish: str = ""
    used: tuple[int, int] | None = None
    pieces: int = 0


@dataclass(frozen=True)
class Wish:
    """How to talk: with whom, in pieces or whole, with the tool, with thoughts."""

    url: str
    key: str
    model: str
    stream: bool = False
    tools: bool = False
    thinking: bool = False


class Talk(Protocol):
    """A conversation that keeps what was said, as the client's users keep it."""

    def say(self, words: str) -> Heard: ...

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        """Answer the calls of the last turn."""


@dataclass
class Round:
    """A question that took tools: all its calls, the thought before them, and the last answer."""

    calls: list[Called]
    thought: str
    text: str


class Client(ABC):
    """A client of one language. `ends` are its words for an end and for calls; `refusals` its errors by status.

    `leaves_out` names cases it has no way for, each with the reason.
    """

    family: str
    ends: tuple[str, str]
    refusals: dict[int, str]
    leaves_out: dict[str, str] = {}  # noqa: RUF012  (never changed)

    @abstractmethod
    def talk(self, wish: Wish) -> Talk: ...

    @abstractmethod
    def refusal(self, error: Exception) -> tuple[int, str]:
        """Status and words of a refusal."""

    def more(self, wish: Wish, place: str) -> dict[str, Callable[[], None]]:
        """Cases that only this client has, by their names."""
        return {}

    def round(self, wish: Wish, ask: str) -> Round:
        """Ask, give the results, hear the answer. Whoever calls tools for its users does it by itself."""
        talk = self.talk(wish)
        heard = talk.say(ask)
        calls, thought = heard.calls, heard.thought
        while heard.calls:
            _same("finish", heard.finish, self.ends[1])
            heard = talk.give([(call, result(call.arguments)) for call in heard.calls])
            calls += heard.calls
        _same("last finish", heard.finish, self.ends[0])
        return Round(calls, thought, heard.text)


def result(arguments: Any) -> str:
    """What the tool says."""
    found: str = TOOL["results"][arguments["city"]]
    return found


def awaited(coming: Coroutine[Any, Any, _T]) -> _T:
    """What an async client gives; all of them run in one loop, since what they keep open belongs to it."""
    return _LOOP.run_until_complete(coming)


def _same(what: str, heard: object, expected: object) -> None:
    assert heard == expected, f"{what}: {heard!r} is not {expected!r}"


# --- the cases --------------------------------------------------------------------------------------------------------


class Cases:
    """Everything that one client is asked at one place."""

    def __init__(self, client: Client, url: str, key: str, place: dict[str, Any]) -> None:
        self._client = client
        self._url, self._key = url, key
        self._place = place

    def all(self, *, first: bool) -> dict[str, Callable[[], None]]:
        """By their names. What no place takes part in is asked once, at the `first`."""
        plain, tools, steps = SCRIPT["plain"]["ask"], TOOL["ask"], SCRIPT["steps"]["ask"]
        bad, busy = SCRIPT["errors"]["bad"], SCRIPT["errors"]["busy"]
        cases: dict[str, Callable[[], None]] = {
            "plain": lambda: self._answer(stream=False),
            "stream": lambda: self._answer(stream=True),
            "tools": lambda: self._tools(tools, stream=False),
            "tools, stream": lambda: self._tools(tools, stream=True),
            "steps": lambda: self._tools(steps, stream=False),
            "steps, stream": lambda: self._tools(steps, stream=True),
            "thinking": lambda: self._thinking(stream=False),
            "thinking, stream": lambda: self._thinking(stream=True),
            "thinking, tools": lambda: self._thoughtful_tools(stream=False),
            "thinking, tools, stream": lambda: self._thoughtful_tools(stream=True),
            "bad": partial(self._refused, 400, bad["message"], bad["ask"]),
            "bad, stream": partial(self._refused, 400, bad["message"], bad["ask"], stream=True),
            # What a busy provider says is the gateway's to know.
            "busy": partial(self._refused, 429, "", busy["ask"]),
            **self._client.more(self._wish(stream=False), self._place["language"]),
        }
        if first:
            cases["unknown"] = lambda: self._refused(404, "", plain, model=UNKNOWN)
            cases["denied"] = lambda: self._refused(401, "", plain, key=WRONG_KEY)
        lacks = [word for feature, word in _WORDS.items() if feature in self._place["lacks"]]
        return {
            name: case
            for name, case in cases.items()
            if name not in self._client.leaves_out and not any(word in name for word in lacks)
        }

    def _wish(
        self, *, stream: bool, tools: bool = False, thinking: bool = False, key: str = "", model: str = ""
    ) -> Wish:
        model = model or f"{self._client.family}-via-{self._place['language']}"
        return Wish(self._url, key or self._key, model, stream, tools, thinking)

    def _answer(self, *, stream: bool) -> None:
        heard = self._client.talk(self._wish(stream=stream)).say(SCRIPT["plain"]["ask"])
        _same("text", heard.text, SCRIPT["plain"]["text"])
        _same("finish", heard.finish, self._client.ends[0])
        if "usage" not in self._place["lacks"]:
            _same("usage", heard.used, (SCRIPT["usage"]["input"], SCRIPT["usage"]["output"]))
        if stream:
            _same("in pieces", heard.pieces >= FEWEST_PIECES, True)

    def _tools(self, ask: str, *, stream: bool) -> None:
        self._round(self._wish(stream=stream, tools=True), ask)

    def _round(self, wish: Wish, ask: str) -> Round:
        done = self._client.round(wish, ask)
        _same(
            "calls",
            [(call.name, call.arguments) for call in done.calls],
            [(TOOL["name"], one) for one in TOOL["calls"]],
        )
        _same("ids", len({call.id for call in done.calls if call.id}), len(TOOL["calls"]))
        _same("text", done.text, TOOL["text"])
        return done

    def _thinking(self, *, stream: bool) -> None:
        talk = self._client.talk(self._wish(stream=stream, thinking=True))
        heard = talk.say(SCRIPT["thinking"]["ask"])
        _same("thought", heard.thought, SCRIPT["thinking"]["thought"])
        _same("text", heard.text, SCRIPT["thinking"]["text"])
        _same("again", talk.say(SCRIPT["again"]["ask"]).text, SCRIPT["again"]["text"])

    def _thoughtful_tools(self, *, stream: bool) -> None:
        asked = SCRIPT["thoughtful_tools"]
        done = self._round(self._wish(stream=stream, tools=True, thinking=True), asked["ask"])
        _same("thought", done.thought, asked["thought"])

    def _refused(
        self, status: int, words: str, ask: str, *, stream: bool = False, key: str = "", model: str = ""
    ) -> None:
        talk = self._client.talk(self._wish(stream=stream, key=key, model=model))
        raised: Exception | None = None
        try:
            heard = talk.say(ask)
        except Exception as error:  # noqa: BLE001  (whatever a client raises is what is asked about)
            raised = error
        assert raised is not None, f"answered: {heard}"
        kinds = [kind.__name__ for kind in type(raised).__mro__]
        assert self._client.refusals[status] in kinds, f"{status} came as {_short(raised)}"
        told = self._client.refusal(raised)
        _same("status", told[0], status)
        assert words in told[1], f"{words!r} is not in {told[1]!r}"


def main(clients: Mapping[str, Client]) -> None:
    kind, url, key, places = sys.argv[1:]
    client = clients[kind]
    # Some clients print advice among what they are asked for.
    out, sys.stdout = sys.stdout, sys.stderr
    out.write(json.dumps({"left_out": client.leaves_out}) + "\n")
    for number, place in enumerate(json.loads(places)):
        for name, case in Cases(client, url, key, place).all(first=number == 0).items():
            tell(out, place["language"], name, case)


def tell(out: TextIO, place: str, name: str, case: Callable[[], None]) -> None:
    """Do a case and say what came of it."""
    trouble = ""
    try:
        case()
    except AssertionError as error:
        trouble = str(error)
    except Exception as error:  # noqa: BLE001  (whatever a client raises is what its user would see)
        trouble = _short(error)
    out.write(json.dumps({"place": place, "case": name, "trouble": trouble}) + "\n")
    out.flush()


def _short(error: Exception) -> str:
    """An exception in a line, with the last two places it came through."""
    passed = traceback.extract_tb(error.__traceback__)[-2:]
    where = " < ".join(f"{one.filename.rpartition('site-packages/')[2]}:{one.lineno}" for one in reversed(passed))
    return f"{type(error).__name__}: {error} ({where})"
