"""Chat completions, by `openai`. What hosts add to OpenAI's shape is read where the client's types keep it."""

from collections.abc import Iterable, Mapping
from typing import Any

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conformance.recorded.callers import QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used

FINISHES = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filter",
}
# Content that some hosts put beside a message's text, under names of their own.
OWN_KINDS = ("executed_tools",)


class OpenAIChat:
    def __init__(self, url: str, key: str) -> None:
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S)

    def ask(self, question: Question) -> Heard:
        asked: dict[str, Any] = {
            "model": question.model,
            "messages": [{"role": "user", "content": QUESTION}],
            **({"logprobs": True} if question.logprobs else {}),
        }
        create = self._client.chat.completions.with_raw_response.create
        try:
            if question.stream:
                raw = create(**asked, stream=True, stream_options={"include_usage": True})
                return Heard(_streamed(raw.parse())).headed(raw.headers)
            raw = create(**asked)
            return Heard(whole(raw.parse())).headed(raw.headers)
        except openai.APIStatusError as error:
            return Heard(refusal=refused(error)).headed(error.response.headers)


def refused(error: openai.APIStatusError) -> Refusal:
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return Refusal(type(error).__name__, error.status_code, str(said or error.message))


def whole(completion: ChatCompletion) -> Claims:
    """What a completion says, of its first choice."""
    claims = Claims(choices=len(completion.choices))
    extra = completion.model_extra or {}
    if not completion.choices:
        claims.broken = _said(extra.get("error"))
        return claims
    choice = completion.choices[0]
    message: Any = choice.message.to_dict(warnings=False)
    _content(claims, message)
    for call in message.get("tool_calls") or ():
        _call(claims, call)
    old = message.get("function_call")
    if old:
        claims.call(old["name"], old["arguments"], None)
    _weigh(claims, choice.logprobs)
    claims.finish = FINISHES.get(choice.finish_reason, "other")
    claims.broken = _said((choice.model_extra or {}).get("error") or extra.get("error"))
    _cite_pages(claims, extra)
    claims.usage = _used(completion.to_dict(warnings=False))
    return claims


class _Calls:
    """Fragments of calls to whole ones, by their index."""

    def __init__(self) -> None:
        self._by_index: dict[int, dict[str, Any]] = {}

    def grow(self, fragment: Mapping[str, Any]) -> None:
        index = fragment.get("index")
        call = self._by_index.setdefault(len(self._by_index) if index is None else index, {"function": {}})
        function = fragment.get("function") or {}
        for name in ("name", "arguments"):
            if function.get(name):
                call["function"][name] = call["function"].get(name, "") + function[name]
        for name in ("id", "extra_content"):
            if fragment.get(name):
                call[name] = fragment[name]

    def all(self) -> list[dict[str, Any]]:
        return [self._by_index[index] for index in sorted(self._by_index)]


def _streamed(chunks: Iterable[ChatCompletionChunk]) -> Claims:
    claims = Claims()
    calls = _Calls()
    details: dict[tuple[Any, Any], dict[str, Any]] = {}
    thoughts: dict[str, str] = {}
    try:
        for chunk in chunks:
            told: Any = chunk.to_dict(warnings=False)
            claims.usage = _used(told) or claims.usage
            _cite_pages(claims, told)
            for choice in chunk.choices:
                claims.choices = max(claims.choices, choice.index + 1)
                if choice.index:
                    continue
                delta: Any = choice.delta.to_dict(warnings=False)
                for name in ("reasoning_content", "reasoning"):
                    thoughts[name] = thoughts.get(name, "") + (delta.pop(name, None) or "")
                _grow_details(details, delta.pop("reasoning_details", None) or ())
                _content(claims, delta)
                for fragment in delta.get("tool_calls") or ():
                    calls.grow(fragment)
                _weigh(claims, choice.logprobs)
                if choice.finish_reason:
                    claims.finish = FINISHES.get(choice.finish_reason, "other")
    except openai.APIError as error:
        claims.broken = error.message
    _content(claims, {**thoughts, "reasoning_details": list(details.values())})
    for call in calls.all():
        _call(claims, call)
    return claims


def _grow_details(details: dict[tuple[Any, Any], dict[str, Any]], fragments: Iterable[dict[str, Any]]) -> None:
    """OpenRouter streams its details by type and index."""
    for fragment in fragments:
        known = details.setdefault((fragment.get("type"), fragment.get("index")), {})
        for name, value in fragment.items():
            grows = name in {"text", "summary", "data", "signature"} and isinstance(value, str)
            known[name] = known.get(name, "") + value if grows else value


def _content(claims: Claims, message: Mapping[str, Any]) -> None:
    content = message.get("content")
    if isinstance(content, str):
        claims.text += content
    for part in content if isinstance(content, list) else ():
        _part(claims, part)
    claims.refusal += message.get("refusal") or ""
    details = message.get("reasoning_details") or ()
    shown = message.get("reasoning_content") or message.get("reasoning")
    claims.thinking += shown or "".join(str(one.get("text") or one.get("summary") or "") for one in details)
    for one in details:
        claims.seal(one.get("signature"))
        claims.seal(one.get("data"))
    for annotation in message.get("annotations") or ():
        inner = annotation.get(annotation.get("type"), annotation)
        claims.cite(inner.get("url"), inner.get("title"), inner.get("filename"), inner.get("file_id"))
    audio = message.get("audio")
    if audio and audio.get("data"):
        claims.show("audio", audio["data"])
    for image in message.get("images") or ():
        address = image["image_url"]["url"]
        claims.show("image", address.partition("base64,")[2] or address.encode())
    claims.others += [kind for kind in OWN_KINDS if message.get(kind) and kind not in claims.others]


def _part(claims: Claims, part: Mapping[str, Any]) -> None:
    """A piece of content in a list, as Mistral writes it."""
    kind = part.get("type")
    if kind == "text":
        claims.text += part["text"]
    elif kind == "thinking":
        claims.thinking += "".join(inner.get("text", "") for inner in part["thinking"])
    else:
        claims.others.append(str(kind))


def _call(claims: Claims, call: Mapping[str, Any]) -> None:
    function = call.get("function") or call.get("custom") or {}
    claims.call(function.get("name"), function.get("arguments", function.get("input")), call.get("id"))
    signed = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
    claims.seal(signed, loose=True)


def _weigh(claims: Claims, logprobs: Any) -> None:
    for token in (logprobs and logprobs.content) or ():
        claims.weigh(token.token, token.logprob)


def _cite_pages(claims: Claims, told: Mapping[str, Any]) -> None:
    """Perplexity and xAI list their sources beside the choices."""
    for page in told.get("citations") or ():
        if isinstance(page, str):
            claims.cite(page)


def _used(told: Mapping[str, Any]) -> Used | None:
    """The usage of an answer or of a chunk, under whichever name its host tells it."""
    choices = told.get("choices") or [{}]
    usage = told.get("usage") or (told.get("x_groq") or {}).get("usage") or choices[0].get("usage")
    if not usage or usage.get("completion_tokens") is None:
        return None
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    hosts = (usage.get(name) for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"))
    cached = prompt.get("cached_tokens")
    cached = cached if cached is not None else next(filter(None, hosts), 0)
    return Used(
        input=usage["prompt_tokens"],
        output=usage["completion_tokens"],
        cached=cached,
        # OpenRouter tells the same tokens of Gemini's as read and as written; both together are never more than all.
        written=min(prompt.get("cache_write_tokens") or 0, max(usage["prompt_tokens"] - cached, 0)),
        reasoning=completion.get("reasoning_tokens") or 0,
    )


def _said(error: Any) -> str:
    if not error:
        return ""
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)


CALLER = OpenAIChat
