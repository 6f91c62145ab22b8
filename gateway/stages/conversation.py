"""What a conversation is known by, read from what is at hand: nothing is taken apart for it."""

from typing import Final

from gateway.exchange import Call
from gateway.features import Request
from gateway.routing.chance import digest
from gateway.routing.policy import Rules
from gateway.wire.needs import SIGNS

# Of the conversation: more than a system prompt that everybody shares, less than where one's own question ends.
PREFIX_BYTES: Final = 2048


def keys_of(call: Call, request: Request, rules: Rules) -> tuple[int, int]:
    """What the conversation and its beginning are known by, as far as these rules look at them; 0 where they don't."""
    prefix = prefix_of(call, request) if rules.affinity.by != "none" else 0
    by_session = rules.affinity.by == "session" or bool(rules.split)
    return (session_of(call, request) or prefix) if by_session else 0, prefix


def session_of(call: Call, request: Request) -> int:
    """A hash of whatever the caller names his conversation by, 0 where he doesn't.

    `x-gateway-session`, else OpenAI's `prompt_cache_key`, else Anthropic's `metadata.user_id`, which Claude Code fills
    with its session. Names of different teams never meet.
    """
    said = call.headers.get(b"x-gateway-session", b"")
    if not said:
        said = request.fields.get("prompt_cache_key") or b""
        metadata = bytes(request.fields.get("metadata", b""))
        if not said and b'"user_id"' in metadata:
            said = metadata
    return _own(call, bytes(said)) if said else 0


def prefix_of(call: Call, request: Request) -> int:
    """A hash of how the conversation begins; one of another team's never has the same."""
    signs = SIGNS.get(call.endpoint.wire) if call.endpoint is not None else None
    if signs is None:
        return 0
    begins = b"".join(bytes(request.fields.get(name, b""))[:PREFIX_BYTES] for name in reversed(signs.conversation))
    return _own(call, begins + request.model.encode())


def _own(call: Call, text: bytes) -> int:
    team = call.caller.team if call.caller is not None else ""
    return digest(f"{team}\0{text.decode('latin-1')}")
