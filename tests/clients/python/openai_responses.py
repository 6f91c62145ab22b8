"""`openai`, responses, without anything stored."""

import json
from collections.abc import Sequence
from typing import Any

import openai
from openai.types.responses import Response

from tests.clients.python.asking import SYSTEM, TOOL, Called, Client, Heard, Wish, main
from tests.clients.python.openai_chat import REFUSALS, client


class Responses:
    """Keeps items: an answer's own go back as they are, encrypted thoughts with them."""

    def __init__(self, client: Any, wish: Wish) -> None:
        self._client = client
        self._wish = wish
        self._items: list[Any] = []

    def say(self, words: str) -> Heard:
        return self._ask({"role": "user", "content": words})

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask(
            *({"type": "function_call_output", "call_id": call.id, "output": told} for call, told in results)
        )

    def _ask(self, *items: Any) -> Heard:
        self._items += items
        asked: dict[str, Any] = {
            "model": self._wish.model,
            "input": self._items,
            "instructions": SYSTEM,
            "store": False,
        }
        if self._wish.tools:
            function = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
            asked["tools"] = [{"type": "function", "strict": False, **function}]
        if self._wish.thinking:
            asked |= {
                "reasoning": {"effort": "medium", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
            }
        heard = Heard()
        if self._wish.stream:
            with self._client.responses.stream(**asked) as events:
                for event in events:
                    heard.pieces += event.type == "response.output_text.delta"
                whole = events.get_final_response()
        else:
            whole = self._client.responses.create(**asked)
        return self._take(whole, heard)

    def _take(self, whole: Response, heard: Heard) -> Heard:
        self._items += [_given_back(item) for item in whole.output]
        heard.text = whole.output_text
        for item in whole.output:
            if item.type == "reasoning":
                heard.thought += "".join(part.text for part in item.summary)
            elif item.type == "function_call":
                heard.calls.append(Called(item.name, json.loads(item.arguments), item.call_id))
        heard.finish = str(whole.status)
        if whole.usage is not None:
            heard.used = whole.usage.input_tokens, whole.usage.output_tokens
        return heard


def _given_back(item: Any) -> Any:
    """An item without what the client's stream helper adds of its own."""
    given = item.model_dump(exclude_none=True)
    given.pop("parsed_arguments", None)
    for part in given.get("content") or ():
        part.pop("parsed", None)
    return given


class OpenAIResponses(Client):
    family = "gpt-5-mini"
    ends = ("completed", "completed")
    refusals = REFUSALS

    def talk(self, wish: Wish) -> Responses:
        return Responses(client(wish.url, wish.key), wish)

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, openai.APIStatusError)
        return error.status_code, error.message


if __name__ == "__main__":
    main({"responses": OpenAIResponses()})
