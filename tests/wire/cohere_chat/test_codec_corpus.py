"""Recorded traffic of Cohere's chat is read, and its requests are written as they were.

The recordings are named by GATEWAY_WIRE_CORPUS, or lie beside the project; without them these tests are skipped.
"""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.features import Request
from gateway.wire import raw
from gateway.wire.cohere_chat.codec import CODEC
from gateway.wire.ir import Finished
from gateway.wire.losses import Losses

ROOT = Path(__file__).parents[3]
NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else ROOT.parent / "shared/wire/exchanges.jsonl.gz"
# What may be written otherwise than it came, and why it means the same.
SAME = {
    "null": "a field that is null says as much as one that isn't there",
    "stream": "it is false where nothing is said",
    "text": "a content that is one text part says as much as the text",
    "format": "text is the form of an answer for which none is asked",
    "schema": "`json_schema` was `schema` when version 2 began",
}


class Asked(msgspec.Struct):
    url: str
    body: str | None = None


class Answered(msgspec.Struct):
    status: int
    content_type: str
    body: str = ""


class Exchange(msgspec.Struct):
    source: str
    provider: str
    operation: str
    stream: bool
    request: Asked
    response: Answered


def exchanges() -> Iterator[Exchange]:
    decode = msgspec.json.Decoder(Exchange).decode
    with gzip.open(CORPUS) as lines:
        for line in lines:
            exchange = decode(line)
            if exchange.request.url.partition("?")[0].endswith("/v2/chat") and exchange.response.status == 200:
                yield exchange


pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no recordings at {CORPUS.name}")


def plain(value: object) -> object:
    """A request as far as it means something; see SAME."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    said = {name: plain(inner) for name, inner in value.items() if inner is not None}
    content = said.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0].get("type") == "text":
        said["content"] = content[0]["text"]
    if "messages" in said:
        said.setdefault("stream", False)
    if said.get("response_format") == {"type": "text"}:
        del said["response_format"]
    if said.get("type") == "json_object" and "schema" in said:
        said["json_schema"] = said.pop("schema")
    return said


def test_requests_are_written_as_they_were() -> None:
    for exchange in exchanges():
        body = (exchange.request.body or "").encode()
        fields = raw.read_fields(body)
        request = Request(fields, raw.read_model(fields), raw.read_flag(fields, "stream"))
        CODEC.check(request)
        losses = Losses()
        written = raw.write_fields(CODEC.write_request(CODEC.read_request(request), request.model, losses))
        assert plain(msgspec.json.decode(written)) == plain(msgspec.json.decode(body)), exchange.source
        assert losses.names() == [], exchange.source


def test_answers_are_read() -> None:
    for exchange in exchanges():
        body = exchange.response.body.encode()
        losses = Losses()
        if exchange.stream:
            framing, reader = CODEC.framing(1_000_000), CODEC.reader(losses)
            events = [event for name, payload, _ in framing.feed(body) for event in reader.feed(name, payload)]
            events += [event for name, payload, _ in framing.end() for event in reader.feed(name, payload)]
            finished = [*events, *reader.end()][-1]
            assert isinstance(finished, Finished), exchange.source
            assert finished.usage is not None, exchange.source
        else:
            answer = CODEC.read_answer(body, losses)
            assert answer.content, exchange.source
            assert answer.usage is not None, exchange.source
