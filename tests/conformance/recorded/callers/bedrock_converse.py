"""Converse, by `boto3`; its streams are AWS's binary framing."""

from collections.abc import Iterable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conformance.recorded.callers import QUESTION, TIMEOUT_S, Question
from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "tool_use": "tools",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "malformed_model_output": "malformed",
    "malformed_tool_use": "malformed",
    "model_context_window_exceeded": "context",
}
_KNOWN = {"text", "toolUse", "reasoningContent", "citationsContent", "image"}


class BedrockConverse:
    def __init__(self, url: str, key: str) -> None:
        patience = Config(
            retries={"total_max_attempts": 1},
            read_timeout=TIMEOUT_S,
            connect_timeout=TIMEOUT_S,
            max_pool_connections=32,
        )
        session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=key, region_name="us-east-1")
        self._client = session.client("bedrock-runtime", endpoint_url=url, config=patience)

    def ask(self, question: Question) -> Heard:
        asked: dict[str, Any] = {
            "modelId": question.model,
            "messages": [{"role": "user", "content": [{"text": QUESTION}]}],
        }
        try:
            if question.stream:
                answer = self._client.converse_stream(**asked)
                headers = answer["ResponseMetadata"]["HTTPHeaders"]
                return Heard(_streamed(answer["stream"])).headed(headers)
            answer = self._client.converse(**asked)
        except ClientError as error:
            return Heard(refusal=_refused(error)).headed(error.response["ResponseMetadata"]["HTTPHeaders"])
        return Heard(whole(answer)).headed(answer["ResponseMetadata"]["HTTPHeaders"])


def _refused(error: Any) -> Refusal:
    """boto3 makes a class of its own for each of the service's errors; what isn't one is a bare ClientError."""
    told = error.response
    return Refusal(type(error).__name__, told["ResponseMetadata"]["HTTPStatusCode"], told["Error"].get("Message", ""))


def whole(answer: Any) -> Claims:
    claims = Claims()
    for block in answer["output"]["message"]["content"]:
        _block(claims, block)
    claims.finish = FINISHES.get(answer["stopReason"], "other")
    claims.usage = _used(answer.get("usage"))
    return claims


def _block(claims: Claims, block: Any) -> None:
    claims.text += block.get("text", "")
    call = block.get("toolUse")
    if call is not None and call.get("type") == "server_tool_use":
        claims.others.append("server_tool_use")
    elif call is not None:
        claims.call(call["name"], call["input"], call["toolUseId"])
    thought = block.get("reasoningContent")
    if thought is not None:
        words = thought.get("reasoningText") or {}
        claims.thinking += words.get("text", "")
        claims.seal(words.get("signature"))
        claims.seal(thought.get("redactedContent"))
    cited = block.get("citationsContent")
    if cited is not None:
        claims.text += "".join(piece.get("text", "") for piece in cited.get("content", ()))
        for citation in cited.get("citations", ()):
            _cite(claims, citation)
    image = block.get("image")
    if image is not None and "bytes" in image["source"]:
        claims.show("image", image["source"]["bytes"])
    claims.others += [kind for kind in block if kind not in _KNOWN]


def _cite(claims: Claims, citation: Any) -> None:
    web = (citation.get("location") or {}).get("web") or {}
    quotes = [piece.get("text") for piece in citation.get("sourceContent") or ()]
    claims.cite(web.get("url") or citation.get("source"), citation.get("title"), *quotes)


def _streamed(events: Iterable[Any]) -> Claims:
    """The blocks of a stream, put together as Bedrock's documentation has it, then read as those of a whole answer."""
    blocks: dict[int, dict[str, Any]] = {}
    claims = Claims()
    stop = usage = None
    try:
        for event in events:
            for kind, told in event.items():
                if kind == "contentBlockStart":
                    _start(blocks, told)
                elif kind == "contentBlockDelta":
                    _grow(blocks.setdefault(told["contentBlockIndex"], {}), told["delta"])
                elif kind == "messageStop":
                    stop = told["stopReason"]
                elif kind == "metadata":
                    usage = told.get("usage")
    except ClientError as error:
        claims.broken = error.response["Error"].get("Message", "an error")
    for _, block in sorted(blocks.items()):
        call = block.get("toolUse")
        if call is None or call.get("type") == "server_tool_use":
            _block(claims, block)
        else:
            claims.call(call["name"], call.get("input", ""), call["toolUseId"])
    claims.finish = FINISHES.get(stop or "", "other")
    claims.usage = _used(usage)
    return claims


def _start(blocks: dict[int, dict[str, Any]], told: Any) -> None:
    block = blocks[told["contentBlockIndex"]] = {}
    for kind, begun in told["start"].items():
        block[kind] = dict(begun)


def _grow(block: dict[str, Any], delta: Any) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    if "toolUse" in delta:
        call = block.setdefault("toolUse", {})
        call["input"] = call.get("input", "") + delta["toolUse"]["input"]
    if "reasoningContent" in delta:
        thought = block.setdefault("reasoningContent", {})
        more = delta["reasoningContent"]
        for name in ("text", "signature"):
            if name in more:
                words = thought.setdefault("reasoningText", {})
                words[name] = words.get(name, "") + more[name]
        if "redactedContent" in more:
            thought["redactedContent"] = thought.get("redactedContent", b"") + more["redactedContent"]
    if "citation" in delta:
        block.setdefault("citationsContent", {}).setdefault("citations", []).append(delta["citation"])
    if "image" in delta:
        block["image"] = delta["image"]


def _used(usage: Any) -> Used | None:
    """Bedrock counts what was read from the cache and written to it beside the input."""
    if usage is None:
        return None
    cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    return Used(usage["inputTokens"] + cached + written, usage["outputTokens"], cached, written)


CALLER = BedrockConverse
