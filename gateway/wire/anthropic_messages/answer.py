"""A whole answer, both ways (platform.claude.com, Messages API). It is read as loosely as official clients read it."""

from typing import Final

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, Encoder

from gateway.errors import UpstreamBroken
from gateway.wire import ir, openai_error
from gateway.wire.answer_id import answer_id
from gateway.wire.anthropic_messages import citation, finish, spending
from gateway.wire.anthropic_messages.content_out import MEDIA_WORDS, Said, arguments
from gateway.wire.anthropic_messages.kept import NULL, UNSAID
from gateway.wire.anthropic_messages.shapes import EMPTY, MESSAGE, NAME
from gateway.wire.anthropic_messages.thought import proof, seal
from gateway.wire.losses import Losses

# What is understood of an answer, of a refusal's details, and of each block that others have, too.
ANSWER_FIELDS: Final = frozenset(
    ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage")
)
_BLOCKS: Final = {
    "text": frozenset(("type", "text", "citations")),
    "tool_use": frozenset(("type", "id", "name", "input", "caller")),
    "thinking": frozenset(("type", "thinking", "signature")),
    "redacted_thinking": frozenset(("type", "data")),
}
# What a call says of who made it, where that is what every call elsewhere says.
_DIRECT: Final = {"type": Raw(b'"direct"')}
_TIERS: Final = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}

_fields: Final = Decoder(dict[str, Raw]).decode
_items: Final = Decoder(list[Raw]).decode
_string: Final = Decoder(str).decode
_encode: Final = Encoder().encode


def read(body: bytes, losses: Losses) -> ir.Answer:
    """See OutCodec.read_answer."""
    fields = _fields(body)
    if text_of(fields, "type") == "error" or bytes(fields.get("error", UNSAID)) != NULL:
        raise openai_error.read_inside(body)
    if bytes(fields.get("content", UNSAID)) == NULL:
        raise UpstreamBroken("The upstream's answer has no content.")
    spent = spending.Spending()
    spent.add(fields.get("usage", UNSAID), losses)
    content = [read_block(raw, losses) for raw in _items(fields["content"])]
    refusal = read_details(fields.get("stop_details", UNSAID), losses)
    if refusal is not None:
        content.append(refusal)
    note_rest(fields, ANSWER_FIELDS, "", losses)
    return ir.Answer(
        content,
        finish.read(text_of(fields, "stop_reason"), called=any(isinstance(block, ir.ToolCall) for block in content)),
        sequence=text_of(fields, "stop_sequence"),
        id=text_of(fields, "id"),
        model=text_of(fields, "model"),
        usage=spent.usage(),
        service_tier=spent.tier,
    )


def read_block(raw: Raw, losses: Losses) -> ir.Block:
    """A block of an answer, or the beginning of one."""
    fields = _fields(raw)
    kind = text_of(fields, "type")
    if kind not in _BLOCKS:
        return ir.Foreign(NAME, kind, raw)
    note_rest(fields, _BLOCKS[kind], f"{kind}.", losses)
    if kind == "text":
        cited = fields.get("citations", UNSAID)
        places = _items(cited) if bytes(cited) != NULL else []
        return ir.Text(text_of(fields, "text"), citations=[citation.read(one, NAME) for one in places])
    if kind == "tool_use":
        if "caller" in fields and not _is_direct(fields["caller"]):
            losses.dropped("tool_use.caller")
        return ir.ToolCall(text_of(fields, "id"), text_of(fields, "name"), bytes(fields.get("input", EMPTY)).decode())
    if kind == "thinking":
        return ir.Thinking(text_of(fields, "thinking"), signature=text_of(fields, "signature"), origin=NAME)
    return ir.Thinking(redacted=text_of(fields, "data"), origin=NAME)


def read_details(raw: Raw, losses: Losses) -> ir.Refusal | None:
    """What is said of a refusal, in words if there are any; the kind of policy has no place elsewhere."""
    if bytes(raw) == NULL:
        return None
    fields = _fields(raw)
    note_rest(fields, frozenset(("type", "explanation")), "stop_details.", losses)
    told = text_of(fields, "explanation")
    return ir.Refusal(told) if told else None


def text_of(fields: dict[str, Raw], name: str) -> str:
    """A string, "" where there is none."""
    try:
        return _string(fields[name]) if name in fields else ""
    except ValidationError:
        return ""


def note_rest(fields: dict[str, Raw], known: frozenset[str], prefix: str, losses: Losses) -> None:
    for name in fields.keys() - known:
        if bytes(fields[name]) != NULL:
            losses.dropped(f"{prefix}{name}")


def _is_direct(caller: Raw) -> bool:
    try:
        return bytes(caller) == NULL or _fields(caller) == _DIRECT
    except DecodeError:
        return False


def write(answer: ir.Answer, ask: ir.Ask, losses: Losses) -> bytes:
    """See Codec.write_answer."""
    if answer.logprobs is not None:
        losses.dropped("logprobs")
    usage = spending.write(answer.usage)
    tier = write_tier(answer.service_tier, losses)
    if tier:
        usage["service_tier"] = tier
    said = (write_block(block, losses) for block in answer.content if not _is_empty(block))
    return _encode(
        {
            "id": answer_id(answer.id, ask, MESSAGE),
            "type": "message",
            "role": "assistant",
            "model": answer.model or ask.model,
            "content": [one for one in said if one is not None],
            "stop_reason": finish.write(answer.finish),
            "stop_sequence": answer.sequence or None,
            "usage": usage,
        }
    )


def _is_empty(block: ir.Block) -> bool:
    """A text without words: Anthropic never gives one, and refuses it when it is sent back."""
    return isinstance(block, ir.Text) and not block.text and not block.citations


def write_tier(tier: str, losses: Losses) -> str:
    if tier and tier not in _TIERS:
        losses.dropped("service_tier")
    return _TIERS.get(tier, "")


def write_block(block: ir.Block, losses: Losses) -> Said | Raw | None:
    match block:
        case ir.Text():
            places = [place for one in block.citations if (place := citation.write(one, NAME, losses)) is not None]
            said: Said = {"type": "text", "text": block.text}
            if places:
                said["citations"] = places
            return said
        case ir.ToolCall():
            if block.signature:
                losses.dropped("thinking.signature")
            given = arguments(block.arguments, losses)
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": given}
        case ir.Thinking():
            return write_thought(block)
        case ir.Refusal():
            losses.mapped("refusal")
            return {"type": "text", "text": block.text}
        case ir.Foreign() if block.origin == NAME:
            return block.raw
        case _:
            losses.dropped(unsaid(block))
            return None


def write_thought(thought: ir.Thinking) -> Said:
    """A thought. One of hidden words alone is redacted here, too."""
    if thought.redacted and not thought.text:
        return {"type": "redacted_thinking", "data": seal(thought, NAME)}
    return {"type": "thinking", "thinking": thought.text, "signature": proof(thought, NAME)}


def unsaid(block: ir.Block) -> str:
    """The word for a block that no answer of this language can hold."""
    match block:
        case ir.Media():
            return MEDIA_WORDS[block.kind]
        case ir.Foreign():
            return block.kind
        case _:
            return "tool_results"
