"""A whole Converse answer to the inner form and back (docs.aws.amazon.com, Bedrock API reference, Converse, Response).

`usage.input_tokens` leaves out what was read from a cache or written to one, as in Claude's own language (recorded:
433 + 2752 read + 16 out are 3201 in all).
"""

from collections.abc import Mapping
from typing import Final, TypeGuard

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from gateway.features import Usage
from gateway.wire import openai_error
from gateway.wire.bedrock_converse.reading import NULL, read_block
from gateway.wire.bedrock_converse.request import PATHS, TIERS
from gateway.wire.bedrock_converse.writing import Writing
from gateway.wire.ir import Answer, Ask, Block, Finish, ToolCall
from gateway.wire.losses import Losses

# Above this no model can have used anything (reliability, row F38).
_MOST: Final = 1_000_000_000
_FINISHES: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "tool_use": "tools",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "malformed_tool_use": "malformed",
    "malformed_model_output": "malformed",
    "model_context_window_exceeded": "context",
    # Claude's own words, should they ever come through.
    "refusal": "refusal",
    "pause_turn": "pause",
}
_REASONS: Final[Mapping[Finish, str]] = {
    "stop": "end_turn",
    "sequence": "stop_sequence",
    "length": "max_tokens",
    "tools": "tool_use",
    "filter": "content_filtered",
    "refusal": "content_filtered",
    "pause": "end_turn",
    "context": "model_context_window_exceeded",
    "malformed": "malformed_tool_use",
    "other": "end_turn",
}


class _Message(Struct):
    content: list[dict[str, Raw]] | None = None


class _Out(Struct):
    message: _Message | None = None


class _Answer(Struct, rename="camel"):
    output: _Out | None = None
    stop_reason: str | None = None
    usage: Raw | UnsetType = UNSET
    additional_model_response_fields: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    trace: Raw | UnsetType = UNSET


class _Usage(Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class _Tier(Struct):
    type: str = ""


_encode: Final = Encoder().encode
_answer: Final = Decoder(_Answer).decode
_usage: Final = Decoder(_Usage).decode
_tier: Final = Decoder(_Tier).decode
_fields: Final = Decoder(dict[str, Raw]).decode
_string: Final = Decoder(str | None).decode
_IN_DELTA: Final = b'"/delta/stop_sequence"'
_NOTHING: Final = Raw(NULL)
_NO_FIELDS: Final = Raw(b"{}")


def read_answer(body: bytes, losses: Losses) -> Answer:
    said = _answer(body)
    message = said.output.message if said.output is not None else None
    if message is None or message.content is None:
        if openai_error.read_words(body).message:
            raise openai_error.read_inside(body)
        raise ValueError("The answer has no content.")
    content: list[Block] = []
    for block in message.content:
        read_block(content, block, asked=False)
    note(said.trace, losses)
    return Answer(
        content,
        finish_of(said.stop_reason or "", calls=any(isinstance(block, ToolCall) for block in content)),
        sequence_of(said.additional_model_response_fields, losses),
        usage=usage_of(said.usage),
        service_tier=tier_of(said.service_tier),
    )


def note(trace: Raw | UnsetType, losses: Losses) -> None:
    """A guardrail's findings are for who speaks Converse."""
    if is_there(trace):
        losses.dropped("trace")


def is_there(value: Raw | UnsetType) -> TypeGuard[Raw]:
    return value is not UNSET and bytes(value) != NULL


def finish_of(reason: str, *, calls: bool) -> Finish:
    """Why an answer ended. Some models say end_turn beside their calls."""
    finish = _FINISHES.get(reason, "other")
    return "tools" if calls and (finish == "stop" or not reason) else finish


def sequence_of(additional: Raw | UnsetType, losses: Losses) -> str:
    """The stop sequence that ended an answer, where the request asked for it; a stream has it inside `delta`."""
    if additional is UNSET:
        return ""
    try:
        fields = _fields(additional)
        whole = fields.pop("stop_sequence", _NOTHING)
        inside = _fields(fields.pop("delta", _NO_FIELDS))
        streamed = inside.pop("stop_sequence", _NOTHING)
        if fields or inside:
            losses.dropped("additionalModelResponseFields")
        return _string(whole) or _string(streamed) or ""
    except ValueError:
        return ""


def tier_of(tier: Raw | UnsetType) -> str:
    try:
        return _tier(tier).type if tier is not UNSET else ""
    except ValueError:
        return ""


def usage_of(said: Raw | UnsetType) -> Usage | None:
    """In our words; None where nothing was said, or what no model can have used."""
    try:
        usage = _usage(said) if said is not UNSET else _Usage()
    except ValueError:
        return None
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    read, written = usage.cache_read_input_tokens or 0, usage.cache_write_input_tokens or 0
    plain, output = usage.input_tokens or 0, usage.output_tokens or 0
    if not 0 <= min(plain, output, read, written) <= max(plain, output, read, written) <= _MOST:
        return None
    return Usage(plain + read + written, output, read, written)


# --- writing ----------------------------------------------------------------------------------------------------------


def write_answer(answer: Answer, ask: Ask, losses: Losses) -> bytes:
    writing = Writing(losses, asking=False)
    if answer.logprobs is not None:
        losses.dropped("logprobs")
    said: dict[str, object] = {
        "output": {"message": {"role": "assistant", "content": writing.blocks(answer.content)}},
        "stopReason": reason_of(answer.finish),
        "usage": usage_fields(answer.usage, losses),
        "metrics": {"latencyMs": 0},
    }
    said |= sequence_fields(answer.sequence, ask) | tier_fields(answer.service_tier, losses)
    return _encode(said)


def reason_of(finish: Finish) -> str:
    return _REASONS[finish]


def sequence_fields(sequence: str, ask: Ask) -> dict[str, object]:
    """The stop sequence that ended an answer, where the caller looks for it; `other` is empty in what is carried."""
    if not sequence:
        return {}
    fields: dict[str, object] = {"stop_sequence": sequence}
    if _IN_DELTA in bytes(ask.other.get(PATHS, b"")):
        fields = {"delta": fields}
    return {"additionalModelResponseFields": fields}


def tier_fields(tier: str, losses: Losses) -> dict[str, object]:
    if tier in TIERS:
        return {"serviceTier": {"type": tier}}
    if tier:
        losses.dropped("service_tier")
    return {}


def usage_fields(usage: Usage | None, losses: Losses) -> dict[str, int]:
    """Amazon's counts, which its kits take for granted; all are 0 where nobody counted."""
    if usage is None:
        return {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    if usage.reasoning_tokens:
        losses.mapped("usage.reasoning_tokens")  # they stand among the output's
    cached = usage.cached_tokens + usage.cache_written_tokens
    said = {
        "inputTokens": max(0, usage.input_tokens - cached),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        said["cacheReadInputTokens"] = usage.cached_tokens
    if usage.cache_written_tokens:
        said["cacheWriteInputTokens"] = usage.cache_written_tokens
    return said
