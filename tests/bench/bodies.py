"""What is asked and what is answered: bytes of fixed sizes, the same for every contender."""

import msgspec

EVENTS = 64
EVENT_BYTES = 250
ANSWER_BYTES = 767

_SPEECH = (
    "Two replicas stand in one region and a third across the ocean. Say which of them should take the next request, "
    "and which figures you would look at before you decide. "
)


class Answer(msgspec.Struct, frozen=True):
    """What a whole answer must contain: `marker` exactly `count` times, and `ending` last."""

    marker: str
    count: int
    ending: str

    def flaw(self, status: int, body: bytes) -> str | None:
        """What is wrong with an answer, or None."""
        if status != 200:
            return f"status {status}: {body[:200].decode(errors='replace')}"
        found = body.count(self.marker.encode())
        if found != self.count:
            return f"{self.marker!r} {found} times instead of {self.count} in {len(body)} bytes"
        if not body.endswith(self.ending.encode()):
            return f"ends with {body[-40:].decode(errors='replace')!r}"
        return None


JSON_ANSWER = Answer(marker='"total_tokens":', count=1, ending="}")
STREAM_ANSWER = Answer(marker="data: ", count=EVENTS + 1, ending="data: [DONE]\n\n")
# The same two answers in Anthropic's language: of the events two say role, end and usage, the others text.
MESSAGE_ANSWER = Answer(marker='"output_tokens":', count=1, ending="}")
MESSAGE_STREAM_ANSWER = Answer(marker='"text_delta"', count=EVENTS - 2, ending='data: {"type":"message_stop"}\n\n')


def chat_request(model: str, size_bytes: int, *, turns: int = 1, stream: bool = False) -> bytes:
    """A chat of exactly `size_bytes`, its text spread over `turns` questions with short answers between."""
    messages = [{"role": "system", "content": "Answer briefly, and name the figures you used."}]
    for turn in range(turns):
        if turn:
            messages.append({"role": "assistant", "content": "The nearest one whose queue is short."})
        messages.append({"role": "user", "content": ""})
    chat: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 256}
    if stream:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    missing = size_bytes - len(msgspec.json.encode(chat))
    if missing < 0:
        raise ValueError(f"a chat of {turns} turns does not fit into {size_bytes} bytes")
    questions = [message for message in messages if message["role"] == "user"]
    each, rest = divmod(missing, turns)
    for place, question in enumerate(questions):
        question["content"] = _text(each + (rest if place == turns - 1 else 0))
    return msgspec.json.encode(chat)


def message_request(model: str, size_bytes: int, *, turns: int = 1, stream: bool = False) -> bytes:
    """The same chat in Anthropic's language."""
    chat = msgspec.json.decode(chat_request(model, size_bytes, turns=turns))
    system, *messages = chat["messages"]
    request = {
        "model": model,
        "max_tokens": chat["max_tokens"],
        "temperature": chat["temperature"],
        "system": [{"type": "text", "text": system["content"]}],
        "messages": [
            {"role": message["role"], "content": [{"type": "text", "text": message["content"]}]} for message in messages
        ],
    }
    return msgspec.json.encode(request | {"stream": True} if stream else request)


def chat_answer(size_bytes: int = ANSWER_BYTES) -> bytes:
    """A whole chat answer of exactly `size_bytes`, with usage."""
    message: dict[str, object] = {"role": "assistant", "content": "", "refusal": None, "annotations": []}
    answer: dict[str, object] = {
        "id": "chatcmpl-0f3a9be2c41d4a7f9c55",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "bench-upstream",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 57,
            "completion_tokens": 42,
            "total_tokens": 99,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_5c1b7e90aa",
    }
    message["content"] = _text(size_bytes - len(msgspec.json.encode(answer)))
    return msgspec.json.encode(answer)


def stream_events() -> list[bytes]:
    """64 server-sent events of 250 bytes: role, text, finish reason, usage. `[DONE]` is not among them."""
    events = [_event(choices=[_choice({"role": "assistant", "content": " "})], pad=True)]
    events += [_event(choices=[_choice({"content": " "})], pad=True) for _ in range(EVENTS - 3)]
    events.append(_event(choices=[_choice({}, finish="stop")], pad=False))
    usage = {"prompt_tokens": 57, "completion_tokens": 62, "total_tokens": 119}
    events.append(_event(choices=[], usage=usage, pad=False))
    return events


def chunked(piece: bytes) -> bytes:
    """One chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _event(choices: list[dict[str, object]], *, pad: bool, usage: dict[str, int] | None = None) -> bytes:
    # Text grows to the wanted size where there is text; elsewhere the fingerprint does.
    event: dict[str, object] = {
        "id": "chatcmpl-0f3a9be2c41d4a7f9c55",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": "bench-upstream",
        "system_fingerprint": "fp_",
        "choices": choices,
    }
    if usage:
        event["usage"] = usage
    missing = EVENT_BYTES - len(_frame(event))
    if not pad:
        event["system_fingerprint"] = "fp_" + "5" * missing
        return _frame(event)
    delta = choices[0]["delta"]
    if isinstance(delta, dict):
        delta["content"] += _text(missing)
    return _frame(event)


def _frame(event: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(event)


def _text(size: int) -> str:
    return (_SPEECH * (size // len(_SPEECH) + 1))[:size]
