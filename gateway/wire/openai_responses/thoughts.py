"""What a model thought, as a reasoning item: a summary to read, the words themselves, and what only their maker can.

OpenAI's own `encrypted_content` stands for itself. A signature of another's goes there too, with whose it is before
it, so that a caller who sends the item back brings it home: agents do, since nothing is stored for them.
"""

from typing import Final

from msgspec import Struct

from gateway.wire.ir import Thinking, ToolCall
from gateway.wire.openai_responses.fields import NAME
from gateway.wire.signing import pack, unpack

Written = dict[str, object]

# Before what only its maker can read, and before a signature that belongs to a call: "@call_1 signature".
_REDACTED: Final = "~"
_CALL: Final = "@"
PARAGRAPH: Final = "\n\n"


class Words(Struct, gc=False):
    text: str = ""


class Reasoning(Struct, gc=False):
    """A reasoning item, in a request or an answer."""

    id: str | None = None
    summary: list[Words] | None = None
    content: list[Words] | None = None
    encrypted_content: str | None = None


def read_thoughts(item: Reasoning) -> list[Thinking]:
    """The thoughts a caller gives back: the words themselves, and their summary; a signature belongs to the last."""
    signature, redacted, origin = _open(item.encrypted_content or "")
    thoughts = said_thoughts(item, origin)
    if not thoughts and (signature or redacted):
        thoughts.append(Thinking(origin=origin, id=_id(item, origin)))
    if thoughts:
        thoughts[-1].signature, thoughts[-1].redacted = signature, redacted
    return thoughts


def answered_thoughts(item: Reasoning) -> list[Thinking]:
    """The thoughts a backend tells. Whatever it seals goes back to it as it is."""
    thoughts = said_thoughts(item, NAME)
    if item.encrypted_content:
        if not thoughts:
            thoughts.append(Thinking(origin=NAME, id=_id(item, NAME)))
        thoughts[-1].signature = item.encrypted_content
    return thoughts


def said_thoughts(item: Reasoning, origin: str) -> list[Thinking]:
    """The texts of an item alone."""
    return [
        Thinking(PARAGRAPH.join(part.text for part in parts), origin=origin, id=_id(item, origin), summary=is_summary)
        for parts, is_summary in ((item.content, False), (item.summary, True))
        if parts
    ]


def _id(item: Reasoning, origin: str) -> str:
    return (item.id or "") if origin == NAME else ""


def signed_call(item: Reasoning) -> tuple[str, str, str]:
    """The call that an item signs, its signature, and who made it; nothing where it is a thought."""
    bare, origin = unpack(item.encrypted_content or "", NAME)
    if origin == NAME or not bare.startswith(_CALL):
        return "", "", ""
    call_id, _, signature = bare.removeprefix(_CALL).partition(" ")
    return call_id, signature, origin


def seal(signature: str, redacted: str, origin: str) -> str:
    """What a caller is given to keep of a thought, "" where there is nothing."""
    if redacted and not signature:
        return redacted if origin in ("", NAME) else pack(_REDACTED + redacted, origin, NAME)
    return pack(signature, origin, NAME)


def seal_call(call: ToolCall) -> str:
    """The same of a signed call."""
    return pack(f"{_CALL}{call.id} {call.signature}", call.origin, NAME)


def _open(sealed: str) -> tuple[str, str, str]:
    """The signature, or else what is redacted, and who made it."""
    bare, origin = unpack(sealed, NAME)
    if origin != NAME and bare.startswith(_REDACTED):
        return "", bare.removeprefix(_REDACTED), origin
    return bare, "", origin


def write_thought(thinking: Thinking, before: object) -> Written | None:
    """A thought of this language's own as an item of a request, or added to the item before it (then None)."""
    if isinstance(before, dict) and thinking.id and before.get("id") == thinking.id:
        item, added = before, True
    else:
        item, added = {"type": "reasoning", "summary": []}, False
        if thinking.id:
            item["id"] = thinking.id
    if thinking.text:
        field, kind = ("summary", "summary_text") if thinking.summary else ("content", "reasoning_text")
        item[field] = [{"type": kind, "text": thinking.text}]
    sealed = thinking.signature or thinking.redacted
    if sealed:
        item["encrypted_content"] = sealed
    return None if added else item
