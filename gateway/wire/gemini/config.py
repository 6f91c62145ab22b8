"""`generationConfig`, both ways (ai.google.dev, GenerationConfig; "Gemini thinking"; "Structured outputs")."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from gateway.wire.gemini import models
from gateway.wire.gemini.fields import (
    MOST,
    NAME,
    Fields,
    raw_of,
    take_count,
    take_flag,
    take_object,
    take_strings,
    take_text,
)
from gateway.wire.gemini.schema import read_schema
from gateway.wire.ir import Ask, Effort, Format
from gateway.wire.losses import Losses
from gateway.wire.raw import read_number

CONFIG: Final = "generationConfig"

_SAMPLING: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_SEED: Final = "seed"
_THINKING: Final = "thinkingConfig"
_BUDGET: Final = f"{CONFIG}.{_THINKING}.thinkingBudget"
_TYPE: Final = "responseMimeType"
_JSON: Final = "application/json"
_PLAIN: Final = "text/plain"
_MODALITIES: Final = "responseModalities"
# The model decides; a budget that is no number of tokens.
_DYNAMIC: Final = -1
_LEVELS: Final = frozenset(("minimal", "low", "medium", "high", "xhigh"))
# How Google itself turns words into budgets for models that know no levels (ai.google.dev, "OpenAI compatibility").
_BUDGETS: Final[Mapping[str, int]] = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192}
_HIGH_BUDGET: Final = 24576


def read_config(ask: Ask, config: Fields) -> None:
    """What the configuration says, into `ask`; what only Google says, into `ask.other` by its path."""
    ask.sampling = {ours: config.pop(theirs) for ours, theirs in _SAMPLING.items() if theirs in config}
    ask.max_tokens = take_count(config, "maxOutputTokens", CONFIG)
    ask.n = take_count(config, "candidateCount", CONFIG) or 1
    ask.stop = take_strings(config, "stopSequences", CONFIG)
    if take_flag(config, "responseLogprobs", CONFIG):
        ask.logprobs = take_count(config, "logprobs", CONFIG, least=0) or 0
    ask.format = _format(config)
    thinking = take_object(config, _THINKING, CONFIG)
    if thinking is not None:
        ask.thinking = _effort(thinking, ask.other)
    if [word.upper() for word in take_strings(config.copy(), _MODALITIES, CONFIG)] == ["TEXT"]:
        del config[_MODALITIES]  # what it is anyway
    ask.other |= {f"{CONFIG}.{name}": raw for name, raw in config.items()}


def _format(config: Fields) -> Format | None:
    kind = take_text(config, _TYPE, CONFIG)
    if kind not in ("", _JSON, _PLAIN):
        config[_TYPE] = raw_of(kind)  # "text/x.enum": its schema is none of an answer in JSON
        return None
    schema, openapi = config.pop("responseJsonSchema", None), config.pop("responseSchema", None)
    if schema is None and openapi is not None:
        schema = read_schema(openapi, f"{CONFIG}.responseSchema")
    return Format(schema) if kind == _JSON or schema is not None else None


def _effort(thinking: Fields, other: Fields) -> Effort:
    where = f"{CONFIG}.{_THINKING}"
    level = take_text(thinking, "thinkingLevel", where).lower()
    tokens = take_count(thinking, "thinkingBudget", where, least=_DYNAMIC)
    shown = take_flag(thinking, "includeThoughts", where)
    if level not in _LEVELS:
        if level:
            thinking["thinkingLevel"] = raw_of(level.upper())
        level = ""
    if tokens == _DYNAMIC:
        other[_BUDGET] = raw_of(tokens)
        tokens = None
    elif tokens == 0:
        level, tokens = "none", None
    other |= {f"{where}.{name}": raw for name, raw in thinking.items()}
    return Effort(level, tokens, shown)


def write_config(ask: Ask, model: str, losses: Losses) -> dict[str, object]:
    config = _written_sampling(ask, losses)
    if ask.max_tokens is not None:
        config["maxOutputTokens"] = ask.max_tokens
    if ask.stop:
        config["stopSequences"] = ask.stop
    if ask.logprobs is not None:
        config["responseLogprobs"] = True
        if ask.logprobs:
            config["logprobs"] = ask.logprobs
    if ask.n != 1:
        if ask.origin != NAME:
            losses.refused("n")
        config["candidateCount"] = ask.n
    config |= _written_format(ask.format, losses)
    thinking = {} if ask.thinking is None else _thinking(ask.thinking, model, losses, own=ask.origin == NAME)
    if thinking:
        config[_THINKING] = thinking
    return config


def _written_sampling(ask: Ask, losses: Losses) -> dict[str, object]:
    written: dict[str, object] = {}
    for name, raw in ask.sampling.items():
        if name == _SEED and ask.origin != NAME:
            written[name] = _seed(raw, losses)
        elif name in _SAMPLING:
            written[_SAMPLING[name]] = raw
        else:
            losses.dropped(name)
    return written


def _seed(raw: Raw, losses: Losses) -> object:
    """A seed of 32 bits, which is all that fits; a longer one is folded, so that it is the same each time."""
    seed = read_number(raw)
    if seed is None or seed % 1 or -MOST <= seed <= MOST:
        return raw
    losses.mapped(_SEED)
    return int(seed) % (MOST + 1)


def _written_format(form: Format | None, losses: Losses) -> dict[str, object]:
    """Every schema is a strict one here, and has no name."""
    if form is None:
        return {}
    if form.name:
        losses.dropped("format.name")
    if form.description:
        losses.dropped("format.description")
    written: dict[str, object] = {_TYPE: _JSON}
    if form.schema is not None:
        written["responseJsonSchema"] = form.schema
    return written


def _thinking(effort: Effort, model: str, losses: Losses, *, own: bool) -> dict[str, object]:
    thinking: dict[str, object] = {}
    if not models.thinks(model):
        if effort.level != "none":
            losses.dropped("thinking")
        return thinking
    if effort.tokens is not None:
        thinking["thinkingBudget"] = min(effort.tokens, MOST)
    elif effort.level and (models.is_before_3(model) or (own and effort.level == "none")):
        thinking["thinkingBudget"] = _BUDGETS.get(effort.level, _HIGH_BUDGET)
        if effort.level != "none":
            losses.mapped("thinking")
    elif effort.level:
        thinking["thinkingLevel"] = _level(effort.level, losses, own=own)
    if effort.shown is not None:
        thinking["includeThoughts"] = effort.shown
    return thinking


def _level(level: str, losses: Losses, *, own: bool) -> str:
    """The level in Google's words. Not every model has its highest, and none of these can be told not to think."""
    if level == "none":
        losses.mapped("thinking")
        return "MINIMAL"
    if level not in _LEVELS or (level == "xhigh" and not own):
        losses.mapped("thinking")
        return "HIGH"
    return level.upper()
