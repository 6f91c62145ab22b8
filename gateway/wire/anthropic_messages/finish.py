"""Why an answer ended, both ways (platform.claude.com, Handling stop reasons)."""

from collections.abc import Mapping
from typing import Final

from gateway.wire.ir import Finish

_READ: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "tool_use": "tools",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
    "model_context_window_exceeded": "context",
}
# Official clients know these and no others.
_WRITTEN: Final[Mapping[Finish, str]] = {
    "stop": "end_turn",
    "sequence": "stop_sequence",
    "length": "max_tokens",
    "tools": "tool_use",
    "filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context": "model_context_window_exceeded",
    "malformed": "end_turn",
    "other": "end_turn",
}


def read(reason: str, *, called: bool) -> Finish:
    """`called`: a tool is called in the answer, which says enough on a host that gives no reason."""
    if not reason and called:
        return "tools"
    return _READ.get(reason, "other")


def write(finish: Finish) -> str:
    return _WRITTEN[finish]
