"""OpenAI's responses: a conversation of items, of which nothing is stored."""

from typing import Final

from gateway.wire.native import Native
from gateway.wire.openai_responses.codec import CODEC

WIRE: Final = Native(CODEC, paths={"/v1/responses": "responses"}, passes=(b"openai-beta",))

__all__ = ["WIRE"]
