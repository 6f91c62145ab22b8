"""Converse, its streams in AWS's binary framing."""

import base64
import json
import struct
from zlib import crc32

from tests.conformance.recorded.claims import Claims, Used
from tests.conformance.recorded.scripted.script import LOOK, PAGE, SEAL, Script, refused, whole


def frame(kind: str, payload: object, message: str = "event") -> bytes:
    """A message of AWS's event stream: a prelude, headers of strings (type 7), the payload, and sums of both."""
    name = ":event-type" if message == "event" else ":exception-type"
    headers = b""
    for key, value in ((":message-type", message), (name, kind), (":content-type", "application/json")):
        headers += struct.pack(">B", len(key)) + key.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    checked = prelude + struct.pack(">I", crc32(prelude)) + headers + body
    return checked + struct.pack(">I", crc32(checked))


def aws(*frames: bytes, claims: Claims) -> Script:
    return Script(
        "bedrock_converse",
        b"".join(frames),
        claims,
        stream=True,
        content_type="application/vnd.amazon.eventstream",
    )


_CONVERSE_USAGE = {
    "inputTokens": 5,
    "outputTokens": 7,
    "totalTokens": 17,
    "cacheReadInputTokens": 4,
    "cacheWriteInputTokens": 1,
}
_REFERENCE = {"title": "A", "location": {"web": {"url": PAGE}}}
_SAID_BY_BEDROCK = Claims(
    text="It rains.",
    thinking="Look outside.",
    seals=[SEAL, "gone"],
    tools=[LOOK],
    citations=[[PAGE, "A"]],
    finish="tools",
    usage=Used(10, 7, 4, 1),
)


def _delta(at: int, **delta: object) -> bytes:
    return frame("contentBlockDelta", {"contentBlockIndex": at, "delta": delta})


SCRIPTS = {
    "converse whole": whole(
        "bedrock_converse",
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "Look outside.", "signature": SEAL}}},
                        {"reasoningContent": {"redactedContent": base64.b64encode(b"gone").decode()}},
                        {"citationsContent": {"content": [{"text": "It rains."}], "citations": [_REFERENCE]}},
                        {"toolUse": {"toolUseId": "t", "name": "look", "input": {"at": "sky"}}},
                    ],
                }
            },
            "stopReason": "tool_use",
            "usage": _CONVERSE_USAGE,
            "metrics": {"latencyMs": 1},
        },
        _SAID_BY_BEDROCK,
    ),
    "converse streamed": aws(
        frame("messageStart", {"role": "assistant"}),
        _delta(0, reasoningContent={"text": "Look outside."}),
        _delta(0, reasoningContent={"signature": SEAL}),
        _delta(1, reasoningContent={"redactedContent": base64.b64encode(b"gone").decode()}),
        _delta(2, text="It "),
        _delta(2, text="rains."),
        _delta(2, citation=_REFERENCE),
        frame("contentBlockStart", {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t", "name": "look"}}}),
        _delta(3, toolUse={"input": '{"at"'}),
        _delta(3, toolUse={"input": ': "sky"}'}),
        frame("contentBlockStop", {"contentBlockIndex": 3}),
        frame("messageStop", {"stopReason": "tool_use"}),
        frame("metadata", {"usage": _CONVERSE_USAGE, "metrics": {"latencyMs": 1}}),
        claims=_SAID_BY_BEDROCK,
    ),
    "converse broken": aws(
        frame("messageStart", {"role": "assistant"}),
        _delta(0, text="It "),
        frame("modelStreamErrorException", {"message": "Lost."}, "exception"),
        claims=Claims(text="It ", finish="other", broken="Lost."),
    ),
    "converse refused": refused("bedrock_converse", 400, {"message": "No such model."}, "ClientError"),
}
