"""Streams that don't go on: who isn't asked, and what their callers hear."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gateway.errors import (
    DeadlineExceeded,
    UpstreamBroken,
    UpstreamTruncated,
)
from gateway.routing.policy import Require, Retry, Rules
from gateway.stages.resume import MOST_RESUMED
from gateway.upstream.catalogue import Place
from gateway.wire.dialect import Dialect
from tests.scenarios.cast import STREAM_HEAD, RawProvider, chunk, event, plays
from tests.stages.breaking import (
    CAN,
    HALF,
    NAMES,
    REST,
    ROLE,
    breaks,
    ground,
    other,
    refuses,
    says,
    without_a_way,
)

# --- it doesn't -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        lambda place: replace(place, model="another"),
        lambda place: replace(place, instead="another"),
        lambda place: replace(place, lent=True),
        lambda place: replace(place, native=False),
        lambda place: replace(place, target=replace(place.target, quantization="fp8")),
    ],
    ids=["model", "instead", "lent", "crossing", "quantization"],
)
async def test_only_the_very_model_goes_on(how: Callable[[Place], Place]) -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.change(1, how)
        assert await on.breaks_off(UpstreamTruncated) == "upstream_truncated"
        assert on.asked == [1, 0]
        assert on.reply.body.startswith(b"".join(HALF))


async def test_a_provider_that_can_not_is_not_asked() -> None:
    async with ground(breaks(*HALF), REST, REST) as on:
        on.change(1, without_a_way)
        await on.attempt()
        assert on.asked == [1, 0, 1]


async def test_a_place_that_can_not_say_all_of_it_is_not_asked() -> None:
    async with ground(breaks(*HALF), REST) as on:
        row = replace(on.plan[1].target.backend, provider=replace(CAN, dialect=Dialect(drop=("temperature",))))
        on.change(1, lambda place: replace(place, target=replace(place.target, backend=row)))
        await on.breaks_off(more=b',"temperature":0')
        assert on.asked == [1, 0]


async def test_a_place_that_may_not_see_it_is_not_asked() -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.rules = Rules(resume=True, require=Require(jurisdictions=frozenset({"DE"})))
        on.change(0, lambda place: replace(place, candidate=replace(place.candidate, processes_in=frozenset({"DE"}))))
        on.change(1, lambda place: replace(place, candidate=replace(place.candidate, processes_in=frozenset({"US"}))))
        with pytest.raises(UpstreamTruncated):
            await on.attempt()
        assert on.asked == [1, 0]


async def test_a_place_that_is_shut_is_not_asked() -> None:
    async with ground(breaks(*HALF), REST, REST) as on:
        on.health.drain("second", on.clock.monotonic())
        await on.attempt()
        assert on.asked == [1, 0, 1]


async def test_attempts_are_counted_with_all_others() -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.rules = Rules(resume=True, retry=Retry(attempts=1))
        await on.breaks_off()
        assert on.asked == [1, 0]


async def test_two_resumptions_are_enough() -> None:
    more = [breaks(other(" and"))] * MOST_RESUMED
    async with ground(breaks(*HALF), *more, REST) as on:
        on.rules = Rules(resume=True, retry=Retry(attempts=9))
        await on.breaks_off()
        assert on.asked == [1, 1, 1, 0]


async def test_resumptions_are_paid_from_the_retry_budget() -> None:
    async with ground(breaks(*HALF), REST) as on:
        while on.health.retries.spend(on.clock.monotonic(), 0.0):
            pass
        await on.breaks_off()
        assert on.asked == [1, 0]


async def test_a_request_out_of_time_is_over() -> None:
    async with ground(plays(STREAM_HEAD, *map(chunk, HALF)), REST) as on:
        task = asyncio.get_running_loop().create_task(on.breaks_off(DeadlineExceeded))
        await on.hears(HALF[-1])
        on.passes(501.0)
        assert await task == "deadline_exceeded"
        assert on.asked == [1, 0]


async def test_nobody_is_asked_in_a_time_that_is_over() -> None:
    async def breaks_late(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        await plays(STREAM_HEAD, *map(chunk, HALF))(provider, body, writer)
        await provider.go.wait()
        raise ConnectionResetError

    async with ground(breaks_late, REST) as on:
        task = asyncio.get_running_loop().create_task(on.breaks_off())
        await on.hears(HALF[-1])
        on.clock.advance(501.0)  # and nobody has looked at the clock yet
        on.providers[0].go.set()
        assert await task == "upstream_truncated"
        assert on.asked == [1, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (b',"tools":[{"type":"function","function":{"name":"f"}}]', HALF),
        (b',"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}}', HALF),
        (b',"n":2', HALF),
        (b"", (ROLE, event("a", choices=[{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]))),
        (b"", (ROLE, event("a", choices=[{"index": 0, "delta": {"reasoning_content": "hm"}}]))),
        (b',"stop":" world wide"', HALF),
    ],
    ids=["tools", "schema", "choices", "called", "thinking", "stop"],
)
async def test_what_can_not_be_exact_ends_in_the_error_frame(more: bytes, said: tuple[bytes, ...]) -> None:
    async with ground(breaks(*said), REST) as on:
        assert await on.breaks_off(UpstreamTruncated, more=more) == "upstream_truncated"
        assert on.asked == [1, 0]


async def test_where_nobody_can_the_caller_hears_how_it_broke() -> None:
    async with ground(breaks(*HALF), refuses(500), refuses(400)) as on:
        assert await on.breaks_off(UpstreamTruncated) == "upstream_truncated"
        assert [outcome for _, outcome in on.tries] == [
            "upstream_truncated",
            "upstream_invalid_response",
            "invalid_request",
        ]
        assert on.exchange.pieces == 2
        assert on.exchange.usage is None
        assert [on.health.row(name).failed for name in NAMES[:3]] == [1, 1, 0]


async def test_of_two_breaks_the_caller_hears_the_one_he_heard_happen() -> None:
    async with ground(breaks(*HALF), breaks(other(" and"), b'data: {"error":{"message":"no"}}\n\n')) as on:
        assert await on.breaks_off(UpstreamBroken) == "upstream_error"
        assert on.reply.body.startswith(b"".join((*HALF, event(" and"))))
        assert on.exchange.pieces == 3


async def test_a_second_half_that_does_not_follow_ends_it_and_is_held_against_nobody() -> None:
    async with ground(breaks(*HALF, event("\n")), says(other(" other"), event(finish="stop")), REST) as on:
        way = replace(CAN, prefill="last_turn")
        for at in (1, 2):
            row = replace(on.plan[at].target.backend, provider=way)
            on.change(at, lambda place, row=row: replace(place, target=replace(place.target, backend=row)))  # type: ignore[misc]  # each its own row
        on.rules = Rules(resume=True, retry=Retry(attempts=2))
        assert await on.breaks_off(UpstreamTruncated) == "upstream_truncated"
        assert on.tries == [("first", "upstream_truncated"), ("second", "upstream_truncated")]
        assert on.health.row("second").failed == 0


async def test_a_stream_in_another_form_is_no_rest() -> None:
    html = plays(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi")
    async with ground(breaks(*HALF), html) as on:
        assert await on.breaks_off(UpstreamTruncated) == "upstream_truncated"
        assert on.asked == [1, 1]
        await on.is_quiet()


async def test_time_that_runs_out_in_the_second_half_is_told_as_such() -> None:
    async with ground(breaks(*HALF), plays(STREAM_HEAD, chunk(other(" and")))) as on:
        task = asyncio.get_running_loop().create_task(on.breaks_off(DeadlineExceeded))
        await on.hears(event(" and"))
        on.passes(501.0)
        assert await task == "deadline_exceeded"
