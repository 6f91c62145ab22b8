"""What a request will cost whoever serves it, read from what is at hand: nothing is taken apart for it."""

from typing import Final

from gateway.exchange import Call
from gateway.features import Request
from gateway.routing.chance import digest
from gateway.routing.facts import Work
from gateway.routing.policy import Rules
from gateway.wire.needs import SIGNS, Needs

# English prompts run at about four bytes a token, their JSON included.
BYTES_PER_TOKEN: Final = 4
# Of the conversation: more than a system prompt that everybody shares, less than where one's own question ends.
PREFIX_BYTES: Final = 2048


def estimate(
    call: Call, request: Request | None, wants: Needs, rules: Rules, total_s: float, tokens_out: float
) -> Work:
    """The work as a decision needs to know it; what no rule looks at is not worked out."""
    session = prefix = 0
    if request is not None and rules.affinity.by != "none":
        prefix = prefix_of(call, request)
    if rules.affinity.by == "session" or rules.split:
        session = session_of(call, request) or prefix
    return Work(
        tokens_in=len(call.body) // BYTES_PER_TOKEN,
        tokens_out=tokens_out,
        window=wants.tokens,
        capabilities=wants.capabilities,
        session=session,
        prefix=prefix,
        left_ms=total_s * 1e3,
        stream=request is not None and request.stream,
    )


def session_of(call: Call, request: Request | None) -> int:
    """A hash of whatever the caller names his conversation by, 0 where he doesn't.

    `x-gateway-session`, else OpenAI's `prompt_cache_key`, else Anthropic's `metadata.user_id`, which Claude Code fills
    with its session. Names of different teams never meet.
    """
    said = call.headers.get(b"x-gateway-session", b"")
    if not said and request is not None:
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
