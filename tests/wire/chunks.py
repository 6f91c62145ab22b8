"""Chat chunks as hosts send them, and what a meter makes of them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.json import encode

from gateway.features import Usage
from gateway.wire.openai_meter import OpenAIMeter

DONE = b"data: [DONE]\n\n"
MOST = 1024 * 1024
HEAD: Mapping[str, object] = {
    "id": "chatcmpl-7",
    "object": "chat.completion.chunk",
    "created": 1760000000,
    "model": "m-1",
}


def event(value: object) -> bytes:
    return b"data: " + encode(value) + b"\n\n"


def chunk(
    delta: object = None,
    *,
    finish: object = None,
    index: object = 0,
    **more: object,
) -> bytes:
    """One chunk with one choice; `more` are fields beside `choices`."""
    return event({**HEAD, "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **more})


def says(text: str, **more: object) -> bytes:
    return chunk({"content": text}, **more)


def usage_chunk(prompt: object = 5, completion: object = 3, **more: object) -> bytes:
    """The extra chunk that `include_usage` asks for."""
    return event({**HEAD, "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}, **more})


ROLE = chunk({"role": "assistant", "content": ""})
HELLO = says("Hello")
STOP = chunk(finish="stop")


class Watched(NamedTuple):
    """What a caller got, and what is known of the answer."""

    out: bytes
    committed: bool
    done: bool
    error: str
    usage: Usage | None
    finish: str
    pieces: int


def meter(*, strip_usage: bool = True, event_bytes: int = MOST, kind: str = "chat.completion.chunk") -> OpenAIMeter:
    return OpenAIMeter(strip_usage=strip_usage, event_bytes=event_bytes, kind=kind)


def watch(pieces: Iterable[bytes], watcher: OpenAIMeter | None = None) -> Watched:
    """Feed the pieces as the relay does: nothing after an end or an error, then the upstream's end."""
    watcher = watcher or meter()
    out = b""
    for piece in pieces:
        out += watcher.feed(piece)
        if watcher.error is not None or watcher.done:
            break
    out += watcher.finish_up()
    return facts(watcher, out)


def facts(watcher: OpenAIMeter, out: bytes) -> Watched:
    return Watched(
        out=out,
        committed=watcher.committed,
        done=watcher.done,
        error=watcher.error.reason if watcher.error is not None else "",
        usage=watcher.usage,
        finish=watcher.finish,
        pieces=watcher.pieces,
    )
