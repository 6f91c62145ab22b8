"""Requests, answers and streams of this language, short to say in tests."""

import json
from collections.abc import Iterable

from msgspec import Raw, Struct, structs

from gateway.features import Request
from gateway.wire.ir import (
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
    Turn,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.codec import CODEC
from gateway.wire.raw import read_fields

HELLO = [{"role": "user", "content": "hi"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def raw(value: object) -> Raw:
    return Raw(json.dumps(value, separators=(",", ":")).encode())


def request(messages: object = None, /, **fields: object) -> Request:
    body = {"model": "m", "messages": HELLO if messages is None else messages, **fields}
    options = fields.get("stream_options")
    wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    return Request(read_fields(bytes(raw(body))), "m", fields.get("stream") is True, wants_usage)


def read(messages: object = None, /, **fields: object) -> Ask:
    return CODEC.read_request(request(messages, **fields))


def turns(*messages: object) -> list[Turn]:
    return read(list(messages)).messages


def foreign_ask(*messages: Turn) -> Ask:
    """A request of another language."""
    return Ask("anthropic_messages", "m", list(messages))


def written(ask: Ask, losses: Losses | None = None) -> dict[str, object]:
    fields = CODEC.write_request(ask, "theirs", losses or Losses())
    said: dict[str, object] = {name: json.loads(bytes(value)) for name, value in fields.items()}
    return said


def again(messages: object = None, /, **fields: object) -> dict[str, object]:
    """What a request is once it was read and written."""
    return written(read(messages, **fields))


def said_of(*blocks: Block, losses: Losses | None = None) -> list[dict[str, object]]:
    """The messages of another's turn of the user."""
    messages = written(foreign_ask(Turn("user", list(blocks))), losses)["messages"]
    assert isinstance(messages, list)
    return messages


class Told(Struct):
    """A streamed answer, put together."""

    started: Started
    blocks: list[Block]
    finished: Finished
    logprobs: list[Raw]


def fold(events: Iterable[Event]) -> Told:
    """Events to an answer, holding them to the law of their order."""
    first, *rest = events
    assert isinstance(first, Started)
    told = Told(first, [], Finished("other"), [])
    open_: set[int] = set()
    for at, event in enumerate(rest):
        if isinstance(event, BlockOpened):
            assert event.at == len(told.blocks)
            open_.add(event.at)
            told.blocks.append(structs.replace(event.block))
        elif isinstance(event, BlockGrew):
            assert event.at in open_
            _grow(told, event)
        elif isinstance(event, BlockClosed):
            open_.remove(event.at)
        else:
            assert isinstance(event, Finished)
            assert at == len(rest) - 1
            told.finished = event
    assert not open_
    return told


def _grow(told: Told, event: BlockGrew) -> None:
    block = told.blocks[event.at]
    if isinstance(block, ToolCall):
        block.arguments += event.text
        block.signature += event.signature
    elif isinstance(block, Text | Thinking | Refusal):
        block.text += event.text
        if isinstance(block, Thinking):
            block.signature += event.signature
        if isinstance(block, Text) and event.citation is not None:
            block.citations = [*block.citations, event.citation]
    if event.logprobs is not None:
        told.logprobs.append(event.logprobs)


def heard(stream: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    framing, reader = CODEC.framing(1 << 20), CODEC.reader(losses or Losses())
    events: list[Event] = []
    for name, payload, _ in framing.feed(stream) + framing.end():
        events += reader.feed(name, payload)
    return events + reader.end()


def chunk(delta: object = None, finish: str | None = None, /, **fields: object) -> bytes:
    """One frame of a stream. `choice` are further fields of the choice."""
    choice = fields.pop("choice", {})
    assert isinstance(choice, dict)
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish, **choice}]
    return frame({"id": "chat-1", "created": 7, "model": "m-1", "choices": choices, **fields})


def frame(value: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def told(*deltas: object) -> Told:
    """The answer that these deltas make, ended as it should be."""
    return fold(heard(b"".join(map(chunk, deltas)) + chunk({}, "stop") + b"data: [DONE]\n\n"))
