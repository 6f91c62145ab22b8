"""Converse's language in tests: values in, values out, and what was lost between."""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw
from msgspec.json import decode, encode

from gateway.features import Request
from gateway.wire import raw
from gateway.wire.bedrock_converse.codec import CODEC
from gateway.wire.bedrock_converse.reading import read_block
from gateway.wire.bedrock_converse.stream import ConverseReader
from gateway.wire.eventstream import Messages
from gateway.wire.ir import Answer, Ask, Block, Event, Turn
from gateway.wire.losses import Losses

NAME = "bedrock_converse"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NEW_CLAUDE = "global.anthropic.claude-opus-4-6-v1"
NOVA = "us.amazon.nova-2-lite-v1:0"
MOST = 1024 * 1024
# "Any" is what JSON is to a test that looks into it.
Json = Any


def js(value: object) -> Raw:
    return Raw(encode(value))


def request(body: object, model: str = CLAUDE, *, stream: bool = False) -> Request:
    return Request(raw.read_fields(encode(body)), model, stream)


def read(body: object, model: str = CLAUDE) -> Ask:
    return CODEC.read_request(request(body, model))


def write(ask: Ask, model: str = CLAUDE) -> tuple[Json, list[str]]:
    """The request, and the names of what it lost."""
    losses = Losses()
    fields = CODEC.write_request(ask, model, losses)
    return decode(encode(fields)), losses.names()


def ask(*content: Block, origin: str = "openai_chat", **more: Json) -> Ask:
    """A question with these blocks in its one turn."""
    return Ask(origin, "m", [Turn("user", list(content))], **more)


def user(*content: object) -> dict[str, object]:
    return {"role": "user", "content": list(content)}


def model(*content: object) -> dict[str, object]:
    return {"role": "assistant", "content": list(content)}


def text(words: str = "hi") -> dict[str, object]:
    return {"text": words}


def blocks_of(*content: object, asked: bool = True) -> list[Block]:
    """What these blocks are to us."""
    out: list[Block] = []
    for one in content:
        read_block(out, decode(encode(one), type=dict[str, Raw]), asked=asked)
    return out


def answer(body: object) -> tuple[Answer, list[str]]:
    losses = Losses()
    return CODEC.read_answer(encode(body), losses), losses.names()


def written(given: Answer) -> tuple[Json, list[str]]:
    losses = Losses()
    return decode(CODEC.write_answer(given, ask(), losses)), losses.names()


def frames(data: bytes) -> list[tuple[str, Json]]:
    """The messages of a stream, by name and parsed payload."""
    framing = Messages(MOST)
    found = framing.feed(data) + framing.end()
    return [(name, decode(payload)) for name, payload, _ in found]


def streamed(*events: tuple[str, object]) -> tuple[list[Event], list[str]]:
    """What a reader makes of these messages and their end."""
    losses = Losses()
    reader = ConverseReader(losses)
    out = [event for name, payload in events for event in reader.feed(name, encode(payload))]
    return out + reader.end(), losses.names()


def spoken(events: Iterable[Event]) -> tuple[list[tuple[str, Json]], list[str]]:
    """The messages a writer makes of these events."""
    losses = Losses()
    writer = CODEC.writer(ask(), losses)
    return frames(b"".join(map(writer.feed, events))), losses.names()
