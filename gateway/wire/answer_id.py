"""An answer's id where whoever gave the answer gave it none (Converse, Ollama, TGI and Triton have no such field).

Kits keep what was said by its id, and put an answer in the place of another of the same one (LangGraph, add_messages):
so none may be empty, and none may be the same for two turns of a conversation.
"""

from hashlib import blake2b
from typing import Final

from msgspec.json import Encoder

from gateway.wire.ir import Ask

_DIGEST_BYTES: Final = 16
_LATEST: Final = 2  # the question, and what was said before it

_encode: Final = Encoder().encode


def answer_id(given: str, ask: Ask, kind: str) -> str:
    """The id an answer came with, else one of this `kind` made of what was asked; the same whole and streamed."""
    if given:
        return given
    asked = _encode((ask.model, len(ask.messages), ask.messages[-_LATEST:]))
    return f"{kind}_{blake2b(asked, digest_size=_DIGEST_BYTES).hexdigest()}"
