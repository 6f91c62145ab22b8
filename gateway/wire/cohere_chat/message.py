"""An assistant's message, as requests and answers both have it: content, a plan, calls, and citations beside them."""

from collections.abc import Iterable

from msgspec import Raw, Struct

from gateway.wire.cohere_chat.words import CITATION, NAME, is_plan
from gateway.wire.ir import NO_ARGUMENTS, Block, Foreign, Thinking, ToolCall
from gateway.wire.losses import Losses


class Parted(Struct):
    """Blocks by the field they go into; `citations` are those that cite none of the content."""

    content: list[Block]
    calls: list[ToolCall]
    citations: list[Raw]
    plan: str = ""


def part(blocks: Iterable[Block]) -> Parted:
    parted = Parted([], [], [])
    for block in blocks:
        if isinstance(block, ToolCall):
            parted.calls.append(block)
        elif isinstance(block, Thinking) and is_plan(block):
            parted.plan += block.text
        elif isinstance(block, Foreign) and block.origin == NAME and block.kind == CITATION:
            parted.citations.append(block.raw)
        else:
            parted.content.append(block)
    return parted


def write_message(parted: Parted, content: object, citations: list[Raw], losses: Losses) -> dict[str, object]:
    """The message; `content` None where there is none, `citations` those of the content."""
    message: dict[str, object] = {"role": "assistant"}
    if content is not None:
        message["content"] = content
    if parted.plan:
        message["tool_plan"] = parted.plan
    if parted.calls:
        message["tool_calls"] = [write_call(call, call.arguments or NO_ARGUMENTS, losses) for call in parted.calls]
    if citations or parted.citations:
        message["citations"] = citations + parted.citations
    return message


def write_call(call: ToolCall, arguments: str, losses: Losses) -> dict[str, object]:
    if call.signature:
        losses.dropped("thinking.signature")
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
