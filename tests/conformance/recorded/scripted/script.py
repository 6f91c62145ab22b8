"""How an answer is scripted, and what most of them say."""

import base64
import json

from msgspec import Struct

from tests.conformance.recorded.claims import Claims, Refusal, Tool, Used

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}
SEAL = base64.b64encode(b"\1sealed").decode()
PAGE = "https://a.example/page"
LOOK = Tool("look", {"at": "sky"})
ALL = Claims(
    text="It rains.",
    thinking="Look outside.",
    seals=[SEAL],
    tools=[LOOK],
    citations=[[PAGE, "A"]],
    finish="tools",
    usage=Used(10, 7, 4, 0, 2),
)


class Script(Struct, frozen=True):
    """An answer, who reads it, and what he should find."""

    reader: str
    answer: bytes
    claims: Claims | None = None
    refusal: Refusal | None = None
    stream: bool = False
    status: int = 200
    content_type: str = "application/json"


def whole(reader: str, body: object, claims: Claims) -> Script:
    return Script(reader, json.dumps(body).encode(), claims)


def sse(reader: str, events: list[object], claims: Claims, *, end: str = "") -> Script:
    """`event:` lines where an event has a type; both vendors that need them have it there."""
    text = ""
    for event in events:
        kind = event.get("type") if isinstance(event, dict) else None
        text += (f"event: {kind}\n" if kind else "") + f"data: {json.dumps(event)}\n\n"
    return Script(reader, (text + end).encode(), claims, stream=True, content_type="text/event-stream")


def refused(reader: str, status: int, body: object, kind: str) -> Script:
    return Script(reader, json.dumps(body).encode(), refusal=Refusal(kind, status, "No such model."), status=status)
