"""Anthropic's counting of tokens (platform.claude.com, Token counting)."""

from typing import Final

from gateway.wire.anthropic_messages.codec import CODEC
from gateway.wire.counting import Counting

WIRE: Final = Counting(
    CODEC,
    CODEC,
    paths={"/v1/messages/count_tokens": "count_tokens"},
    passes=(b"anthropic-version", b"anthropic-beta"),
)
