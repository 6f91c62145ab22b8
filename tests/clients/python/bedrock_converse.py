"""`boto3`, bedrock-runtime's Converse; the gateway's key is its access key's id, or its bearer token."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.python.asking import (
    MOST_TOKENS,
    SYSTEM,
    THINKING_TOKENS,
    TIMEOUT_S,
    TOOL,
    Called,
    Client,
    Heard,
    Wish,
    main,
)

_REGION = "us-east-1"
_PATIENCE = Config(retries={"total_max_attempts": 1}, read_timeout=TIMEOUT_S, connect_timeout=TIMEOUT_S)


@cache
def signing(url: str, key: str) -> Any:
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="unused", region_name=_REGION)
    return session.client("bedrock-runtime", endpoint_url=url, config=_PATIENCE)


@cache
def bearing(url: str) -> Any:
    session = boto3.Session(region_name=_REGION)
    return session.client("bedrock-runtime", endpoint_url=url, config=_PATIENCE)


class Conversation:
    """Keeps messages: an answer's message goes back as it is; of a stream what its events put together."""

    def __init__(self, client: Any, wish: Wish) -> None:
        self._client = client
        self._wish = wish
        self._messages: list[Any] = []

    def say(self, words: str) -> Heard:
        return self._ask({"text": words})

    def give(self, results: Sequence[tuple[Called, str]]) -> Heard:
        return self._ask(
            *({"toolResult": {"toolUseId": call.id, "content": [{"text": told}]}} for call, told in results)
        )

    def _ask(self, *content: Any) -> Heard:
        self._messages.append({"role": "user", "content": list(content)})
        asked: dict[str, Any] = {
            "modelId": self._wish.model,
            "system": [{"text": SYSTEM}],
            "messages": self._messages,
            "inferenceConfig": {"maxTokens": MOST_TOKENS},
        }
        if self._wish.tools:
            spec = {"name": TOOL["name"], "description": TOOL["description"], "inputSchema": {"json": TOOL["schema"]}}
            asked["toolConfig"] = {"tools": [{"toolSpec": spec}]}
        if self._wish.thinking:
            thinking = {"type": "enabled", "budget_tokens": THINKING_TOKENS}
            asked["additionalModelRequestFields"] = {"thinking": thinking}
        if self._wish.stream:
            events = list(self._client.converse_stream(**asked)["stream"])
            return self._take(_put_together(events), Heard(pieces=sum("contentBlockDelta" in one for one in events)))
        return self._take(self._client.converse(**asked), Heard())

    def _take(self, whole: Any, heard: Heard) -> Heard:
        message = whole["output"]["message"]
        self._messages.append(message)
        for block in message["content"]:
            if "text" in block:
                heard.text += block["text"]
            if "reasoningContent" in block:
                heard.thought += block["reasoningContent"]["reasoningText"]["text"]
            if "toolUse" in block:
                call = block["toolUse"]
                heard.calls.append(Called(call["name"], call["input"], call["toolUseId"]))
        heard.finish = whole["stopReason"]
        heard.used = whole["usage"]["inputTokens"], whole["usage"]["outputTokens"]
        return heard


def _put_together(events: Iterable[Any]) -> Any:
    """A stream's answer as Converse would have given it whole."""
    whole: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        [(kind, told)] = event.items()
        match kind:
            case "contentBlockStart":
                blocks[told["contentBlockIndex"]] = {"call": told["start"]["toolUse"], "input": ""}
            case "contentBlockDelta":
                block = blocks.setdefault(told["contentBlockIndex"], {})
                delta = told["delta"]
                if "text" in delta:
                    block["text"] = block.get("text", "") + delta["text"]
                elif "toolUse" in delta:
                    block["input"] += delta["toolUse"]["input"]
                else:
                    thought = block.setdefault("thought", {"text": ""})
                    for name, piece in delta["reasoningContent"].items():
                        thought[name] = thought.get(name, "") + piece
            case "messageStop":
                whole["stopReason"] = told["stopReason"]
            case "metadata":
                whole["usage"] = told["usage"]
    content = [_block(block) for _, block in sorted(blocks.items())]
    return whole | {"output": {"message": {"role": "assistant", "content": content}}}


def _block(block: Any) -> Any:

    if "call" in block:
        return {"toolUse": {**block["call"], "input": json.loads(block["input"])}}
    return {"reasoningContent": {"reasoningText": block["thought"]}} if "thought" in block else {"text": block["text"]}


class Bedrock(Client):
    # A colon, which boto3 writes as %3A.
    family = "anthropic.claude-sonnet-4-5-v1:0"
    ends = ("end_turn", "tool_use")
    refusals = {  # noqa: RUF012  (never changed)
        400: "ValidationException",
        401: "AccessDeniedException",
        404: "ResourceNotFoundException",
        429: "ThrottlingException",
    }

    def talk(self, wish: Wish) -> Conversation:
        return Conversation(self.client(wish), wish)

    def client(self, wish: Wish) -> Any:
        return signing(wish.url, wish.key)

    def refusal(self, error: Exception) -> tuple[int, str]:
        assert isinstance(error, ClientError)
        told = error.response
        return told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"]


class BedrockByToken(Bedrock):
    """The token comes from the environment, AWS_BEARER_TOKEN_BEDROCK, so there is only one."""

    leaves_out = {"denied": "its token is the environment's"}  # noqa: RUF012  (never changed)

    def client(self, wish: Wish) -> Any:
        return bearing(wish.url)


if __name__ == "__main__":
    main({"keys": Bedrock(), "token": BedrockByToken()})
