"""A streamed answer that broke goes on elsewhere from the text its caller has heard: what all languages share of it.

The law: the caller hears that text, and then what a model says after exactly that text; nothing twice, nothing left
out. Where that isn't certain it isn't tried, and where it turns out not to be so the answer breaks after all.

A language that can do it has a `resume.py` in its folder, which ends in `RESUME`. docs/resuming.md says what is exact.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Final, Literal, Protocol, cast

from msgspec import Struct

from gateway.errors import UpstreamTruncated
from gateway.features import Request, Usage
from gateway.wire import StreamMeter

# How a provider is asked to go on with an answer (a row's `prefill`); "": it can't.
#   appended                the last turn is the answer's beginning, put behind the prompt as it stands
#   last_turn               the same, but white space at its end may be lost on the way
#   continue_final_message  by a field of that name; white space at the end may be lost
#   prefix                  by a flag in the last turn; the answer then begins with that turn's text once more
Prefill = Literal["", "appended", "last_turn", "continue_final_message", "prefix"]
_KEEPS_SPACE: Final = "appended"
_ECHOES: Final = "prefix"

# A token is a word with its space at the most: of a text with space between words, there are several.
_SEVERAL: Final = re.compile(r"\S\s+\S")


class Torn(UpstreamTruncated):
    """The second half doesn't follow on the first. It is no fault of the place that said it."""

    hurts_health = False
    try_elsewhere = False


class Count(Struct, frozen=True):
    """How many tokens a text was; `most` is more than `least` where that can't be known."""

    least: int = 0
    most: int = 0

    @property
    def certain(self) -> bool:
        return self.least == self.most

    def plus(self, least: int, most: int) -> "Count":
        return Count(self.least + least, self.most + most)


def count(events: Iterable[str]) -> Count:
    """The tokens of what was said event by event, by servers that send each token by itself.

    A character of several tokens comes with its last, so an event may be as many as it has bytes beyond its
    characters. One of several words shows that this server gathers tokens: they may be as many as its bytes.
    """
    least = most = 0
    for text in events:
        size = len(text.encode())
        several = _SEVERAL.search(text)
        least += len(text.split()) if several else 1
        most += size if several else 1 + size - len(text)
    return Count(least, most)


def split(events: list[str], prefill: Prefill, said: Count) -> tuple[str, Count]:
    """The text to go on from, and its tokens; `said` are those of all events.

    White space at the end that might be lost on the way is left out, to be said once more.
    """
    text = "".join(events)
    sent = text if prefill == _KEEPS_SPACE else text.rstrip()
    left = len(text) - len(sent)
    at = len(events)
    while left > 0:
        at -= 1
        left -= len(events[at])
    again = count(events[at:])
    reread = said.plus(-again.least, -again.most)
    if left < 0:
        # A token that was cut through may be two.
        stays = count([events[at][:-left]])
        reread = reread.plus(stays.least, stays.most + 1)
    return sent, reread


def partly(text: str, stops: Iterable[str]) -> bool:
    """Whether a text ends in the beginning of a stop sequence, whose rest nobody would look for any more."""
    return any(text.endswith(stop[:size]) for stop in stops for size in range(1, len(stop)))


class Seam:
    """Takes out of a second half what the first has said. `torn` is set where it turns out not to follow on it.

    `sent` is the text that was to be gone on from, `heard` what the caller has heard beyond it, `prefill` how it was
    asked for. `again` counts the events that were generated and held nothing new; what is repeated of `sent` is not.
    """

    __slots__ = ("_echo", "_expected", "_fresh", "_sent", "again", "torn")

    def __init__(self, sent: str, heard: str, prefill: Prefill) -> None:
        self._sent = sent
        self._echo = len(sent) if prefill == _ECHOES else 0
        self._expected = sent[: self._echo] + heard
        self._fresh = not self._echo
        self.again = 0
        self.torn = False

    @property
    def open(self) -> bool:
        """Whether something is still to be repeated before anything new."""
        return bool(self._expected)

    def new(self, text: str) -> str:
        """What of an event's text hasn't been said."""
        if self._fresh:
            self._fresh = False
            # vLLM before 0.6.4 repeats what it was given, in one event (its issue 10111). No single token is that.
            if self._sent and text.startswith(self._sent) and _SEVERAL.search(self._sent):
                text = text[len(self._sent) :]
                if not text:
                    return ""
        expected = self._expected
        if expected:
            size = min(len(text), len(expected))
            if text[:size] != expected[:size]:
                self.torn = True
                return ""
            self._expected = expected[size:]
            text = text[size:]
            self.again += not text and size > self._echo
            self._echo = max(0, self._echo - size)
        return text


def together(prompt: int | None, said: Count, reread: Count, second: Usage, again: int) -> Usage:
    """What a joined answer used: the prompt and all that was said, once.

    `prompt` is what the first half told of its prompt's tokens, None where it didn't: then it is what the second read
    less what of that was the answer. `again` of the second's tokens were said twice, or to nobody.
    """
    if prompt is None:
        prompt = max(0, second.input_tokens - reread.least)
    return Usage(
        prompt,
        said.least + max(0, second.output_tokens - again),
        min(second.cached_tokens, prompt),
        estimated=second.estimated or not (said.certain and reread.certain),
    )


class Rest(Protocol):
    """The second half of an answer: the request for it, and the meter that makes it go on where the first ended."""

    request: Request

    def meter(self, inner: StreamMeter) -> StreamMeter:
        """Watches the second half through `inner`; what it gives is the first half's, going on."""


class Hearer(Protocol):
    """What one caller has heard."""

    def heard(self, events: bytes) -> None:
        """Whole events on their way to the caller."""

    def rest(self, request: Request, prefill: Prefill) -> Rest | None:
        """How the rest can be had, None where it can't be exact."""


class Resume(Protocol):
    """What a language offers."""

    def hearer(self, request: Request) -> Hearer | None:
        """Who listens to the answer of this request, None where it couldn't be gone on with anyway."""


@cache
def load(language: str) -> Resume | None:
    """What a language offers, None where it has no way to go on with an answer."""
    folder = f"gateway.wire.{language}"
    name = f"{folder}.resume"
    try:
        return cast("Resume", import_module(name).RESUME)
    except ModuleNotFoundError as error:
        if error.name not in (folder, name):
            raise
        return None
