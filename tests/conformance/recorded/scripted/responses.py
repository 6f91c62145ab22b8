"""Responses."""

from typing import Any

from tests.conformance.recorded.claims import Claims, Used
from tests.conformance.recorded.scripted.script import ALL, PAGE, SEAL, refused, sse, whole

_RESPONSE: dict[str, Any] = {
    "id": "r",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "completed",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "id": "rs",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Look outside."}],
            "encrypted_content": SEAL,
        },
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "It rains.",
                    "annotations": [
                        {"type": "url_citation", "url": PAGE, "title": "A", "start_index": 0, "end_index": 2}
                    ],
                }
            ],
        },
        {"id": "f", "type": "function_call", "call_id": "c", "name": "look", "arguments": '{"at":"sky"}'},
    ],
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 17,
    },
}
_TEXT_PLACE = {"item_id": "m", "output_index": 1, "content_index": 0, "logprobs": []}
_OUTPUT = _RESPONSE["output"]
_STREAMED: list[dict[str, Any]] = [
    {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
    {"type": "response.output_item.done", "output_index": 0, "item": _OUTPUT[0]},
    {"type": "response.output_text.delta", **_TEXT_PLACE, "delta": "It "},
    {"type": "response.output_text.delta", **_TEXT_PLACE, "delta": "rains."},
    {"type": "response.output_item.done", "output_index": 1, "item": _OUTPUT[1]},
    {"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 2, "delta": '{"at":"sky"}'},
    {"type": "response.output_item.done", "output_index": 2, "item": _OUTPUT[2]},
    {"type": "response.completed", "response": _RESPONSE},
]


def _numbered(events: list[dict[str, Any]]) -> list[object]:
    return [{**event, "sequence_number": at} for at, event in enumerate(events)]


SCRIPTS = {
    "responses whole": whole("openai_responses", _RESPONSE, ALL),
    "responses streamed": sse("openai_responses", _numbered(_STREAMED), ALL),
    "responses incomplete": whole(
        "openai_responses",
        {**_RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []},
        Claims(finish="length", usage=Used(10, 7, 4, 0, 2)),
    ),
    "responses cut off": sse("openai_responses", _numbered(_STREAMED[:3]), Claims(broken="the stream has no end")),
    "responses failed": sse(
        "openai_responses",
        _numbered(
            [
                *_STREAMED[:1],
                {
                    "type": "response.failed",
                    "response": {
                        **_RESPONSE,
                        "status": "failed",
                        "output": [],
                        "usage": None,
                        "error": {"code": "server_error", "message": "Lost."},
                    },
                },
            ]
        ),
        Claims(finish="other", broken="Lost."),
    ),
    "responses refused": refused("openai_responses", 400, {"error": {"message": "No such model."}}, "BadRequestError"),
}
