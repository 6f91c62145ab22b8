"""Recorded traffic of the Gemini API and Vertex AI is read, and requests are written as they were but for spellings.

The recordings are named by GATEWAY_WIRE_CORPUS, or lie beside the project; without them these tests are skipped.
"""

import gzip
import json
import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.errors import UnsupportedFeature, UpstreamRefused
from gateway.features import Request
from gateway.wire.gemini.answer import fold
from gateway.wire.gemini.codec import CODEC
from gateway.wire.gemini.fields import camel
from gateway.wire.gemini.schema import read_schema
from gateway.wire.gemini.signature import SKIP, standard
from gateway.wire.ir import Answer, Ask, Event, Finished, Foreign, Text
from gateway.wire.losses import Losses
from gateway.wire.raw import read_fields

ROOT = Path(__file__).parents[3]
NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else ROOT.parent / "shared/wire/exchanges.jsonl.gz"
PROVIDERS = ("gemini", "vertex")
VERB = re.compile(r"/models/([^/:]+):(generateContent|streamGenerateContent|countTokens)\b")
# Where names are the caller's own.
FREE = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")

SENTENCES = (SKIP, "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv")
MADE = re.compile(r"call_\d+")
CALLER = Ask("gemini", "m", [], query="alt=sse")


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
            if exchange.provider in PROVIDERS and VERB.search(exchange.request.url):
                yield exchange


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    if not CORPUS.exists():
        pytest.skip(f"No recorded traffic at {CORPUS.name}; GATEWAY_WIRE_CORPUS names another place.")
    return list(exchanges())


def verb_of(exchange: Exchange) -> tuple[str, str]:
    found = VERB.search(exchange.request.url)
    assert found is not None
    return found[1], found[2]


def read(exchange: Exchange) -> tuple[Ask, Request]:
    model, verb = verb_of(exchange)
    fields = read_fields((exchange.request.body or "").encode())
    request = Request(fields, model, verb == "streamGenerateContent")
    return (CODEC.read_count if verb == "countTokens" else CODEC.read_request)(request), request


def spelled(value: object, name: str = "") -> object:
    """A request in one spelling, so that only what it says is compared. The reviewed differences:

    names in snake_case; null, "", {} and false, which are absent; one object for a list of one; base64 of either
    alphabet; a Schema of OpenAPI for one of JSON; the role of an instruction, which says nothing, and `user` where
    none is said; ["TEXT"], which answers are anyway; sentences that stand for a signature there isn't; neighbouring
    turns of one speaker, which are one; the signature of a text, which comes behind it, as in streams; ids made for
    calls that have none.
    """
    if isinstance(value, list):
        return [spelled(item, name) for item in value]
    if not isinstance(value, dict):
        return standard(value) if name in ("thoughtSignature", "data") and isinstance(value, str) else value
    said: dict[str, object] = {}
    for key, inner in value.items():
        known = camel(key)
        if known in FREE:
            said[known] = inner
        elif (
            inner not in (None, "", {}, False) or known == "text" or known.endswith(("Search", "Execution", "Context"))
        ):
            said[known] = spelled(inner, known)
    return respelled(said, name)


def respelled(said: dict[str, object], name: str) -> dict[str, object]:
    if name == "systemInstruction":
        said.pop("role", None)
    if name == "generationConfig" and said.get("responseModalities") == ["TEXT"]:
        del said["responseModalities"]
    for openapi, schema in (("parameters", "parametersJsonSchema"), ("responseSchema", "responseJsonSchema")):
        if openapi in said:
            said[schema] = json.loads(bytes(read_schema(msgspec.Raw(json.dumps(said.pop(openapi)).encode()), "")))
    if name == "functionDeclarations":
        said.setdefault("parametersJsonSchema", None)
    for several in ("tools", "contents"):
        if isinstance(said.get(several), dict):
            said[several] = [said[several]]
    turns = said.get("contents")
    if isinstance(turns, list):
        said["contents"] = [
            {"role": role, "parts": [piece for turn in same for part in turn["parts"] for piece in apart(part)]}
            for role, same in groupby(turns, key=lambda turn: turn.get("role", "user"))
        ]
    if said.get("thoughtSignature") in SENTENCES:
        del said["thoughtSignature"]
    if MADE.fullmatch(str(said.get("id", ""))):
        del said["id"]
    return said


def apart(part: dict[str, object]) -> list[dict[str, object]]:
    if not part.get("text") or "thought" in part or "thoughtSignature" not in part:
        return [part]
    return [{"text": part["text"]}, {"text": "", "thoughtSignature": part["thoughtSignature"]}]


def settled(said: object) -> object:
    """Empty objects left by what was taken out of them are absent, too."""
    assert isinstance(said, dict)
    return {name: value for name, value in said.items() if value != {}}


def test_every_request_is_written_as_it_was_read(recorded: list[Exchange]) -> None:
    compared = 0
    for exchange in recorded:
        ask, _ = read(exchange)
        losses = Losses()
        written = msgspec.json.encode(CODEC.write_request(ask, ask.model, losses))
        was = settled(spelled(json.loads(exchange.request.body or "")))
        assert settled(spelled(json.loads(written))) == was, exchange.source
        assert set(losses.noted) <= {"thinking.signature"}, exchange.source
        compared += 1
    assert compared > 100


def test_only_what_is_stored_is_refused(recorded: list[Exchange]) -> None:
    for exchange in recorded:
        _, request = read(exchange)
        body = exchange.request.body or ""
        try:
            CODEC.check(request)
        except UnsupportedFeature:
            assert "cachedContent" in body or "fileSearch" in body or "/files/" in body or "gs://" in body, (
                exchange.source
            )
        else:
            assert "cachedContent" not in body, exchange.source


def written(answer: Answer) -> Answer:
    """An answer, written and read again."""
    return CODEC.read_answer(CODEC.write_answer(answer, CALLER, Losses()), Losses())


def streamed_again(events: list[Event]) -> Answer:
    writer, framing, reader = CODEC.writer(CALLER, Losses()), CODEC.framing(2**20), CODEC.reader(Losses())
    frames = framing.feed(b"".join(writer.feed(event) for event in events))
    return fold([event for name, payload, _ in frames for event in reader.feed(name, payload)] + reader.end())


def told(answer: Answer) -> object:
    """What an answer says; of where its words come from, the source and the place."""
    blocks: list[object] = []
    for block in answer.content:
        said: object = block
        if isinstance(block, Text):
            size = len(block.text)
            said = (
                block.text,
                [
                    (one.url, one.title, one.quote, max(one.start, 0), size if one.end < 0 else one.end)
                    for one in block.citations
                ],
            )
        elif isinstance(block, Foreign):
            said = block.kind, json.loads(bytes(block.raw))
        blocks.append(said)
    return blocks, replace(answer, content=[])


def test_every_answer_is_read_and_written_as_it_was_read(recorded: list[Exchange]) -> None:
    whole = streamed = 0
    for exchange in recorded:
        body = exchange.response.body.encode()
        if exchange.response.status != 200:
            error = CODEC.read_error(exchange.response.status, {}, body)
            assert isinstance(error, UpstreamRefused), exchange.source
            assert error.answer_status == exchange.response.status
        elif verb_of(exchange)[1] == "countTokens":
            assert CODEC.read_count_answer(body) == json.loads(body)["totalTokens"]
        elif exchange.stream:
            framing, reader = CODEC.framing(2**20), CODEC.reader(Losses())
            frames = [*framing.feed(body), *framing.end()]
            events = [event for name, payload, _ in frames for event in reader.feed(name, payload)] + reader.end()
            assert isinstance(events[-1], Finished)
            assert events[-1].usage is not None, exchange.source
            assert told(streamed_again(events)) == told(fold(events)), exchange.source
            streamed += 1
        else:
            answer = CODEC.read_answer(body, Losses())
            assert answer.usage is not None, exchange.source
            assert answer.id or "responseId" not in json.loads(body)
            assert told(written(answer)) == told(answer), exchange.source
            whole += 1
    assert whole > 100
    assert streamed > 5
