"""Recorded traffic in Anthropic's language crosses as it was, and is understood; see test_wire_corpus.py."""

import json

import pytest

from gateway.errors import UpstreamRefused
from gateway.features import Usage
from gateway.wire import load
from gateway.wire.dialect import Dialect
from tests.conformance.test_wire_corpus import MODEL, Exchange, pieces, recorded, slices

__all__ = ["recorded"]

WIRE = load("anthropic_messages")
OPERATIONS = ("messages", "count_tokens")


@pytest.fixture(scope="module")
def messages(recorded: list[Exchange]) -> list[Exchange]:
    return [one for one in recorded if one.provider == "anthropic" and one.operation in OPERATIONS]


def spent(*told: dict[str, int]) -> Usage | None:
    """What these say was used, the later ones over the earlier, read as plainly as can be."""
    counts = {name: count for usage in told for name, count in usage.items() if isinstance(count, int)}
    if not {"input_tokens", "output_tokens"} & counts.keys():
        return None
    read, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
    return Usage(counts.get("input_tokens", 0) + read + written, counts.get("output_tokens", 0), read, written)


def test_every_request_is_read_and_only_its_model_changes(messages: list[Exchange]) -> None:
    for one in messages:
        given = slices(one.request.body or "")
        request = WIRE.read_request(one.asked)
        assert request.stream is (given.get("stream") == "true"), one.source
        out, changed = WIRE.write_request(request, MODEL, Dialect(), ask_usage=True)
        assert slices(out.decode()) == {**given, "model": '"another-model"'}, one.source
        assert changed == []
    assert len(messages) > 1


def test_every_whole_answer_is_read_with_its_reason_and_its_usage(messages: list[Exchange]) -> None:
    seen = 0
    for one in messages:
        if one.stream or one.response.status != 200:
            continue
        body = json.loads(one.response.body)
        whole = WIRE.read_whole(one.response.content_type, one.response.body.encode())
        assert whole.finish == (body.get("stop_reason") or ""), one.source
        assert whole.usage == spent(body.get("usage", {})), one.source
        seen += 1
    assert seen


def test_every_stream_passes_as_it_was_however_it_is_cut(messages: list[Exchange]) -> None:
    seen = 0
    for one in messages:
        if not one.stream or one.response.status != 200:
            continue
        WIRE.check_stream(one.response.content_type)
        request = WIRE.read_request(one.asked)
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
