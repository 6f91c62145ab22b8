"""Recorded traffic of real hosts that speak OpenAI's language crosses as it was, and is understood.

The recordings are named by GATEWAY_WIRE_CORPUS, or lie beside the project; without them these tests are skipped.
"""

import gzip
import json
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import yaml
from msgspec import Raw

from gateway.errors import BadRequest, UpstreamRefused
from gateway.features import Request, Usage
from gateway.wire import Wire, load
from gateway.wire.dialect import Dialect
from gateway.wire.masking import mask
from gateway.wire.openai_error import read_words
from gateway.wire.openai_meter import OpenAIMeter

ASKED = Request({}, "m")

ROOT = Path(__file__).parents[2]
NAMED = os.environ.get("GATEWAY_WIRE_CORPUS")  # noqa: TID251  (where recordings are is no setting of the gateway)
CORPUS = Path(NAMED) if NAMED else ROOT.parent / "shared/wire/exchanges.jsonl.gz"
CHAT = "chat.completions"
EMBEDDINGS = "embeddings"
DONE = "data: [DONE]"
MODEL = Raw(b'"another-model"')
GAP = re.compile(r"[\s,:]*")


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

    @property
    def asked(self) -> bytes:
        return (self.request.body or "").encode()

    @property
    def wire(self) -> Wire:
        return load("openai_chat" if self.operation == CHAT else "openai_embeddings")


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    """Every exchange of the corpus."""
    if not CORPUS.is_file():
        pytest.skip(f"no recorded traffic at {CORPUS.name}: name it in GATEWAY_WIRE_CORPUS")
    with gzip.open(CORPUS, "rb") as lines:
        return [msgspec.json.decode(line, type=Exchange) for line in lines]


@pytest.fixture(scope="module")
def ours(recorded: list[Exchange]) -> list[Exchange]:
    """Those in OpenAI's language; Cohere's own embeddings are not."""
    return [
        one
        for one in recorded
        if one.operation == CHAT or (one.operation == EMBEDDINGS and '"input"' in (one.request.body or ""))
    ]


def slices(text: str) -> dict[str, str]:
    """The fields of a JSON object as they are written, found by the standard library's reader."""
    decoder = json.JSONDecoder()

    def past_gap(at: int) -> int:
        gap = GAP.match(text, at)
        assert gap is not None
        return gap.end()

    found = {}
    at = past_gap(text.index("{") + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        start = past_gap(at)
        _, end = decoder.raw_decode(text, start)
        found[name] = text[start:end]
        at = past_gap(end)
    return found


def dialects() -> dict[str, Dialect]:
    rows = yaml.load((ROOT / "config/providers.yaml").read_text(), Loader=yaml.CSafeLoader)
    return {
        name: Dialect(
            drop=tuple(row["dialect"].get("drop", ())),
            rename=row["dialect"].get("rename", {}),
            set={field: json.dumps(value) for field, value in row["dialect"].get("set", {}).items()},
            cap=row["dialect"].get("cap", {}),
        )
        for name, row in rows.items()
        if "dialect" in row
    }


def spent(body: dict[str, object]) -> Usage | None:
    """What a body says was used, read as plainly as can be."""
    groq = body.get("x_groq")
    usage = body.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
    if not isinstance(usage, dict):
        return None
    inside = usage.get("prompt_tokens_details") or {}
    outside = usage.get("completion_tokens_details") or {}
    named = [usage.get(name) for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")]
    cached = inside.get("cached_tokens")
    cached = cached if cached is not None else next(filter(None, named), 0)
    total = usage["prompt_tokens" if "prompt_tokens" in usage else "total_tokens"]
    return Usage(
        input_tokens=total,
        output_tokens=usage.get("completion_tokens", 0),
        cached_tokens=cached,
        # One host tells the same tokens as read and as written.
        cache_written_tokens=min(inside.get("cache_write_tokens") or 0, total - cached),
        reasoning_tokens=outside.get("reasoning_tokens") or 0,
    )


def pieces(stream: bytes) -> Iterator[list[bytes]]:
    """The stream whole, an event at a time, a byte at a time, and in odd lengths."""
    yield [stream]
    yield [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    for length in (1, 7, 101, 1448):
        ends = [*range(0, len(stream), length), len(stream)]
        yield [stream[start:end] for start, end in pairwise(ends)]


def names_stored(one: Exchange) -> bool:
    """Whether a request names a file that is stored with the provider, which no caller of ours may."""
    return '"file_id"' in (one.request.body or "")


def test_every_request_is_read_and_only_its_model_changes(ours: list[Exchange]) -> None:
    seen = 0
    for one in ours:
        if names_stored(one):
            with pytest.raises(BadRequest, match="Stored files"):
                one.wire.read_request(one.asked)
            continue
        given = slices(one.request.body or "")
        request = one.wire.read_request(one.asked)
        assert request.model == json.loads(given["model"]), one.source
        assert request.stream is (given.get("stream") == "true"), one.source
        out, changed = one.wire.write_request(request, MODEL, Dialect(), ask_usage=True)
        left = slices(out.decode())
        if request.stream and not request.wants_usage:
            assert json.loads(left.pop("stream_options"))["include_usage"] is True
            given.pop("stream_options", None)
        assert left == {**given, "model": '"another-model"'}, one.source
        assert list(left) == list(given)
        assert changed == []
        seen += 1
    assert seen


def test_whatever_a_hosts_dialect_changes_is_declared(ours: list[Exchange]) -> None:
    known = dialects()
    edited = 0
    for one in ours:
        if names_stored(one):
            continue
        dialect = known.get(one.provider, Dialect())
        request = one.wire.read_request(one.asked)
        out, changed = one.wire.write_request(request, MODEL, dialect, ask_usage=False)
        left = slices(out.decode())
        for name, text in slices(one.request.body or "").items():
            assert name in changed or name == "model" or left[name] == text, f"{one.source}: {name}"
        edited += bool(changed)
    assert edited < len(ours)


def test_every_whole_answer_is_complete_and_its_usage_is_what_it_says(ours: list[Exchange]) -> None:
    seen = 0
    for one in ours:
        if one.stream or one.response.status != 200:
            continue
        body = json.loads(one.response.body)
        whole = one.wire.read_whole(ASKED, one.response.content_type, one.response.body.encode())
        assert whole.usage == spent(body), one.source
        ends = [choice["finish_reason"] for choice in body.get("choices", [])]
        assert whole.finish == (ends[-1] if ends else ""), one.source
        seen += 1
    assert seen


def test_every_stream_passes_as_it_was_however_it_is_cut(ours: list[Exchange]) -> None:
    seen = broken = 0
    for one in ours:
        if not one.stream:
            continue
        one.wire.check_stream(one.response.content_type)
        request = one.wire.read_request(one.asked)
        expected = Expected(one.response.body, request)
        for cut in pieces(one.response.body.encode()):
            meter = one.wire.meter(request, 1024 * 1024)
            assert isinstance(meter, OpenAIMeter)
            out = b"".join(map(meter.feed, cut)) + meter.finish_up()
            assert out.decode() == expected.out, one.source
            assert meter.committed, one.source
            assert meter.done is not expected.broken, one.source
            assert meter.usage == expected.usage, one.source
            assert meter.finish == expected.finish, one.source
        seen += 1
        broken += expected.broken
    assert seen > broken


class Expected:
    """What a caller should get of a recorded stream, read as plainly as can be."""

    def __init__(self, body: str, request: Request) -> None:
        self.out = ""
        self.usage: Usage | None = None
        self.finish = ""
        self.broken = False
        ends: dict[int, object] = {}
        for event in filter(None, body.replace("\r\n", "\n").split("\n\n")):
            if event == DONE:
                self.out += f"{DONE}\n\n"
                return
            said = [line.removeprefix("data:") for line in event.split("\n") if line.startswith("data:")]
            chunk = json.loads(said[0]) if said else {"choices": None}
            if chunk.get("error"):
                self.broken = True
                return
            self.usage = spent(chunk) or self.usage
            for choice in chunk["choices"] or ():
                ends[choice["index"]] = choice.get("finish_reason") or ends.get(choice["index"])
                self.finish = choice.get("finish_reason") or self.finish
            if request.wants_usage or chunk["choices"] != [] or not chunk.get("usage"):
                self.out += f"{event}\n\n"
        self.broken = not ends or not all(ends.values())
        if not self.broken:
            self.out += f"{DONE}\n\n"


def test_every_refusal_keeps_its_words_and_means_what_it_says(ours: list[Exchange]) -> None:
    seen = 0
    for one in ours:
        if one.response.status < 400:
            continue
        error = one.wire.read_error(one.response.status, {}, one.response.body.encode())
        inner = json.loads(one.response.body)["error"]
        assert isinstance(error, UpstreamRefused), one.source
        assert error.answer_status == one.response.status
        assert error.message == inner["message"], one.source
        assert error.reason == (inner.get("code") or "invalid_request"), one.source
        assert error.param == inner.get("param"), one.source
        seen += 1
    assert seen


def test_the_words_of_any_hosts_refusal_are_found_and_masked(recorded: list[Exchange]) -> None:
    seen = 0
    for one in recorded:
        if one.response.status < 400:
            continue
        body = json.loads(one.response.body)
        said = body.get("error", body)["message"]
        words = read_words(one.response.body.encode())
        assert words.message == mask(said), one.source
        assert "://" not in words.message
        assert said == words.message or "://" in said, one.source
        assert isinstance(
            load("openai_chat").read_error(one.response.status, {}, one.response.body.encode()), UpstreamRefused
        )
        seen += 1
    assert seen
