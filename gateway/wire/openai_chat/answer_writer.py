"""An answer as a whole chat completion (platform.openai.com/docs/api-reference/chat/object).

OpenAI's message is flat: texts are joined in it, and so are thoughts (`reasoning_content`, as DeepSeek has it).
"""

from collections.abc import Mapping
from typing import Final, TypeGuard

from msgspec.json import encode

from gateway.features import Usage
from gateway.wire.answer_id import answer_id
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Answer,
    Ask,
    Block,
    Finish,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.answer import call_id
from gateway.wire.openai_chat.content import MESSAGE
from gateway.wire.openai_chat.fields import NAME
from gateway.wire.openai_chat.messages_writer import write_signature
from gateway.wire.openai_chat.parts import WORDS, Part, address_of, merge, write_annotations
from gateway.wire.openai_chat.request import FunctionsAsk
from gateway.wire.openai_chat.thinking import is_kept, write_detail

# Every reason is a word of OpenAI's: official clients know no others.
REASONS: Final[Mapping[Finish, str]] = {
    "stop": "stop",
    "sequence": "stop",
    "length": "length",
    "tools": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "context": "length",
    "malformed": "stop",
    "other": "stop",
}
FUNCTION: Final = "function_call"
# Some clients check these words against OpenAI's (pydantic-ai validates whole answers).
_TIERS: Final = frozenset(("auto", "default", "flex", "scale", "priority", "fast"))
_ORDINARY: Final = frozenset(("standard", "on_demand"))


def write_answer(answer: Answer, ask: Ask, losses: Losses) -> bytes:
    functions = isinstance(ask, FunctionsAsk)
    choice: Part = {
        "index": 0,
        "message": _message(answer, losses, functions=functions),
        "logprobs": None if answer.logprobs is None else {"content": answer.logprobs, "refusal": None},
        "finish_reason": reason_of(answer.finish, functions=functions),
    }
    written: Part = {
        "id": answer_id(answer.id, ask, "chatcmpl"),
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model or ask.model,
        "choices": [choice],
    }
    if answer.usage is not None:
        written["usage"] = write_usage(answer.usage)
    if tier := tier_of(answer.service_tier, losses):
        written["service_tier"] = tier
    return encode(written)


def tier_of(tier: str, losses: Losses) -> str:
    """A tier in OpenAI's words, "" where it has none."""
    if not tier or tier in _TIERS:
        return tier
    if tier.lower() in _ORDINARY:
        losses.mapped("service_tier")
        return "default"
    losses.dropped("service_tier")
    return ""


def reason_of(finish: Finish, *, functions: bool) -> str:
    """`functions`: the caller speaks the form before tools."""
    return FUNCTION if functions and finish == "tools" else REASONS[finish]


def write_usage(usage: Usage) -> Part:
    """Thinking is output here, and cached tokens are input (platform.openai.com/docs/api-reference/chat/object)."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_written_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def write_call(call: ToolCall, id_: str) -> Part:
    function = {"name": call.name, "arguments": call.arguments or NO_ARGUMENTS}
    written: Part = {"id": id_, "type": "function", "function": function}
    return written | {"extra_content": write_signature(call)} if call.signature else written


def write_picture(media: Media) -> Part:
    """A picture that a model made, as OpenRouter has it; OpenAI's models make none here."""
    return {"type": "image_url", "image_url": {"url": address_of(media)}}


def is_beside(block: Block) -> TypeGuard[Foreign]:
    """Whether it is a field of the message itself, as this language had it."""
    return isinstance(block, Foreign) and block.origin == NAME and block.kind.startswith(MESSAGE)


def is_picture(block: Block) -> TypeGuard[Media]:
    return isinstance(block, Media) and block.kind == "image" and bool(address_of(block))


def note_lost(block: Block, losses: Losses) -> None:
    """Note what no message of an assistant's can say."""
    if isinstance(block, Foreign):
        losses.dropped(block.kind)
    elif isinstance(block, Media):
        losses.dropped(WORDS[block.kind])
    elif isinstance(block, ToolResult):
        losses.dropped("tool_results")


def _message(answer: Answer, losses: Losses, *, functions: bool) -> Part:
    texts = [block for block in answer.content if isinstance(block, Text)]
    refusals = [block.text for block in answer.content if isinstance(block, Refusal)]
    pictures = [write_picture(block) for block in answer.content if is_picture(block)]
    calls = _calls(answer)
    message: Part = {
        "role": "assistant",
        "content": "".join(text.text for text in texts) if texts or not (calls or refusals) else None,
        "refusal": "".join(refusals) if refusals else None,
        "annotations": write_annotations(texts, losses),
    }
    message |= _thoughts([block for block in answer.content if isinstance(block, Thinking)])
    if pictures:
        message["images"] = pictures
    if calls and functions:
        message[FUNCTION] = calls[0]["function"]
        if len(calls) > 1:
            losses.dropped("tool_choice.parallel")
    elif calls:
        message["tool_calls"] = calls
    for block in answer.content:
        if is_beside(block):
            merge(message, block.kind.removeprefix(MESSAGE), block.raw)
        elif not is_picture(block):
            note_lost(block, losses)
    return message


def _calls(answer: Answer) -> list[Part]:
    calls: list[Part] = []
    for block in answer.content:
        if isinstance(block, ToolCall):
            calls.append(write_call(block, block.id or call_id(answer.id, len(calls))))
    return calls


def _thoughts(thoughts: list[Thinking]) -> Part:
    said: Part = {}
    text = "".join(thought.text for thought in thoughts)
    if text:
        said["reasoning_content"] = text
    if any(map(is_kept, thoughts)):
        details: list[Part] = []
        for thought in thoughts:
            details += write_detail(thought, len(details))
        said["reasoning_details"] = details
    return said
