"""What Converse carries for one family of models alone, in `additionalModelRequestFields`: top_k and thinking.

Each family has its own words there: Claude's (docs.aws.amazon.com, Bedrock, Adaptive thinking and Extended thinking),
Nova's (Nova 2 guide, Request and response schema), those of gpt-oss and Qwen (recorded).
"""

import re
from typing import Final, Literal

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.wire.anthropic_messages import effort as anthropic_effort
from gateway.wire.bedrock_converse.media import NAME
from gateway.wire.bedrock_converse.reading import SIGNER
from gateway.wire.ir import Ask, Effort
from gateway.wire.losses import Losses

FIELD: Final = "additionalModelRequestFields"
BETA: Final = "anthropic_beta"
Family = Literal["claude", "nova", "openai", "qwen", "other", ""]

# A model's vendor stands in its name. An inference profile's ARN says nothing of it, and that is "".
_FAMILIES: Final[tuple[tuple[str, Family], ...]] = (
    ("claude", "claude"),
    ("anthropic.", "claude"),
    ("nova", "nova"),
    ("openai.", "openai"),
    ("qwen.", "qwen"),
)
_VENDOR: Final = re.compile(r"(?:^|[./])(?:ai21|amazon|cohere|deepseek|google|meta|minimax|mistral|moonshot)\.")
_ARN: Final = "arn:"
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2})(?!\d))?")
# Models that can't be told not to think (Adaptive thinking, Note).
_ADAPTIVE_ONLY: Final = re.compile(r"fable|mythos|opus-4-[78]")
_STRICT: Final = (4, 5)
# From here on a model may think without having been asked to.
_THINKS_UNASKED: Final = (5, 0)

# Which word a number of tokens comes nearest to, and the words that others than Claude have.
_LEVELS: Final = ((2048, "low"), (8192, "medium"))
_THREE: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_TWO: Final = {"minimal": "low", "low": "low"}
_NONE: Final = "none"
_SHOWN: Final = {True: "summarized", False: "omitted"}

_encode: Final = Encoder().encode


class _Thinking(Struct, forbid_unknown_fields=True):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class _Output(Struct, forbid_unknown_fields=True):
    effort: str


class _NovaReasoning(Struct, rename="camel", forbid_unknown_fields=True):
    type: Literal["enabled", "disabled"]
    max_reasoning_effort: str = ""


class _NovaSampling(Struct, rename="camel", forbid_unknown_fields=True):
    top_k: int


_thinking: Final = Decoder(_Thinking).decode
_output: Final = Decoder(_Output).decode
_nova_reasoning: Final = Decoder(_NovaReasoning).decode
_nova_sampling: Final = Decoder(_NovaSampling).decode
_number: Final = Decoder(float).decode
_word: Final = Decoder(str).decode


def family(model: str) -> Family:
    """Whose words a model takes; "" where its name doesn't say."""
    name = model.lower()
    unnamed: Family = "other" if _VENDOR.search(name) else ""
    return next((of for mark, of in _FAMILIES if mark in name), unnamed)


def may_be_claude(model: str) -> bool:
    """Whether it is one, or an inference profile of one, whose ARN may say nothing of it."""
    of = family(model)
    return of == "claude" or (not of and model.startswith(_ARN))


def version(model: str) -> tuple[int, int]:
    """A Claude's version, (99, 0) where its name has none: what is new has no old words."""
    found = _VERSION.search(model.lower())
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def is_strict(model: str) -> bool:
    """Whether a model takes tools whose input must keep to their schema (Bedrock, Structured outputs)."""
    of = family(model)
    return of != "nova" and (of != "claude" or version(model) >= _STRICT)


def keeps_cache(model: str) -> bool:
    """Whether a model takes cache points (Bedrock, Prompt caching: Claude and Nova)."""
    return family(model) in ("claude", "nova", "")


# --- reading ----------------------------------------------------------------------------------------------------------


def read_additional(ask: Ask, given: dict[str, Raw]) -> None:
    """What we understand goes to its place in the Ask, each other field to `other` by its full name."""
    for name, value in given.items():
        if not _read(ask, name, value):
            ask.other[f"{FIELD}.{name}"] = value


def _read(ask: Ask, name: str, value: Raw) -> bool:
    effort = ask.thinking or Effort()
    try:
        match name:
            case "top_k":
                _number(value)
                ask.sampling["top_k"] = value
                return True
            case "inferenceConfig":
                ask.sampling["top_k"] = Raw(_encode(_nova_sampling(value).top_k))
                return True
            case "thinking":
                thinking = _thinking(value)
                if (thinking.type == "enabled") is (thinking.budget_tokens is None):
                    return False
                _read_thinking(effort, thinking)
            case "output_config":
                effort.level = _output(value).effort
            case "reasoningConfig":
                said = _nova_reasoning(value)
                effort.level = said.max_reasoning_effort if said.type == "enabled" else _NONE
            case "reasoning_effort" | "reasoning_config":
                effort.level = _word(value)
            case _:
                return False
    except ValueError:
        return False
    ask.thinking = effort
    return True


def _read_thinking(effort: Effort, said: _Thinking) -> None:
    if said.type == "disabled":
        effort.level = _NONE
    effort.tokens = said.budget_tokens
    if said.display is not None:
        effort.shown = said.display == "summarized"


# --- writing ----------------------------------------------------------------------------------------------------------


def write_additional(ask: Ask, model: str, losses: Losses) -> dict[str, object]:
    of = family(model)
    if not of and ask.origin == NAME:
        of = "claude"  # the words were Bedrock's own, and hardly anyone else has them
    fields = _write_thinking(ask, ask.thinking, of, model, losses) if ask.thinking is not None else {}
    top_k = ask.sampling.get("top_k")
    if top_k is not None:
        if of == "claude" and "top_k" not in fixed_by(ask, model, fields):
            fields["top_k"] = top_k
        elif of == "nova":
            fields["inferenceConfig"] = {"topK": top_k}
        else:
            losses.dropped("top_k")
    if ask.origin == SIGNER and BETA in ask.other:
        if of == "claude":
            fields[BETA] = ask.other[BETA]
        else:
            losses.dropped(BETA)
    return fields


def fixed_by(ask: Ask, model: str, fields: dict[str, object]) -> frozenset[str]:
    """The numbers of sampling a Claude takes none of: all while it thinks, and what this one refuses.

    Thinking "isn't compatible with temperature or top_k modifications" (Extended thinking).
    """
    if ask.origin == NAME:
        return frozenset()
    thinking = fields.get("thinking")
    if isinstance(thinking, dict) and thinking["type"] != "disabled":
        return frozenset(ask.sampling)
    return anthropic_effort.refused(ask.sampling, model)


def _write_thinking(ask: Ask, effort: Effort, of: Family, model: str, losses: Losses) -> dict[str, object]:
    if of == "claude":
        return _write_claude(ask, effort, model, losses)
    level = effort.level or _level_of(effort, losses)
    match of:
        case "openai" if level in _THREE:
            return {"reasoning_effort": _near(_THREE[level], level, losses)}
        case "qwen" if level in _THREE:
            return {"reasoning_config": _near(_TWO.get(level, "high"), level, losses)}
        case "nova" if "nova-2" in model and level in _THREE:
            return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _near(_THREE[level], level, losses)}}
        case "nova" if "nova-2" in model and level == _NONE:
            return {"reasoningConfig": {"type": "disabled"}}
    losses.dropped("thinking")
    return {}


def _level_of(effort: Effort, losses: Losses) -> str:
    losses.mapped("thinking")
    if effort.tokens is None:
        return "medium"
    return next((level for most, level in _LEVELS if effort.tokens <= most), "high")


def _near(said: str, asked: str, losses: Losses) -> str:
    if said != asked:
        losses.mapped("thinking")
    return said


def _write_claude(ask: Ask, effort: Effort, model: str, losses: Losses) -> dict[str, object]:
    if ask.origin == NAME:
        return _write_own(effort)
    if effort.level == _NONE or effort.tokens == 0:
        if _ADAPTIVE_ONLY.search(model):
            losses.mapped("thinking")  # these can't be told not to think
        elif version(model) >= _THINKS_UNASKED:
            return {"thinking": {"type": "disabled"}}
        return {}
    asked = anthropic_effort.write(ask, model, losses)
    if asked.thinking is None:
        return {"output_config": {"effort": asked.effort}} if asked.effort else {}
    said: dict[str, object] = {"thinking": asked.thinking}
    return {**said, "output_config": {"effort": asked.effort}} if asked.effort else said


def _write_own(effort: Effort) -> dict[str, object]:
    """What was read from a request in Converse, as it was."""
    if effort.level == _NONE:
        return {"thinking": {"type": "disabled"}}
    thinking: dict[str, object] = {"type": "adaptive"}
    if effort.tokens is not None:
        thinking = {"type": "enabled", "budget_tokens": effort.tokens}
    if effort.shown is not None:
        thinking["display"] = _SHOWN[effort.shown]
    if not effort.level:
        return {"thinking": thinking}
    return {"thinking": thinking, "output_config": {"effort": effort.level}}
