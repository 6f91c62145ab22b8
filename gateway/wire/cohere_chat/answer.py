"""A whole answer, both ways (docs.cohere.com, Chat)."""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from gateway.errors import UpstreamBroken
from gateway.wire import openai_error
from gateway.wire.answer_id import answer_id
from gateway.wire.anthropic_event import UNSAID
from gateway.wire.cohere_chat.citations import write_citations
from gateway.wire.cohere_chat.logprobs import read_logprobs, write_items
from gateway.wire.cohere_chat.message import part, write_message
from gateway.wire.cohere_chat.turns import cite
from gateway.wire.cohere_chat.words import (
    ANSWER,
    NAME,
    PLAN,
    read_finish,
    read_usage,
    write_finish,
    write_usage,
)
from gateway.wire.ir import Answer, Ask, Block, Foreign, Media, Refusal, Text, Thinking, ToolCall
from gateway.wire.losses import Losses


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct):
    content: list[Raw] | str | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | None = None
    citations: list[Raw] | None = None


class _Answer(Struct):
    """Where `message` is a text, it is an error's."""

    id: str | None = None
    message: _Message | str | None = None
    finish_reason: str | None = None
    usage: Raw = UNSAID
    logprobs: Raw = UNSAID


class _Part(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


_answer: Final = Decoder(_Answer).decode
_part: Final = Decoder(_Part).decode


def read_answer(body: bytes, losses: Losses) -> Answer:
    answer = _answer(body)
    message = answer.message
    if isinstance(message, str):
        raise openai_error.read_inside(body)
    if message is None:
        raise UpstreamBroken("The upstream's answer has no message.")
    content = message.content or []
    blocks: list[Block] = [Text(content)] if isinstance(content, str) else [_block(raw) for raw in content]
    blocks += cite(blocks, message.citations or [])
    if message.tool_plan:
        blocks.append(Thinking(message.tool_plan, origin=NAME, id=PLAN))
    id_ = answer.id or ""
    for at, call in enumerate(message.tool_calls or ()):
        function = call.function or _Function()
        blocks.append(ToolCall(call.id or f"{id_}call_{at}", function.name or "", function.arguments or ""))
    return Answer(
        blocks,
        read_finish(answer.finish_reason, called=bool(message.tool_calls)),
        id=id_,
        usage=read_usage(answer.usage),
        logprobs=read_logprobs(answer.logprobs, losses) if answer.logprobs != UNSAID else None,
    )


def _block(raw: Raw) -> Block:
    part = _part(raw)
    if part.type == "text":
        return Text(part.text or "")
    if part.type == "thinking":
        return Thinking(part.thinking or "")
    return Foreign(NAME, part.type, raw)


def write_answer(answer: Answer, ask: Ask, losses: Losses) -> bytes:
    parted = part(answer.content)
    content: list[object] = []
    citations: list[Raw] = []
    for block in parted.content:
        if isinstance(block, Text):
            citations += write_citations(block, len(content), losses)
        piece = write_part(block, losses)
        if piece is not None:
            content.append(piece)
    said: dict[str, object] = {
        "id": answer_id(answer.id, ask, ANSWER),
        "finish_reason": write_finish(answer.finish),
        "message": write_message(parted, content or None, citations, losses),
    }
    if answer.usage is not None:
        said["usage"] = write_usage(answer.usage)
    if answer.logprobs is not None:
        said["logprobs"] = write_items(answer.logprobs, losses)
    lose_beside(answer.sequence, answer.service_tier, losses)
    return encode(said)


def write_part(block: Block, losses: Losses) -> object | None:
    """A block of an answer as a part of its content; None where it can't be said."""
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    if isinstance(block, Refusal):
        losses.mapped("refusal")
        return {"type": "text", "text": block.text}
    if isinstance(block, Thinking):
        return {"type": "thinking", "thinking": block.text} if says_thought(block, losses) else None
    if isinstance(block, Foreign) and block.origin == NAME:
        return block.raw
    lose_block(block, losses)
    return None


def says_thought(thinking: Thinking, losses: Losses) -> bool:
    """Whether there are words to show. No field is there for what proves them."""
    if thinking.signature:
        losses.dropped("thinking.signature")
    if thinking.redacted:
        losses.dropped("thinking.redacted")
    return bool(thinking.text) or not (thinking.signature or thinking.redacted)


def lose_block(block: Block, losses: Losses) -> None:
    if isinstance(block, Media):
        losses.dropped(f"{block.kind}s" if block.kind in ("image", "document") else block.kind)
    else:
        losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")


def lose_beside(sequence: str, service_tier: str, losses: Losses) -> None:
    """What an answer says of itself and Cohere's can't: which stop sequence it was, and where it was served."""
    if sequence:
        losses.mapped("stop")
    if service_tier:
        losses.dropped("service_tier")
