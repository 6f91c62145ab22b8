"""The inner form to a request of Google's language."""

from typing import Final

from msgspec import Raw

from gateway.wire.gemini import config, tools
from gateway.wire.gemini.contents import Conversation
from gateway.wire.gemini.fields import NAME, raw_of
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses

# Tiers that are the same thing elsewhere. The usual one goes without saying, and Vertex knows no such field.
_TIERS: Final = frozenset(("flex", "priority"))
_USUAL: Final = frozenset(("auto", "default", "standard", "standard_only"))


def write_request(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    """The top-level fields of a request; the model is in its path."""
    contents = Conversation(ask, model, losses).contents()
    fields: dict[str, object] = {"contents": contents}
    if ask.system:
        if any(text.cache is not None for text in ask.system):
            losses.dropped("cache")
        told = [{"text": text.text} for text in ask.system]
        if contents:
            fields["systemInstruction"] = {"parts": told}
        else:
            # Others answer instructions alone; here there is no conversation without contents.
            losses.mapped("system")
            fields["contents"] = [{"role": "user", "parts": told}]
    written = tools.write_tools(ask.tools, losses)
    if written:
        fields["tools"] = written
    choice = tools.write_choice(ask, losses)
    if choice is not None:
        fields[tools.CONFIG] = {tools.CALLING: choice}
    generation = config.write_config(ask, model, losses)
    if generation:
        fields[config.CONFIG] = generation
    _tier(ask, fields, losses)
    _unsaid(ask, losses)
    for path, raw in ask.other.items():
        if ask.origin == NAME:
            _put(fields, path, raw)
        else:
            losses.dropped(path)
    return {name: raw_of(value) for name, value in fields.items()}


def _tier(ask: Ask, fields: dict[str, object], losses: Losses) -> None:
    if ask.service_tier in _TIERS or (ask.service_tier and ask.origin == NAME):
        fields["serviceTier"] = ask.service_tier
    elif ask.service_tier and ask.service_tier not in _USUAL:
        losses.dropped("service_tier")


def _unsaid(ask: Ask, losses: Losses) -> None:
    """What this language has no words for."""
    for said, word in (
        (ask.user, "user"),
        (ask.metadata, "metadata"),
        (ask.cache_key, "cache_key"),
        (ask.cache is not None, "cache"),
    ):
        if said:
            losses.dropped(word)


def _put(fields: dict[str, object], path: str, raw: Raw) -> None:
    """A value where it stood: `generationConfig.speechConfig` inside the object of that name."""
    *around, name = path.split(".")
    inner = fields
    for step in around:
        deeper = inner.setdefault(step, {})
        if not isinstance(deeper, dict):
            return
        inner = deeper
    inner[name] = raw
