"""Messages, from Anthropic and through Bedrock."""

from tests.conformance.recorded.claims import Claims, Used
from tests.conformance.recorded.scripted.script import LOOK, PAGE, SEAL, refused, sse, whole

_WEB = {
    "type": "web_search_result_location",
    "url": PAGE,
    "title": "A",
    "cited_text": "It",
    "encrypted_index": "x",
}
_BLOCKS: list[dict[str, object]] = [
    {"type": "thinking", "thinking": "Look outside.", "signature": SEAL},
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    {"type": "text", "text": "It rains.", "citations": [_WEB]},
    {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "sky"}},
]
_MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": _BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 5,
        "output_tokens": 7,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 1,
        "output_tokens_details": {"thinking_tokens": 2},
    },
}
_SAID_BY_CLAUDE = Claims(
    text="It rains.",
    thinking="Look outside.",
    seals=[SEAL],
    tools=[LOOK],
    citations=[[PAGE, "A", "It"]],
    others=["server_tool_use"],
    finish="tools",
    usage=Used(10, 7, 4, 1, 2),
)
_BEGUN = {
    "type": "message_start",
    "message": {**_MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}},
}


def _block(at: int, start: object, *deltas: object) -> list[object]:
    return [
        {"type": "content_block_start", "index": at, "content_block": start},
        *({"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": at},
    ]


SCRIPTS = {
    "messages whole": whole("anthropic_messages", _MESSAGE, _SAID_BY_CLAUDE),
    "invoke whole": whole("bedrock_invoke", _MESSAGE, _SAID_BY_CLAUDE),
    "messages streamed": sse(
        "anthropic_messages",
        [
            _BEGUN,
            *_block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": "Look outside."},
                {"type": "signature_delta", "signature": SEAL},
            ),
            *_block(1, _BLOCKS[1]),
            *_block(
                2,
                {"type": "text", "text": ""},
                {"type": "text_delta", "text": "It "},
                {"type": "text_delta", "text": "rains."},
                {"type": "citations_delta", "citation": _WEB},
            ),
            *_block(
                3,
                {"type": "tool_use", "id": "t", "name": "look", "input": {}},
                {"type": "input_json_delta", "partial_json": '{"at"'},
                {"type": "input_json_delta", "partial_json": ': "sky"}'},
            ),
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None},
                "usage": _MESSAGE["usage"],
            },
            {"type": "message_stop"},
        ],
        _SAID_BY_CLAUDE,
    ),
    "messages redacted": whole(
        "anthropic_messages",
        {**_MESSAGE, "content": [{"type": "redacted_thinking", "data": SEAL}], "stop_reason": "refusal"},
        Claims(seals=[SEAL], finish="refusal", usage=Used(10, 7, 4, 1, 2)),
    ),
    "messages broken": sse(
        "anthropic_messages",
        [
            _BEGUN,
            *_block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "It "}),
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        ],
        Claims(broken="Overloaded"),
    ),
    "messages refused": refused(
        "anthropic_messages",
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": "No such model."}},
        "NotFoundError",
    ),
}
