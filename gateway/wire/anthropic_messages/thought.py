"""Thoughts and who signed them (platform.claude.com, Extended thinking).

Anthropic's blocks have one field that comes back: `signature`, or `data` where there are no words. Another language's
signature travels in it marked as its own (signing.py); where that language keeps an id, hidden words or a summary, all
of them share the field, parted by a sign that is in none of them.
"""

from typing import Final

from gateway.wire.ir import Block, Text, Thinking, ToolResult, Turn
from gateway.wire.signing import pack, unpack

_PARTED: Final = "~"
_SUMMARY: Final = "s"
_NOBODY: Final = "nobody"


def seal(thought: Thinking, language: str) -> str:
    """What a caller is to send back with this thought; "" where nobody signed it."""
    if thought.origin in ("", language):
        return thought.redacted or thought.signature
    if thought.id or thought.summary or (thought.signature and thought.redacted):
        summary = _SUMMARY if thought.summary else ""
        parts = (thought.id, thought.signature, thought.redacted, summary)
        return pack(_PARTED.join(parts), thought.origin, language)
    return pack(thought.signature or thought.redacted, thought.origin, language)


def proof(thought: Thinking, language: str) -> str:
    """What a caller is shown as a thought's signature: its seal, or a mark that nobody signed it.

    Clients give back no thought without one (pydantic-ai makes a user's words of it), and the mark keeps it from
    Anthropic, which refuses what it didn't sign.
    """
    return seal(thought, language) or pack(_NOBODY, _NOBODY, language)


def open_seal(text: str, sealed: str, language: str, *, hidden: bool) -> Thinking:
    """The thought a caller sent back. `hidden`: its words, if it has any, are inside the seal."""
    bare, origin = unpack(sealed, language)
    if not bare or origin == _NOBODY:
        return Thinking(text)
    parts = bare.split(_PARTED) if origin != language else []
    if len(parts) == 4:
        return Thinking(text, parts[1], parts[2], origin, parts[0], parts[3] == _SUMMARY)
    return Thinking(text, redacted=bare, origin=origin) if hidden else Thinking(text, signature=bare, origin=origin)


def is_proven(thought: Thinking, language: str) -> bool:
    """Whether it may go back to its maker, whose language this is."""
    return thought.origin == language and bool(thought.signature or thought.redacted)


def is_bare_loop(messages: list[Turn], language: str) -> bool:
    """Whether results of tools are the last word and the first answer of their loop can't begin with its thought.

    "When `thinking` is enabled, a final `assistant` message must start with a thinking block", Anthropic says with a
    400; the message is all of the loop. Models that think by themselves ask for none (Adaptive thinking).
    """
    answer = _loops_first(messages)
    return bool(answer) and not _begins_thinking(answer, language)


def has_lost(messages: list[Turn], language: str) -> bool:
    """The same, where that answer had a thought, of somebody else's."""
    return is_bare_loop(messages, language) and any(
        isinstance(block, Thinking) and not is_proven(block, language) for block in _loops_first(messages)
    )


def _loops_first(messages: list[Turn]) -> list[Block]:
    """The first answer of a loop of tools whose last results are the last word; [] where there is none."""
    first: list[Block] = []
    came = False
    for turn in reversed(messages):
        if turn.role == "assistant":
            if not came:
                return []
            first = turn.content
        elif any(isinstance(block, ToolResult) for block in turn.content):
            came = True
        elif turn.role == "user":
            break
    return first


def _begins_thinking(answer: list[Block], language: str) -> bool:
    """Whether the first of its blocks that can be sent is a thought."""
    first = next((block for block in answer if _is_sent(block, language)), None)
    return isinstance(first, Thinking)


def _is_sent(block: Block, language: str) -> bool:
    if isinstance(block, Thinking):
        return is_proven(block, language)
    return not isinstance(block, Text) or bool(block.text.strip())
