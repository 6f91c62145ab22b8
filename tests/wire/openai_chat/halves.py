"""A chat in two halves: what was heard of the first, what comes of the second."""

from msgspec.json import decode, encode

from gateway.features import Request
from gateway.wire import StreamMeter, load
from gateway.wire.openai_chat.joined import Rest
from gateway.wire.openai_chat.passthrough import WIRE
from gateway.wire.openai_chat.resume import Heard
from gateway.wire.resuming import Prefill
from tests.wire.chunks import ROLE, event, says

HI = [{"role": "user", "content": "hi"}]
OTHER = {"id": "other", "object": "chat.completion.chunk", "created": 7, "model": "m-2"}


def asks(**fields: object) -> Request:
    return WIRE.read_request(encode({"model": "m", "messages": HI, "stream": True, **fields}))


def heard(*events: bytes) -> Heard:
    ears = Heard()
    for one in events:
        ears.heard(one)
    return ears


def rest(*texts: str, prefill: Prefill = "appended", asked: Request | None = None, **fields: object) -> Rest:
    """The rest of an answer of which these events were heard."""
    found = heard(ROLE, *map(says, texts)).rest(asked or asks(**fields), prefill)
    assert found is not None
    return found


def told(found: Rest, name: str) -> object:
    return decode(found.request.fields[name])


def other(delta: object = None, finish: object = None, **more: object) -> bytes:
    """An event of the second half."""
    return event({**OTHER, "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more})


def goes(text: str) -> bytes:
    return other({"content": text})


OTHER_ROLE = other({"role": "assistant", "content": ""})
STOP = other(finish="stop")
LENGTH = other(finish="length")


def used(prompt: int, completion: int) -> bytes:
    return event({**OTHER, "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})


def joined(found: Rest, *events: bytes) -> tuple[bytes, StreamMeter]:
    """What the caller gets of these events of the second half."""
    meter = found.meter(load("openai_chat").meter(found.request, 100_000))
    out = b""
    for one in events:
        out += meter.feed(one)
        if meter.done or meter.error is not None:
            break
    return out + meter.finish_up(), meter


def text_of(out: bytes) -> str:
    parts = [decode(one[6:]) for one in out.split(b"\n\n") if one[:7] == b"data: {"]
    return "".join(choice["delta"].get("content", "") for part in parts for choice in part["choices"])
