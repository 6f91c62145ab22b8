"""How much to think: budgets of tokens on older models, words on newer ones (platform.claude.com, Thinking; Effort).

Until Claude 4.5 thinking has a budget; 4.6 takes either; from 4.7 on a budget is an error, and the thoughts are shown
only where that is asked for. Other hosts of this language (DeepSeek, Moonshot, MiniMax) know the budget.
"""

import re
from collections.abc import Collection
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.errors import BadRequest
from gateway.wire.anthropic_messages.kept import NULL, Kept
from gateway.wire.anthropic_messages.shapes import NAME
from gateway.wire.anthropic_messages.thought import is_bare_loop
from gateway.wire.ir import Ask, Effort
from gateway.wire.losses import Losses

# Our choice: Anthropic names no budgets for its words. The least is its own; the most is where it advises batches.
BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
LEAST_BUDGET: Final = 1024
# Anthropic alone must be told where to end. Enough for a long answer, and below the output limit of every model since
# Claude 3.5; self-hosted ones refuse what doesn't fit their window beside the prompt, so not the most a model can.
MOST_TOKENS: Final = 8192
_WORDS: Final = ("low", "medium", "high", "xhigh", "max")
_ADAPTIVE: Final = (4, 6)
_WORDS_ONLY: Final = (4, 7)
# From here on "temperature and top_p cannot both be specified" (Bedrock, Claude's Messages API: Opus 4.1 and later).
_ONE_OF_TWO: Final = (4, 1)
# What models refuse that choose for themselves: all but these models' defaults is an error 400 (Migrating to 4.7).
_CHOSEN: Final = frozenset(("temperature", "top_p", "top_k"))
_NEWEST: Final = (99, 0)
_version: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[.-](\d{1,2}))?(?!\d)").search

_string: Final = Decoder(str | None).decode
_encode: Final = Encoder().encode


class Thinking(Struct, forbid_unknown_fields=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Said(Struct):
    """What a request is to say: its `thinking`, its `output_config.effort`, its `max_tokens`."""

    thinking: dict[str, object] | None = None
    effort: str = ""
    most: int = MOST_TOKENS


_thinking: Final = Decoder(Thinking)


def read(thinking: Raw, effort: str, kept: Kept) -> Effort | None:
    """What the two fields ask for together. An effort without thinking is kept besides: it isn't quite the same."""
    level = effort if effort in _WORDS else ""
    if bytes(thinking) == NULL:
        if effort:
            kept.keep("thinking", "effort", "output_config", Raw(_encode(effort)))
        return Effort(level) if level else None
    said = kept.read(_thinking, "thinking", "thinking", thinking)
    if said.type == "disabled":
        level = "none"
    if effort and level != effort:
        kept.keep("thinking", "effort", "output_config", Raw(_encode(effort)))
    if said.type == "enabled" and said.budget_tokens is None:
        raise BadRequest("A field is missing.", code="missing_field", param="thinking.budget_tokens")
    if said.type not in ("enabled", "adaptive", "disabled"):
        kept.keep("thinking", "type", "thinking", Raw(_encode(said.type)))
    shown = {"summarized": True, "omitted": False}.get(said.display or "")
    if said.display and shown is None:
        kept.keep("thinking", "display", "thinking", Raw(_encode(said.display)))
    return Effort(level, said.budget_tokens, shown)


def again(effort: Effort | None, *, alone: bool) -> Said:
    """What was read from this language, as it was. `alone`: the effort stood without thinking."""
    if effort is None or (alone and effort.level not in ("", "none")):
        return Said()
    if effort.level == "none":
        return Said(_shown({"type": "disabled"}, effort))
    if effort.tokens is None:
        return Said(_shown({"type": "adaptive"}, effort), effort.level)
    return Said(_shown({"type": "enabled", "budget_tokens": effort.tokens}, effort), effort.level)


def _shown(thinking: dict[str, object], effort: Effort) -> dict[str, object]:
    if effort.shown is not None:
        thinking["display"] = "summarized" if effort.shown else "omitted"
    return thinking


def write(ask: Ask, model: str, losses: Losses) -> Said:
    """What another language asked for, in the words that this model knows."""
    effort = ask.thinking
    said = Said(most=ask.max_tokens or MOST_TOKENS)
    if effort is None:
        return said
    if effort.level == "none" or effort.tokens == 0:
        said.thinking = {"type": "disabled"}
        return said
    version = _version_of(model)
    budget = effort.tokens if effort.tokens is not None and effort.tokens > 0 else None
    if version >= (_ADAPTIVE if budget is None else _WORDS_ONLY):
        _in_words(said, effort, budget, version, losses)
        if ask.max_tokens is None:
            said.most += BUDGETS[said.effort or "high"]  # thoughts count; "high" is what saying nothing means
    elif is_bare_loop(ask.messages, NAME):
        losses.dropped("thinking")
    else:
        # Gemini says -1 for "as you like".
        level = "medium" if effort.tokens is not None and not effort.level else effort.level
        _in_tokens(said, ask, budget or BUDGETS.get(level, 0), losses, exact=budget is not None)
    if said.thinking is not None and ask.choice is not None and ask.choice.mode in ("required", "tool"):
        # "Thinking isn't compatible with forced tool use" (Extended thinking, Feature compatibility): the tool wins.
        said.thinking = None
        if said.effort:
            losses.mapped("thinking")
        else:
            losses.dropped("thinking")
    return said


def _in_words(said: Said, effort: Effort, budget: int | None, version: tuple[int, int], losses: Losses) -> None:
    said.thinking = {"type": "adaptive"}
    if effort.shown and version >= _WORDS_ONLY:
        said.thinking["display"] = "summarized"
    word = effort.level or ("" if budget is None else _nearest(budget))
    if word == "minimal":
        word = "low"
    if word == "xhigh" and version < _WORDS_ONLY:
        word = "high"
    if word in _WORDS:
        said.effort = word
    if word != effort.level:
        losses.mapped("thinking")
    if not said.effort and effort.level:
        losses.dropped("thinking")


def _in_tokens(said: Said, ask: Ask, budget: int, losses: Losses, *, exact: bool) -> None:
    """A budget; it must leave room in `max_tokens` for the answer (Extended thinking, How to use it)."""
    if not budget:
        losses.dropped("thinking")
        return
    fitting = max(budget, LEAST_BUDGET)
    if ask.max_tokens is None:
        said.most += fitting  # where we choose the limit, the thoughts come on top
    elif fitting >= ask.max_tokens:
        fitting = max(ask.max_tokens // 2, LEAST_BUDGET)
        if fitting >= ask.max_tokens:
            losses.dropped("thinking")
            return
    if not exact or fitting != budget:
        losses.mapped("thinking")
    said.thinking = {"type": "enabled", "budget_tokens": fitting}


def _nearest(budget: int) -> str:
    """The least word whose budget is as large."""
    return next((word for word in _WORDS if BUDGETS[word] >= budget), "max")


def refused(sampling: Collection[str], model: str) -> frozenset[str]:
    """Which numbers of sampling this model refuses, by what stands beside them."""
    version = _version_of(model)
    if version >= _WORDS_ONLY:
        return _CHOSEN
    both = version >= _ONE_OF_TWO and "temperature" in sampling
    return frozenset(("top_p",)) if both else frozenset()


def _version_of(model: str) -> tuple[int, int]:
    """Of a Claude, however it is written; without a number it is new. (0, 0) for everybody else's."""
    if "claude" not in model:
        return (0, 0)
    found = _version(model)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST
