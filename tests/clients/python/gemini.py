"""`google-genai`."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from google.genai import Client as Google
from google.genai import errors, types

from tests.clients.python.asking import SYSTEM, TIMEOUT_S, TOOL, Called, Client, Heard, Wish, main


@cache
def client(url: str, key: str) -> Google:
    return Google(api_key=key, http_options=types.HttpOptions(base_url=url, timeout=int(TIMEOUT_S * 1000)))


class Contents:
    """Keeps contents: an answer's own go back as they are; of a stream its parts, in their order."""

    def __init__(self, client: Google, wish: Wish) -> None:
        self._client = client
        self._wish = wish
        self._contents: list[Any] = []

    def say(self, words: str) -> Heard:
        return self._ask(types.Part.from_text(text=words))

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask(
            *(
                types.Part(
                    function_response=types.FunctionResponse(
                        id=call.id or None, name=call.name, response={"result": told}
                    )
                )
                for call, told in results
            )
        )

    def _ask(self, *parts: types.Part) -> Heard:
        self._contents.append(types.Content(role="user", parts=list(parts)))
        config = types.GenerateContentConfig(
            system_instruction=SYSTEM,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        if self._wish.tools:
            function = types.FunctionDeclaration(
                name=TOOL["name"], description=TOOL["description"], parameters_json_schema=TOOL["schema"]
            )
            config.tools = [types.Tool(function_declarations=[function])]
        if self._wish.thinking:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True)
        asked: dict[str, Any] = {"model": self._wish.model, "contents": self._contents, "config": config}
        if self._wish.stream:
            chunks = list(self._client.models.generate_content_stream(**asked))
            return self._take(chunks, Heard(pieces=sum(bool(_parts(chunk)) for chunk in chunks)))
        return self._take([self._client.models.generate_content(**asked)], Heard())

    def _take(self, chunks: Sequence[types.GenerateContentResponse], heard: Heard) -> Heard:
        parts = [part for chunk in chunks for part in _parts(chunk)]
        self._contents.append(types.Content(role="model", parts=parts))
        for part in parts:
            if part.function_call is not None:
                call = part.function_call
                heard.calls.append(Called(str(call.name), call.args, call.id or f"unnamed {len(heard.calls)}"))
            elif part.thought:
                heard.thought += part.text or ""
            else:
                heard.text += part.text or ""
        last = chunks[-1]
        if last.candidates and last.candidates[0].finish_reason:
            heard.finish = last.candidates[0].finish_reason.value
        if last.usage_metadata is not None:
            used = last.usage_metadata
            heard.used = used.prompt_token_count or 0, used.candidates_token_count or 0
        return heard


def _parts(chunk: types.GenerateContentResponse) -> Sequence[types.Part]:
    content = chunk.candidates[0].content if chunk.candidates else None
    return (content.parts if content else None) or ()


class Gemini(Client):
    family = "gemini-2.5-flash"
    ends = ("STOP", "STOP")
    refusals = dict.fromkeys((400, 401, 404, 429), "ClientError")

    def talk(self, wish: Wish) -> Contents:
        return Contents(client(wish.url, wish.key), wish)

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, errors.APIError)
        return error.code, str(error.message)


if __name__ == "__main__":
    main({"generate": Gemini()})
