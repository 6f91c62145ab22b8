"""Recorded traffic in this language is read whole, and requests come out as they went in."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.json import Decoder

from gateway.features import Request
from gateway.wire import raw
from gateway.wire.anthropic_messages.codec import CODEC
from gateway.wire.ir import Answer, BlockClosed, BlockGrew, BlockOpened, Finished, Foreign, Text, Thinking, ToolCall
from gateway.wire.losses import Losses

NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else Path(__file__).parents[3].parent / "shared/wire/exchanges.jsonl.gz"


class Asked(Struct):
    body: str | None = None


class Answered(Struct):
    status: int
    body: str = ""


class Exchange(Struct):
    source: str
    provider: str
    operation: str
    stream: bool
    request: Asked
    response: Answered


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    if not CORPUS.exists():
        pytest.skip(f"no recorded traffic at {CORPUS}; GATEWAY_WIRE_CORPUS names it")
    decoder = Decoder(Exchange)
    with gzip.open(CORPUS, "rb") as lines:
        every = [decoder.decode(line) for line in lines]
    return [
        one
        for one in every
        if one.provider == "anthropic" and one.operation in ("messages", "count_tokens") and one.response.status == 200
    ]


def request_of(one: Exchange) -> Request:
    fields = raw.read_fields((one.request.body or "").encode())
    return Request(fields, raw.read_model(fields), raw.read_flag(fields, "stream"))


# What may differ between a request and the same one written again: each says the same in two ways.
def without_falsehoods(said: dict[str, object]) -> dict[str, object]:
    """`stream` and `is_error` are false where nothing is said."""
    return {
        name: value for name, value in said.items() if (name, value) not in (("stream", False), ("is_error", False))
    }


def without_nulls(said: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in said.items() if value is not None}


def without_empty_descriptions(said: dict[str, object]) -> dict[str, object]:
    """A tool without words has none."""
    return {name: value for name, value in said.items() if (name, value) != ("description", "")}


def with_lists(said: dict[str, object]) -> dict[str, object]:
    """Content that is a string is one block of text; an empty one is none."""
    spelled = dict(said)
    for name in ("content", "system"):
        value = said.get(name)
        if isinstance(value, str) and said.get("type") in (None, "tool_result"):
            spelled[name] = [{"type": "text", "text": value}] if value else []
    return spelled


DIFFERENCES: tuple[Callable[[dict[str, object]], dict[str, object]], ...] = (
    without_falsehoods,
    without_nulls,
    without_empty_descriptions,
    with_lists,
)


def plain(value: object) -> object:
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    for difference in DIFFERENCES:
        value = difference(value)
    return {name: plain(item) for name, item in value.items()}


def test_every_request_is_read_and_written_again_as_it_was(recorded: list[Exchange]) -> None:
    losses = Losses(strict=True)
    for one in recorded:
        request = request_of(one)
        counts = one.operation == "count_tokens"
        ask = CODEC.read_count(request) if counts else CODEC.read_request(request)
        written = (CODEC.write_count_request if counts else CODEC.write_request)(ask, ask.model, losses)
        again = json.loads(raw.write_fields(written))
        assert plain(again) == plain(json.loads(one.request.body or "")), one.source
    assert len(recorded) > 1


def test_every_request_without_stored_ids_or_an_advisor_passes_the_check(recorded: list[Exchange]) -> None:
    for one in recorded:
        body = one.request.body or ""
        if '"file_id"' in body or '"container"' in body or '"advisor_' in body:
            continue
        (CODEC.check_count if one.operation == "count_tokens" else CODEC.check)(request_of(one))


def test_every_count_is_read(recorded: list[Exchange]) -> None:
    counts = [one for one in recorded if one.operation == "count_tokens"]
    for one in counts:
        assert CODEC.read_count_answer(one.response.body.encode()) == json.loads(one.response.body)["input_tokens"]
    assert counts


def test_every_whole_answer_is_read_with_all_that_it_says(recorded: list[Exchange]) -> None:
    whole = [one for one in recorded if one.operation == "messages" and not one.stream]
    for one in whole:
        body = json.loads(one.response.body)
        answer = CODEC.read_answer(one.response.body.encode(), Losses())
        assert blocks(answer) == [told(block) for block in body["content"]], one.source
        assert (answer.id, answer.model) == (body["id"], body["model"])
        assert answer.usage is not None
        assert answer.usage.output_tokens == body["usage"]["output_tokens"]
        assert answer.finish != "other", one.source
        written = json.loads(CODEC.write_answer(answer, CODEC.read_request(request_of(one)), Losses()))
        assert [told(block) for block in written["content"]] == [told(block) for block in body["content"]]
        assert written["stop_reason"] == body["stop_reason"]
        assert {name: written["usage"][name] for name in ("input_tokens", "output_tokens")} == {
            name: body["usage"][name] for name in ("input_tokens", "output_tokens")
        }
    assert whole


def test_every_stream_is_read_as_the_whole_answer_it_tells(recorded: list[Exchange]) -> None:
    streams = [one for one in recorded if one.stream]
    for one in streams:
        answer = read_stream(one.response.body.encode())
        assert blocks(answer) == [told(block) for block in accumulated(one.response.body)], one.source
        assert answer.finish != "other"
        assert answer.usage is not None
    assert streams


def read_stream(body: bytes) -> Answer:
    """A stream as an answer, block by block."""
    framing, reader = CODEC.framing(1 << 24), CODEC.reader(Losses())
    events = [event for name, payload, _ in framing.feed(body) for event in reader.feed(name, payload)]
    events += reader.end()
    answer = Answer([])
    for event in events:
        if isinstance(event, BlockOpened):
            assert event.at == len(answer.content)
            answer.content.append(event.block)
        elif isinstance(event, BlockGrew):
            grow(answer, event)
        elif isinstance(event, Finished):
            answer.finish, answer.usage = event.finish, event.usage
    assert sum(isinstance(event, BlockClosed) for event in events) == len(answer.content)
    return answer


def grow(answer: Answer, event: BlockGrew) -> None:
    block = answer.content[event.at]
    if isinstance(block, Text):
        block.text += event.text
        block.citations += [event.citation] if event.citation is not None else []
    elif isinstance(block, Thinking):
        block.text += event.text
        block.signature += event.signature
    else:
        assert isinstance(block, ToolCall)
        block.arguments += event.text


def accumulated(body: str) -> list[dict[str, object]]:
    """The blocks a stream tells, put together as official clients do."""
    content: list[dict[str, object]] = []
    for line in body.splitlines():
        event = json.loads(line[6:]) if line.startswith("data: ") else {}
        if event.get("type") == "content_block_start":
            content.append({**event["content_block"], "_json": ""})
        elif event.get("type") == "content_block_delta":
            delta, block = event["delta"], content[event["index"]]
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] = f"{block.get(name, '')}{delta[name]}"
            block["_json"] = f"{block['_json']}{delta.get('partial_json', '')}"
            if "citation" in delta:
                cited = block.setdefault("citations", [])
                assert isinstance(cited, list)
                cited.append(delta["citation"])
    for block in content:
        text = block.pop("_json")
        if text:
            block["input"] = json.loads(str(text))
    return content


def told(block: dict[str, object]) -> object:
    """What matters of a block as it was sent."""
    match block:
        case {"type": "text"}:
            return ("text", block["text"], block.get("citations") or [])
        case {"type": "thinking"}:
            return ("thinking", block["thinking"], block["signature"])
        case {"type": "tool_use"}:
            return ("tool_use", block["id"], block["name"], block["input"])
        case _:
            return block


def blocks(answer: Answer) -> list[object]:
    """The same of an answer that was read."""
    found: list[object] = []
    for block in answer.content:
        match block:
            case Text():
                found.append(("text", block.text, [json.loads(bytes(one.raw)) for one in block.citations]))
            case Thinking():
                found.append(("thinking", block.text, block.signature))
            case ToolCall():
                found.append(("tool_use", block.id, block.name, json.loads(block.arguments)))
            case _:
                assert isinstance(block, Foreign)
                found.append(json.loads(bytes(block.raw)))
    return found
