"""generateContent, by `google-genai`."""

from collections.abc import Iterable
from typing import Any

from google.genai import Client, errors, types

from tests.conformance.recorded.callers import QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used

FINISHES = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "LANGUAGE": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "MODEL_ARMOR": "filter",
    "MALFORMED_FUNCTION_CALL": "malformed",
    "MALFORMED_RESPONSE": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed",
    "MISSING_THOUGHT_SIGNATURE": "malformed",
    "TOO_MANY_TOOL_CALLS": "malformed",
}
_KINDS = ("executable_code", "code_execution_result", "tool_call", "tool_response", "file_data", "function_response")


class Gemini:
    def __init__(self, url: str, key: str) -> None:
        # Its connections end with the client, not with what was taken out of it.
        self._client = self.client(url, key)

    def client(self, url: str, key: str) -> Any:
        return Client(api_key=key, http_options=_options(url))

    def ask(self, question: Question) -> Heard:
        asked: dict[str, Any] = {"model": question.model, "contents": QUESTION}
        if question.logprobs:
            asked["config"] = types.GenerateContentConfig(response_logprobs=True)
        try:
            if question.stream:
                return _streamed(self._client.models.generate_content_stream(**asked))
            answer = self._client.models.generate_content(**asked)
        except errors.APIError as error:
            headers = getattr(error.response, "headers", None) or {}
            return Heard(refusal=_refused(error)).headed(headers)
        return _heard([answer], answer)


def _options(url: str) -> Any:
    return types.HttpOptions(base_url=url, timeout=int(TIMEOUT_S * 1000))


def _refused(error: Any) -> Refusal:
    return Refusal(type(error).__name__, error.code, str(error.message))


def _streamed(chunks: Iterable[Any]) -> Heard:
    seen: list[Any] = []
    try:
        seen.extend(chunks)
    except errors.APIError as error:
        if not seen:
            raise
        heard = _heard(seen, seen[0])
        assert heard.claims is not None
        heard.claims.broken = str(error.message)
        return heard
    return _heard(seen, seen[0]) if seen else Heard(Claims(broken="the stream is empty"))


def _heard(answers: list[Any], first: Any) -> Heard:
    claims = Claims()
    for answer in answers:
        _grow(claims, answer)
    if claims.finish == "stop" and claims.tools:
        claims.finish = "tools"
    return Heard(claims).headed((first.sdk_http_response and first.sdk_http_response.headers) or {})


def _grow(claims: Claims, answer: Any) -> None:
    """What a whole answer, or a piece of a streamed one, adds."""
    claims.usage = _used(answer.usage_metadata) or claims.usage
    if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason is not None:
        claims.finish = "filter"
    if not answer.candidates:
        return
    claims.choices = max(claims.choices, len(answer.candidates))
    candidate = answer.candidates[0]
    for part in (candidate.content and candidate.content.parts) or ():
        _part(claims, part)
    if candidate.finish_reason is not None:
        claims.finish = FINISHES.get(candidate.finish_reason.value, "other")
    _cite(claims, candidate)
    if candidate.logprobs_result is not None:
        for token in candidate.logprobs_result.chosen_candidates or ():
            claims.weigh(token.token or "", token.log_probability)


def _part(claims: Claims, part: Any) -> None:
    others = [kind for kind in _KINDS if getattr(part, kind) is not None]
    if not others:  # else it belongs to that
        claims.seal(
            part.thought_signature, loose=part.function_call is not None or bool(part.text and not part.thought)
        )
    if part.text is not None:
        if part.thought:
            claims.thinking += part.text
        else:
            claims.text += part.text
    if part.function_call is not None:
        claims.call(part.function_call.name, part.function_call.args, part.function_call.id)
    if part.inline_data is not None and part.inline_data.data:
        kind = (part.inline_data.mime_type or "").partition("/")[0]
        claims.show(kind, part.inline_data.data)
    claims.others += others


def _cite(claims: Claims, candidate: Any) -> None:
    grounding = candidate.grounding_metadata
    for chunk in (grounding and grounding.grounding_chunks) or ():
        for place in filter(None, (chunk.web, chunk.maps)):
            claims.cite(place.uri, place.title)
        found = chunk.retrieved_context
        if found is not None:
            claims.cite(found.uri, found.title, found.document_name, found.file_search_store, found.text)
    told = candidate.citation_metadata
    for citation in (told and told.citations) or ():
        claims.cite(citation.uri, citation.title)


def _used(usage: Any) -> Used | None:
    """Gemini counts thoughts beside the answer, and the prompts of its own tools beside the prompt."""
    if usage is None or usage.prompt_token_count is None:
        return None
    thoughts = usage.thoughts_token_count or 0
    return Used(
        input=usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
        output=(usage.candidates_token_count or 0) + thoughts,
        cached=usage.cached_content_token_count or 0,
        reasoning=thoughts,
    )


CALLER = Gemini
