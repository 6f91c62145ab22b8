"""The life of one request, in order. Read this first.

    greet ─► serve: read ─► find: permit, policies, plan ─► attempt ─► stream back
                             │                               ▲    └─► settle: usage, cost, counters,
                             └─► find_later: where all is ───┘        log line, span (always, once)
                                 full or away: wait, other models

`greet` sees the head alone, so that a caller without a key or a place to go is refused before his body is read.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from msgspec import Struct

from gateway.clock import Clock
from gateway.errors import (
    Bug,
    CallerLeft,
    GatewayError,
    UnsupportedMedia,
)
from gateway.exchange import Call, Exchange, Reply
from gateway.features import Request
from gateway.settings.shape import Settings
from gateway.stages.attempt import Attempter
from gateway.stages.authenticate import Keys
from gateway.stages.borrow import Borrowed, borrow, brings
from gateway.stages.find import Finder
from gateway.stages.settle import Settler
from gateway.stages.trial import Way
from gateway.stages.waiting import Full, Room
from gateway.upstream.catalogue import Catalogue
from gateway.wire import Wire, load


class Faults(Protocol):
    """Where errors we did not foresee are told, without what the caller sent."""

    def bug(self, error: BaseException, request_id: str) -> None: ...


class Runtime(Struct, frozen=True):
    """Everything a request needs, made from one reading of the configuration; a reload makes another."""

    settings: Settings
    clock: Clock
    keys: Keys
    catalogue: Catalogue
    finder: Finder
    attempter: Attempter
    settler: Settler
    faults: Faults
    room: Room
    draining: Callable[[], bool] = bool


class Answering(Reply, Protocol):
    """A reply that can also say no."""

    def refuse(self, error: GatewayError, body: bytes) -> None: ...


def greet(call: Call, runtime: Runtime) -> None:
    """Accept or refuse a request by its head alone: who calls, and whether he sends what we read."""
    call.caller = runtime.keys.caller(call.headers, call.arrived_wall)
    if call.caller is not None and call.caller.require.jurisdictions is not None:
        runtime.finder.chooser.stand_in(call.caller.require)
    if call.endpoint is not None and call.method == "POST":
        check_media(call.headers)


async def serve(call: Call, runtime: Runtime, reply: Answering) -> None:
    """One request, start to finish."""
    assert call.endpoint is not None
    wire = load(call.endpoint.wire)
    clock = runtime.clock
    exchange = Exchange(call, clock.monotonic())
    exchange.operation = call.endpoint.operation
    exchange.bytes_in = len(call.body)
    try:
        request = wire.read_request(call.body, call.addressed)
        exchange.stream = request.stream
        borrowed = borrow(request, call.headers, runtime.settings.aliases) if brings(request, call.headers) else None
        try:
            way = runtime.finder.find(exchange, request.model, request)
        except GatewayError as refusal:
            way = await find_later(refusal, exchange, request.model, runtime, request, borrowed)
        else:
            if borrowed is not None:
                way = runtime.finder.steer(way, borrowed, exchange, request)
        try:
            await runtime.attempter.attempt(exchange, request, way, reply)
        except GatewayError as error:
            if reply.started:
                raise
            other = runtime.finder.fall_back(exchange, request.model, way, error, request, borrowed)
            if other is None:
                raise
            await runtime.attempter.attempt(exchange, request, other, reply)
    except GatewayError as error:
        refuse(exchange, error, wire, reply)
    except asyncio.CancelledError:
        exchange.left = True
        if not reply.started:
            exchange.status = CallerLeft.status
        raise
    except Exception as error:  # noqa: BLE001  (the one place where a bug of ours becomes an answer)
        runtime.faults.bug(error, call.request_id)
        refuse(exchange, Bug("The gateway failed to handle this request."), wire, reply)
    finally:
        runtime.settler.settle(exchange, clock.monotonic())


async def find_later(
    refusal: GatewayError,
    exchange: Exchange,
    model: str,
    runtime: Runtime,
    request: Request | None = None,
    borrowed: Borrowed | None = None,
) -> Way:
    """The way of a request that its model has no place for now, or the refusal, where that is all there is.

    Where its places are all taken: other models that it names itself, else a place that comes free in time. Where that
    was in vain, or it isn't that: models that it names itself, else those of its policy.
    """
    finder = runtime.finder
    if isinstance(refusal, Full):
        way = finder.named(exchange, request, borrowed) if request is not None else None
        if way is not None:
            return way
        decide = partial(finder.find, exchange, model, request)
        try:
            way = await runtime.room.turn(refusal, exchange, runtime.attempter.health, decide)
        except GatewayError as error:
            refusal = error
        else:
            if borrowed is None or request is None:
                return way
            return finder.steer(way, borrowed, exchange, request)
    way = finder.instead(exchange, model, refusal, request, borrowed)
    if way is None:
        raise refusal
    return way


def refuse(exchange: Exchange, error: GatewayError, wire: Wire, reply: Answering) -> None:
    """End a request with an error in its own language, unless its answer has begun: then the stream said it."""
    exchange.fail(error)
    if not reply.started:
        exchange.status = error.answer_status
        error.headers += wire.error_headers(error)
        reply.refuse(error, wire.write_error(error, exchange.call.request_id))


def turn_away(call: Call, runtime: Runtime, error: GatewayError) -> None:
    """Settle a request that was refused by its head; the door has said so to the caller."""
    now = runtime.clock.monotonic()
    exchange = Exchange(call, call.arrived or now)
    exchange.operation = call.endpoint.operation if call.endpoint is not None else "none"
    exchange.fail(error)
    exchange.status = error.answer_status
    runtime.settler.settle(exchange, now)


def check_media(headers: dict[bytes, bytes]) -> None:
    """JSON in UTF-8, not compressed: nothing else is read here."""
    content_type = headers.get(b"content-type", b"")
    if content_type == b"application/json" and b"content-encoding" not in headers:
        return
    kind, _, parameters = content_type.lower().partition(b";")
    if kind.strip() != b"application/json":
        raise UnsupportedMedia("The content type must be application/json.")
    if b"charset" in parameters and b"utf-8" not in parameters and b"utf8" not in parameters:
        raise UnsupportedMedia("The character set must be UTF-8.")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedMedia("Compressed request bodies are not accepted.")
