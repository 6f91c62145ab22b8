"""Anthropic's messages."""

from gateway.wire.anthropic_messages.passthrough import WIRE

__all__ = ["WIRE"]
