"""Until the first content has gone out, a failure is the next provider's work and nobody's news."""

from typing import NamedTuple

import orjson
import pytest

from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.settings.shape import Timeouts
from tests.scenarios.cast import STREAM_HEAD, WORDS, RawProvider, Scene, asked, chunk, event, plays, scene

HALF_A_MINUTE = Timeouts(first_token_s=30.0, idle_s=30.0, total_s=590.0)
TOO_LARGE = 200_000


class Fault(NamedTuple):
    """What the first provider does, what is written down of it, and whether its connection can be used again."""

    spec: str
    outcome: str
    hurts: bool = True
    kept: bool = False


# What a status says, whatever was asked for. The connection is fine, so it goes back to its pool.
REFUSALS = (
    Fault("429", "rate_limit_exceeded", hurts=False, kept=True),
    Fault("429=5", "rate_limit_exceeded", hurts=False, kept=True),
    Fault("503", "overloaded", hurts=False, kept=True),
    Fault("529", "overloaded", hurts=False, kept=True),
    Fault("loading", "overloaded", hurts=False, kept=True),
    Fault("quota", "upstream_denied", kept=True),
    Fault("401", "upstream_denied", kept=True),
    Fault("403", "upstream_denied", kept=True),
    Fault("408", "upstream_timeout", kept=True),
    Fault("500", "upstream_invalid_response", kept=True),
    Fault("502", "upstream_invalid_response", kept=True),
    Fault("504", "upstream_timeout", kept=True),
    Fault("redirect=http://192.0.2.1/v1/chat/completions", "upstream_invalid_response", kept=True),
)
# What breaks in the connection or the framing.
BROKEN = (
    Fault("refuse", "upstream_disconnected"),
    Fault("reset=0", "upstream_disconnected"),
    Fault("fin=0", "upstream_disconnected"),
    Fault("reset=40", "upstream_disconnected"),
    Fault("fin=40", "upstream_disconnected"),
    Fault("status=999", "upstream_invalid_response"),
    Fault("status_line=HTTP/2.0 200 OK", "upstream_invalid_response"),
    Fault("header_bytes=70000", "upstream_invalid_response"),
    Fault("headers=200", "upstream_invalid_response"),
    Fault("both_lengths", "upstream_invalid_response"),
)
STREAM_FAULTS = (
    *REFUSALS,
    *BROKEN,
    Fault("html", "upstream_invalid_response"),
    Fault("json_to_stream", "upstream_invalid_response"),
    Fault("error_first", "upstream_error"),
    Fault("error_object", "upstream_error"),
    Fault("malformed=0", "upstream_error"),
    Fault("malformed=1", "upstream_error"),
    Fault("bad_utf8=0", "upstream_error"),
    Fault("bad_utf8=1", "upstream_error"),
    Fault("cut=0", "upstream_truncated"),
    Fault("cut=1", "upstream_truncated"),
    Fault("reset_mid=1", "upstream_disconnected"),
    Fault("fin_mid=1", "upstream_truncated"),
    Fault("wrong_length=-5", "upstream_invalid_response"),
    Fault(f"giant={TOO_LARGE}", "upstream_error"),
    Fault("close_delimited_reset=300", "upstream_disconnected"),
)
WHOLE_FAULTS = (
    *REFUSALS,
    *BROKEN,
    Fault("html", "upstream_invalid_response"),
    Fault("sse_to_whole", "upstream_invalid_response"),
    Fault("error_first", "upstream_error"),
    Fault("error_object", "upstream_error"),
    Fault("malformed=0", "upstream_invalid_response"),
    Fault("bad_utf8=0", "upstream_invalid_response"),
    Fault("reset=300", "upstream_disconnected"),
    Fault("fin=300", "upstream_truncated"),
    Fault("wrong_length=5", "upstream_truncated"),
    Fault("close_delimited_reset=300", "upstream_disconnected"),
)
# What looks odd and is fine.
NO_FAULTS = ("early_hints", "close_delimited", "retry_id_fields", "split_utf8", "pings=1ms;ttft=5ms", "garbage_after")


def specs(faults: tuple[Fault, ...]) -> list[str]:
    return [fault.spec for fault in faults]


def same_answer(scenes_first: bytes, alone: bytes) -> bool:
    """Whether two answers of one stand-in differ in nothing but their numbers and times."""
    return [_anonymous(part) for part in _parts(scenes_first)] == [_anonymous(part) for part in _parts(alone)]


def _parts(body: bytes) -> list[bytes]:
    return [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part]


def _anonymous(part: bytes) -> object:
    if part == b"[DONE]":
        return part
    fields = orjson.loads(part)
    return {name: value for name, value in fields.items() if name not in ("id", "created")}


async def failed_over(on: Scene, fault: Fault) -> None:
    """What holds after the second provider has answered in place of the first."""
    assert on.tries() == [("first", fault.outcome), ("second", "answered")]
    exchange = on.exchange
    assert exchange.status == 200
    assert exchange.outcome == "answered"
    assert exchange.complete
    assert exchange.error is None
    assert exchange.target is not None
    assert exchange.target.backend.name == "second"
    assert exchange.usage is not None
    assert (exchange.usage.output_tokens, exchange.usage.estimated) == (16, False)
    assert on.failures("first") == int(fault.hurts)
    assert on.failures("second") == 0
    await on.at_rest()
    assert on.idle(on.first) == int(fault.kept)
    assert on.second.ledger.request_count == 1


@pytest.mark.parametrize("fault", STREAM_FAULTS, ids=specs(STREAM_FAULTS))
async def test_a_stream_that_fails_before_its_first_content_comes_from_the_next_provider(fault: Fault) -> None:
    async with scene(fault.spec.split(";"), "") as on:
        heard = await on.caller_hears()
        await failed_over(on, fault)
        on.first.set_faults()
        well = await on.caller_hears()
    assert (heard.status, heard.ending, heard.whole) == (200, "fin", True)
    assert heard.text == WORDS
    assert heard.events[-1] == b"[DONE]"
    assert same_answer(heard.body, well.body)
    assert heard.headers["x-gateway-attempts"] == "2"
    assert heard.headers["x-gateway-backend"] == "second"


@pytest.mark.parametrize("fault", WHOLE_FAULTS, ids=specs(WHOLE_FAULTS))
async def test_a_whole_answer_that_fails_comes_from_the_next_provider(fault: Fault) -> None:
    async with scene(fault.spec, "") as on:
        heard = await on.caller_hears(stream=False)
        await failed_over(on, fault)
        on.first.set_faults()
        well = await on.caller_hears(stream=False)
    assert (heard.status, heard.whole) == (200, True)
    assert same_answer(heard.body, well.body)
    assert heard.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize("stream", [True, False])
async def test_where_nobody_listens_the_next_provider_answers(stream: bool) -> None:
    async with scene("", "") as on:
        on.first.close_listener()
        heard = await on.caller_hears(stream=stream)
        await failed_over(on, Fault("", "upstream_unreachable"))
    assert heard.status == 200


@pytest.mark.parametrize("fault", NO_FAULTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_odd_but_good_answer_is_the_first_providers(stream: bool, fault: str) -> None:
    async with scene(fault.split(";"), "") as on:
        heard = await on.caller_hears(stream=stream)
        assert on.tries() == [("first", "answered")]
        assert on.failures() == 0
        await on.at_rest()
    assert heard.status == 200
    assert heard.whole


@pytest.mark.parametrize("fault", ["stall", "stall_mid=0", "stall_mid=1", "trickle=1"])
async def test_a_stream_without_first_content_is_given_up_at_its_deadline(fault: str) -> None:
    async with scene(fault, "", timeouts=HALF_A_MINUTE, by_hand=True) as on, on.line() as line:
        line.send(asked(close=True))
        await on.first.until(lambda ledger: ledger.request_count == 1 and ledger.last.begun_at is not None)
        await on.first.until(lambda ledger: fault == "stall" or ledger.last.bytes_sent > 0)
        on.passes(29.9)
        assert on.first.open_connections == 1
        on.passes(0.2)
        heard = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        await failed_over(on, Fault(fault, "upstream_timeout"))
        assert on.first.ledger.left == 1
    assert heard.text == WORDS
    assert b"[DONE]" in heard.events


async def another_ping(provider: MockServer) -> None:
    await provider.until(lambda ledger: bool(ledger.requests))
    seen = provider.ledger.last.bytes_sent
    await provider.until(lambda ledger: ledger.last.bytes_sent > seen)


async def test_pings_are_no_content_and_buy_no_time() -> None:
    options = MockOptions(slots=256)
    async with scene(["pings=1ms", "ttft=1m"], "", timeouts=HALF_A_MINUTE, by_hand=True, options=options) as on:
        async with on.line() as line:
            line.send(asked(close=True))
            for _ in range(3):
                await another_ping(on.first)
                assert on.first.open_connections == 1
                on.passes(10.1)
            heard = await line.ends()
        await on.gateway.until(lambda settled: len(settled) == 1)
        await failed_over(on, Fault("pings", "upstream_timeout"))
    assert heard.text == WORDS


async def test_a_request_is_tried_at_three_places_and_no_more() -> None:
    async with scene("500", "500", "500", "") as on:
        heard = await on.caller_hears()
        assert on.tries() == [(name, "upstream_invalid_response") for name in ("first", "second", "third")]
        assert on.providers[3].ledger.request_count == 0
        assert on.exchange.outcome == "upstream_invalid_response"
        await on.at_rest()
    assert heard.status == 502


async def test_what_an_attempt_used_that_nobody_saw_is_not_the_callers() -> None:
    """The first provider counts tokens and breaks before any content; the second only refuses."""
    role = event("", usage={"prompt_tokens": 9, "completion_tokens": 99, "total_tokens": 108})
    async with RawProvider(plays(STREAM_HEAD, chunk(role), keep=False)) as counting, scene(counting, "500") as on:
        heard = await on.caller_hears()
        exchange = on.exchange
    assert heard.status == 502
    assert [attempt.outcome for attempt in exchange.attempts] == ["upstream_truncated", "upstream_invalid_response"]
    assert (exchange.usage, exchange.pieces, exchange.finish, exchange.status) == (None, 0, "", 502)
