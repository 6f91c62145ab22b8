"""The order of the stages, for replies that are kept; what goes over sockets is told in tests/scenarios."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
from msgspec.structs import replace

from gateway import pipeline
from gateway.errors import (
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
)
from gateway.exchange import Call, Exchange
from gateway.features import Request
from gateway.pipeline import Answering, Runtime
from gateway.settings.shape import Caller
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Place
from gateway.wire import Endpoint
from tests.doubles.inside import CALLER, KEY, Inside, backend, settings_for
from tests.stages.kept import KeptReply, call

JSON = {b"content-type": b"application/json"}
CHAT = Endpoint("chat", "openai_chat")
BODY = orjson.dumps({"model": "story", "messages": [{"role": "user", "content": "hi"}]})


class Attempts:
    """What follows the plan; `then` says what comes of it."""

    def __init__(self, then: Exception | None = None, *, started: bool = False, endless: bool = False) -> None:
        self.then = then
        self.started = started
        self.endless = endless
        self.begun = asyncio.Event()
        self.plan: Sequence[Place] = ()
        self.head = self.passed = b""
        self.flags: tuple[str, ...] = ()
        self.total = 0.0

    async def attempt(self, exchange: Exchange, request: Request, way: Way, reply: Answering) -> None:
        assert request.model == exchange.model
        self.plan, self.head, self.total = way.places, way.head, way.total
        self.passed, self.flags = way.passed, way.flags
        self.begun.set()
        if self.started:
            reply.stream(b"", b"data: {}\n\n")
        if self.endless:
            await asyncio.get_running_loop().create_future()
        if self.then is not None:
            raise self.then


class Ground:
    def __init__(self, inside: Inside, attempts: Attempts) -> None:
        self.inside = inside
        self.attempts = attempts
        self.reply = KeptReply()
        self.runtime: Runtime = replace(inside.runtime, attempter=attempts)

    async def serve(self, told: Call) -> Exchange:
        await pipeline.serve(told, self.runtime, self.reply)
        [settled] = self.inside.settled
        return settled

    @property
    def said(self) -> dict[str, object]:
        read: dict[str, dict[str, object]] = orjson.loads(self.reply.body)
        return read["error"]


@asynccontextmanager
async def ground(attempts: Attempts | None = None) -> AsyncIterator[Ground]:
    async with Inside(settings_for({"story": [backend("one", "http://10.1.0.7")]})) as inside:
        yield Ground(inside, attempts or Attempts())


def chat(body: bytes = BODY, headers: dict[bytes, bytes] | None = None, caller: Caller | None = CALLER) -> Call:
    told = call(body=body, headers=headers)
    told.endpoint = CHAT
    told.caller = caller
    return told


# --- by the head alone ------------------------------------------------------------------------------------------------


async def test_a_caller_is_known_by_his_head() -> None:
    async with ground() as on:
        told = call(headers={**JSON, b"authorization": b"Bearer " + KEY.encode()})
        told.caller, told.endpoint = replace(CALLER, name="nobody yet"), CHAT
        pipeline.greet(told, on.runtime)
        assert told.caller == CALLER
        told.headers[b"authorization"] = b"Bearer nobody"
        with pytest.raises(Unauthorized):
            pipeline.greet(told, on.runtime)


async def test_a_body_that_is_not_read_may_be_of_any_type() -> None:
    async with ground() as on:
        told = call(headers={b"authorization": b"Bearer " + KEY.encode(), b"content-type": b"text/plain"})
        told.endpoint = None
        pipeline.greet(told, on.runtime)
        told.endpoint = CHAT
        with pytest.raises(UnsupportedMedia):
            pipeline.greet(told, on.runtime)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-encoding": b"identity"},
        {b"content-encoding": b" Identity "},
        {b"content-type": b"application/json; charset=utf-8"},
        {b"content-type": b"Application/JSON;charset=UTF-8"},
        {b"content-type": b'application/json; charset="utf8"'},
        {b"content-type": b"application/json ; profile=x"},
    ],
)
def test_json_in_utf8_is_what_is_read(headers: dict[bytes, bytes]) -> None:
    pipeline.check_media({**JSON, **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {b"content-type": b""},
        {b"content-type": b"text/plain"},
        {b"content-type": b"application/jsonp"},
        {b"content-type": b"multipart/form-data; boundary=x"},
        {b"content-type": b"application/json; charset=latin-1"},
        {b"content-encoding": b"gzip"},
        {b"content-encoding": b"identity, gzip"},
        {b"content-encoding": b"br"},
    ],
)
def test_nothing_else_is(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(UnsupportedMedia):
        pipeline.check_media({**JSON, **headers})


def test_a_request_without_a_type_is_refused() -> None:
    with pytest.raises(UnsupportedMedia):
        pipeline.check_media({})


# --- from the body to the plan ----------------------------------------------------------------------------------------


async def test_what_was_read_is_written_down_before_anything_is_tried() -> None:
    async with ground() as on:
        exchange = await on.serve(chat())
        assert (exchange.operation, exchange.model, exchange.stream, exchange.bytes_in) == (
            *("chat", "story", False),
            len(BODY),
        )
        assert [place.name for place in on.attempts.plan] == ["one"]
        assert on.attempts.total == pytest.approx(exchange.started + 590.0)


async def test_upstreams_get_an_id_and_where_it_has_been_and_nothing_else() -> None:
    async with ground() as on:
        await on.serve(chat(headers={b"cookie": b"a=b", b"x-forwarded-for": b"192.0.2.1", b"baggage": b"x"}))
        assert on.attempts.head == b"x-request-id: req_stage\r\nx-gateway-hop: inside-0001\r\n"


@pytest.mark.parametrize("beta", [b"assistants=v2", b"x," * 4000])
async def test_beta_flags_cross_all_of_them(beta: bytes) -> None:
    async with ground() as on:
        await on.serve(chat(headers={b"openai-beta": beta}))
        assert b"openai-beta: " + beta + b"\r\n" in on.attempts.passed


@pytest.mark.parametrize(("asked", "seconds"), [(b"200", 0.2), (b"2500", 2.5), (b"999999999", 590.0)])
async def test_the_shorter_deadline_holds(asked: bytes, seconds: float) -> None:
    async with ground() as on:
        exchange = await on.serve(chat(headers={b"x-gateway-timeout-ms": asked}))
        assert on.attempts.total == pytest.approx(exchange.started + seconds)
        assert on.attempts.head.endswith(b"x-gateway-timeout-ms: %b\r\n" % asked)


# --- how it ends ------------------------------------------------------------------------------------------------------


async def test_an_error_is_told_in_the_callers_language_and_settled() -> None:
    async with ground(Attempts(TooLarge("Too large."))) as on:
        exchange = await on.serve(chat())
        assert (on.reply.ending, on.reply.status) == ("refused", 413)
        assert on.said["code"] == exchange.outcome == "request_too_large"
        assert exchange.status == 413
        assert exchange.settled


async def test_an_error_after_the_answer_has_begun_is_written_down_and_not_told_again() -> None:
    async with ground(Attempts(TooLarge("Too large."), started=True)) as on:
        exchange = await on.serve(chat())
        assert on.reply.ending == ""
        assert exchange.outcome == "request_too_large"


async def test_a_bug_is_a_500_and_told_to_whoever_writes_it_down() -> None:
    bug = RuntimeError("the caller's words")
    async with ground(Attempts(bug)) as on:
        exchange = await on.serve(chat())
        assert on.reply.status == exchange.status == 500
        assert on.said["code"] == exchange.outcome == "internal_error"
        assert b"words" not in on.reply.body
        assert on.inside.bugs == [bug]


@pytest.mark.parametrize(("started", "status"), [(True, 0), (False, 499)])
async def test_a_caller_who_leaves_is_settled_as_having_left(started: bool, status: int) -> None:
    async with ground(Attempts(started=started, endless=True)) as on:
        task = asyncio.get_running_loop().create_task(on.serve(chat()))
        await on.attempts.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [exchange] = on.inside.settled
        assert (exchange.outcome, exchange.left, exchange.status) == ("left", True, status)
        assert on.reply.ending == ""


async def test_a_request_that_is_turned_away_is_settled_with_what_was_said() -> None:
    async with ground() as on:
        told = call()
        told.endpoint, told.arrived = None, on.inside.clock.monotonic()
        pipeline.turn_away(told, on.runtime, Unauthorized("Who are you?"))
        [exchange] = on.inside.settled
        assert (exchange.operation, exchange.status, exchange.outcome) == ("none", 401, "invalid_api_key")
        assert exchange.ended >= exchange.started == told.arrived
        told = chat()
        pipeline.turn_away(told, on.runtime, Unauthorized("Who are you?"))
        assert on.inside.settled[1].operation == "chat"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":1}', b'{"stream":true}', b"\xff", b"[" * 100_000])
async def test_a_body_that_cannot_be_read_is_refused_and_settled(body: bytes) -> None:
    async with ground() as on:
        exchange = await on.serve(chat(body))
        assert on.reply.status == exchange.status == 400
        assert not on.attempts.begun.is_set()
        assert on.inside.bugs == []
