"""Answers of text-generation-inference, whole and streamed (its docs/openapi.json; router/src/server.rs).

A stop sequence that ended an answer is a part of its text there.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from gateway.errors import UpstreamBroken, UpstreamError, UpstreamTruncated
from gateway.features import Usage
from gateway.wire import openai_error
from gateway.wire.anthropic_event import MOST_TOKENS
from gateway.wire.ir import Answer, BlockClosed, BlockGrew, BlockOpened, Event, Finish, Finished, Started, Text

_FINISHES: Final[Mapping[str, Finish]] = {"eos_token": "stop", "length": "length", "stop_sequence": "sequence"}
# Errors inside a stream have these words for the statuses they have elsewhere.
_STATUSES: Final[Mapping[str, int]] = {"overloaded": 429, "validation": 422}


class _Token(Struct, gc=False):
    text: str = ""
    logprob: float | None = None
    special: bool = False


class _Details(Struct, gc=False):
    """`input_length` is told in streams; `prefill` holds the prompt's tokens where they were asked for."""

    finish_reason: str | None = None
    generated_tokens: int | None = None
    input_length: int | None = None
    prefill: list[Raw] | None = None
    tokens: list[_Token] | None = None
    top_tokens: list[list[_Token]] | None = None


class _Answer(Struct, gc=False):
    generated_text: str | None = None
    details: _Details | None = None
    error: str | None = None


class _Said(Struct, gc=False):
    token: _Token | None = None
    top_tokens: list[_Token] | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: str | None = None
    error_type: str | None = None


_answer: Final = Decoder(_Answer).decode
_answers: Final = Decoder(list[_Answer]).decode
_said: Final = Decoder(_Said).decode


def read_answer(body: bytes) -> Answer:
    """A whole answer; behind the path `/` it stands in a list."""
    if body.lstrip()[:1] == b"[":
        answers = _answers(body)
        answer = answers[0] if answers else _Answer()
    else:
        answer = _answer(body)
    if answer.error is not None:
        raise openai_error.read_inside(body)
    if answer.generated_text is None:
        raise UpstreamBroken("The upstream's answer has no text.")
    details = answer.details or _Details()
    return Answer(
        [Text(answer.generated_text)],
        _finish(details),
        usage=_usage(details),
        logprobs=_logprobs(details.tokens or [], details.top_tokens) if details.top_tokens else None,
    )


class TgiReader:
    """See codec.Reader. An answer is one text; the event of its last token says how it ended."""

    __slots__ = ("_details", "_started", "done")

    def __init__(self) -> None:
        self._started = False
        self._details: _Details | None = None
        self.done = False

    def feed(self, name: str, payload: bytes) -> list[Event]:
        del name
        said = _said(payload)
        if said.error is not None:
            raise _told(said.error_type or "", payload)
        events: list[Event] = []
        token = said.token
        if token is not None and not token.special and (token.text or said.top_tokens):
            self._start(events)
            logprobs = _logprobs([token], [said.top_tokens]) if said.top_tokens else None
            events.append(BlockGrew(0, token.text, logprobs=logprobs))
        if said.details is not None:
            self._details = said.details
        self.done = said.generated_text is not None or said.details is not None
        return events

    def end(self) -> list[Event]:
        if not self.done:
            raise UpstreamTruncated("The upstream's answer ended early.")
        events: list[Event] = []
        self._start(events)
        details = self._details or _Details()
        return [*events, BlockClosed(0), Finished(_finish(details), usage=_usage(details))]

    def _start(self, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events += (Started(), BlockOpened(0, Text("")))


def _told(kind: str, payload: bytes) -> UpstreamError:
    """A stream begins with 200 before the request was looked at, so its mistakes are told inside."""
    if kind in _STATUSES:
        return openai_error.read_error(_STATUSES[kind], {}, payload)
    return openai_error.read_inside(payload)


def _finish(details: _Details) -> Finish:
    return _FINISHES.get(details.finish_reason, "other") if details.finish_reason else "stop"


def _usage(details: _Details) -> Usage | None:
    """What was generated, and the prompt where it is told."""
    if details.generated_tokens is None:
        return None
    read = details.input_length if details.input_length is not None else len(details.prefill or ())
    if not 0 <= min(read, details.generated_tokens) <= max(read, details.generated_tokens) <= MOST_TOKENS:
        return None
    return Usage(read, details.generated_tokens)


def _logprobs(tokens: list[_Token], others: list[list[_Token]]) -> Raw:
    """In OpenAI's form. `others` are the alternatives to each token, as far as they are told."""
    likely = [
        {**_likely(token), "top_logprobs": [_likely(other) for one in others[at : at + 1] for other in one]}
        for at, token in enumerate(tokens)
        if not token.special
    ]
    return Raw(encode(likely))


def _likely(token: _Token) -> dict[str, object]:
    return {"token": token.text, "logprob": token.logprob, "bytes": None}
