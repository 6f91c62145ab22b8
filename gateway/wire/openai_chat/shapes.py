"""A chat completion, and a chunk of one, as far as they are understood: a delta has the shape of a message.

Beside OpenAI's fields stand those in which others tell thoughts, pictures and what their own tools did. What describes
an answer and is no part of it (fingerprints, timings, prices, moderation) isn't read. What doesn't fit the types is
read loosely (loose.py): official clients check none.
"""

import re
from typing import Final

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from gateway.errors import UpstreamBroken
from gateway.features import Usage
from gateway.wire import openai_event
from gateway.wire.openai_chat.fields import NULL
from gateway.wire.openai_chat.thinking import Detail
from gateway.wire.openai_error import read_inside
from gateway.wire.openai_event import UNSAID, GroqPart
from gateway.wire.openai_usage import Spent


class Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class Google(Struct, gc=False):
    thought_signature: str | None = None


class Extra(Struct, gc=False):
    google: Google | None = None


class Call(Struct, gc=False):
    """A tool call, or a piece of one; `custom` where its tool is no function."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Raw = NULL
    extra_content: Extra | None = None


class Piece(Struct, gc=False):
    """A part of a content that is a list (Mistral), or a block of thoughts (LiteLLM)."""

    type: str = ""
    text: str | None = None
    thinking: "str | list[Piece] | None" = None
    signature: str | None = None
    data: str | None = None


class Link(Struct, gc=False):
    url: str = ""


class Picture(Struct, gc=False):
    """One of OpenRouter's `images`."""

    image_url: Link | None = None


class Sound(Struct, gc=False):
    transcript: str | None = None


class Message(Struct, gc=False):
    content: str | list[Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    thinking_blocks: list[Piece] | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    annotations: list[Raw] | None = None
    images: list[Picture] | None = None
    audio: Raw = NULL
    executed_tools: Raw = NULL


class Logprobs(Struct, gc=False):
    content: Raw = NULL


class Choice(Struct, gc=False):
    """`stop_reason` is vLLM's: the sequence, or the token, that ended the text."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    logprobs: Logprobs | None = None
    usage: Spent | None = None


class Chunk(Struct, gc=False):
    """`citations` are addresses (Perplexity, xAI). `error` is openai_event's UNSAID where there is no such field."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[Choice] | None = None
    usage: Spent | None = None
    error: Raw = UNSAID
    x_groq: GroqPart | None = None
    service_tier: str | None = None
    citations: Raw = NULL


decode: Final = Decoder(Chunk).decode
decode_piece: Final = Decoder(Piece).decode
decode_sound: Final = Decoder(Sound).decode
_addresses: Final = Decoder(list[str]).decode

# Escapes that say half of a character, and those that must not be taken for one: JavaScript cuts strings in the middle
# of a pair. A backslash that is escaped escapes nothing.
_ESCAPES: Final = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_HALF: Final = 6


def mend(payload: bytes) -> bytes:
    """Halves of characters replaced by the mark for what can't be read."""
    return _ESCAPES.sub(_whole, payload)


def _whole(found: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(found[0]) == _HALF else found[0]


def check(chunk: Chunk, payload: bytes) -> None:
    """UpstreamError where an answer tells an error instead, in any of the places it is told in."""
    told = openai_event.complains(_event(chunk), payload)
    if told:
        raise read_inside(told)


def failed(finish: str | None) -> UpstreamBroken | None:
    """Mistral, OpenRouter and vLLM end an answer with "error" when they failed."""
    if finish == "error":
        return UpstreamBroken("The upstream reported an error in its answer.", code="upstream_error")
    return None


def usage_in(chunk: Chunk) -> Usage | None:
    return openai_event.usage_of(_event(chunk))


def addresses_in(raw: Raw) -> list[str]:
    try:
        return _addresses(raw)
    except DecodeError:
        return []


def _event(chunk: Chunk) -> openai_event.Event:
    choices = chunk.choices
    return openai_event.Event(
        None if choices is None else [openai_event.Choice(usage=choice.usage) for choice in choices],
        chunk.usage,
        chunk.error,
        chunk.x_groq,
    )
