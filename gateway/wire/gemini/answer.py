"""A whole answer of Google's language, both ways: it is a stream of one chunk, and read as one."""

from typing import Final

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from gateway.wire.gemini import media, signature
from gateway.wire.gemini.chunk import FINISHES, stamp, tier_of, write_usage
from gateway.wire.gemini.citation import Grounding
from gateway.wire.gemini.contents import Part, call_part, lay
from gateway.wire.gemini.fields import NAME, raw_of
from gateway.wire.gemini.logprobs import write_logprobs
from gateway.wire.gemini.stream import GeminiReader
from gateway.wire.gemini.turns import OF_TURN
from gateway.wire.ir import (
    Answer,
    Ask,
    Block,
    BlockGrew,
    BlockOpened,
    Event,
    Finish,
    Finished,
    Foreign,
    Media,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

# A candidate without a part is taken for a broken one (google-genai, chats).
EMPTY: Final[Part] = {"text": ""}

_items: Final = Decoder(list[Raw]).decode
_encode: Final = Encoder().encode


def read_answer(body: bytes, losses: Losses) -> Answer:
    """A whole answer. UpstreamError for an error inside it, ValueError or RecursionError where it is none."""
    reader = GeminiReader(losses)
    told = reader.feed("", body)
    if not reader.answered:
        raise ValueError("There is no candidate.")
    return fold([*told, *reader.finished("other")])


def fold(events: list[Event]) -> Answer:
    """The whole that these events of this language's reader are the parts of."""
    answer = Answer([])
    logprobs: list[Raw] = []
    for event in events:
        if isinstance(event, BlockOpened):
            answer.content.append(event.block)
        elif isinstance(event, BlockGrew):
            _grow(answer.content[event.at], event)
            if event.logprobs is not None:
                logprobs += _items(event.logprobs)
        elif isinstance(event, Started):
            answer.id, answer.model, answer.created = event.id, event.model, event.created
        elif isinstance(event, Finished):
            answer.finish, answer.usage, answer.service_tier = event.finish, event.usage, event.service_tier
    answer.logprobs = raw_of(logprobs) if logprobs else None
    return answer


def _grow(block: Block, event: BlockGrew) -> None:
    assert isinstance(block, Text | Thinking)  # all else comes whole
    block.text += event.text
    if isinstance(block, Thinking):
        block.signature += event.signature
    elif event.citation is not None:
        block.citations.append(event.citation)


def write_answer(answer: Answer, ask: Ask, losses: Losses) -> bytes:
    grounding = Grounding(losses)
    parts: list[Part] = []
    for block in answer.content:
        write_block(block, parts, losses)
        if isinstance(block, Text | Refusal):
            grounding.passed(block.text, block.citations if isinstance(block, Text) else [])
    candidate = candidate_of(parts)
    ending(candidate, answer.finish, grounding)
    if answer.logprobs is not None:
        candidate["logprobsResult"] = write_logprobs(answer.logprobs)
    written: dict[str, object] = {"candidates": [candidate]}
    tier = tier_of(answer.service_tier, losses)
    if answer.usage is not None:
        written["usageMetadata"] = write_usage(answer.usage, tier)
    return _encode(written | about(answer.id, answer.model or ask.model, answer.created))


def write_block(block: Block, parts: list[Part], losses: Losses) -> None:
    """A block of an answer as parts, behind those that are there."""
    if isinstance(block, Text):
        parts.append({"text": block.text})
    elif isinstance(block, Thinking):
        write_thought(block, parts, worded=bool(block.text))
    elif isinstance(block, ToolCall):
        part = call_part(block, losses)
        signed = signature.show(Thinking(signature=block.signature, origin=block.origin))
        if signed:
            part["thoughtSignature"] = signed
        parts.append(part)
    elif isinstance(block, Media):
        shown = media.write(block, losses, own=False)
        if shown is not None:
            parts.append(shown)
    elif isinstance(block, Refusal):
        losses.mapped("refusal")
        parts.append({"text": block.text})
    elif isinstance(block, Foreign) and block.origin == NAME:
        lay(block, OF_TURN, {}, parts)
    else:
        losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")


def write_thought(thinking: Thinking, parts: list[Part], *, worded: bool) -> None:
    """A thought, or its end, with the signature the caller keeps for us; Gemini's own without words stood on a text."""
    signed = signature.show(thinking)
    if not thinking.text and not signed:
        return
    part: Part = {"text": thinking.text}
    if worded or thinking.origin != NAME:
        part["thought"] = True
    if signed:
        part["thoughtSignature"] = signed
    parts.append(part)


def candidate_of(parts: list[Part]) -> dict[str, object]:
    return {"content": {"parts": parts or [EMPTY], "role": "model"}, "index": 0}


def ending(candidate: dict[str, object], finish: Finish, grounding: Grounding) -> None:
    """Why the answer ended, and where its words come from."""
    candidate["finishReason"] = FINISHES[finish]
    sources = grounding.written()
    if sources is not None:
        candidate["groundingMetadata"] = sources


def about(id_: str, model: str, created: int) -> dict[str, object]:
    """What every chunk says of its answer."""
    said: dict[str, object] = {"modelVersion": model}
    when = stamp(created)
    if when:
        said["createTime"] = when
    if id_:
        said["responseId"] = id_
    return said
