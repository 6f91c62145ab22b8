"""Google's Gemini: generateContent, streamed and not, and the counting of tokens. The model stands in the path."""

from typing import Final

from gateway.wire import Pattern
from gateway.wire.gemini.codec import CODEC
from gateway.wire.gemini.writer import asks_events
from gateway.wire.native import Native

# google-genai asks for `/v1/models/…` as well as for `/v1beta/models/…`.
WIRE: Final = Native(
    CODEC,
    paths={},
    patterns=tuple(
        Pattern(before, after, operation, stream)
        for before in ("/v1beta/models/", "/v1/models/")
        for after, operation, stream in (
            (":generateContent", "generate", False),
            (":streamGenerateContent", "generate", True),
        )
    ),
    carries=lambda request: not request.stream or asks_events(request.query),
)
