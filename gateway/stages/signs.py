"""What of a request tells whether a small model would do: read only where a policy asks for it."""

from typing import cast

from gateway.exchange import Call
from gateway.features import Request
from gateway.routing.complexity import TEXT_MOST, Signs
from gateway.wire.codec import Codec, codec
from gateway.wire.ir import Ask, Text
from gateway.wire.needs import Needs


def signs_of(call: Call, request: Request, language: str, wants: Needs) -> Signs:
    """The signs of a conversation in this language. BadRequest where it can't be read."""
    ask = request.inner
    if not isinstance(ask, Ask):
        ask = request.inner = cast("Codec", codec(language)).read_request(request)
    said = [turn for turn in ask.messages if turn.role == "user"]
    last = "\n".join(block.text for block in said[-1].content if isinstance(block, Text)) if said else ""
    return Signs(
        text=last[:TEXT_MOST],
        turns=len(said),
        bytes_in=len(call.body),
        system_chars=sum(len(block.text) for block in ask.system if isinstance(block, Text)),
        max_tokens=ask.max_tokens or 0,
        has_tools="tools" in wants.capabilities,
        has_images=not wants.capabilities.isdisjoint(("vision", "audio", "documents")),
        has_schema="json_schema" in wants.capabilities,
        asks_thinking=ask.thinking is not None,
    )
