"""Chat completions, as OpenAI, OpenRouter and Mistral write them."""

from tests.conformance.recorded.claims import Claims, Used
from tests.conformance.recorded.scripted.script import ALL, CALL, LOOK, PAGE, SEAL, refused, sse, whole

_CITED = {"type": "url_citation", "url_citation": {"url": PAGE, "title": "A", "start_index": 0, "end_index": 2}}
_DETAILS = [{"type": "reasoning.encrypted", "data": SEAL, "index": 0}]
_CHAT_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def _chat(message: object, finish: str = "stop", **more: object) -> dict[str, object]:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "i", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def _chunk(delta: object, finish: str | None = None, **more: object) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


_MISTRAL = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Look outside."}]},
    {"type": "text", "text": "It rains."},
]
_MISTRAL_USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
SCRIPTS = {
    "chat whole": whole(
        "openai_chat",
        _chat(
            {
                "role": "assistant",
                "content": "It rains.",
                "reasoning_content": "Look outside.",
                "reasoning_details": _DETAILS,
                "tool_calls": [CALL],
                "annotations": [_CITED],
            },
            "tool_calls",
            usage=_CHAT_USAGE,
        ),
        ALL,
    ),
    "chat streamed": sse(
        "openai_chat",
        [
            _chunk({"role": "assistant", "reasoning": "Look "}),
            _chunk({"reasoning": "outside.", "reasoning_details": [{**_DETAILS[0], "data": SEAL[:4]}]}),
            _chunk({"content": "It ", "reasoning_details": [{**_DETAILS[0], "data": SEAL[4:]}]}),
            _chunk({"content": "rains.", "annotations": [_CITED]}),
            _chunk({"tool_calls": [{**CALL, "index": 0, "function": {"name": "look", "arguments": '{"at"'}}]}),
            _chunk({"tool_calls": [{"index": 0, "function": {"arguments": ':"sky"}'}}]}, "tool_calls"),
            {**_chunk({}), "choices": [], "usage": _CHAT_USAGE},
        ],
        ALL,
        end="data: [DONE]\n\n",
    ),
    "chat broken": sse(
        "openai_chat",
        [_chunk({"content": "It "}), {"error": {"message": "Out of tokens."}}],
        Claims(text="It ", broken="Out of tokens."),
    ),
    "chat refusal, other hosts' counts": whole(
        "openai_chat",
        _chat(
            {"role": "assistant", "content": None, "refusal": "I won't.", "executed_tools": [{"type": "search"}]},
            usage={"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17, "prompt_cache_hit_tokens": 4},
        ),
        Claims(refusal="I won't.", others=["executed_tools"], finish="stop", usage=Used(10, 7, 4)),
    ),
    "chat, Mistral's parts": whole(
        "openai_chat",
        _chat({"role": "assistant", "content": _MISTRAL}, usage=_MISTRAL_USAGE),
        Claims(text="It rains.", thinking="Look outside.", finish="stop", usage=Used(10, 7)),
    ),
    "chat refused": refused("openai_chat", 404, {"error": {"message": "No such model."}}, "NotFoundError"),
    "mistral whole": whole(
        "mistral",
        _chat({"role": "assistant", "content": _MISTRAL, "tool_calls": [CALL]}, "tool_calls", usage=_MISTRAL_USAGE),
        Claims(text="It rains.", thinking="Look outside.", tools=[LOOK], finish="tools", usage=Used(10, 7)),
    ),
    "mistral streamed": sse(
        "mistral",
        [
            _chunk({"role": "assistant", "content": _MISTRAL[:1]}),
            _chunk({"content": "It rains."}),
            _chunk({"content": "", "tool_calls": [{**CALL, "index": 0}]}, "tool_calls", usage=_MISTRAL_USAGE),
        ],
        Claims(text="It rains.", thinking="Look outside.", tools=[LOOK], finish="tools", usage=Used(10, 7)),
        end="data: [DONE]\n\n",
    ),
}
