"""`openai-agents`: an agent that calls its tool by itself, over responses and over chat completions."""

import json
from functools import cache
from typing import Any

import openai
from agents import (
    Agent,
    FunctionTool,
    MessageOutputItem,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    ReasoningItem,
    Runner,
    ToolCallItem,
    set_tracing_disabled,
)
from openai.types.shared import Reasoning

from tests.clients.python.asking import (
    SYSTEM,
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
from tests.clients.python.openai_chat import REFUSALS


async def _weather(_: Any, arguments: str) -> str:

    return result(json.loads(arguments))


@cache
def client(url: str, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S)


class Runs:
    """Keeps what a run makes of itself as input of the next."""

    def __init__(self, model: Any, settings: ModelSettings, wish: Wish) -> None:
        tool = FunctionTool(
            name=TOOL["name"],
            description=TOOL["description"],
            params_json_schema=TOOL["schema"],
            on_invoke_tool=_weather,
            strict_json_schema=False,
        )
        self._agent = Agent(
            name="tester",
            instructions=SYSTEM,
            model=model,
            tools=[tool] if wish.tools else [],
            model_settings=settings,
        )
        self._stream = wish.stream
        self._input: list[Any] = []
        self.items: list[Any] = []

    def say(self, words: str) -> Heard:
        return awaited(self._said([*self._input, {"role": "user", "content": words}]))

    def give(self, results: Any) -> Heard:
        raise NotImplementedError  # the agent does

    async def _said(self, said: list[Any]) -> Heard:
        heard = Heard()
        if self._stream:
            done: Any = Runner.run_streamed(self._agent, said)
            async for event in done.stream_events():
                if event.type == "raw_response_event":
                    heard.pieces += event.data.type == "response.output_text.delta"
        else:
            done = await Runner.run(self._agent, said)
        self._input = done.to_input_list()
        self.items = done.new_items
        heard.text = str(done.final_output)
        heard.thought = thoughts(done.new_items)
        ended = any(isinstance(item, MessageOutputItem) for item in done.new_items)
        heard.finish = "message" if ended else "none"
        used = done.raw_responses[-1].usage
        heard.used = used.input_tokens, used.output_tokens
        return heard


def thoughts(items: list[Any]) -> str:
    found = [item.raw_item for item in items if isinstance(item, ReasoningItem)]
    return "".join(part.text for one in found for part in (one.summary or one.content or ()))


class OpenAIAgents(Client):
    family = "gpt-5-mini"
    ends = ("message", "message")
    refusals = REFUSALS

    def __init__(self, kind: type[OpenAIResponsesModel | OpenAIChatCompletionsModel]) -> None:
        self._kind = kind

    def talk(self, wish: Wish) -> Runs:
        settings = ModelSettings(include_usage=True, store=False)
        if wish.thinking:
            settings.reasoning = Reasoning(effort="medium", summary="auto")
            settings.response_include = ["reasoning.encrypted_content"]
        return Runs(self._kind(wish.model, client(wish.url, wish.key)), settings, wish)

    def round(self, wish: Wish, ask: str) -> Round:
        runs = self.talk(wish)
        text = runs.say(ask).text

        calls = [item.raw_item for item in runs.items if isinstance(item, ToolCallItem)]
        return Round(
            [Called(one.name, json.loads(one.arguments), one.call_id) for one in calls], thoughts(runs.items), text
        )

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, openai.APIStatusError)
        return error.status_code, error.message


if __name__ == "__main__":
    set_tracing_disabled(True)
    main({"responses": OpenAIAgents(OpenAIResponsesModel), "chat": OpenAIAgents(OpenAIChatCompletionsModel)})
