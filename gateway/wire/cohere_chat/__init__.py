"""Cohere's chat, version 2 (docs.cohere.com, Chat)."""

from typing import Final

from gateway.wire.cohere_chat.codec import CODEC
from gateway.wire.native import Native

WIRE: Final = Native(CODEC, paths={"/v2/chat": "cohere_chat"}, passes=())

__all__ = ["WIRE"]
