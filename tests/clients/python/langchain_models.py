"""`langchain-openai` and `langchain-anthropic`: LangChain's messages, and its way to bind tools."""

from collections.abc import Sequence
from typing import Any

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

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

_TOOL = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}


class Chain:
    """Keeps LangChain's messages; of a stream the sum of its chunks."""

    def __init__(self, model: Any, wish: Wish) -> None:
        self._model = model.bind_tools([_TOOL]) if wish.tools else model
        self._wish = wish
        self._messages: list[BaseMessage] = [SystemMessage(SYSTEM)]

    def say(self, words: str) -> Heard:
        return self._ask(HumanMessage(words))

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask(*(ToolMessage(told, tool_call_id=call.id, name=call.name) for call, told in results))

    def _ask(self, *messages: BaseMessage) -> Heard:
        self._messages += messages
        if not self._wish.stream:
            return self._take(self._model.invoke(self._messages), Heard())
        whole, *rest = self._model.stream(self._messages)
        pieces = bool(whole.text) + sum(bool(chunk.text) for chunk in rest)
        for chunk in rest:
            whole += chunk
        return self._take(whole, Heard(pieces=pieces))

    def _take(self, message: AIMessage, heard: Heard) -> Heard:
        self._messages.append(message)
        heard.text = str(message.text)
        heard.thought = "".join(
            str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning"
        )
        heard.calls = [Called(call["name"], call["args"], call["id"] or "") for call in message.tool_calls]
        told = message.response_metadata
        heard.finish = str(told.get("finish_reason") or told.get("stop_reason") or told.get("status"))
        if message.usage_metadata is not None:
            heard.used = message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]
        return heard


class LangChain(Client):
    refusals = REFUSALS

    def talk(self, wish: Wish) -> Chain:
        return Chain(self.model(wish), wish)

    def model(self, wish: Wish) -> Any:
        raise NotImplementedError

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
        return error.status_code, error.message


class LangChainOpenAI(LangChain):
    family = "gpt-5-mini"
    ends = ("stop", "tool_calls")
    leaves_out = dict.fromkeys(
        ("thinking", "thinking, stream", "thinking, tools", "thinking, tools, stream"),
        "langchain-openai reads no thoughts of chat completions",
    )

    def model(self, wish: Wish) -> Any:
        return ChatOpenAI(
            model=wish.model,
            base_url=f"{wish.url}/v1",
            api_key=wish.key,
            max_retries=0,
            timeout=TIMEOUT_S,
            stream_usage=True,
            use_responses_api=False,
        )


class LangChainResponses(LangChain):
    family = "gpt-5-mini"
    ends = ("completed", "completed")

    def model(self, wish: Wish) -> Any:
        thinking = {
            "reasoning": {"effort": "medium", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
        }
        return ChatOpenAI(
            model=wish.model,
            base_url=f"{wish.url}/v1",
            api_key=wish.key,
            max_retries=0,
            timeout=TIMEOUT_S,
            use_responses_api=True,
            store=False,
            **(thinking if wish.thinking else {}),
        )


class LangChainAnthropic(LangChain):
    family = "claude-sonnet-4-5"
    ends = ("end_turn", "tool_use")

    def model(self, wish: Wish) -> Any:
        thinking = {"thinking": {"type": "enabled", "budget_tokens": THINKING_TOKENS}}
        return ChatAnthropic(
            model=wish.model,
            base_url=wish.url,
            api_key=wish.key,
            max_tokens=MOST_TOKENS,
            max_retries=0,
            timeout=TIMEOUT_S,
            **(thinking if wish.thinking else {}),
        )


if __name__ == "__main__":
    main({"openai": LangChainOpenAI(), "responses": LangChainResponses(), "anthropic": LangChainAnthropic()})
