"""Requests and answers of this language as tests want them: short."""

import json

from msgspec import Raw
from msgspec.json import encode

from gateway.features import Request
from gateway.wire.ir import Ask, Event
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.outbound import write_request
from gateway.wire.openai_responses.request import read_request
from gateway.wire.openai_responses.stream import Reader

NAME = "openai_responses"
JSON = dict[str, object]


def raw(value: object) -> Raw:
    return Raw(encode(value))


def request(**fields: object) -> Request:
    return Request({name: raw(value) for name, value in fields.items()}, "m", stream=fields.get("stream") is True)


def read(**fields: object) -> Ask:
    return read_request(request(**{"input": "hi", **fields}))


def write(ask: Ask, model: str = "m", losses: Losses | None = None) -> JSON:
    """A request as a backend gets it."""
    fields = write_request(ask, model, losses or Losses())
    return {name: json.loads(bytes(value)) for name, value in fields.items()}


def again(**fields: object) -> JSON:
    """A request read, and written as it was read."""
    return write(read(**fields))


def frame(kind: str, **fields: object) -> bytes:
    """An event's payload."""
    return json.dumps({"type": kind, **fields}).encode()


def stream(*payloads: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = Reader(losses or Losses())
    events = [event for payload in payloads for event in reader.feed("", payload)]
    return events + reader.end()


def told(events: bytes) -> list[JSON]:
    """The events of a written stream; their names are their types."""
    found: list[JSON] = []
    for block in events.decode().split("\n\n")[:-1]:
        name, _, data = block.partition("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found
