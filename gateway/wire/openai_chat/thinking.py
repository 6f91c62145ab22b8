"""What a model thought, in OpenRouter's words: `reasoning_details`, entries with their signature and who made it.

OpenAI's own answers tell no thoughts. DeepSeek's `reasoning_content` and OpenRouter's `reasoning` are plain text, which
proves nothing (openrouter.ai/docs/use-cases/reasoning-tokens, "reasoning_details Array Structure").
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gateway.wire.ir import Thinking
from gateway.wire.openai_chat.fields import NAME
from gateway.wire.signing import pack, unpack

# OpenRouter's name of a form of signature to the language that makes it. What OpenAI and its models at Azure encrypt
# goes to either; xAI's stays its own.
_ORIGINS: Final[Mapping[str, str]] = {
    "anthropic-claude-v1": "anthropic_messages",
    "google-gemini-v1": "gemini",
    "openai-responses-v1": "openai_responses",
    "azure-openai-responses-v1": "openai_responses",
    "unknown": NAME,
}
_FORMATS: Final[Mapping[str, str]] = {
    "anthropic_messages": "anthropic-claude-v1",
    "gemini": "google-gemini-v1",
    "openai_responses": "openai-responses-v1",
}
# The only one who signs calls; it says so in a call's `extra_content.google`.
SIGNER: Final = "gemini"
_SUMMARY: Final = "reasoning.summary"


class Detail(Struct, gc=False):
    """An entry of `reasoning_details`, or a piece of one."""

    type: str | None = None
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None


def read_detail(detail: Detail) -> Thinking:
    form = detail.format or ""
    language = _ORIGINS.get(form, form or NAME)
    signature, signer = unpack(detail.signature or "", language)
    redacted, sealer = unpack(detail.data or "", language)
    return Thinking(
        detail.text or detail.summary or "",
        signature,
        redacted,
        signer if signature else sealer if redacted else language,
        detail.id or "",
        detail.type == _SUMMARY,
    )


def read_details(details: list[Detail], said: str) -> list[Thinking]:
    """The thoughts of a whole message; `said` is their text as it stands beside the entries, for where they have none.

    Entries of one id are one thought: its words, and what only its maker can read.
    """
    thoughts: list[Thinking] = []
    for detail in details:
        thought = read_detail(detail)
        last = thoughts[-1] if thoughts else None
        if last is not None and thought.id and last.id == thought.id and not last.redacted and not thought.text:
            last.redacted, last.origin = thought.redacted, thought.origin
            continue
        thoughts.append(thought)
    if said and not any(thought.text for thought in thoughts):
        bare = next((thought for thought in thoughts if not thought.redacted), None)
        if bare is None:
            thoughts.insert(0, Thinking(said))
        else:
            bare.text = said
    return thoughts


def is_kept(thinking: Thinking) -> bool:
    """Whether there is more to it than its text, so that a caller should keep it as it is."""
    return bool(thinking.origin or thinking.signature or thinking.redacted or thinking.id or thinking.summary)


def kind_of(thinking: Thinking) -> tuple[str, str]:
    """What an entry of its words is called, and the field they stand in."""
    return (_SUMMARY, "summary") if thinking.summary else ("reasoning.text", "text")


def write_detail(thinking: Thinking, index: int) -> list[dict[str, object]]:
    """A thought as entries, its signatures saying whose they are.

    Also where `format` says so: clients between us and the next request are known to drop it.
    """
    common: dict[str, object] = {"id": thinking.id} if thinking.id else {}
    form = _FORMATS.get(thinking.origin, thinking.origin)
    if form and form != NAME:
        common["format"] = form
    common["index"] = index
    entries: list[dict[str, object]] = []
    if thinking.text or thinking.signature or not thinking.redacted:
        kind, field = kind_of(thinking)
        entry: dict[str, object] = {"type": kind, field: thinking.text}
        if thinking.signature:
            entry["signature"] = pack(thinking.signature, thinking.origin, NAME)
        entries.append(entry | common)
    if thinking.redacted:
        sealed = pack(thinking.redacted, thinking.origin, NAME)
        entries.append({"type": "reasoning.encrypted", "data": sealed} | common)
    return entries
