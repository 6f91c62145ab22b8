"""What a request needs of the model that serves it, read from its raw slices: nothing is taken apart for it.

A quote inside a JSON string is always escaped, so `"type":"image_url"` with bare quotes is never somebody's text.
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gateway.features import Request

# Of what tokenizers make of text, the longest are words with their space: about six bytes at the very most on average
# (English prose is four, code three, Chinese three a character). So this is a floor, and refuses nobody wrongly.
BYTES_PER_TOKEN: Final = 6


class Needs(Struct, frozen=True):
    """Capabilities by CONTRACT.md's words (tools, vision, audio, documents, json_schema, thinking, logprobs).

    `tokens` is the least number of tokens that the prompt and the answer asked for can be, 0 where nothing is known.
    """

    capabilities: frozenset[str] = frozenset()
    tokens: int = 0


class Signs(Struct, frozen=True):
    """How a language says what it needs.

    `fields`: a capability is needed where the field is there and its text matches. `conversation` are the fields that
    hold the conversation, `parts` what is searched for in them. `limits` are the fields that cap the answer.
    """

    conversation: tuple[str, ...]
    fields: Mapping[str, tuple[tuple[str, re.Pattern[bytes]], ...]]
    parts: Mapping[str, re.Pattern[bytes]]
    limits: tuple[str, ...] = ()


def _type(*names: str) -> re.Pattern[bytes]:
    return re.compile(rb'"type"\s*:\s*"(?:%b)"' % b"|".join(name.encode() for name in names))


def _key(*names: str) -> re.Pattern[bytes]:
    return re.compile(rb'"(?:%b)"\s*:' % b"|".join(name.encode() for name in names))


_SOME: Final = re.compile(rb"\[\s*[^\s\]]")
_TRUE: Final = re.compile(rb"true")
_NUMBER: Final = re.compile(rb"[1-9]")
_ANY_SCHEMA: Final = re.compile(rb'"json_schema"')
_OBJECT: Final = re.compile(rb"\{\s*\"")
_THINKS: Final = re.compile(rb'"(?:enabled|adaptive)"')

SIGNS: Final[Mapping[str, Signs]] = {
    "openai_chat": Signs(
        ("messages",),
        {
            "tools": (("tools", _SOME), ("functions", _SOME)),
            "json_schema": (("response_format", _ANY_SCHEMA),),
            "logprobs": (("logprobs", _TRUE),),
        },
        {
            "vision": _type("image_url", "video_url", "input_image"),
            "audio": _type("input_audio", "audio_url"),
            "documents": _type("file"),
        },
        ("max_completion_tokens", "max_tokens"),
    ),
    "openai_responses": Signs(
        ("input", "instructions"),
        {
            "tools": (("tools", _SOME),),
            "json_schema": (("text", _ANY_SCHEMA),),
            "logprobs": (("top_logprobs", _NUMBER),),
        },
        {"vision": _type("input_image"), "audio": _type("input_audio"), "documents": _type("input_file")},
        ("max_output_tokens",),
    ),
    "anthropic_messages": Signs(
        ("messages", "system"),
        {
            "tools": (("tools", _SOME),),
            "json_schema": (("output_format", _ANY_SCHEMA), ("output_config", _ANY_SCHEMA)),
            "thinking": (("thinking", _THINKS),),
        },
        {"vision": _type("image"), "documents": _type("document")},
        ("max_tokens",),
    ),
    "gemini": Signs(
        ("contents", "systemInstruction", "system_instruction"),
        {
            "tools": (("tools", _SOME),),
            "json_schema": (
                ("generationConfig", _key("responseSchema", "responseJsonSchema", "response_schema")),
                ("generation_config", _key("responseSchema", "responseJsonSchema", "response_schema")),
            ),
            "logprobs": (("generationConfig", re.compile(rb'"responseLogprobs"\s*:\s*true')),),
        },
        {
            "vision": re.compile(rb'"mime_?[tT]ype"\s*:\s*"(?:image|video)/'),
            "audio": re.compile(rb'"mime_?[tT]ype"\s*:\s*"audio/'),
            "documents": re.compile(rb'"mime_?[tT]ype"\s*:\s*"application/pdf"'),
        },
    ),
    "bedrock_converse": Signs(
        ("messages", "system"),
        {"tools": (("toolConfig", _OBJECT),)},
        {
            "vision": re.compile(rb'"(?:image|video)"\s*:\s*\{'),
            "documents": re.compile(rb'"document"\s*:\s*\{'),
        },
    ),
    "cohere_chat": Signs(
        ("messages",),
        {
            "tools": (("tools", _SOME),),
            "json_schema": (("response_format", _key("json_schema", "schema")),),
            "logprobs": (("logprobs", _TRUE),),
        },
        {"vision": _type("image_url")},
        ("max_tokens",),
    ),
}
NOTHING: Final = Needs()
_DIGITS: Final = 10  # what is longer limits nothing


def needs(language: str, request: Request) -> Needs:
    """What a request in this language needs; nothing where it can't be told."""
    signs = SIGNS.get(language)
    if signs is None:
        return NOTHING
    fields = request.fields
    found = {
        capability
        for capability, places in signs.fields.items()
        if any(name in fields and sign.search(bytes(fields[name])) for name, sign in places)
    }
    told = [bytes(fields[name]) for name in signs.conversation if name in fields]
    found |= {capability for capability, sign in signs.parts.items() if any(map(sign.search, told))}
    tokens = 0
    if not found & {"vision", "audio", "documents"}:  # a picture's bytes are no text
        tokens = sum(map(len, told)) // BYTES_PER_TOKEN + max(
            (_count(request, name) for name in signs.limits), default=0
        )
    return Needs(frozenset(found), tokens)


def _count(request: Request, name: str) -> int:
    text = bytes(request.fields.get(name, b""))
    return int(text) if text.isdigit() and len(text) < _DIGITS else 0
