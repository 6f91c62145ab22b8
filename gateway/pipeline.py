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
from msgspec.structs import replace

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
from gateway.stages.authenticate import Keys, brought
from gateway.stages.borrow import Borrowed, borrow, brings, narrow
from gateway.stages.fit import fit, shun
from gateway.stages.settle import Settler
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Catalogue, Place, lend
from gateway.wire import Wire, load
from gateway.wire.addresses import may_name_addresses
from gateway.wire.losses import safe
from gateway.wire.needs import needs

MOST_HOPS = 4


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
        request = wire.read_request(call.body, call.addressed)
        exchange.stream = request.stream
        brought_along = (
            borrow(request, call.headers, runtime.settings.aliases) if brings(request, call.headers) else None
        )
        way = find_way(exchange, runtime, request.model)
        if brought_along is not None:
            way = steer(way, brought_along, exchange, runtime)
        if way.fetching and may_name_addresses(call.endpoint.wire, request):
            way = replace(way, places=shun(way.places, call.endpoint.wire, request))
        if way.choosy:
            way = replace(way, places=fit(way.places, needs(call.endpoint.wire, request)))
        await runtime.attempter.attempt(exchange, request, way, reply)
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


def find_way(exchange: Exchange, runtime: Runtime, model: str) -> Way:
    """Permit and plan: the way of a request for this model. Raises what its caller is to be answered with."""
    call = exchange.call
    assert call.endpoint is not None
    plan = runtime.catalogue.plan(model, exchange.operation, call.endpoint.wire)
    exchange.model = plan.model
    permit(call.caller, plan.model, model)
    head = onward(call, runtime.instance)
    passed, flags = passed_on(call.headers, load(call.endpoint.wire).passes)
    places = plan.places
    if not places:
        raise unserved(runtime.catalogue, model)
    if call.caller is not None and call.caller.may.byok:
        keys = brought(call.headers, call.caller.may.byok, [place.target.backend.provider for place in places])
        if keys:
            places = lend(places, exchange.operation, call.endpoint.wire, keys)
    total_s = plan.total_s
    asked_ms = call.headers.get(b"x-gateway-timeout-ms")
    if asked_ms is not None:
        total_s = min(total_s, patience(asked_ms))
        head += b"x-gateway-timeout-ms: %b\r\n" % asked_ms
    return Way(places, head, exchange.started + total_s, passed, flags, plan.choosy, fetching=plan.fetching)


def steer(way: Way, borrowed: Borrowed, exchange: Exchange, runtime: Runtime) -> Way:
    """The way as another gateway's fields narrow and order it; models named beside this one follow it."""
    call = exchange.call
    assert call.endpoint is not None
    others: list[Place] = []
    for name in borrowed.models:
        plan = runtime.catalogue.plan(name, exchange.operation, call.endpoint.wire)
        if plan.model != exchange.model and may_call(call.caller, plan.model):
            others += (replace(place, instead=plan.model) for place in plan.places)
    total = way.total
    if borrowed.timeout_s is not None:
        total = min(total, exchange.started + borrowed.timeout_s)
    places = narrow((*way.places, *others), borrowed, runtime.settler.prices.usd_per_mtok)
    return replace(
        way,
        places=places,
        total=total,
        dropped=borrowed.dropped,
        choosy=way.choosy or bool(others),
        fetching=any(place.fetches for place in places),
    )


def refuse(exchange: Exchange, error: GatewayError, wire: Wire, reply: Answering) -> None:
    """End a request with an error in its own language, unless its answer has begun: then the stream said it."""
    exchange.error = error
    if not reply.started:
        exchange.status = error.answer_status
        error.headers += wire.error_headers(error)
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


def permit(caller: Caller | None, model: str, asked: str = "") -> None:
    """A key with a list of models may call those, however it `asked` for them; whether another exists is not told."""
    if may_call(caller, model):
        return
    if may_call(caller, asked or model):
        # It would be his, had anything that name; that it is another spelling of something else is not told either.
        raise unknown_model()
    raise Forbidden("This API key may not use this model.", param="model")


def may_call(caller: Caller | None, model: str) -> bool:
    """Whether a key's list holds a configured name; without a list it holds all."""
    return caller is None or not caller.models or any(fnmatchcase(model, glob) for glob in caller.models)


def unserved(catalogue: Catalogue, model: str) -> CallerError:
    """What it means that nobody serves this model for this operation."""
    if catalogue.find(model) is not None:
        return BadRequest("This model does not serve this operation.", code="unsupported_operation", param="model")
    return unknown_model()


def unknown_model() -> UnknownModel:
    return UnknownModel("The model does not exist or you do not have access to it.", param="model")


def patience(asked_ms: bytes) -> float:
    """The seconds a caller gives the whole request. BadRequest where that is no number of milliseconds."""
    if not asked_ms.isdigit() or len(asked_ms) > 9 or int(asked_ms) == 0:
        raise BadRequest("The header 'x-gateway-timeout-ms' must be a positive whole number.", code="invalid_header")
    return int(asked_ms) / 1000


def onward(call: Call, instance: str) -> bytes:
    """The header lines an upstream gets because of this request: its id, and where it was."""
    headers = call.headers
    here = instance.encode()
    hops = headers.get(b"x-gateway-hop")
    if hops is not None:
        been = [hop.strip() for hop in hops.split(b",")]
        if here in been or len(been) >= MOST_HOPS:
            raise LoopDetected("This request has passed through this gateway before.")
        here = b"%b,%b" % (hops, here)
    return b"x-request-id: %b\r\nx-gateway-hop: %b\r\n" % (call.request_id.encode(), here)


def passed_on(headers: dict[bytes, bytes], passes: tuple[bytes, ...]) -> tuple[bytes, tuple[str, ...]]:
    """The header lines that a language passes on to places speaking it, and the names of what they say."""
    lines = b""
    flags: tuple[str, ...] = ()
    for name in passes:
        value = headers.get(name)
        if value is None:
            continue
        lines += b"%b: %b\r\n" % (name, value)
        if name.endswith(b"-beta"):
            # A version says how to read what follows, and is understood; a beta flag asks for something.
            flags += tuple(f"{name.decode()}.{safe(flag.strip().decode('latin-1'))}" for flag in value.split(b","))
    return lines, flags
