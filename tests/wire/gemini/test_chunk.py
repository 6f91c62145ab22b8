import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.features import Usage
from gateway.wire.gemini.chunk import (
    FINISHES,
    Spent,
    blocked,
    explains,
    finish_of,
    first,
    kind_of,
    raw_parts,
    read_chunk,
    seconds,
    stamp,
    tier_of,
    usage_of,
    write_usage,
)
from gateway.wire.ir import Finish
from gateway.wire.losses import Losses


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "filter"),
        ("RECITATION", "filter"),
        ("BLOCKLIST", "filter"),
        ("PROHIBITED_CONTENT", "filter"),
        ("SPII", "filter"),
        ("MODEL_ARMOR", "filter"),
        ("MALFORMED_FUNCTION_CALL", "malformed"),
        ("UNEXPECTED_TOOL_CALL", "malformed"),
        ("CONTINUATION", "pause"),
        ("LANGUAGE", "other"),
        ("OF_TOMORROW", "other"),
    ],
)
def test_an_end_has_a_reason(reason: str, finish: Finish) -> None:
    assert finish_of(reason, calls=False) == finish


def test_a_stop_with_a_call_is_for_the_tools() -> None:
    assert finish_of("STOP", calls=True) == "tools"
    assert finish_of("MAX_TOKENS", calls=True) == "length"


@pytest.mark.parametrize("finish", ["stop", "length", "filter", "malformed", "other"])
def test_a_reason_comes_back_as_it_went(finish: Finish) -> None:
    assert finish_of(FINISHES[finish], calls=False) == finish
    assert explains(finish) is (finish not in ("stop", "length"))


def test_the_first_version_is_the_answer() -> None:
    chunk = read_chunk(b'{"candidates":[{"index":1},{"finishReason":"STOP"}]}')
    candidate = first(chunk)
    assert candidate is not None
    assert candidate.finish_reason == "STOP"
    assert first(read_chunk(b"{}")) is None
    assert first(read_chunk(b'{"candidates":[{"index":1}]}')) is None


def test_parts_are_found_as_they_were_written() -> None:
    parts = b'[{"text": "a"},{ "odd": 1}]'
    payload = b'{"candidates":[{"index":1},{},{"content":{"parts":%b}}]}' % parts
    assert raw_parts(payload) == [Raw(b'{"text": "a"}'), Raw(b'{ "odd": 1}')]
    assert raw_parts(b"{}") == []


def test_a_part_is_called_after_what_it_holds() -> None:
    assert kind_of(Raw(b'{"thought":true,"thoughtSignature":"x","toolCall":{}}')) == "toolCall"
    assert kind_of(Raw(b'{"thought":true}')) == ""


def test_a_prompt_may_not_be_let_through() -> None:
    assert blocked(read_chunk(b'{"promptFeedback":{"blockReason":"SAFETY"}}'))
    assert not blocked(read_chunk(b'{"promptFeedback":{"safetyRatings":[]}}'))
    assert not blocked(read_chunk(b"{}"))


@pytest.mark.parametrize(
    ("told", "created"),
    [
        ("1970-01-01T00:00:07Z", 7),
        ("2026-03-10T14:54:45.066123456Z", 1773154485),
        ("1969-01-01T00:00:00Z", 0),
        ("2026-03-10T14:54:45", 0),
        ("yesterday", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_a_timestamp_is_read(told: str | None, created: int) -> None:
    assert seconds(told) == created


@pytest.mark.parametrize(
    ("created", "told"),
    [(7, "1970-01-01T00:00:07Z"), (0, ""), (-1, ""), (10**12, ""), (253_402_300_799, "9999-12-31T23:59:59Z")],
)
def test_a_timestamp_is_written(created: int, told: str) -> None:
    assert stamp(created) == told


@pytest.mark.parametrize(
    ("spent", "usage"),
    [
        (Spent(), None),
        (Spent(prompt_token_count=8), Usage(8)),
        (Spent(candidates_token_count=3), Usage(0, 3)),
        (Spent(427, 122, 447, 771, 100), Usage(1198, 569, 100, 0, 447)),
        (Spent(-1, 2), None),
        (Spent(1, 2_000_000_000), None),
        (Spent(1, 2, cached_content_token_count=-1), None),
    ],
)
def test_counts_are_brought_to_ours(spent: Spent, usage: Usage | None) -> None:
    assert usage_of(spent) == usage


def test_counts_are_written_as_google_counts() -> None:
    assert write_usage(Usage(10, 7, 4, 2, 5), "flex") == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 2,
        "totalTokenCount": 17,
        "cachedContentTokenCount": 4,
        "thoughtsTokenCount": 5,
        "serviceTier": "flex",
    }
    assert write_usage(Usage(1, 2), "") == {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}


def test_counts_come_back_as_they_went() -> None:
    usage = Usage(10, 7, 4, 0, 5)
    chunk = read_chunk(encode({"usageMetadata": write_usage(usage, "")}))
    assert chunk.usage_metadata is not None
    assert usage_of(chunk.usage_metadata) == usage


def test_only_tiers_that_clients_know_are_named() -> None:
    losses = Losses()
    assert [tier_of(tier, losses) for tier in ("default", "priority", "", "batch")] == ["standard", "priority", "", ""]
    assert losses.names() == ["service_tier"]
