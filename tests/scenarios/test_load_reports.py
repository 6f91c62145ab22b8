"""Servers tell how loaded they are with their answers, where they are asked."""

import orjson
from msgspec.structs import replace

from gateway.mock.options import MockOptions
from tests.doubles.inside import PROVIDER
from tests.scenarios.cast import RawProvider, plays, scene

VLLM = replace(PROVIDER, probe="vllm")
ANSWER = orjson.dumps(
    {
        "id": "chat-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    }
)
REPORT = b"endpoint-load-metrics: TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=3.0"


def whole(*lines: bytes) -> bytes:
    fields = (b"content-type: application/json", b"content-length: %d" % len(ANSWER), *lines)
    return b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + ANSWER


async def test_a_whole_answer_is_asked_for_a_report_and_a_stream_is_not() -> None:
    async with scene("", provider=VLLM, options=MockOptions(keep_bodies=True)) as on:
        await on.caller_hears(stream=False)
        assert on.first.ledger.last.headers["endpoint-load-metrics-format"] == "text"
        await on.caller_hears(stream=True)
        assert "endpoint-load-metrics-format" not in on.first.ledger.last.headers


async def test_others_are_not_asked() -> None:
    async with scene("", options=MockOptions(keep_bodies=True)) as on:
        await on.caller_hears(stream=False)
        assert "endpoint-load-metrics-format" not in on.first.ledger.last.headers


async def test_a_report_is_what_the_next_decision_knows_and_no_caller_sees() -> None:
    async with RawProvider(plays(whole(REPORT))) as server, scene(server, provider=VLLM) as on:
        heard = await on.caller_hears(stream=False)
        load = on.gateway.health.snapshot.loads["first"]
        assert (load.kv, load.queued) == (0.4, 3.0)
        assert heard.body == ANSWER
        assert "endpoint-load-metrics" not in heard.headers


async def test_a_report_that_makes_no_sense_costs_nobody_anything() -> None:
    async with (
        RawProvider(plays(whole(b"endpoint-load-metrics: TEXT x"))) as server,
        scene(server, provider=VLLM) as on,
    ):
        heard = await on.caller_hears(stream=False)
        assert (heard.status, heard.body, on.failures()) == (200, ANSWER, 0)
