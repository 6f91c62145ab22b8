"""`cohere`, chat v2."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import cohere
from cohere.core.api_error import ApiError
from cohere.core.request_options import RequestOptions

from tests.clients.python.asking import SYSTEM, TIMEOUT_S, TOOL, Called, Client, Heard, Wish, main


@cache
def client(url: str, key: str) -> Any:
    return cohere.ClientV2(api_key=key, base_url=url, timeout=TIMEOUT_S)


class Chat:
    """Keeps messages: an answer's message goes back as it is; of a stream what its events put together."""

    def __init__(self, client: Any, wish: Wish) -> None:
        self._client = client
        self._wish = wish
        self._messages: list[Any] = [{"role": "system", "content": SYSTEM}]

    def say(self, words: str) -> Heard:
        return self._ask({"role": "user", "content": words})

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask(*({"role": "tool", "tool_call_id": call.id, "content": told} for call, told in results))

    def _ask(self, *messages: Any) -> Heard:
        self._messages += messages
        asked: dict[str, Any] = {
            "model": self._wish.model,
            "messages": self._messages,
            "request_options": RequestOptions(max_retries=0),
        }
        if self._wish.tools:
            function = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
            asked["tools"] = [{"type": "function", "function": function}]
        if self._wish.thinking:
            asked["thinking"] = {"type": "enabled"}
        if self._wish.stream:
            return self._streamed(self._client.chat_stream(**asked))
        whole = self._client.chat(**asked)
        told = json.loads(whole.json())
        return self._take(told["message"], told["finish_reason"], whole.usage, Heard())

    def _streamed(self, events: Iterable[Any]) -> Heard:
        message: dict[str, Any] = {"role": "assistant"}
        calls: dict[int, dict[str, Any]] = {}
        parts: dict[int, dict[str, Any]] = {}
        finish, usage, heard = "", None, Heard()
        for event in events:
            match event.type:
                case "content-start" | "content-delta":
                    content = event.delta.message.content
                    part = parts.setdefault(event.index, {})
                    for name in ("thinking", "text"):
                        if getattr(content, name) is not None:
                            part[name] = part.get(name, "") + getattr(content, name)
                    part.setdefault("type", getattr(content, "type", None))
                    heard.pieces += event.type == "content-delta"
                case "tool-call-start":
                    calls[event.index] = json.loads(event.delta.message.tool_calls.json())
                case "tool-call-delta":
                    calls[event.index]["function"]["arguments"] += event.delta.message.tool_calls.function.arguments
                case "message-end":
                    finish, usage = event.delta.finish_reason, event.delta.usage
        if parts:
            message["content"] = [part for _, part in sorted(parts.items())]
        if calls:
            message["tool_calls"] = [call for _, call in sorted(calls.items())]
        return self._take(message, finish, usage, heard)

    def _take(self, message: Any, finish: str, usage: Any, heard: Heard) -> Heard:
        self._messages.append({name: value for name, value in message.items() if value is not None})
        for part in message.get("content") or ():
            heard.text += part.get("text") or ""
            heard.thought += part.get("thinking") or ""
        for call in message.get("tool_calls") or ():
            function = call["function"]
            heard.calls.append(Called(function["name"], json.loads(function["arguments"]), call["id"]))
        heard.finish = finish
        if usage is not None and usage.tokens is not None:
            heard.used = int(usage.tokens.input_tokens), int(usage.tokens.output_tokens)
        return heard


class Cohere(Client):
    family = "command-a-reasoning"
    ends = ("COMPLETE", "TOOL_CALL")
    refusals = {  # noqa: RUF012  (never changed)
        400: "BadRequestError",
        401: "UnauthorizedError",
        404: "NotFoundError",
        429: "TooManyRequestsError",
    }

    def talk(self, wish: Wish) -> Chat:
        return Chat(client(wish.url, wish.key), wish)

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, ApiError)
        return error.status_code or 0, str(error.body)


if __name__ == "__main__":
    main({"chat": Cohere()})
