"""Recorded traffic of hosts that speak this language is read without a word lost, and written back as it came.

The recordings are named by GATEWAY_WIRE_CORPUS, or lie beside the project; without them these tests are skipped.
"""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.errors import UpstreamError
from gateway.features import Request
from gateway.wire.ir import Ask, Block, Event, Foreign, Refusal, Text, Thinking, ToolCall
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.codec import CODEC
from gateway.wire.raw import read_fields
from tests.wire.openai_chat.saying import fold, heard

ROOT = Path(__file__).parents[3]
NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else ROOT.parent / "shared/wire/exchanges.jsonl.gz"
THEIRS = Ask("anthropic_messages", "m", [], wants_usage=True)

Json = dict[str, object]


class Asked(msgspec.Struct):
    body: str | None = None


class Answered(msgspec.Struct):
    status: int
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
    if CORPUS.is_file():
        with gzip.open(CORPUS) as lines:
            for line in lines:
                exchange = decode(line)
                if exchange.operation == "chat.completions" and exchange.response.status == 200:
                    yield exchange


def name_of(exchange: Exchange) -> str:
    return f"{exchange.provider}:{exchange.source.rpartition('/')[2]}"


EXCHANGES = list(exchanges())
WHOLE = [exchange for exchange in EXCHANGES if not exchange.stream]
STREAMED = [exchange for exchange in EXCHANGES if exchange.stream]
pytestmark = pytest.mark.skipif(
    not EXCHANGES, reason=f"No recorded traffic at {CORPUS.name}; GATEWAY_WIRE_CORPUS names another place."
)


# --- requests ---------------------------------------------------------------------------------------------------------


def known(request: Json) -> Json:
    """A request in the spelling that is written. Everything that is written otherwise than it came stands here."""
    said = {name: value for name, value in request.items() if value is not None and name != "stream_options"}
    said.setdefault("stream", False)
    if said.get("n") == 1:
        del said["n"]
    if "max_tokens" in said:
        said["max_completion_tokens"] = said.pop("max_tokens")
    if isinstance(said.get("stop"), str):
        said["stop"] = [said["stop"]]
    if said.get("response_format") == {"type": "text"}:
        del said["response_format"]
    if said.get("tools") == []:
        del said["tools"]
    if "tools" in said:
        said["tools"] = [tool(one) for one in objects(said["tools"])]
    choice = said.get("tool_choice")
    if choice == "any":
        said["tool_choice"] = "required"
    elif isinstance(choice, dict):
        said["tool_choice"] = {"type": "function", **choice}
    reasoning = said.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.keys() <= {"effort", "enabled"}:
        del said["reasoning"]
        said["reasoning_effort"] = reasoning.get("effort", "medium" if reasoning.get("enabled") else "none")
    return said | {"messages": messages(objects(said["messages"]))}


def objects(value: object) -> list[Json]:
    assert isinstance(value, list)
    return value


def tool(said: Json) -> Json:
    function = said.get("function")
    if not isinstance(function, dict):
        return said
    function = {
        name: value for name, value in function.items() if value is not None and (name, value) != ("description", "")
    }
    return {"type": "function", **said, "function": function}


def messages(said: list[Json]) -> list[Json]:
    """What stands at the head is one message."""
    heads = 0
    while heads < len(said) and said[heads]["role"] in ("system", "developer"):
        heads += 1
    parts: list[object] = []
    for head in said[:heads]:
        content = head["content"]
        parts += content if isinstance(content, list) else [{"type": "text", "text": content}]
    system = [{"role": "system", "content": plain(parts)}] if heads else []
    return [*system, *map(message, said[heads:])]


def message(said: Json) -> Json:
    nothing: tuple[tuple[str, object], ...] = (("tool_calls", []), ("reasoning_content", ""))
    known_ = {name: value for name, value in said.items() if value is not None and (name, value) not in nothing}
    content = plain(known_.pop("content", []))
    calls = [
        {name: value for name, value in call.items() if name != "index"}
        for call in objects(known_.get("tool_calls", []))
    ]
    if calls:
        known_["tool_calls"] = calls
    if "reasoning" in known_ and "reasoning_details" not in known_:
        known_["reasoning_content"] = known_.pop("reasoning")
    return known_ | {"content": content or (None if calls or "refusal" in known_ else "")}


def plain(content: object) -> object:
    """One text that nothing else is said of is a string."""
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        return content[0]["text"]
    return content


@pytest.mark.parametrize("exchange", EXCHANGES, ids=name_of)
def test_a_request_is_written_as_it_was_read(exchange: Exchange) -> None:
    body = exchange.request.body or ""
    fields = read_fields(body.encode())
    asked = json.loads(body)
    ask = CODEC.read_request(Request(fields, asked["model"], asked.get("stream") is True))
    losses = Losses()
    written = CODEC.write_request(ask, ask.model, losses)
    assert {name: json.loads(bytes(value)) for name, value in written.items()} == known(asked)
    assert losses.names() == []


# --- answers ----------------------------------------------------------------------------------------------------------


def text_of(said: Json) -> str:
    content = said.get("content") or ""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    assert isinstance(content, str)
    return content


def thought_of(said: Json) -> str:
    if isinstance(said.get("content"), list):
        parts = [part for part in objects(said["content"]) if part["type"] == "thinking"]
        return "".join(str(piece["text"]) for part in parts for piece in objects(part["thinking"]))
    thought = said.get("reasoning_content") or said.get("reasoning") or ""
    assert isinstance(thought, str)
    return thought


def calls_of(said: Json) -> list[tuple[str, str, str]]:
    calls = objects(said.get("tool_calls") or [])
    return [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls]  # type: ignore[index,misc]  # a JSON object


def told_by(blocks: list[Block]) -> tuple[str, str, str, list[tuple[str, str, str]]]:
    """The words, the thoughts, the refusal and the calls."""
    return (
        "".join(block.text for block in blocks if isinstance(block, Text)),
        "".join(block.text for block in blocks if isinstance(block, Thinking)),
        "".join(block.text for block in blocks if isinstance(block, Refusal)),
        [(block.id, block.name, block.arguments) for block in blocks if isinstance(block, ToolCall)],
    )


@pytest.mark.parametrize("exchange", WHOLE, ids=name_of)
def test_an_answer_is_read_and_written_without_a_word_lost(exchange: Exchange) -> None:
    losses = Losses()
    body = exchange.response.body.encode()
    answer = CODEC.read_answer(body, losses)
    recorded = json.loads(body)
    choice = recorded["choices"][0]
    said = choice["message"]
    assert told_by(answer.content) == (text_of(said), thought_of(said), said.get("refusal") or "", calls_of(said))
    assert (answer.id, answer.model, answer.created) == (recorded["id"], recorded["model"], recorded["created"])
    written = CODEC.write_answer(answer, THEIRS, losses)
    again = json.loads(written)
    assert again["choices"][0]["finish_reason"] == choice["finish_reason"]
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert again["usage"][count] == recorded["usage"][count]
    if not any(isinstance(block, Foreign) for block in answer.content):
        answer.service_tier = again.get("service_tier", "")  # others' words for it are no client's
        assert {name.removesuffix("=mapped") for name in losses.names()} <= {"service_tier"}
        assert CODEC.read_answer(written, losses) == answer


@pytest.mark.parametrize("exchange", STREAMED, ids=name_of)
def test_a_stream_is_read_and_written_without_a_word_lost(exchange: Exchange) -> None:
    losses = Losses()
    stream = exchange.response.body.encode()
    chunks = [json.loads(line[6:]) for line in exchange.response.body.splitlines() if line.startswith("data: {")]
    if any("error" in chunk for chunk in chunks):
        with pytest.raises(UpstreamError):
            heard(stream, losses)
        return
    events = heard(stream, losses)
    writer = CODEC.writer(THEIRS, losses)
    again = b"".join(map(writer.feed, events))
    answer = fold(events)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert told_by(answer.blocks)[:3] == (
        "".join(map(text_of, deltas)),
        "".join(map(thought_of, deltas)),
        "".join(delta.get("refusal") or "" for delta in deltas),
    )
    assert told_by(answer.blocks)[3] == calls_in(deltas)
    ends = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert ends[-1:] == [{"tools": "tool_calls"}.get(answer.finished.finish, answer.finished.finish)]
    assert answer.finished.usage is not None
    assert losses.names() == []
    copy = fold(heard(again, losses))
    assert told_by(copy.blocks) == told_by(answer.blocks)
    assert (copy.started, copy.finished) == (answer.started, answer.finished)
    assert cut_anywhere(stream) == events


def calls_in(deltas: list[Json]) -> list[tuple[str, str, str]]:
    calls: dict[object, tuple[str, str, str]] = {}
    for delta in deltas:
        for one in objects(delta.get("tool_calls") or []):
            id_, name, arguments = calls.get(one["index"], ("", "", ""))
            function = one["function"]
            assert isinstance(function, dict)
            more = function.get("arguments") or ""
            calls[one["index"]] = (id_ or str(one.get("id")), name or function["name"], arguments + more)
    return list(calls.values())


def cut_anywhere(stream: bytes) -> list[Event]:
    """The events of a stream that comes in odd pieces."""
    framing, reader = CODEC.framing(1 << 20), CODEC.reader(Losses())
    events: list[Event] = []
    frames = [frame for at in range(0, len(stream), 37) for frame in framing.feed(stream[at : at + 37])]
    for name, payload, _ in frames + framing.end():
        events += reader.feed(name, payload)
    return events + reader.end()
