"""Mistral's chat completions, by `mistralai`: recordings are read so."""

from collections.abc import Iterable
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import MistralError

from tests.conformance.recorded.callers import QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.callers.openai_chat import FINISHES
from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used


class MistralChat:
    def __init__(self, url: str, key: str) -> None:
        self._client = Mistral(api_key=key, server_url=url, timeout_ms=int(TIMEOUT_S * 1000))

    def ask(self, question: Question) -> Heard:
        asked: dict[str, Any] = {"model": question.model, "messages": [{"role": "user", "content": QUESTION}]}
        try:
            if question.stream:
                with self._client.chat.stream(**asked) as events:
                    return Heard(_streamed(event.data for event in events))
            return Heard(whole(self._client.chat.complete(**asked)))
        except MistralError as error:
            return Heard(refusal=Refusal(type(error).__name__, error.status_code, error.body))


def whole(answer: Any) -> Claims:
    claims = Claims(choices=len(answer.choices), usage=_used(answer.usage))
    choice = answer.choices[0]
    _content(claims, choice.message.content)
    for call in choice.message.tool_calls or ():
        claims.call(call.function.name, call.function.arguments, call.id)
    claims.finish = FINISHES.get(choice.finish_reason, "other")
    return claims


def _streamed(chunks: Iterable[Any]) -> Claims:
    claims = Claims()
    calls: dict[int, list[Any]] = {}
    for chunk in chunks:
        claims.usage = _used(chunk.usage) or claims.usage
        for choice in chunk.choices:
            _content(claims, choice.delta.content)
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index or len(calls), ["", ""])
                known[0] += call.function.name or ""
                known[1] = known[1] + call.function.arguments if known[1] else call.function.arguments
            if choice.finish_reason:
                claims.finish = FINISHES.get(choice.finish_reason, "other")
    for _, (name, arguments) in sorted(calls.items()):
        claims.call(name, arguments, None)
    return claims


def _content(claims: Claims, content: Any) -> None:
    if isinstance(content, str):
        claims.text += content
        return
    for part in content or ():
        match part.type:
            case "text":
                claims.text += part.text
            case "thinking":
                claims.thinking += "".join(inner.text for inner in part.thinking if inner.type == "text")
            case kind:
                claims.others.append(kind)


def _used(usage: Any) -> Used | None:
    if not usage or usage.completion_tokens is None:
        return None
    told = usage.model_dump()
    details = told.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or told.get("num_cached_tokens") or 0
    return Used(usage.prompt_tokens or 0, usage.completion_tokens, cached)


CALLER = MistralChat
