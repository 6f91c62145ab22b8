"""What an answer consists of, whole or in chunks: each is a GenerateContentResponse (ai.google.dev, generateContent).

Only what is known is read. A part nothing is known of is read again, as it was written.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.features import Usage
from gateway.wire.ir import Finish
from gateway.wire.losses import Losses

UNSAID: Final = Raw(b"null")
# Above this no model can have used anything (reliability, row F38).
_MOST_TOKENS: Final = 1_000_000_000
# The last second of the year 9999.
_MOST_SECONDS: Final = 253_402_300_799

# google-genai, types.FinishReason. LANGUAGE, NO_IMAGE and what isn't known end for other reasons.
_FINISHES: Final[Mapping[str, Finish]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "MODEL_ARMOR": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "MALFORMED_FUNCTION_CALL": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed",
    "MALFORMED_RESPONSE": "malformed",
    "CONTINUATION": "pause",
}
FINISHES: Final[Mapping[Finish, str]] = {
    "stop": "STOP",
    "sequence": "STOP",
    "tools": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "filter": "SAFETY",
    "refusal": "SAFETY",
    "malformed": "MALFORMED_FUNCTION_CALL",
    "pause": "OTHER",
    "other": "OTHER",
}
_MARKS: Final = frozenset(("thought", "thoughtSignature"))
_TIERS: Final[Mapping[str, str]] = {
    "default": "standard",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
}
# Ends that `finishMessage` says nothing new of.
_USUAL: Final = frozenset(("stop", "tools", "length"))


class Blob(Struct, rename="camel", gc=False):
    data: str | None = None
    mime_type: str | None = None
    file_uri: str | None = None


class Call(Struct, rename="camel", gc=False):
    id: str | None = None
    name: str | None = None
    args: Raw = UNSAID


class Part(Struct, rename="camel", gc=False):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: Blob | None = None
    file_data: Blob | None = None


class Content(Struct, rename="camel", gc=False):
    parts: list[Part] | None = None


class Token(Struct, rename="camel", gc=False):
    token: str | None = None
    log_probability: float | None = None


class Choices(Struct, rename="camel", gc=False):
    candidates: list[Token] | None = None


class Logprobs(Struct, rename="camel", gc=False):
    chosen_candidates: list[Token] | None = None
    top_candidates: list[Choices] | None = None


class Candidate(Struct, rename="camel", gc=False):
    """`finishReason` is there once the model has stopped."""

    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int | None = None
    grounding_metadata: Raw = UNSAID
    citation_metadata: Raw = UNSAID
    logprobs_result: Logprobs | None = None


class Spent(Struct, rename="camel", gc=False):
    """`usageMetadata`: what was cached is in the prompt's count, thoughts aren't in the candidates'."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    service_tier: str | None = None


class Feedback(Struct, rename="camel", gc=False):
    block_reason: str | None = None


class Chunk(Struct, rename="camel", gc=False):
    candidates: list[Candidate] | None = None
    usage_metadata: Spent | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    prompt_feedback: Feedback | None = None
    error: Raw = UNSAID


class _RawContent(Struct):
    parts: list[Raw] = []


class _RawCandidate(Struct):
    index: int | None = None
    content: _RawContent | None = None


class _RawChunk(Struct):
    candidates: list[_RawCandidate] = []


read_chunk: Final = Decoder(Chunk).decode
_read_raw: Final = Decoder(_RawChunk).decode
_object: Final = Decoder(dict[str, Raw]).decode


def first(chunk: Chunk) -> Candidate | None:
    """The answer's first version; there are others only where a caller of this language asked for them."""
    for candidate in chunk.candidates or ():
        if not candidate.index:
            return candidate
    return None


def raw_parts(payload: bytes) -> list[Raw]:
    """The parts of that version as they were written."""
    for candidate in _read_raw(payload).candidates:
        if not candidate.index and candidate.content is not None:
            return candidate.content.parts
    return []


def kind_of(part: Raw) -> str:
    """What a part that isn't known is called, "" where there is nothing in it."""
    return next((name for name in _object(part) if name not in _MARKS), "")


def blocked(chunk: Chunk) -> bool:
    """Whether the prompt itself was not let through; there is no candidate then."""
    return chunk.prompt_feedback is not None and bool(chunk.prompt_feedback.block_reason)


def finish_of(reason: str, *, calls: bool) -> Finish:
    """Google says STOP before a tool's turn, too."""
    finish = _FINISHES.get(reason, "other")
    return "tools" if calls and finish == "stop" else finish


def explains(finish: Finish) -> bool:
    """Whether a message about such an end tells something that is lost with it."""
    return finish not in _USUAL


def seconds(told: str | None) -> int:
    """A timestamp of protobuf in seconds since 1970, 0 where there is none."""
    if not told:
        return 0
    try:
        when = datetime.fromisoformat(told)
    except ValueError:
        return 0
    return max(0, int(when.timestamp())) if when.tzinfo is not None else 0


def stamp(created: int) -> str:
    """Seconds since 1970 as protobuf writes them, "" where they are none."""
    if not 0 < created <= _MOST_SECONDS:
        return ""
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def usage_of(spent: Spent) -> Usage | None:
    """In our words; None where nothing was said (Vertex's early chunks), or what no model can have used."""
    prompt, candidates = spent.prompt_token_count, spent.candidates_token_count
    if prompt is None and candidates is None:
        return None
    tools, thoughts = spent.tool_use_prompt_token_count or 0, spent.thoughts_token_count or 0
    read, written, cached = prompt or 0, candidates or 0, spent.cached_content_token_count or 0
    if min(tools, thoughts, read, written, cached) < 0 or max(tools, thoughts, read, written, cached) > _MOST_TOKENS:
        return None
    return Usage(read + tools, written + thoughts, cached, 0, thoughts)


def tier_of(tier: str, losses: Losses) -> str:
    """The tier that served, in Google's words; its clients know no others."""
    if tier and tier not in _TIERS:
        losses.dropped("service_tier")
    return _TIERS.get(tier, "")


def write_usage(usage: Usage, tier: str) -> dict[str, object]:
    counts: dict[str, object] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    if tier:
        counts["serviceTier"] = tier
    return counts
