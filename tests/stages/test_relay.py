"""A stream through a real meter and a real upstream connection, whose transport leads nowhere."""

import asyncio

import pytest

from gateway.clock import HandClock
from gateway.errors import Draining, UpstreamError, UpstreamSlow
from gateway.exchange import Attempt, Exchange
from gateway.features import Request, Usage
from gateway.settings.shape import Backend, Target, Timeouts
from gateway.stages.relay import Relay
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.health import Health
from gateway.wire import StreamMeter, load
from tests.doubles.inside import PROVIDER
from tests.doubles.outgoing import at_once
from tests.scenarios.cast import STREAM_HEAD, chunk, event
from tests.stages.kept import KeptReply, KeptTransport, exchange

DONE = b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"
ROLE = event("")
TARGET = Target(
    backend=Backend(name="one", provider=PROVIDER, base_urls=("http://10.1.0.7",)),
    model="m",
    timeouts=Timeouts(first_token_s=30.0, idle_s=10.0),
)


class Pool:
    """Who keeps a connection: told when it is free again, or gone."""

    def __init__(self) -> None:
        self.free = 0
        self.outbox = at_once()

    def opened(self, connection: UpstreamConnection) -> None: ...

    def freed(self, connection: UpstreamConnection) -> None:
        self.free += 1

    def lost(self, connection: UpstreamConnection) -> None: ...


class Stream:
    """A stream whose head has come, poured through a relay."""

    def __init__(self, connection: UpstreamConnection, transport: KeptTransport, clock: HandClock, pool: Pool) -> None:
        self.connection = connection
        self.transport = transport
        self.clock = clock
        self.pool = pool
        self.reply = KeptReply()
        self.exchange: Exchange = exchange(clock.monotonic())
        self.attempt = Attempt(TARGET, clock.monotonic())
        self.exchange.attempts.append(self.attempt)
        self.health = Health({"one": TARGET.backend})
        self.health.began(self.attempt)
        wire = load("openai_chat")
        self.meter: StreamMeter = wire.meter(Request({}, "m", stream=True), 10_000)
        self.relay = Relay(
            self.exchange, self.attempt, connection, self.meter, self.reply, b"x-lines: yes\r\n", clock, self.health
        )
        connection.pour(self.relay)

    def comes(self, *events: bytes) -> None:
        self.connection.data_received(b"".join(map(chunk, events)))

    @property
    def failure(self) -> Exception | None:
        return self.relay.finished.result()


@pytest.fixture
async def stream() -> Stream:
    clock, pool, transport = HandClock(), Pool(), KeptTransport()
    connection = UpstreamConnection(pool, asyncio.get_running_loop(), clock)
    connection.connection_made(transport)
    connection.total = clock.monotonic() + 590.0
    head = connection.send([b"POST"], most_bytes=1_000_000, stream=True)
    connection.data_received(STREAM_HEAD)
    await head
    return Stream(connection, transport, clock, pool)


async def test_nothing_is_written_before_the_first_content(stream: Stream) -> None:
    stream.comes(ROLE, b": ping\n\n")
    assert stream.reply.body == b""
    stream.clock.advance(2.0)
    stream.comes(event("Hello"))
    assert stream.reply.lines == b"x-lines: yes\r\n"
    assert stream.reply.body.startswith(ROLE)
    assert stream.reply.body.endswith(event("Hello"))
    assert stream.attempt.first_content == stream.exchange.first_content == stream.clock.monotonic()
    assert not stream.relay.finished.done()


async def test_the_first_content_is_told_to_whoever_knows_the_place(stream: Stream) -> None:
    seen: list[float] = []
    stream.health.first = lambda attempt: seen.append(attempt.first_content)  # type: ignore[method-assign]  # watched
    stream.comes(ROLE)
    assert seen == []
    stream.clock.advance(2.0)
    stream.comes(event("Hello"))
    stream.comes(event("you"))
    assert seen == [stream.attempt.first_content]


async def test_the_head_may_be_made_at_the_first_content(stream: Stream) -> None:
    stream.relay._opening = lambda: b"x-late: %d\r\n" % stream.attempt.first_content
    stream.comes(ROLE)
    assert stream.reply.lines == b""
    stream.comes(event("Hello"))
    assert stream.reply.lines == b"x-late: 0\r\n"


async def test_a_whole_stream_ends_and_its_connection_is_free(stream: Stream) -> None:
    stream.comes(ROLE, event("Hello"), event(finish="stop"), DONE)
    assert stream.failure is None
    assert stream.reply.ending == "end"
    assert stream.reply.body.endswith(DONE)
    assert stream.exchange.complete
    assert stream.pool.free == 0  # its last chunk is still to come
    stream.connection.data_received(LAST)
    assert stream.pool.free == 1
    assert not stream.transport.aborted


async def test_bytes_out_are_what_was_written(stream: Stream) -> None:
    stream.comes(ROLE, event("Hello"))
    stream.comes(event("you"))
    assert stream.exchange.bytes_out == len(stream.reply.body)


async def test_a_break_before_the_first_content_is_nobodys_to_see(stream: Stream) -> None:
    stream.comes(ROLE, b'data: {"error":{"message":"no"}}\n\n')
    assert isinstance(stream.failure, UpstreamError)
    assert stream.failure.target == "one"
    assert not stream.reply.started
    assert stream.exchange.error is None
    assert stream.transport.aborted


async def test_a_break_after_it_is_an_error_frame(stream: Stream) -> None:
    stream.comes(event("Hello"), b'data: {"error":{"message":"no"}}\n\n')
    assert stream.reply.ending == "fail"
    assert stream.reply.body.startswith(event("Hello"))
    assert b'"code":"upstream_error"' in stream.reply.body
    assert stream.exchange.error is stream.failure
    assert not stream.exchange.complete
    assert stream.transport.aborted


async def test_a_reader_who_is_slow_holds_the_upstream_back_until_he_has_caught_up(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.reply.paused = True
    stream.comes(event("you"))
    assert not stream.transport.reading
    assert stream.reply.resume is not None
    stream.reply.paused = False
    stream.reply.resume()
    assert stream.transport.reading


async def test_a_reader_who_catches_up_after_the_end_moves_nobody_elses_connection(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.reply.paused = True
    stream.comes(event("you"))
    stream.comes(event("", finish="stop"), DONE)
    stream.connection.data_received(LAST)
    assert stream.pool.free == 1
    stream.connection.pause()  # the next request's
    assert stream.reply.resume is not None
    stream.reply.resume()
    assert not stream.transport.reading


async def test_a_slow_readers_upstream_is_not_silent(stream: Stream) -> None:
    """While nothing is read nothing can come: the idle deadline stands still, and begins anew."""
    stream.comes(event("Hello"))
    stream.reply.paused = True
    stream.comes(event("you"))
    for _ in range(5):
        stream.clock.advance(9.0)
        stream.connection.sweep(stream.clock.monotonic())
    assert not stream.relay.finished.done()
    assert stream.reply.resume is not None
    stream.reply.resume()
    stream.connection.sweep(stream.clock.monotonic())
    stream.clock.advance(10.0)
    stream.connection.sweep(stream.clock.monotonic())
    assert isinstance(stream.failure, UpstreamSlow)


async def test_silence_after_the_first_content_has_its_own_deadline(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.clock.advance(9.0)
    stream.comes(event("you"))
    stream.connection.sweep(stream.clock.monotonic())
    stream.clock.advance(9.9)
    stream.connection.sweep(stream.clock.monotonic())
    assert not stream.relay.finished.done()
    stream.clock.advance(0.2)
    stream.connection.sweep(stream.clock.monotonic())
    assert isinstance(stream.failure, UpstreamSlow)
    assert b'"code":"upstream_timeout"' in stream.reply.body


async def test_being_broken_off_is_told(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.connection.break_off(Draining("This gateway is shutting down."))
    assert isinstance(stream.failure, Draining)
    assert b'"code":"draining"' in stream.reply.body
    assert stream.reply.ending == "fail"


async def test_being_broken_off_after_every_finish_is_an_end(stream: Stream) -> None:
    stream.comes(event("Hello"), event(finish="stop"))
    stream.connection.break_off(Draining("This gateway is shutting down."))
    assert stream.failure is None
    assert stream.reply.ending == "end"
    assert stream.reply.body.endswith(DONE)


class Buggy:
    """A meter with a bug in one of its methods."""

    media_type = b""
    lost: tuple[str, ...] = ()

    def __init__(self, meter: StreamMeter, where: str) -> None:
        self._meter = meter
        self._where = where
        self.committed = self.done = False
        self.error: UpstreamError | None = None
        self.usage: Usage | None = None
        self.finish = ""
        self.pieces = 0

    def _pass(self, where: str) -> StreamMeter:
        if where == self._where:
            raise RuntimeError("the caller's words")
        return self._meter

    def feed(self, data: bytes) -> bytes:
        return self._pass("feed").feed(data)

    def finish_up(self) -> bytes:
        return self._pass("finish_up").finish_up()

    def failure(self, error: object) -> bytes:
        return b"data: %b\n\n" % type(error).__name__.encode()


async def test_a_bug_in_a_callback_is_handed_to_the_request(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.relay._meter = Buggy(stream.meter, "feed")
    stream.comes(event("you"))
    assert isinstance(stream.failure, RuntimeError)
    assert stream.reply.ending == "fail"
    assert stream.reply.body == event("Hello") + b"data: Bug\n\n"
    assert stream.transport.aborted


async def test_a_bug_before_the_first_content_writes_nothing(stream: Stream) -> None:
    stream.relay._meter = Buggy(stream.meter, "feed")
    stream.comes(event("Hello"))
    assert isinstance(stream.failure, RuntimeError)
    assert not stream.reply.started


async def test_a_bug_at_the_end_of_the_body_is_one_as_well(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.relay._meter = Buggy(stream.meter, "finish_up")
    stream.connection.data_received(LAST)
    assert isinstance(stream.failure, RuntimeError)
    assert stream.reply.ending == "fail"


async def test_a_bug_when_the_connection_breaks_is_one_as_well(stream: Stream) -> None:
    stream.comes(event("Hello"))
    stream.relay._meter = Buggy(stream.meter, "finish_up")
    stream.connection.connection_lost(ConnectionResetError())
    assert isinstance(stream.failure, RuntimeError)
    assert stream.reply.ending == "fail"


async def test_a_failure_that_nobody_waits_for_any_more_is_no_error_of_the_loop(stream: Stream) -> None:
    """The caller left in the same moment; a future with an exception would be complained about."""
    stream.relay.finished.cancel()
    stream.comes(event("Hello"), b'data: {"error":{"message":"no"}}\n\n')
    assert stream.relay.finished.cancelled()
    assert stream.transport.aborted
