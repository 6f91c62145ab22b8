"""Attempts against real stand-ins, for a reply that is kept."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from msgspec.structs import replace

from gateway.clock import RealClock
from gateway.errors import BadRequest, DeadlineExceeded, NoRoute, UpstreamBroken, UpstreamRefused
from gateway.features import Request, Whole
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.settings.shape import Timeouts
from gateway.stages.attempt import Attempter
from gateway.stages.trial import MOST_ATTEMPTS, Way
from gateway.sweep import Sweeper
from gateway.upstream.catalogue import Catalogue, Place
from gateway.upstream.client import UpstreamClient
from gateway.upstream.health import Health
from gateway.wire import Wire, load
from gateway.wire.openai_chat.passthrough import OpenAIChat
from tests.doubles.inside import backend, settings_for
from tests.doubles.mock_transport import turn
from tests.doubles.outgoing import at_once
from tests.stages.kept import KeptReply, exchange

CEILING_S = 10.0
NAMES = ("first", "second", "third", "fourth")
BODY = b'{"model":"story","messages":[{"role":"user","content":"hi"}],"stream":%b}'


class Ground:
    """Stand-ins with a plan over them."""

    def __init__(self, servers: Sequence[MockServer], timeouts: Timeouts) -> None:
        rows = [backend(name, server.url) for name, server in zip(NAMES, servers, strict=False)]
        settings = settings_for({"story": rows}, timeouts=timeouts)
        self.servers = servers
        self.clock = RealClock()
        self.client = UpstreamClient(settings, self.clock, Sweeper(), at_once())
        self.health = Health(settings.backends)
        self.attempter = Attempter(self.client, self.health, self.clock, "fra", 100_000)
        self.all_places = Catalogue(settings).plan("story", "chat", "openai_chat").places
        self.plan: Sequence[Place] = self.all_places
        self.exchange = exchange(self.clock.monotonic())
        self.reply = KeptReply()

    async def attempt(self, *, stream: bool = True, total_s: float = 30.0) -> None:
        request: Request = load("openai_chat").read_request(BODY % (b"true" if stream else b"false"))
        self.exchange.stream = stream
        until = self.clock.monotonic() + total_s
        head = b"x-request-id: req_stage\r\n"
        way = Way(tuple(self.plan), head, until)
        await self.attempter.attempt(self.exchange, request, way, self.reply)

    @property
    def tries(self) -> list[tuple[str, str]]:
        return [(attempt.target.backend.name, attempt.outcome) for attempt in self.exchange.attempts]

    @property
    def idle(self) -> int:
        """Connections that wait for the next request."""
        return sum(self.client.idle(place.origin) for place in self.all_places)

    async def is_quiet(self) -> None:
        """Wait until no connection is busy; nothing is under way then."""
        async with asyncio.timeout(CEILING_S):
            while self.client.open > self.idle:
                await turn()
        assert all(row.in_flight == 0 for row in self.health.rows())


@asynccontextmanager
async def ground(*faults: str, timeouts: Timeouts | None = None) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        options = [MockOptions(faults=(fault,) if fault else ()) for fault in faults]
        servers = [await stack.enter_async_context(MockServer(told)) for told in options]
        made = Ground(servers, timeouts or Timeouts())
        yield made
        made.client.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_the_first_place_that_can_answers(stream: bool) -> None:
    async with ground("", "") as on:
        await on.attempt(stream=stream)
        assert on.tries == [("first", "answered")]
        assert on.reply.ending == ("end" if stream else "whole")
        assert on.reply.headers["x-gateway-attempts"] == "1"
        assert on.reply.headers["x-gateway-pop"] == "fra"
        assert (on.exchange.status, on.exchange.complete, on.exchange.finish) == (200, True, "stop")
        assert on.exchange.bytes_out == len(on.reply.body)
        assert on.exchange.usage is not None
        assert (on.exchange.pieces > 0) == stream
        await on.is_quiet()


async def test_times_of_an_attempt_are_in_order() -> None:
    async with ground("ttft=5ms") as on:
        await on.attempt()
        [attempt] = on.exchange.attempts
        moments = [attempt.started, attempt.sent, attempt.headers, attempt.first_content, attempt.ended]
        assert moments == sorted(moments)
        assert 0.0 < attempt.dialled_s < attempt.ended - attempt.started
        assert attempt.status == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_what_failed_is_followed_by_the_next(stream: bool) -> None:
    async with ground("500", "429", "") as on:
        await on.attempt(stream=stream)
        assert on.tries == [
            ("first", "upstream_invalid_response"),
            ("second", "rate_limit_exceeded"),
            ("third", "answered"),
        ]
        assert on.exchange.target is on.plan[2].target
        assert [on.health.row(name).failed for name in NAMES[:3]] == [1, 0, 0]
        await on.is_quiet()


@pytest.mark.parametrize("first", ["500", ""])
async def test_the_model_is_that_of_the_place_that_answered(first: str) -> None:
    async with ground(first, "") as on:
        on.plan = [replace(on.plan[0], instead="small"), on.plan[1]]
        await on.attempt()
        assert on.exchange.model == on.reply.headers["x-gateway-model"] == ("story" if first else "small")


async def test_three_places_are_enough() -> None:
    async with ground("500", "500", "500", "") as on:
        with pytest.raises(UpstreamBroken) as told:
            await on.attempt()
        assert told.value.target == "third"
        assert len(on.exchange.attempts) == MOST_ATTEMPTS == 3
        assert not on.reply.started


async def test_what_would_fail_anywhere_is_raised_at_once() -> None:
    async with ground("context_length", "") as on:
        with pytest.raises(UpstreamRefused):
            await on.attempt()
        assert len(on.exchange.attempts) == 1


async def test_an_empty_plan_is_no_route() -> None:
    async with ground() as on:
        on.plan = ()
        with pytest.raises(NoRoute):
            await on.attempt()
        assert on.exchange.target is None


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_ends_the_attempt(stream: bool) -> None:
    async with ground("stall", "") as on:
        task = asyncio.get_running_loop().create_task(on.attempt(stream=stream))
        await on.servers[0].until(lambda ledger: ledger.request_count == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert on.tries == [("first", "caller_left")]
        await on.servers[0].until(lambda ledger: ledger.left == 1)
        await on.is_quiet()


class Buggy(OpenAIChat):
    """A language with a bug in one of its methods."""

    def __init__(self, where: str) -> None:
        self._where = where

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise RuntimeError("the caller's words")

    def read_whole(self, request: Request, content_type: str, body: bytes) -> Whole:
        self._fail("read_whole")
        return super().read_whole(request, content_type, body)

    def check_stream(self, content_type: str) -> None:
        self._fail("check_stream")
        super().check_stream(content_type)


@pytest.mark.parametrize(("where", "stream"), [("read_whole", False), ("check_stream", True)])
async def test_a_bug_of_ours_is_no_ones_failure_and_leaves_no_connection(where: str, stream: bool) -> None:
    async with ground("", "") as on:
        wire: Wire = Buggy(where)
        on.plan = [replace(on.plan[0], wire=wire), on.plan[1]]
        with pytest.raises(RuntimeError):
            await on.attempt(stream=stream)
        assert on.tries == [("first", "internal_error")]
        row = on.health.row("first")
        assert (row.failed, row.answered, row.in_flight) == (0, 0, 0)
        await on.servers[0].until(lambda ledger: ledger.open_connections == 0)
        await on.is_quiet()


async def test_an_error_that_is_no_upstreams_ends_the_walk() -> None:
    class Refusing(OpenAIChat):
        def check_stream(self, content_type: str) -> None:
            raise BadRequest("not like this", code="no_way")

    async with ground("", "") as on:
        on.plan = [replace(on.plan[0], wire=Refusing()), on.plan[1]]
        with pytest.raises(BadRequest):
            await on.attempt()
        assert on.tries == [("first", "no_way")]
        await on.is_quiet()


async def test_the_time_of_all_attempts_is_one() -> None:
    async with ground("500", "") as on:
        with pytest.raises(DeadlineExceeded):
            await on.attempt(total_s=-1.0)
        assert on.tries == [("first", "deadline_exceeded")]
        assert on.health.row("first").failed == 0


async def test_every_attempt_is_counted_where_it_was() -> None:
    async with ground("500", "") as on:
        await on.attempt()
        first, second = on.health.row("first"), on.health.row("second")
        assert (first.answered, first.failed, first.last_error) == (0, 1, "upstream_invalid_response")
        assert (second.answered, second.failed, second.state) == (1, 0, "healthy")
        assert second.ttft_s > 0.0
