"""Recorded traffic with Converse is read whole, and requests come out as they went in.

The recordings are named by GATEWAY_WIRE_CORPUS, or lie beside the project; without them these tests are skipped.
"""

import gzip
import json
import os
from binascii import a2b_base64
from pathlib import Path
from urllib.parse import unquote

import pytest
from msgspec import Struct
from msgspec.json import Decoder, encode

from gateway.errors import BadRequest, UpstreamRefused
from gateway.features import Request, Usage
from gateway.wire import raw
from gateway.wire.bedrock_converse.codec import CODEC
from gateway.wire.ir import (
    Answer,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finished,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from tests.wire.bedrock_converse.said import MOST, Json, ask, frames

NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else Path(__file__).parents[3].parent / "shared/wire/exchanges.jsonl.gz"


class Asked(Struct):
    url: str
    body: str = ""


class Answered(Struct):
    status: int
    body: str = ""
    body_b64: str = ""


class Exchange(Struct):
    source: str
    provider: str
    operation: str
    stream: bool
    request: Asked
    response: Answered

    @property
    def model(self) -> str:
        return unquote(self.request.url.partition("/model/")[2].partition("/")[0])

    @property
    def asked(self) -> Request:
        return Request(raw.read_fields(self.request.body.encode()), self.model, self.stream)

    @property
    def stream_bytes(self) -> bytes:
        return a2b_base64(self.response.body_b64)


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    if not CORPUS.exists():
        pytest.skip(f"no recorded traffic at {CORPUS}; GATEWAY_WIRE_CORPUS names it")
    decoder = Decoder(Exchange)
    with gzip.open(CORPUS, "rb") as lines:
        every = [decoder.decode(line) for line in lines]
    return [one for one in every if one.provider == "bedrock" and one.operation == "converse"]


# What may differ between a request and the same one written again: each says the same in two ways.
def normal(said: Json) -> Json:
    """Without empty lists and objects at the top, nulls, and a status of success, which is what saying none means."""
    return {name: deeper(value) for name, value in said.items() if value not in ([], {}, None)}


def deeper(said: Json) -> Json:
    """JSON that a tool gave is the text of it."""
    if isinstance(said, list):
        return [deeper(value) for value in said]
    if isinstance(said, dict):
        if said.keys() == {"text"}:
            return meant(said["text"])
        return {
            name: deeper(value)
            for name, value in said.items()
            if value is not None and (name, value) != ("status", "success")
        }
    return said


def meant(text: Json) -> Json:
    try:
        return {"json": json.loads(text)}
    except (TypeError, ValueError):
        return {"text": text}


def folded(events: list[Event]) -> Answer:
    """A stream's events as a whole answer."""
    content: dict[int, Block] = {}
    for event in events:
        if isinstance(event, BlockOpened):
            content[event.at] = event.block
        elif isinstance(event, BlockGrew):
            block = content[event.at]
            if isinstance(block, ToolCall):
                block.arguments += event.text
            elif isinstance(block, Text | Thinking):
                block.text += event.text
            if isinstance(block, Thinking):
                block.signature += event.signature
        elif isinstance(event, BlockClosed):
            assert event.at in content
    last = events[-1]
    assert isinstance(last, Finished)
    return Answer(list(content.values()), last.finish, usage=last.usage)


def used(said: Json) -> Usage:
    """What Amazon's counts say, read as plainly as can be."""
    read, kept = said.get("cacheReadInputTokens", 0), said.get("cacheWriteInputTokens", 0)
    return Usage(said["inputTokens"] + read + kept, said["outputTokens"], read, kept)


def some(seen: int) -> None:
    """Another corpus may hold none of a kind."""
    if not seen:
        pytest.skip(f"no such exchange in {CORPUS}")


def test_every_request_is_written_as_it_was_read(recorded: list[Exchange]) -> None:
    seen = 0
    for one in recorded:
        if "s3Location" in (one.request.body or ""):
            with pytest.raises(BadRequest, match="bucket"):
                CODEC.check(one.asked)
        else:
            CODEC.check(one.asked)
        losses = Losses()
        written = encode(CODEC.write_request(CODEC.read_request(one.asked), one.model, losses))
        assert normal(json.loads(written)) == normal(json.loads(one.request.body)), one.source
        assert losses.names() == [], one.source
        seen += 1
    some(seen)


def test_every_whole_answer_is_read_with_all_it_says(recorded: list[Exchange]) -> None:
    seen = 0
    for one in recorded:
        if one.stream or one.response.status != 200:
            continue
        losses = Losses()
        answer = CODEC.read_answer(one.response.body.encode(), losses)
        said = json.loads(one.response.body)
        assert set(losses.names()) <= {"trace"}, one.source
        assert answer.usage == used(said["usage"]), one.source
        again = json.loads(CODEC.write_answer(answer, ask(), losses))
        blocks = said["output"]["message"]["content"]
        for block in blocks:
            block.get("toolUse", {}).pop("type", None)  # "tool_use", which says nothing
        assert again["output"]["message"]["content"] == blocks, one.source
        if said["stopReason"] != "guardrail_intervened":
            assert again["stopReason"] == said["stopReason"], one.source
        seen += 1
    some(seen)


def test_every_stream_is_read_however_it_is_cut_and_written_again(recorded: list[Exchange]) -> None:
    seen = 0
    for one in recorded:
        if not one.stream or one.response.status != 200:
            continue
        results = []
        for size in (len(one.stream_bytes), 997, 7):
            framing, reader = CODEC.framing(MOST), CODEC.reader(Losses())
            events: list[Event] = []
            for at in range(0, len(one.stream_bytes), size):
                for name, payload, _ in framing.feed(one.stream_bytes[at : at + size]):
                    events += reader.feed(name, payload)
            assert reader.done, one.source
            results.append(events + reader.end())
        assert results[0] == results[1] == results[2], one.source
        writer = CODEC.writer(ask(), Losses())
        again = b"".join(map(writer.feed, results[0]))
        assert spoken(again) == spoken(one.stream_bytes), one.source
        assert used(frames(one.stream_bytes)[-1][1]["usage"]) == folded(results[0]).usage, one.source
        seen += 1
    some(seen)


def spoken(stream: bytes) -> list[Json]:
    """What a stream says, in order: without padding, counts, and blocks that say nothing, which need no index."""
    said: list[Json] = []
    for name, payload in frames(stream):
        if name == "contentBlockDelta" and payload["delta"] != {"text": ""}:
            said.append(payload["delta"])
        elif name in ("contentBlockStart", "messageStop"):
            said.append(payload.get("start") or payload["stopReason"])
    return said


def test_every_refusal_keeps_its_meaning(recorded: list[Exchange]) -> None:
    seen = 0
    for one in recorded:
        if one.response.status != 400:
            continue
        refused = CODEC.read_error(400, {}, one.response.body.encode())
        assert isinstance(refused, UpstreamRefused), one.source
        assert json.loads(CODEC.write_error(refused, "req_7")) == json.loads(one.response.body), one.source
        seen += 1
    some(seen)
