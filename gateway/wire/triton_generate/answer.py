"""Answers of Triton's generate extension, whole and streamed (its docs/protocol/extension_generate.md).

The extension has a text and nothing else: no reason to end, no counts, and no end of a stream but the transport's.
vLLM's backend tells the first two where it is asked to (vllm_backend's docs/additional_outputs.md): then they count,
and a stream that stops without a reason is one that broke.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from gateway.errors import UpstreamBroken, UpstreamTruncated
from gateway.features import Usage
from gateway.wire import openai_error
from gateway.wire.anthropic_event import MOST_TOKENS
from gateway.wire.ir import Answer, BlockClosed, BlockGrew, BlockOpened, Event, Finish, Finished, Started, Text

_One = TypeVar("_One")

_FINISHES: Final[Mapping[str, Finish]] = {"stop": "stop", "length": "length"}
# Python's word, which vLLM's backend sends while it isn't finished.
_NOT_YET: Final = "None"
_BROKEN: Final = frozenset(("abort", "error"))


class _Said(Struct, gc=False):
    """Of what a tensor holds, one value stands alone and several in a list."""

    text_output: str | list[str] | None = None
    model_name: str | None = None
    finish_reason: str | list[str] | None = None
    num_input_tokens: int | list[int] | None = None
    num_output_tokens: int | list[int] | None = None
    error: str | None = None


_said: Final = Decoder(_Said).decode


class _Told:
    """What an answer says of itself, event by event. Output tokens are those since the event before."""

    __slots__ = ("_read", "_reason", "_wrote", "model")

    def __init__(self) -> None:
        self._reason: str | None = None
        self._read: int | None = None
        self._wrote: int | None = None
        self.model = ""

    def take(self, payload: bytes) -> str | None:
        """The text an event says, None where it has none."""
        said = _said(payload)
        if said.error is not None:
            raise openai_error.read_inside(payload)
        self.model = said.model_name or self.model
        self._reason = _first(said.finish_reason) or self._reason
        if self._reason in _BROKEN:
            raise UpstreamBroken("The upstream gave up its answer.", code="upstream_error")
        if said.num_input_tokens is not None:
            self._read = _first(said.num_input_tokens)
        if said.num_output_tokens is not None:
            self._wrote = (self._wrote or 0) + (_first(said.num_output_tokens) or 0)
        return _first(said.text_output)

    def finish(self) -> Finish:
        if self._reason == _NOT_YET:
            raise UpstreamTruncated("The upstream's answer ended early.")
        return _FINISHES.get(self._reason, "other") if self._reason else "stop"

    def usage(self) -> Usage | None:
        if self._wrote is None:
            return None
        read = self._read or 0
        if not 0 <= min(read, self._wrote) <= max(read, self._wrote) <= MOST_TOKENS:
            return None
        return Usage(read, self._wrote)


def read_answer(body: bytes) -> Answer:
    told = _Told()
    text = told.take(body)
    if text is None:
        raise UpstreamBroken("The upstream's answer has no text.")
    return Answer([Text(text)], told.finish(), model=told.model, usage=told.usage())


class TritonReader:
    """See codec.Reader. It is never done: the end of the stream is the answer's."""

    __slots__ = ("_started", "_told", "done")

    def __init__(self) -> None:
        self._told = _Told()
        self._started = False
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        del name
        text = self._told.take(payload)
        if text is None:
            return []
        events: list[Event] = []
        if not self._started:
            self._started = True
            events += (Started(model=self._told.model), BlockOpened(0, Text("")))
        if text:
            events.append(BlockGrew(0, text))
        return events

    def end(self) -> list[Event]:
        if not self._started:
            raise UpstreamTruncated("The upstream's answer ended before it began.")
        return [BlockClosed(0), Finished(self._told.finish(), usage=self._told.usage())]


def _first(one: "_One | list[_One] | None") -> "_One | None":
    if isinstance(one, list):
        return one[0] if one else None
    return one
