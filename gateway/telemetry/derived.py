"""What an exchange's timestamps and ending say, in the words and units that metrics, log and trace share."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from gateway.errors import RESIDENCY, GatewayError, UpstreamError
from gateway.exchange import Attempt, Exchange

OTHER = "other"
# A name longer than this is not kept as a key of anything, whoever sent it.
LONGEST = 128
_MOST_WORDS = 1024
_WORD = re.compile(r"[a-z][a-z0-9_]{0,47}")
# No dashes: keys have them.
_FIELD = re.compile(r"[a-z][a-zA-Z0-9_.]{0,47}(?:=mapped)?")


def _codes(kind: type[GatewayError]) -> Iterator[str]:
    yield kind.code
    for below in kind.__subclasses__():
        yield from _codes(below)


# Endings that may come from an upstream's own `code` field are known by name or not at all: nothing an upstream invents
# becomes a label or a log field.
KNOWN_CODES = frozenset(_codes(GatewayError)) | {
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "insufficient_quota",
    "invalid_json_schema",
    "invalid_value",
    "missing_required_parameter",
    "unsupported_parameter",
    "unsupported_value",
}


def outcome(exchange: Exchange) -> str:
    """How the exchange ended, in a word of our own vocabulary."""
    error = exchange.error
    if error is None or exchange.left:
        return exchange.outcome
    if error.reason in KNOWN_CODES or (not isinstance(error, UpstreamError) and _WORD.fullmatch(error.reason)):
        return error.reason
    return error.code


_words: dict[str, str] = {}


def word(text: str) -> str:
    """An attempt's outcome as it may be shown: itself where it reads like one of our words, else `other`."""
    known = _words.get(text)
    if known is None:
        known = text if _WORD.fullmatch(text) else OTHER
        if len(_words) < _MOST_WORDS and len(text) <= LONGEST:
            _words[text] = known
    return known


def was_stopped(attempt: Attempt) -> bool:
    """Whether an attempt ended before a byte had left, at a place that may not see it; a backend may say that word."""
    return attempt.outcome == RESIDENCY and not attempt.sent


def field(name: str) -> str:
    """A lost field's name as it may be shown: itself where it reads like one, else `other`: a caller may invent any."""
    return name if _FIELD.fullmatch(name) else OTHER


def first_token_s(exchange: Exchange) -> float:
    """What the caller of a stream waited for its first content, in seconds; 0.0 where there was none."""
    if not exchange.stream or not exchange.first_content:
        return 0.0
    return exchange.first_content - exchange.started


def per_token_s(exchange: Exchange) -> float:
    """Seconds an output token took after the first, on the attempt that answered; 0.0 where nobody can say."""
    usage = exchange.usage
    if not exchange.stream or usage is None or usage.output_tokens < 2 or not exchange.attempts:
        return 0.0
    attempt = exchange.attempts[-1]
    if not attempt.first_content or not attempt.ended:
        return 0.0
    return (attempt.ended - attempt.first_content) / (usage.output_tokens - 1)


class Models:
    """Which model names may be shown: the configured ones; a configured glob stands for all it matches."""

    def __init__(self, configured: frozenset[str] = frozenset()) -> None:
        self._exact = configured
        self._globs = sorted(name for name in configured if any(mark in name for mark in "*?["))

    def label(self, model: str) -> str:
        if model in self._exact or not model:
            return model
        return next((glob for glob in self._globs if fnmatchcase(model, glob)), OTHER)
