"""Cohere's words for things every language has a word for (docs.cohere.com, Chat)."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.errors import UpstreamBroken, UpstreamSlow
from gateway.features import Usage
from gateway.wire.anthropic_event import MOST_TOKENS
from gateway.wire.ir import Finish, Thinking

NAME: Final = "cohere_chat"
ANSWER: Final = "chat"  # what an id begins with that Cohere hasn't given
# What a model means to do with its tools comes in a field of its own. Here it is a thought with this id.
PLAN: Final = "tool_plan"
# A citation of something else than the answer's text: of a thought, or of a plan.
CITATION: Final = "citation"

# Words of version 1, which its clients still know, and which others that serve its models still say (Oracle's
# CohereChatResponse). Version 2 has no word of its own for an answer that was withheld.
_READ: Final[Mapping[str, Finish]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tools",
    "ERROR_TOXIC": "filter",
    "ERROR_LIMIT": "context",
    "USER_CANCEL": "other",
}
_WRITTEN: Final[Mapping[Finish, str]] = {
    "stop": "COMPLETE",
    "sequence": "STOP_SEQUENCE",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "tools": "TOOL_CALL",
    "pause": "COMPLETE",
    "filter": "ERROR_TOXIC",
    "refusal": "ERROR_TOXIC",
    # ERROR would say that there is no answer; the clients' type is open to what they don't know.
    "malformed": "OTHER",
    "other": "OTHER",
}


def is_plan(thinking: Thinking) -> bool:
    return thinking.id == PLAN and thinking.origin == NAME


def read_finish(reason: str | None, *, called: bool) -> Finish:
    """Why an answer ended; `called`: a tool's call is in it. UpstreamError where it ended because something failed."""
    if reason == "ERROR":
        raise UpstreamBroken("The upstream reported an error in its answer.", code="upstream_error")
    if reason == "TIMEOUT":
        raise UpstreamSlow("The upstream took too long.")
    finish = _READ.get(reason, "other") if reason else "stop"
    return "tools" if called and finish == "stop" else finish


def write_finish(finish: Finish) -> str:
    return _WRITTEN[finish]


# --- usage ------------------------------------------------------------------------------------------------------------


class _Counts(Struct, gc=False):
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Spent(Struct, gc=False):
    tokens: _Counts | None = None
    billed_units: _Counts | None = None
    cached_tokens: float | None = None


_spent: Final = Decoder(_Spent | None).decode


def read_usage(raw: Raw) -> Usage | None:
    """What was used; None where nothing is told, or what no model can have used.

    `tokens` is the truth: what the model read and wrote. `billed_units` leaves out what Cohere itself puts into a
    prompt (tools take hundreds of tokens), and cached tokens are a part of `tokens`, not of it: recorded were 2928
    cached of 2935, with 2406 billed. It counts only where nothing else does.
    """
    try:
        spent = _spent(raw)
    except ValidationError:
        return None
    counts = (spent.tokens or spent.billed_units) if spent is not None else None
    if spent is None or counts is None:
        return None
    numbers = [count or 0 for count in (counts.input_tokens, counts.output_tokens, spent.cached_tokens)]
    if not 0 <= min(numbers) <= max(numbers) <= MOST_TOKENS:
        return None
    read, wrote, cached = map(int, numbers)
    return Usage(read, wrote, min(cached, read))


def write_usage(usage: Usage) -> dict[str, object]:
    """Both counts say the same: what this gateway charges is by what the model read and wrote.

    What was written to a cache and what was thought is in them; no field says how much of them it was.
    """
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    said: dict[str, object] = {"billed_units": counts, "tokens": counts}
    if usage.cached_tokens:
        said["cached_tokens"] = usage.cached_tokens
    return said
