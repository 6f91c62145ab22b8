"""Messages, by `anthropic`, with the types of its beta, which hold everything the others hold."""

from typing import Any

import anthropic

from tests.conformance.recorded.callers import MOST_TOKENS, QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used

_OK = 200
FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "tool_use": "tools",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}


class AnthropicMessages:
    def __init__(self, url: str, key: str) -> None:
        self._client = self.client(url, key)

    def client(self, url: str, key: str) -> Any:
        return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_S)

    def ask(self, question: Question) -> Heard:
        asked: dict[str, Any] = {
            "model": question.model,
            "max_tokens": MOST_TOKENS,
            "messages": [{"role": "user", "content": QUESTION}],
        }
        try:
            if question.stream:
                return self._streamed(asked)
            raw = self._client.beta.messages.with_raw_response.create(**asked)
            return Heard(whole(raw.parse())).headed(raw.headers)
        except anthropic.APIStatusError as error:
            return Heard(refusal=_refused(error)).headed(error.response.headers)

    def _streamed(self, asked: dict[str, Any]) -> Heard:
        with self._client.beta.messages.stream(**asked) as stream:
            headers = stream.response.headers
            try:
                message = stream.get_final_message()
            except anthropic.APIStatusError as error:
                # An `error` event: the client raises it with the status of the answer it broke.
                if error.status_code != _OK:
                    raise
                return Heard(Claims(broken=_refused(error).message)).headed(headers)
            return Heard(whole(message)).headed(headers)


def _refused(error: anthropic.APIStatusError) -> Refusal:
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    return Refusal(type(error).__name__, error.status_code, str(said or error.message))


def whole(message: Any) -> Claims:
    claims = Claims()
    for block in message.content:
        match block.type:
            case "text":
                claims.text += block.text
                for citation in block.citations or ():
                    told = citation.to_dict(warnings=False)
                    address = told.get("url") or told.get("source")
                    claims.cite(address, *map(told.get, ("document_title", "title", "file_id", "cited_text")))
            case "thinking":
                claims.thinking += block.thinking
                claims.seal(block.signature)
            case "redacted_thinking":
                claims.seal(block.data)
            case "tool_use":
                claims.call(block.name, block.input, block.id)
            case kind:
                claims.others.append(kind)
    claims.finish = FINISHES.get(message.stop_reason or "", "other")
    claims.usage = _used(message.usage)
    return claims


def _used(usage: Any) -> Used:
    """Anthropic counts what was read from the cache and written to it beside the input."""
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    return Used(
        input=usage.input_tokens + cached + written,
        output=usage.output_tokens,
        cached=cached,
        written=written,
        reasoning=(details.thinking_tokens or 0) if details is not None else 0,
    )


CALLER = AnthropicMessages
