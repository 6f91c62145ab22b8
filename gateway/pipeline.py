"""The life of one request, in order. Read this first.

    greet ─► serve: read ─► permit ─► plan ─► attempt ─► stream back
                                 └─► settle: usage, cost, counters, log line, span (always, once)

`greet` sees the head alone, so that a caller without a key or a place to go is refused before his body is read.
"""

import asyncio
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Protocol

from msgspec import Struct

from gateway.clock import Clock
from gateway.errors import (
    BadRequest,
    Bug,
    CallerError,
    CallerLeft,
    Forbidden,
    GatewayError,
    LoopDetected,
    UnknownModel,
    UnsupportedMedia,
)
from gateway.exchange import Call, Exchange, Reply
from gateway.settings.shape import Caller, Settings
from gateway.stages.attempt import Attempter
from gateway.stages.authenticate import Keys
from gateway.stages.settle import Settler
from gateway.upstream.catalogue import Catalogue, Place
from gateway.wire import Wire, load

MOST_HOPS = 4
MOST_PASSED_BYTES = 512


class Faults(Protocol):
    """Where errors we did not foresee are told, without what the caller sent."""

    def bug(self, error: BaseException, request_id: str) -> None: ...


class Runtime(Struct, frozen=True):
    """Everything a request needs, made from one reading of the configuration; a reload makes another."""

    settings: Settings
    instance: str
    clock: Clock
    keys: Keys
    catalogue: Catalogue
    attempter: Attempter
    settler: Settler
    faults: Faults
    draining: Callable[[], bool] = bool


class Answering(Reply, Protocol):
    """A reply that can also say no."""

    def refuse(self, error: GatewayError, body: bytes) -> None: ...


def greet(call: Call, runtime: Runtime) -> None:
    """Accept or refuse a request by its head alone: who calls, and whether he sends what we read."""
    call.caller = runtime.keys.caller(call.headers, call.arrived_wall)
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
        request = wire.read_request(call.body)
        exchange.stream = request.stream
        way = find_way(exchange, runtime, request.model)
        await runtime.attempter.attempt(exchange, request, way.places, reply, way.head, way.total)
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


class Way(Struct, frozen=True):
    """Where a request may go, the header lines it takes along, and when it must be over (monotonic seconds)."""

    places: tuple[Place, ...]
    head: bytes
    total: float


def find_way(exchange: Exchange, runtime: Runtime, model: str) -> Way:
    """Permit and plan: the way of a request for this model. Raises what its caller is to be answered with."""
    call = exchange.call
    assert call.endpoint is not None
    exchange.model = model
    permit(call.caller, model)
    head = onward(call, runtime.instance, load(call.endpoint.wire).passes)
    plan = runtime.catalogue.plan(model, exchange.operation, call.endpoint.wire)
    if not plan.places:
        raise unserved(runtime.catalogue, model)
    total_s = plan.total_s
    asked_ms = call.headers.get(b"x-gateway-timeout-ms")
    if asked_ms is not None:
        total_s = min(total_s, patience(asked_ms))
        head += b"x-gateway-timeout-ms: %b\r\n" % asked_ms
    return Way(plan.places, head, exchange.started + total_s)


def refuse(exchange: Exchange, error: GatewayError, wire: Wire, reply: Answering) -> None:
    """End a request with an error in its own language, unless its answer has begun: then the stream said it."""
    exchange.error = error
    if not reply.started:
        exchange.status = error.answer_status
        reply.refuse(error, wire.write_error(error, exchange.call.request_id))


def turn_away(call: Call, runtime: Runtime, error: GatewayError) -> None:
    """Settle a request that was refused by its head; the door has said so to the caller."""
    now = runtime.clock.monotonic()
    exchange = Exchange(call, call.arrived or now)
    exchange.operation = call.endpoint.operation if call.endpoint is not None else "none"
    exchange.error = error
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


def permit(caller: Caller | None, model: str) -> None:
    """A key with a list of models may call those; whether another one exists is not told."""
    if caller is not None and caller.models and not any(fnmatchcase(model, glob) for glob in caller.models):
        raise Forbidden("This API key may not use this model.", param="model")


def unserved(catalogue: Catalogue, model: str) -> CallerError:
    """What it means that nobody serves this model for this operation."""
    if catalogue.targets(model):
        return BadRequest("This model does not serve this operation.", code="unsupported_operation", param="model")
    return UnknownModel("The model does not exist or you do not have access to it.", param="model")


def patience(asked_ms: bytes) -> float:
    """The seconds a caller gives the whole request. BadRequest where that is no number of milliseconds."""
    if not asked_ms.isdigit() or len(asked_ms) > 9 or int(asked_ms) == 0:
        raise BadRequest("The header 'x-gateway-timeout-ms' must be a positive whole number.", code="invalid_header")
    return int(asked_ms) / 1000


def onward(call: Call, instance: str, passes: tuple[bytes, ...]) -> bytes:
    """The header lines an upstream gets because of this request: its id, where it was, what its language passes."""
    headers = call.headers
    here = instance.encode()
    hops = headers.get(b"x-gateway-hop")
    if hops is not None:
        been = [hop.strip() for hop in hops.split(b",")]
        if here in been or len(been) >= MOST_HOPS:
            raise LoopDetected("This request has passed through this gateway before.")
        here = b"%b,%b" % (hops, here)
    lines = b"x-request-id: %b\r\nx-gateway-hop: %b\r\n" % (call.request_id.encode(), here)
    for name in passes:
        value = headers.get(name)
        if value is not None and len(value) <= MOST_PASSED_BYTES:
            lines += b"%b: %b\r\n" % (name, value)
    return lines
