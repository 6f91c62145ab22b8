"""Recorded traffic of OpenAI and others in its language: all of it is read, and requests come back as they were.

The recordings are named by GATEWAY_WIRE_CORPUS, or lie beside the project; without them these tests are skipped.
"""

import gzip
import json
import os
from pathlib import Path

import msgspec
import pytest
from openai import BaseModel
from openai.types.responses import Response

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.ir import Ask, Event
from gateway.wire.losses import Losses
from gateway.wire.openai_responses.codec import CODEC
from gateway.wire.raw import read_fields, read_flag, read_model
from tests.wire.openai_responses.client import fold, whole
from tests.wire.openai_responses.talk import JSON

NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else Path(__file__).parents[4] / "shared/wire/exchanges.jsonl.gz"

# What is refused whichever way it goes on, by the field that says it: nothing is stored for callers, and whose a stored
# thing is can't be looked up.
REFUSED = ("previous_response_id", "conversation", "background", "input[", "tools[")


class Asked(msgspec.Struct):
    url: str
    body: str | None = None


class Answered(msgspec.Struct):
    status: int
    body: str = ""


class Exchange(msgspec.Struct):
    source: str
    operation: str
    stream: bool
    request: Asked
    response: Answered

    @property
    def asked(self) -> Request:
        fields = read_fields((self.request.body or "").encode())
        return Request(fields, read_model(fields), read_flag(fields, "stream"))


@pytest.fixture(scope="module")
def ours() -> list[Exchange]:
    """Every answered request for a response; what counts tokens or compacts has addresses of its own."""
    if not CORPUS.is_file():
        pytest.skip(f"no recorded traffic at {CORPUS.name}: name it in GATEWAY_WIRE_CORPUS")
    with gzip.open(CORPUS, "rb") as lines:
        recorded = [msgspec.json.decode(line, type=Exchange) for line in lines]
    return [
        one
        for one in recorded
        if one.operation == "responses"
        and one.response.status == 200
        and one.request.body
        and one.request.url.partition("?")[0].endswith("/responses")
    ]


def refusal(one: Exchange) -> BadRequest | None:
    try:
        CODEC.check(one.asked)
    except BadRequest as error:
        return error
    return None


def agreed(body: JSON) -> JSON:
    """A recorded request with the differences that are none, each reviewed: what is left must come back as it was."""
    told = {name: value for name, value in body.items() if value not in (None, "", False)}
    told["store"] = False  # nothing is stored for callers, asked for or not
    included = told.get("include")
    told["include"] = [*(included if isinstance(included, list) else [])]
    _include(told)
    items = told["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    assert isinstance(items, list)
    if items[0].get("role") == "system" and "instructions" not in told:
        told["instructions"] = items[0]["content"]  # both stand at the head, and mean the same
        items = items[1:]
    told["input"] = [_item(item) for item in items]
    tools = told.get("tools")
    if isinstance(tools, list):
        told["tools"] = [{name: value for name, value in tool.items() if value not in (None, "")} for tool in tools]
    for name in ("text", "reasoning"):
        inner = told.get(name)
        if isinstance(inner, dict):
            told[name] = {key: value for key, value in inner.items() if value not in (None, {"type": "text"})}
    return {name: value for name, value in told.items() if value not in ({}, [])}


def _include(told: JSON) -> None:
    """Models that think are always asked to seal their thoughts; those that don't are never."""
    included = told["include"]
    assert isinstance(included, list)
    sealed = "reasoning.encrypted_content"
    rest = [word for word in included if word != sealed]
    thinks = not str(told["model"]).startswith("gpt-4")
    told["include"] = [sealed, *rest] if thinks else rest
    if "message.output_text.logprobs" in rest:
        told.setdefault("top_logprobs", 0)


def _item(item: JSON) -> JSON:
    """Ids and states of items are housekeeping; so is a namespace that no tool is declared in."""
    kind = item.get("type", "message")
    if kind == "reasoning":
        summary = item["summary"]
        assert isinstance(summary, list)
        joined = "\n\n".join(part["text"] for part in summary)
        return {**item, "summary": [{"type": "summary_text", "text": joined}] if joined else []}
    if kind not in ("message", "function_call", "function_call_output"):
        return item
    plain = {name: value for name, value in item.items() if name not in ("id", "status", "namespace")}
    content = plain.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        plain["content"] = content[0]["text"]
    return plain


def test_every_request_is_read_and_comes_back_as_it_was(ours: list[Exchange]) -> None:
    for one in ours:
        refused = refusal(one)
        if refused is not None:
            assert (refused.reason, (refused.param or "").startswith(REFUSED)) == ("unsupported_feature", True)
            continue
        ask = CODEC.read_request(one.asked)
        losses = Losses()
        written = json.loads(msgspec.json.encode(CODEC.write_request(ask, ask.model, losses)))
        recorded = json.loads(one.request.body or "")
        assert written == agreed(recorded), one.source
        assert losses.names() == [], one.source


def test_every_whole_answer_is_read_as_the_official_client_reads_it(ours: list[Exchange]) -> None:
    for one in ours:
        if one.stream:
            continue
        body = one.response.body.encode()
        answer = CODEC.read_answer(body, Losses())
        losses = Losses()
        rewritten = whole(CODEC.write_answer(answer, Ask("openai_chat", "m", []), losses))
        same(taken(json.loads(one.response.body)), rewritten, one.source)
        assert losses.names() == [], one.source


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's, at items OpenAI itself told so
def test_every_stream_is_read_and_what_is_written_of_it_is_what_the_official_client_folds(
    ours: list[Exchange],
) -> None:
    for one in ours:
        if not one.stream:
            continue
        body = one.response.body.encode()
        read = read_stream(body, len(body))
        assert read == read_stream(body, 7), one.source
        losses = Losses()
        writer = CODEC.writer(Ask("openai_chat", "m", []), losses)
        written = b"".join(writer.feed(event) for event in read)
        same(taken(last(one.response.body)), fold(written), one.source)
        assert losses.names() == [], one.source


def read_stream(body: bytes, piece: int) -> list[Event]:
    framing, reader = CODEC.framing(10**7), CODEC.reader(Losses())
    out: list[Event] = []
    for at in range(0, len(body), piece):
        for name, payload, _ in framing.feed(body[at : at + piece]):
            out += reader.feed(name, payload)
    assert framing.end() == []
    assert reader.done
    return out + reader.end()


def taken(response: JSON) -> Response:
    """As the official client takes what a backend says: built without holding it to its types."""
    return Response.construct(None, **response)


def last(body: str) -> JSON:
    """The response at the end of a stream, with the items as they were when done: OpenAI seals thoughts anew there."""
    frames = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: {")]
    response: JSON = frames[-1]["response"]
    done = {frame["output_index"]: frame["item"] for frame in frames if frame["type"] == "response.output_item.done"}
    return {**response, "output": [done[at] for at in sorted(done)]}


def same(recorded: Response, written: Response, source: str) -> None:
    """What may never be lost: text, thoughts, calls, the tools that ran, usage, and the end."""
    assert written.output_text == recorded.output_text, source
    assert [item.type for item in written.output] == [item.type for item in recorded.output], source
    assert [said(item) for item in written.output] == [said(item) for item in recorded.output], source
    assert (written.usage is None) == (recorded.usage is None), source
    if written.usage is not None and recorded.usage is not None:
        assert written.usage.input_tokens == recorded.usage.input_tokens, source
        assert written.usage.output_tokens == recorded.usage.output_tokens, source
        assert written.usage.total_tokens == recorded.usage.total_tokens, source
        cached = recorded.usage.input_tokens_details.cached_tokens
        assert written.usage.input_tokens_details.cached_tokens == cached, source
        thought = recorded.usage.output_tokens_details.reasoning_tokens
        assert written.usage.output_tokens_details.reasoning_tokens == thought, source
    assert written.incomplete_details == recorded.incomplete_details, source


def said(item: BaseModel) -> object:
    """What an item says, whichever way it was told."""
    plain = json.loads(item.to_json(warnings=False))
    match plain["type"]:
        case "message":
            return [(part.get("text"), part.get("refusal"), part.get("annotations")) for part in plain["content"]]
        case "function_call":
            return plain["call_id"], plain["name"], plain["arguments"]
        case "reasoning":
            parts = plain.get("content") or plain["summary"]
            return "\n\n".join(part["text"] for part in parts), plain.get("encrypted_content")
        case _:
            return plain
