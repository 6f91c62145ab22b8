"""`pydantic-ai`: an agent that calls its tool by itself, over each of the languages it speaks to us."""

from functools import cache
from typing import Any

import anthropic
import openai
from pydantic_ai import Agent, Tool
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.models.openai import (
    OpenAIChatModel,
    OpenAIChatModelSettings,
    OpenAIResponsesModel,
    OpenAIResponsesModelSettings,
)
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.python.asking import (
    MOST_TOKENS,
    SYSTEM,
    THINKING_TOKENS,
    TIMEOUT_S,
    TOOL,
    Called,
    Client,
    Heard,
    Round,
    Wish,
    awaited,
    main,
    result,
)

_ENDS = ("stop", "tool_call")


@cache
def claude(url: str, key: str) -> AnthropicProvider:
    inner = anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_S)
    return AnthropicProvider(anthropic_client=inner)


@cache
def gpt(url: str, key: str) -> OpenAIProvider:
    inner = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S)
    return OpenAIProvider(openai_client=inner)


class Runs:
    """Keeps the messages of one run for the next."""

    def __init__(self, model: Any, settings: Any, wish: Wish) -> None:
        tool = Tool.from_schema(
            lambda **arguments: result(arguments), TOOL["name"], TOOL["description"], TOOL["schema"]
        )
        self._agent = Agent(
            model, system_prompt=SYSTEM, tools=[tool] if wish.tools else [], model_settings=settings, retries=0
        )
        self._stream = wish.stream
        self.messages: list[ModelMessage] = []

    def say(self, words: str) -> Heard:
        heard = Heard()
        if self._stream:
            awaited(self._streamed(words, heard))
        else:
            done = awaited(self._agent.run(words, message_history=self.messages))
            self.messages = done.all_messages()
        return self._take(heard)

    def give(self, results: Any) -> Heard:
        raise NotImplementedError  # the agent does

    async def _streamed(self, words: str, heard: Heard) -> None:
        async with self._agent.run_stream(words, message_history=self.messages) as running:
            async for _ in running.stream_text(delta=True, debounce_by=None):
                heard.pieces += 1
            self.messages = running.all_messages()

    def _take(self, heard: Heard) -> Heard:
        last = self.messages[-1]
        assert isinstance(last, ModelResponse)
        heard.text = "".join(part.content for part in last.parts if isinstance(part, TextPart))
        heard.thought = "".join(part.content for part in last.parts if isinstance(part, ThinkingPart))
        heard.finish = str(last.finish_reason)
        heard.used = last.usage.input_tokens, last.usage.output_tokens
        return heard


class PydanticAI(Client):
    ends = _ENDS
    refusals = dict.fromkeys((400, 401, 404, 429), "ModelHTTPError")

    def __init__(self, language: str, family: str) -> None:
        self._language = language
        self.family = family

    def talk(self, wish: Wish) -> Runs:
        return Runs(*self._model(wish), wish)

    def round(self, wish: Wish, ask: str) -> Round:
        runs = self.talk(wish)
        text = runs.say(ask).text
        parts = [part for one in runs.messages if isinstance(one, ModelResponse) for part in one.parts]
        return Round(
            [
                Called(one.tool_name, one.args_as_dict(), one.tool_call_id)
                for one in parts
                if isinstance(one, ToolCallPart)
            ],
            "".join(one.content for one in parts if isinstance(one, ThinkingPart)),
            text,
        )

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, ModelHTTPError)
        return error.status_code, str(error.body)

    def _model(self, wish: Wish) -> tuple[Any, Any]:
        if self._language == "anthropic":
            settings = AnthropicModelSettings(max_tokens=MOST_TOKENS)
            if wish.thinking:
                settings["anthropic_thinking"] = {"type": "enabled", "budget_tokens": THINKING_TOKENS}
            return AnthropicModel(wish.model, provider=claude(wish.url, wish.key)), settings
        provider = gpt(wish.url, wish.key)
        if self._language == "responses":
            asked = OpenAIResponsesModelSettings(openai_store=False)
            if wish.thinking:
                asked |= {"openai_reasoning_effort": "medium", "openai_reasoning_summary": "auto"}
            return OpenAIResponsesModel(wish.model, provider=provider), asked
        effort = OpenAIChatModelSettings(openai_reasoning_effort="medium") if wish.thinking else None
        return OpenAIChatModel(wish.model, provider=provider), effort


if __name__ == "__main__":
    main(
        {
            "openai": PydanticAI("openai", "gpt-5-mini"),
            "responses": PydanticAI("responses", "gpt-5-mini"),
            "anthropic": PydanticAI("anthropic", "claude-sonnet-4-5"),
        }
    )
