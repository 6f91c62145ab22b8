"""`litellm`, to our OpenAI side and to our Anthropic side."""

import json
from collections.abc import Sequence
from typing import Any

import litellm
from litellm import ModelResponse

from tests.clients.python.asking import (
    MOST_TOKENS,
    SYSTEM,
    THINKING_TOKENS,
    TIMEOUT_S,
    TOOL,
    Called,
    Client,
    Heard,
    Wish,
    main,
)
from tests.clients.python.openai_chat import REFUSALS


class Completions:
    """Keeps messages, in OpenAI's form whichever side is asked: an answer's goes back as it is."""

    def __init__(self, wish: Wish, side: dict[str, Any]) -> None:
        self._wish = wish
        self._side = side
        self._messages: list[Any] = [{"role": "system", "content": SYSTEM}]

    def say(self, words: str) -> Heard:
        return self._ask({"role": "user", "content": words})

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask(*({"role": "tool", "tool_call_id": call.id, "content": told} for call, told in results))

    def _ask(self, *messages: Any) -> Heard:
        self._messages += messages
        asked: dict[str, Any] = {
            "messages": self._messages,
            "api_key": self._wish.key,
            "max_tokens": MOST_TOKENS,
            "timeout": TIMEOUT_S,
            "num_retries": 0,
            "max_retries": 0,
            **self._side,
        }
        if self._wish.tools:
            function = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
            asked["tools"] = [{"type": "function", "function": function}]
        if not self._wish.thinking:
            asked.pop("thinking", None)
        heard = Heard()
        if self._wish.stream:
            chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
            heard.pieces = sum(bool(choice.delta.content) for chunk in chunks for choice in chunk.choices)
            whole = litellm.stream_chunk_builder(chunks, messages=self._messages)
        else:
            whole = litellm.completion(**asked)
        return self._take(whole, heard)

    def _take(self, whole: ModelResponse, heard: Heard) -> Heard:
        message = whole.choices[0].message
        self._messages.append(message.model_dump(exclude_none=True))
        heard.text = message.content or ""
        heard.thought = getattr(message, "reasoning_content", None) or ""
        for call in message.tool_calls or ():
            heard.calls.append(Called(call.function.name, json.loads(call.function.arguments), call.id))
        heard.finish = whole.choices[0].finish_reason
        heard.used = whole.usage.prompt_tokens, whole.usage.completion_tokens
        return heard


class LiteLLM(Client):
    """`thinking` is how thoughts are asked for."""

    ends = ("stop", "tool_calls")
    refusals = REFUSALS

    def __init__(self, provider: str, family: str, below: str) -> None:
        self.family = family
        self._provider = provider
        self._below = below

    def talk(self, wish: Wish) -> Completions:
        thinking = {"type": "enabled", "budget_tokens": THINKING_TOKENS}
        side = {"model": f"{self._provider}/{wish.model}", "api_base": f"{wish.url}{self._below}"}
        return Completions(wish, side if self._provider == "openai" else {**side, "thinking": thinking})

    def refusal(self, error: Exception) -> tuple[int, str]:
        return int(getattr(error, "status_code", 0)), str(error)


if __name__ == "__main__":
    litellm.telemetry = False
    main({"openai": LiteLLM("openai", "gpt-5-mini", "/v1"), "anthropic": LiteLLM("anthropic", "claude-sonnet-4-5", "")})
