"""Thoughts and who signed them (platform.claude.com, Extended thinking).

Anthropic's blocks have one field that comes back: `signature`, or `data` where there are no words. Another language's
signature travels in it marked as its own (signing.py); where that language keeps an id, hidden words or a summary, all
of them share the field, parted by a sign that is in none of them.
"""

from typing import Final

from gateway.wire.ir import Thinking
from gateway.wire.signing import pack, unpack

_PARTED: Final = "~"
_SUMMARY: Final = "s"


def seal(thought: Thinking, language: str) -> str:
    """What a caller is to send back with this thought; "" where nobody signed it."""
    if thought.origin in ("", language):
        return thought.redacted or thought.signature
    if thought.id or thought.summary or (thought.signature and thought.redacted):
        summary = _SUMMARY if thought.summary else ""
        parts = (thought.id, thought.signature, thought.redacted, summary)
        return pack(_PARTED.join(parts), thought.origin, language)
    return pack(thought.signature or thought.redacted, thought.origin, language)


def open_seal(text: str, sealed: str, language: str, *, hidden: bool) -> Thinking:
    """The thought a caller sent back. `hidden`: its words, if it has any, are inside the seal."""
    bare, origin = unpack(sealed, language)
    if not bare:
        return Thinking(text)
    parts = bare.split(_PARTED) if origin != language else []
    if len(parts) == 4:
        return Thinking(text, parts[1], parts[2], origin, parts[0], parts[3] == _SUMMARY)
    return Thinking(text, redacted=bare, origin=origin) if hidden else Thinking(text, signature=bare, origin=origin)
