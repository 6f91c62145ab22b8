"""Chat v2, as Cohere writes it."""

from tests.conformance.recorded.claims import Claims, Used
from tests.conformance.recorded.scripted.script import CALL, LOOK, PAGE, refused, sse, whole

_COHERE_USAGE = {
    "billed_units": {"input_tokens": 3, "output_tokens": 2},
    "tokens": {"input_tokens": 10, "output_tokens": 7},
    "cached_tokens": 4,
}
_SOURCE = {"type": "document", "id": "d", "document": {"id": "d", "url": PAGE}}
_COHERE_CITED = {"start": 0, "end": 2, "text": "It", "sources": [_SOURCE]}
_SAID_BY_COHERE = Claims(
    text="It rains.",
    thinking="Look outside.",
    tools=[LOOK],
    citations=[[PAGE, "d", "It"]],
    finish="tools",
    usage=Used(10, 7, 4),
)


def _said(kind: str, index: int = 0, **message: object) -> dict[str, object]:
    return {"type": kind, "index": index, "delta": {"message": message}}


SCRIPTS = {
    "cohere whole": whole(
        "cohere_chat",
        {
            "id": "i",
            "finish_reason": "TOOL_CALL",
            "message": {
                "role": "assistant",
                "tool_plan": "Look outside.",
                "content": [{"type": "text", "text": "It rains."}],
                "tool_calls": [CALL],
                "citations": [_COHERE_CITED],
            },
            "usage": _COHERE_USAGE,
        },
        _SAID_BY_COHERE,
    ),
    "cohere streamed": sse(
        "cohere_chat",
        [
            {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant"}}},
            _said("content-start", content={"type": "thinking", "thinking": ""}),
            _said("content-delta", content={"thinking": "Look "}),
            _said("content-end"),
            _said("tool-plan-delta", tool_plan="outside."),
            _said("content-start", 1, content={"type": "text", "text": "It "}),
            _said("content-delta", 1, content={"text": "rains."}),
            _said("citation-start", citations=_COHERE_CITED),
            {"type": "citation-end", "index": 0},
            _said("tool-call-start", tool_calls={**CALL, "function": {"name": "look", "arguments": ""}}),
            _said("tool-call-delta", tool_calls={"function": {"arguments": '{"at":"sky"}'}}),
            {"type": "tool-call-end", "index": 0},
            {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": _COHERE_USAGE}},
        ],
        _SAID_BY_COHERE,
    ),
    "cohere cut off": sse(
        "cohere_chat",
        [_said("content-delta", content={"text": "It "})],
        Claims(text="It ", broken="the stream has no end"),
    ),
    "cohere refused": refused("cohere_chat", 404, {"message": "No such model."}, "NotFoundError"),
}
