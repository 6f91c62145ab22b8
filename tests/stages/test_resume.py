"""Streams that go on: who says the rest, what is written down of it, and whose reply is held."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.errors import (
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamTruncated,
)
from gateway.features import Request, Usage
from gateway.routing.policy import Rules
from gateway.stages.resume import Held, hold, is_same_model
from gateway.stages.trial import Way
from gateway.wire import Endpoint, load
from gateway.wire.openai_chat.passthrough import OpenAIChat
from gateway.wire.openai_meter import OpenAIMeter
from tests.doubles.mock_transport import turn
from tests.scenarios.cast import STREAM_HEAD, RawProvider, chunk, event, plays
from tests.stages.breaking import (
    CEILING_S,
    HALF,
    NAMES,
    REST,
    ROLE,
    WHOLE,
    breaks,
    ground,
    other,
    refuses,
    without_a_way,
)
from tests.stages.kept import KeptReply

# --- it goes on -------------------------------------------------------------------------------------------------------


async def test_a_stream_that_breaks_is_whole_all_the_same() -> None:
    async with ground(breaks(*HALF), REST) as on:
        await on.attempt()
        assert on.reply.body == WHOLE
        assert on.reply.ending == "end"
        assert on.tries == [("first", "upstream_truncated"), ("second", "answered")]
        assert (on.exchange.outcome, on.exchange.status, on.exchange.complete) == ("answered", 200, True)
        assert on.exchange.bytes_out == len(on.reply.body)
        await on.is_quiet()


@pytest.mark.parametrize(
    "last",
    [
        b'data: {"error":{"message":"boom"}}\n\n',
        b"data: <html>\n\n",
        event(finish="error"),
        b'data: {"choices":[{"in',
    ],
    ids=["told", "no_json", "finish", "half"],
)
async def test_however_it_breaks(last: bytes) -> None:
    async with ground(breaks(*HALF, last), REST) as on:
        await on.attempt()
        assert on.reply.body == WHOLE


async def test_silence_is_a_break() -> None:
    async with ground(plays(STREAM_HEAD, *map(chunk, HALF)), REST) as on, asyncio.TaskGroup() as group:
        group.create_task(on.attempt())
        await on.hears(HALF[-1])
        async with asyncio.timeout(CEILING_S):
            while on.asked[1] == 0:
                on.passes(16.0)
                await turn()
    assert on.tries == [("first", "upstream_timeout"), ("second", "answered")]
    assert on.reply.body == WHOLE


async def test_it_is_settled_as_one_answer_of_the_place_that_began_it() -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.change(
            1, lambda place: replace(place, candidate=replace(place.candidate, priced=True, usd_per_token_in=0.5))
        )
        await on.attempt()
        assert on.exchange.usage == Usage(20, 4)
        assert on.exchange.pieces == 3
        assert on.exchange.finish == "stop"
        assert on.exchange.target is on.plan[0].target
        began, resumed = on.exchange.attempts
        assert on.exchange.first_content == began.first_content
        assert began.first_content
        assert resumed.first_content
        # What was read again is ours.
        assert (began.cost_usd, resumed.cost_usd) == (0.0, 11.0)


async def test_each_place_is_judged_by_its_own_part() -> None:
    async with ground(breaks(*HALF), REST) as on:
        await on.attempt()
        first, second = on.health.row("first"), on.health.row("second")
        assert (first.failed, first.answered, first.last_error) == (1, 0, "upstream_truncated")
        assert (second.failed, second.answered, second.state) == (0, 1, "healthy")


async def test_a_second_break_is_gone_on_with_as_well() -> None:
    async with ground(breaks(ROLE, event("Hello")), breaks(other(" world")), REST) as on:
        await on.attempt()
        assert on.reply.body == WHOLE
        assert [outcome for _, outcome in on.tries] == ["upstream_truncated", "upstream_truncated", "answered"]
        assert on.exchange.target is on.plan[0].target
        assert on.exchange.bytes_out == len(on.reply.body)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_a_place_that_refuses_is_followed_by_the_next(status: int) -> None:
    async with ground(breaks(*HALF), refuses(status), REST) as on:
        await on.attempt()
        assert on.reply.body == WHOLE
        assert [name for name, _ in on.tries] == list(NAMES[:3])
        await on.is_quiet()


async def test_what_fails_before_its_first_content_is_followed_as_ever() -> None:
    async with ground(refuses(500), breaks(*HALF), REST) as on:
        await on.attempt()
        assert on.reply.body == WHOLE
        assert on.exchange.target is on.plan[1].target
        assert b"chat-1" in on.reply.body


async def test_a_slow_reader_holds_the_second_upstream_back_as_he_held_the_first() -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.reply.paused = True
        task = asyncio.get_running_loop().create_task(on.attempt())
        async with asyncio.timeout(CEILING_S):
            while on.reply.resume is None:
                await turn()
            on.reply.paused = False
            while not task.done():
                on.reply.resume()
                await turn()
        await task
        assert on.reply.body == WHOLE


async def test_what_does_not_break_is_nobodys_concern() -> None:
    async with ground(REST, REST) as on:
        await on.attempt()
        assert on.tries == [("first", "answered")]
        assert on.reply.body.startswith(other(""))


async def test_what_fails_everywhere_before_its_first_content_has_no_stream() -> None:
    async with ground(refuses(500), refuses(500)) as on:
        with pytest.raises(UpstreamBroken):
            await on.attempt()
        assert not on.reply.started
        assert on.asked == [1, 1]


# --- whoever leaves, and bugs -----------------------------------------------------------------------------------------


async def test_a_caller_who_leaves_ends_the_second_half() -> None:
    async with ground(breaks(*HALF), plays(STREAM_HEAD, chunk(other(" and")))) as on:
        task = asyncio.get_running_loop().create_task(on.attempt())
        await on.hears(event(" and"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert on.reply.ending == ""
        assert on.tries == [("first", "upstream_truncated"), ("second", "caller_left")]
        assert on.exchange.pieces == 3
        assert on.exchange.bytes_out == len(on.reply.body)
        assert on.exchange.target is on.plan[0].target
        await on.is_quiet()


class Buggy(OpenAIChat):
    """A language with a bug in its answers."""

    def meter(self, request: Request, event_bytes: int) -> OpenAIMeter:
        del request, event_bytes
        raise RuntimeError("the caller's words")


async def test_a_bug_in_the_second_half_is_told_as_the_break_it_came_after() -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.change(1, lambda place: replace(place, wire=Buggy()))
        assert await on.breaks_off(RuntimeError) == "upstream_truncated"
        assert on.asked == [1, 0]


async def test_a_bug_in_the_first_is_told_at_once() -> None:
    class Late(OpenAIMeter):
        def finish_up(self) -> bytes:
            raise RuntimeError("the caller's words")

    class Lately(OpenAIChat):
        def meter(self, request: Request, event_bytes: int) -> OpenAIMeter:
            del request
            return Late(strip_usage=True, event_bytes=event_bytes)

    async with ground(breaks(*HALF), REST) as on:
        on.change(0, lambda place: replace(place, wire=Lately()))
        assert await on.breaks_off(RuntimeError) == "internal_error"
        assert on.asked == [1, 0]


# --- whose reply is held ----------------------------------------------------------------------------------------------


async def test_a_reply_is_held_only_where_it_could_go_on() -> None:
    async with ground(REST, REST) as on:
        wire = load("openai_chat")
        stream = wire.read_request(b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}')
        whole = wire.read_request(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
        way = Way(tuple(on.plan), b"", 0.0)
        assert isinstance(hold(on.exchange, stream, way, on.reply), Held)
        assert hold(on.exchange, whole, way, on.reply) is None
        assert hold(on.exchange, stream, Way(tuple(on.plan[:1]), b"", 0.0), on.reply) is None
        assert hold(on.exchange, stream, Way(tuple(map(without_a_way, on.plan)), b"", 0.0), on.reply) is None
        on.exchange.call.endpoint = Endpoint("messages", "anthropic_messages")
        assert hold(on.exchange, stream, way, on.reply) is None
        on.exchange.call.endpoint = None
        assert hold(on.exchange, stream, way, on.reply) is None


async def test_a_held_reply_passes_on_what_it_does_not_hold() -> None:
    reply = KeptReply()
    request = load("openai_chat").read_request(
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}'
    )
    async with ground(REST, REST) as on:
        held = hold(on.exchange, request, Way(tuple(on.plan), b"", 0.0), reply)
    assert held is not None
    held.whole(200, b"", b"{}")
    held.tell()
    assert (reply.ending, reply.body) == ("whole", b"{}")
    assert not held.paused


async def test_a_policy_that_does_not_say_so_changes_nothing() -> None:
    async with ground(breaks(*HALF), REST) as on:
        on.rules = Rules()
        with pytest.raises(UpstreamTruncated):
            await on.attempt()
        assert on.reply.ending == "fail"
        assert on.asked == [1, 0]


async def test_the_same_model_is_the_same_name_at_the_same_precision() -> None:
    async with ground(REST, REST) as on:
        one, other = on.plan
        assert is_same_model(one, other)
        assert not is_same_model(one, replace(other, model="x"))


async def test_a_break_of_the_connection_is_one() -> None:
    async def resets(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        await plays(STREAM_HEAD, *map(chunk, HALF))(provider, body, writer)
        writer.transport.abort()
        raise ConnectionResetError

    async with ground(resets, REST) as on:
        await on.attempt()
        assert on.reply.body == WHOLE
        assert on.tries[0][1] in {UpstreamDisconnected.code, UpstreamTruncated.code}
