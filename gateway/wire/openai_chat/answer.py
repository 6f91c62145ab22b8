"""A whole chat completion, read: thoughts, then words, then calls (platform.openai.com/docs/api-reference/chat)."""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import encode

from gateway.errors import UpstreamBroken
from gateway.wire.ir import (
    Answer,
    Block,
    Citation,
    Finish,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat import loose
from gateway.wire.openai_chat.annotations import address, read_annotation
from gateway.wire.openai_chat.content import CALL_KIND, MESSAGE, media_of
from gateway.wire.openai_chat.fields import NAME, NULL
from gateway.wire.openai_chat.shapes import (
    Call,
    Chunk,
    Message,
    Piece,
    addresses_in,
    check,
    decode_piece,
    decode_sound,
    failed,
    usage_in,
)
from gateway.wire.openai_chat.thinking import SIGNER, Detail, read_detail, read_details
from gateway.wire.signing import unpack

_FINISHES: Final[Mapping[str, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filter",
    # Others' words: Mistral; text-generation-inference; Anthropic's models behind gateways; Zhipu.
    "model_length": "context",
    "eos_token": "stop",
    "stop_sequence": "sequence",
    "end_turn": "stop",
    "tool_use": "tools",
    "max_tokens": "length",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context",
    "sensitive": "filter",
}
_EMPTY: Final = (NULL, Raw(b"[]"))
# LiteLLM's `thinking_blocks` are Anthropic's blocks.
LITELLM: Final = "anthropic_messages"
_GEMINIS: Final = "google-gemini-v1"


def read_answer(body: bytes, losses: Losses) -> Answer:
    whole = loose.read(body)
    check(whole, body)
    if not whole.choices:
        raise UpstreamBroken("The upstream's answer has no choices.")
    if len(whole.choices) > 1:
        losses.dropped("n")
    choice = whole.choices[0]
    if failure := failed(choice.finish_reason):
        raise failure
    message = choice.message or Message()
    content = _read_message(message, whole)
    called = any(isinstance(block, ToolCall) for block in content)
    finish, sequence = finish_of(choice.finish_reason or "stop", choice.stop_reason, called=called)
    logprobs = choice.logprobs.content if choice.logprobs is not None else NULL
    return Answer(
        content,
        finish,
        sequence,
        whole.id or "",
        whole.model or "",
        whole.created or 0,
        usage_in(whole),
        None if logprobs in _EMPTY else logprobs,
        whole.service_tier or "",
    )


def finish_of(reason: str, sequence: str | int | None, *, called: bool) -> tuple[Finish, str]:
    """Why an answer ended, and the caller's sequence that ended it.

    Where a tool was named by the caller, OpenAI and others say "stop" of its call.
    """
    finish = _FINISHES.get(reason, "other")
    if finish == "stop" and called:
        return "tools", ""
    if finish in ("stop", "sequence") and isinstance(sequence, str) and sequence:
        return "sequence", sequence
    return finish, ""


def call_id(answer: str, at: int) -> str:
    """An id for a call that has none, the same however often it is read."""
    return f"{answer}_call_{at}" if answer else f"call_{at}"


def signature_of(call: Call) -> tuple[str, str]:
    google = call.extra_content.google if call.extra_content is not None else None
    signature = google.thought_signature if google is not None else None
    return unpack(signature, SIGNER) if signature else ("", "")


def seals_call(detail: Detail) -> bool:
    """Whether a detail may be what Gemini signed of a call: its id is then the call's."""
    return bool(detail.format == _GEMINIS and detail.id and detail.data)


def picture_of(url: str) -> Media:
    return media_of("image", url) or Media("image", url=url)


def piece_of(raw: Raw) -> Block:
    """A part of a content that is a list."""
    try:
        piece = decode_piece(raw)
    except DecodeError:
        return Foreign(NAME, "content", raw)
    if piece.type == "text":
        return Text(piece.text or "")
    if piece.type in ("thinking", "redacted_thinking"):
        return thought_of(piece, LITELLM if piece.signature or piece.data else "")
    return Foreign(NAME, piece.type or "content", raw)


def thought_of(piece: Piece, language: str) -> Thinking:
    """A block of thoughts, signed by who speaks that language where nothing else is said."""
    said = piece.thinking
    text = "".join(inner.text or "" for inner in said) if isinstance(said, list) else said or ""
    signature, signer = unpack(piece.signature or "", language)
    redacted, sealer = unpack(piece.data or "", language)
    return Thinking(text, signature, redacted, signer if signature else sealer if redacted else language)


def heard(audio: Raw) -> str:
    """The words of a spoken answer."""
    try:
        return decode_sound(audio).transcript or ""
    except DecodeError:
        return ""


def _read_message(message: Message, whole: Chunk) -> list[Block]:
    calls = _calls(message, whole.id or "")
    blocks: list[Block] = [*_thoughts(message, calls)]
    if isinstance(message.content, list):
        blocks += map(piece_of, message.content)
    elif message.content:
        blocks.append(Text(message.content))
    if message.audio != NULL:
        if not message.content and (words := heard(message.audio)):
            blocks.append(Text(words))
        blocks.append(Foreign(NAME, f"{MESSAGE}audio", message.audio))
    _cite(blocks, message, whole)
    if message.refusal:
        blocks.append(Refusal(message.refusal))
    blocks += (picture_of(picture.image_url.url) for picture in message.images or () if picture.image_url is not None)
    if message.executed_tools not in _EMPTY:
        blocks.append(Foreign(NAME, f"{MESSAGE}executed_tools", message.executed_tools))
    return blocks + calls


def _calls(message: Message, answer: str) -> list[Block]:
    calls: list[Block] = []
    for call in message.tool_calls or ():
        if call.function is None:
            kind = call.type or "unknown"
            raw = Raw(encode({"id": call.id, "type": kind, kind: call.custom}))
            calls.append(Foreign(NAME, kind + CALL_KIND, raw))
            continue
        id_ = call.id or call_id(answer, len(calls))
        calls.append(ToolCall(id_, call.function.name or "", call.function.arguments or "", *signature_of(call)))
    old = message.function_call
    if old is not None and not calls:
        calls.append(ToolCall(call_id(answer, 0), old.name or "", old.arguments or ""))
    return calls


def _thoughts(message: Message, calls: list[Block]) -> list[Thinking]:
    said = message.reasoning_content or message.reasoning or ""
    if message.reasoning_details:
        by_id = {call.id: call for call in calls if isinstance(call, ToolCall)}
        details: list[Detail] = []
        for detail in message.reasoning_details:
            call = by_id.get(detail.id or "") if seals_call(detail) else None
            if call is None:
                details.append(detail)
                continue
            sealed = read_detail(detail)
            call.signature, call.origin = sealed.redacted, sealed.origin
        return read_details(details, said)
    if message.thinking_blocks:
        return [thought_of(piece, LITELLM) for piece in message.thinking_blocks]
    return [Thinking(said)] if said else []


def _cite(blocks: list[Block], message: Message, whole: Chunk) -> None:
    """Citations belong to the first text: their positions count from its beginning."""
    citations: list[Citation] = [read_annotation(note) for note in message.annotations or ()]
    if not citations:
        citations = [address(url) for url in addresses_in(whole.citations)]
    if not citations:
        return
    text = next((block for block in blocks if isinstance(block, Text)), None)
    if text is None:
        text = Text("")
        blocks.append(text)
    text.citations = citations
