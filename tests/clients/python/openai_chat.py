"""`openai`, chat completions."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import openai
from openai import OpenAI
from openai.types.chat import ChatCompletion

from tests.clients.python.asking import SYSTEM, TIMEOUT_S, TOOL, Called, Client, Heard, Wish, main

REFUSALS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
}


@cache
def client(url: str, key: str) -> OpenAI:
    """Made once: each reads all of the system's certificates."""
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S)


class Chat:
    """Keeps messages as an agent's loop does: the whole message of an answer goes back as it is."""

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
        asked: dict[str, Any] = {"model": self._wish.model, "messages": self._messages}
        if self._wish.tools:
            function = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
            asked["tools"] = [{"type": "function", "function": function}]
        if self._wish.thinking:
            asked["reasoning_effort"] = "medium"
        heard = Heard()
        if self._wish.stream:
            with self._client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
                for event in events:
                    if event.type == "chunk":
                        heard.pieces += any(one.delta.content or one.delta.tool_calls for one in event.chunk.choices)
                whole = events.get_final_completion()
        else:
            whole = self._client.chat.completions.create(**asked)
        return self._take(whole, heard)

    def _take(self, whole: ChatCompletion, heard: Heard) -> Heard:
        message = whole.choices[0].message
        self._messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        heard.text = message.content or ""
        heard.thought = (message.model_extra or {}).get("reasoning_content") or ""
        for call in message.tool_calls or ():
            assert call.type == "function"
            heard.calls.append(Called(call.function.name, json.loads(call.function.arguments), call.id))
        heard.finish = whole.choices[0].finish_reason
        if whole.usage is not None:
            heard.used = whole.usage.prompt_tokens, whole.usage.completion_tokens
        return heard


class OpenAIChat(Client):
    family = "gpt-5-mini"
    ends = ("stop", "tool_calls")
    refusals = REFUSALS

    def talk(self, wish: Wish) -> Chat:
        return Chat(client(wish.url, wish.key), wish)

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, openai.APIStatusError)
        return error.status_code, error.message


if __name__ == "__main__":
    main({"chat": OpenAIChat()})
