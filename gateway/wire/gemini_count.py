"""Gemini's counting of tokens (ai.google.dev, models.countTokens)."""

from typing import Final

from gateway.wire import Pattern
from gateway.wire.counting import Counting
from gateway.wire.gemini.codec import CODEC

WIRE: Final = Counting(
    CODEC,
    CODEC,
    patterns=tuple(
        Pattern(before, ":countTokens", "gemini_count", stream=False) for before in ("/v1beta/models/", "/v1/models/")
    ),
)
