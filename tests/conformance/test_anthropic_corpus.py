"""Recorded traffic in Anthropic's language crosses as it was, and is understood; see test_wire_corpus.py."""

import contextlib
import json
from typing import Any

import pytest

from gateway.errors import BadRequest, UpstreamRefused
from gateway.features import Request, Usage
from gateway.wire import load
from gateway.wire.dialect import Dialect
from tests.conformance.test_wire_corpus import MODEL, Exchange, pieces, recorded, slices

ASKED = Request({}, "m")

__all__ = ["recorded"]

WIRE = load("anthropic_messages")
COUNTS = load("anthropic_count")
OPERATIONS = ("messages", "count_tokens")
# What no caller of ours may name: files and containers that are stored with the provider, a tool's own model.
REFUSED = ('"file_id"', '"container"', '"container_upload"', '"advisor_')


@pytest.fixture(scope="module")
def messages(recorded: list[Exchange]) -> list[Exchange]:
    return [one for one in recorded if one.provider == "anthropic" and one.operation in OPERATIONS]


def spent(*told: dict[str, Any]) -> Usage | None:
    """What these say was used, the later ones over the earlier, read as plainly as can be."""
    counts = {name: count for usage in told for name, count in usage.items() if isinstance(count, int)}
    if not {"input_tokens", "output_tokens"} & counts.keys():
        return None
    read, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
    thought = max((usage.get("output_tokens_details", {}).get("thinking_tokens", 0) for usage in told), default=0)
    total = counts.get("input_tokens", 0) + read + written
    return Usage(total, counts.get("output_tokens", 0), read, written, thought)


def read(one: Exchange) -> Request | None:
    """The request as the gateway reads it; None where it names what is refused."""
    wire = COUNTS if one.operation == "count_tokens" else WIRE
    if not any(word in (one.request.body or "") for word in REFUSED):
        return wire.read_request(one.asked)
    with contextlib.suppress(BadRequest):
        return wire.read_request(one.asked)
    return None


def test_every_request_is_read_and_only_its_model_changes(messages: list[Exchange]) -> None:
    for one in messages:
        given = slices(one.request.body or "")
        request = read(one)
        if request is None:
            continue
        assert request.stream is (given.get("stream") == "true"), one.source
        wire = COUNTS if one.operation == "count_tokens" else WIRE
        out, changed = wire.write_request(request, MODEL, Dialect(), ask_usage=True)
        assert slices(out.decode()) == {**given, "model": '"another-model"'}, one.source
        assert changed == []
    assert len(messages) > 1


def test_every_whole_answer_is_read_with_its_reason_and_its_usage(messages: list[Exchange]) -> None:
    seen = 0
    for one in messages:
        if one.stream or one.response.status != 200 or one.operation == "count_tokens":
            continue
        body = json.loads(one.response.body)
        whole = WIRE.read_whole(ASKED, one.response.content_type, one.response.body.encode())
        assert whole.finish == (body.get("stop_reason") or ""), one.source
        assert whole.usage == spent(body.get("usage", {})), one.source
        seen += 1
    assert seen


def test_every_stream_passes_as_it_was_however_it_is_cut(messages: list[Exchange]) -> None:
    seen = 0
    for one in messages:
        request = read(one) if one.stream and one.response.status == 200 else None
        if request is None:
            continue
        WIRE.check_stream(one.response.content_type)
        events = [json.loads(line[6:]) for line in one.response.body.splitlines() if line.startswith("data: ")]
        told = [event["message"]["usage"] for event in events if event["type"] == "message_start"]
        told += [event["usage"] for event in events if event["type"] == "message_delta"]
        [reason] = [event["delta"]["stop_reason"] for event in events if event["type"] == "message_delta"]
        for cut in pieces(one.response.body.encode()):
            meter = WIRE.meter(request, 1024 * 1024)
            out = b"".join(map(meter.feed, cut)) + meter.finish_up()
            assert out.decode() == one.response.body, one.source
            assert (meter.done, meter.finish, meter.usage) == (True, reason, spent(*told)), one.source
        seen += 1
    assert seen


def test_every_refusal_keeps_its_status_and_its_words(messages: list[Exchange]) -> None:
    refused = [one for one in messages if one.response.status >= 400]
    for one in refused:
        error = WIRE.read_error(one.response.status, {}, one.response.body.encode())
        assert isinstance(error, UpstreamRefused), one.source
        assert error.answer_status == one.response.status
        assert error.message == json.loads(one.response.body)["error"]["message"], one.source
    assert refused
