"""OpenAI's chat and text completions."""

from gateway.wire.openai_chat.passthrough import WIRE

__all__ = ["WIRE"]
