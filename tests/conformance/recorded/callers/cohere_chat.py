"""Chat v2, by `cohere`."""

from collections.abc import Iterable
from typing import Any

import cohere
from cohere.core.api_error import ApiError
from cohere.core.request_options import RequestOptions

from tests.conformance.recorded.callers import QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used

FINISHES = {"COMPLETE": "stop", "STOP_SEQUENCE": "sequence", "MAX_TOKENS": "length", "TOOL_CALL": "tools"}
_BROKEN = {"ERROR", "TIMEOUT"}


class CohereChat:
    def __init__(self, url: str, key: str) -> None:
        self._client = cohere.ClientV2(api_key=key, base_url=url, timeout=TIMEOUT_S)

    def ask(self, question: Question) -> Heard:
        asked: dict[str, Any] = {
            "model": question.model,
            "messages": [{"role": "user", "content": QUESTION}],
            "request_options": RequestOptions(max_retries=0),
            **({"logprobs": True} if question.logprobs else {}),
        }
        try:
            if question.stream:
                with self._client.with_raw_response.chat_stream(**asked) as answer:
                    return Heard(_streamed(answer.data)).headed(answer.headers)
            answer = self._client.with_raw_response.chat(**asked)
        except ApiError as error:
            return Heard(refusal=_refused(error)).headed(error.headers or {})
        return Heard(whole(answer.data)).headed(answer.headers)


def _refused(error: Any) -> Refusal:
    said = error.body.get("message") if isinstance(error.body, dict) else error.body
    return Refusal(type(error).__name__, error.status_code or 0, str(said))


def whole(answer: Any) -> Claims:
    claims = Claims()
    message = answer.message
    claims.thinking += message.tool_plan or ""
    for part in message.content or ():
        _part(claims, part)
    for call in message.tool_calls or ():
        claims.call(call.function.name, call.function.arguments, call.id)
    for citation in message.citations or ():
        _cite(claims, citation)
    _weigh(claims, answer.logprobs)
    _end(claims, answer.finish_reason, answer.usage)
    return claims


def _part(claims: Claims, part: Any) -> None:
    if getattr(part, "thinking", None):
        claims.thinking += part.thinking
    if getattr(part, "text", None):
        claims.text += part.text


def _cite(claims: Claims, citation: Any) -> None:
    for source in citation.sources or ():
        told = getattr(source, "document", None) or getattr(source, "tool_output", None) or {}
        claims.cite(told.get("url"), told.get("title"), source.id, citation.text)


def _weigh(claims: Claims, items: Any) -> None:
    for item in items or ():
        for logprob in item.logprobs or ():
            claims.weigh(item.text or "", logprob)


def _end(claims: Claims, finish: str | None, usage: Any) -> None:
    claims.finish = FINISHES.get(finish or "", "other")
    if finish in _BROKEN:
        claims.broken = claims.broken or finish
    claims.usage = _used(usage)


def _streamed(events: Iterable[Any]) -> Claims:
    claims = Claims()
    calls: dict[int, list[str]] = {}
    ended = False
    for event in events:
        message = getattr(getattr(event, "delta", None), "message", None)
        match event.type:
            case "content-start" | "content-delta" if message is not None:
                _part(claims, message.content)
                _weigh(claims, [event.logprobs] if getattr(event, "logprobs", None) else ())
            case "tool-plan-delta" if message is not None:
                claims.thinking += message.tool_plan or ""
            case "tool-call-start" if message is not None:
                begun = message.tool_calls
                calls[event.index] = [begun.function.name, begun.function.arguments or "", begun.id]
            case "tool-call-delta" if message is not None:
                calls[event.index][1] += message.tool_calls.function.arguments or ""
            case "citation-start" if message is not None:
                _cite(claims, message.citations)
            case "message-end":
                ended = True
                claims.broken = event.delta.error or ""
                _end(claims, event.delta.finish_reason, event.delta.usage)
    for _, (name, arguments, call_id) in sorted(calls.items()):
        claims.call(name, arguments, call_id)
    if not ended:
        claims.broken = "the stream has no end"
    return claims


def _used(usage: Any) -> Used | None:
    """`tokens` is what the model read and wrote; `billed_units` leaves out what Cohere adds to the prompt itself."""
    told = usage and (usage.tokens or usage.billed_units)
    if not told or told.input_tokens is None:
        return None
    return Used(int(told.input_tokens), int(told.output_tokens or 0), int(usage.cached_tokens or 0))


CALLER = CohereChat
