"""Responses, by `openai`. A stream is read by its last event, and held against its deltas."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import openai
from openai.types.responses import Response, ResponseStreamEvent

from tests.conformance.recorded.callers import QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.callers.openai_chat import refused
from tests.conformance.recorded.claims import Claims, Heard, Used

_WHY = {"max_output_tokens": "length", "content_filter": "filter"}
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class OpenAIResponses:
    def __init__(self, url: str, key: str) -> None:
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_S)

    def ask(self, question: Question) -> Heard:
        wanted = ["reasoning.encrypted_content"]
        if question.logprobs:
            wanted.append("message.output_text.logprobs")
        asked: dict[str, Any] = {"model": question.model, "input": QUESTION, "store": False, "include": wanted}
        create = self._client.responses.with_raw_response.create
        try:
            if question.stream:
                raw = create(**asked, stream=True)
                return Heard(_streamed(raw.parse(), strict=question.strict)).headed(raw.headers)
            raw = create(**asked)
            return Heard(whole(raw.parse())).headed(raw.headers)
        except openai.APIStatusError as error:
            return Heard(refusal=refused(error)).headed(error.response.headers)


def whole(response: Response) -> Claims:
    claims = Claims()
    for item in response.output or ():
        told = item.to_dict(warnings=False)
        match told["type"]:
            case "message":
                _message(claims, told)
            case "reasoning":
                _thought(claims, told)
            case "function_call":
                claims.call(_str(told["name"]), told["arguments"], _str(told.get("call_id")))
            case "custom_tool_call":
                claims.call(_str(told["name"]), told["input"], _str(told.get("call_id")))
            case "image_generation_call" if told.get("result"):
                claims.show("image", _str(told["result"]))
            case kind:
                claims.others.append(_str(kind))
    claims.finish = _finish(response, claims)
    if response.error is not None:
        claims.broken = response.error.message or str(response.error.code)
    elif response.status in {"failed", "cancelled"}:
        claims.broken = response.status
    claims.usage = _used(response)
    return claims


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _message(claims: Claims, message: Any) -> None:
    for part in message["content"]:
        if part["type"] == "refusal":
            claims.refusal += part["refusal"]
            continue
        claims.text += part.get("text") or ""
        for token in part.get("logprobs") or ():
            claims.weigh(token["token"], token["logprob"])
        for note in part.get("annotations") or ():
            claims.cite(note.get("url"), note.get("title"), note.get("filename"), note.get("file_id"))


def _thought(claims: Claims, thought: Any) -> None:
    for part in [*(thought.get("summary") or ()), *(thought.get("content") or ())]:
        claims.thinking += part["text"]
    claims.seal(thought.get("encrypted_content"))


def _finish(response: Response, claims: Claims) -> str:
    if response.status == "incomplete":
        why = response.incomplete_details.reason if response.incomplete_details else None
        return _WHY.get(why or "", "other")
    if response.status in {"failed", "cancelled"}:
        return "other"
    if claims.tools:
        return "tools"
    return "refusal" if claims.refusal else "stop"


def _used(response: Response) -> Used | None:
    usage = response.usage
    if usage is None:
        return None
    told: Any = usage.to_dict(warnings=False)
    inside = told.get("input_tokens_details") or {}
    outside = told.get("output_tokens_details") or {}
    return Used(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cached=inside.get("cached_tokens") or 0,
        written=inside.get("cache_write_tokens") or 0,
        reasoning=outside.get("reasoning_tokens") or 0,
    )


class _Deltas:
    """What the deltas of a stream add up to, and what its `done` events say in their place."""

    GROWS = ("response.output_text.delta", "response.function_call_arguments.delta", "response.refusal.delta")

    def __init__(self) -> None:
        self._grown: Counter[str] = Counter()
        self._texts: dict[str, dict[tuple[int, int], str]] = {}
        self._last = -1
        self.items: list[Any] = []

    def feed(self, event: ResponseStreamEvent, *, strict: bool) -> None:
        told: Any = event.to_dict(warnings=False)
        number = told.get("sequence_number")
        if strict and number != self._last + 1:
            raise ValueError(f"{event.type} has the sequence number {number} after {self._last}")
        self._last = number if number is not None else self._last
        if event.type in self.GROWS:
            place = (told["output_index"], told.get("content_index", 0))
            texts = self._texts.setdefault(event.type, {})
            texts[place] = texts.get(place, "") + told["delta"]
        elif event.type == "response.output_item.done":
            self.items.append(told["item"])

    def seals(self) -> list[str]:
        claims = Claims()
        for item in self.items:
            if item["type"] == "reasoning":
                claims.seal(item.get("encrypted_content"))
        return claims.seals

    def check(self, response: Response) -> None:
        """ValueError where the end says other than what came before it."""
        said: Any = response.to_dict(warnings=False)
        output = said.get("output") or ()
        texts = {
            "response.output_text.delta": "text",
            "response.refusal.delta": "refusal",
        }
        for kind, name in texts.items():
            grown = "".join(text for _, text in sorted(self._texts.get(kind, {}).items()))
            parts = (part for item in output if item["type"] == "message" for part in item["content"])
            if grown != "".join(part.get(name) or "" for part in parts):
                raise ValueError(f"{kind} and the last event differ")
        arguments = [text for _, text in sorted(self._texts.get("response.function_call_arguments.delta", {}).items())]
        calls = [item["arguments"] for item in output if item["type"] == "function_call"]
        if arguments != [call for call in calls if call]:
            raise ValueError("the deltas of arguments and the last event differ")
        if [item["type"] for item in self.items] != [item["type"] for item in output]:
            raise ValueError("the items that were done and the last event differ")


def _streamed(events: Iterable[ResponseStreamEvent], *, strict: bool) -> Claims:
    deltas = _Deltas()
    for event in events:
        deltas.feed(event, strict=strict)
        if event.type == "error":
            return Claims(broken=event.message or "error")
        if event.type in _ENDS:
            response: Response = event.response  # type: ignore[union-attr]  # each of the three has one
            if strict and event.type == "response.completed":
                deltas.check(response)
            claims = whole(response)
            # Each event encrypts thoughts anew. Clients keep what an item held when it was done.
            claims.seals = deltas.seals() or claims.seals
            return claims
    return Claims(broken="the stream has no end")


CALLER = OpenAIResponses
