"""`anthropic`, messages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import anthropic
from anthropic.types import Message

from tests.clients.python.asking import (
    MOST_TOKENS,
    SCRIPT,
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

# Where there is something to count with.
_COUNTS = "gemini"


@cache
def client(url: str, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_S)


class Messages:
    """Keeps messages: an answer's blocks go back as they are."""

    def __init__(self, client: Any, wish: Wish) -> None:
        self._client = client
        self._wish = wish
        self._messages: list[Any] = []

    def say(self, words: str) -> Heard:
        return self._ask(words)

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask([{"type": "tool_result", "tool_use_id": call.id, "content": told} for call, told in results])

    def count(self, words: str) -> int:
        counted = self._client.messages.count_tokens(
            model=self._wish.model, system=SYSTEM, messages=[{"role": "user", "content": words}]
        )
        tokens: int = counted.input_tokens
        return tokens

    def _ask(self, content: Any) -> Heard:
        self._messages.append({"role": "user", "content": content})
        asked: dict[str, Any] = {
            "model": self._wish.model,
            "system": SYSTEM,
            "messages": self._messages,
            "max_tokens": MOST_TOKENS,
        }
        if self._wish.tools:
            tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}
            asked["tools"] = [tool]
        if self._wish.thinking:
            asked["thinking"] = {"type": "enabled", "budget_tokens": THINKING_TOKENS}
        heard = Heard()
        if self._wish.stream:
            with self._client.messages.stream(**asked) as events:
                for event in events:
                    heard.pieces += event.type == "content_block_delta"
                whole = events.get_final_message()
        else:
            whole = self._client.messages.create(**asked)
        return self._take(whole, heard)

    def _take(self, whole: Message, heard: Heard) -> Heard:
        self._messages.append({"role": "assistant", "content": whole.content})
        for block in whole.content:
            if block.type == "text":
                heard.text += block.text
            elif block.type == "thinking":
                heard.thought += block.thinking
            elif block.type == "tool_use":
                heard.calls.append(Called(block.name, block.input, block.id))
        heard.finish = str(whole.stop_reason)
        heard.used = whole.usage.input_tokens, whole.usage.output_tokens
        return heard


class AnthropicMessages(Client):
    family = "claude-sonnet-4-5"
    ends = ("end_turn", "tool_use")
    refusals = {  # noqa: RUF012  (never changed)
        400: "BadRequestError",
        401: "AuthenticationError",
        404: "NotFoundError",
        429: "RateLimitError",
    }

    def talk(self, wish: Wish) -> Messages:
        return Messages(client(wish.url, wish.key), wish)

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, anthropic.APIStatusError)
        return error.status_code, error.message

    def more(self, wish: Wish, place: str) -> dict[str, Callable[[], None]]:
        if place != _COUNTS:
            return {}
        return {"count": lambda: self._count(wish), "names": lambda: self._named(wish)}

    def _named(self, wish: Wish) -> None:
        """As Claude Code writes names, and as Anthropic and Bedrock date them (config/models.yaml)."""
        for name in SCRIPT["names"]:
            heard = self.talk(replace(wish, model=name)).say(SCRIPT["plain"]["ask"])
            assert heard.text == SCRIPT["plain"]["text"], f"{name}: {heard}"

    def _count(self, wish: Wish) -> None:
        counted = self.talk(wish).count(SCRIPT["plain"]["ask"])
        assert counted == SCRIPT["counted"], f"counted {counted}"


if __name__ == "__main__":
    main({"messages": AnthropicMessages()})
