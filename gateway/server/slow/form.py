"""Uploads: read and kept whole, then sent to one place after the other until one answers."""

from functools import partial
from typing import Final

import aiohttp
from aiohttp import web

from gateway.errors import CallerLeft, DeadlineExceeded, UpstreamBroken, UpstreamSlow
from gateway.exchange import Exchange
from gateway.features import Request
from gateway.server.loan import Loan
from gateway.server.slow.attempts import Ask, first_answer
from gateway.server.slow.multipart import Form, read_form
from gateway.server.slow.spool import Spool
from gateway.stages.answer import fixed_lines, lines_of
from gateway.stages.trial import refusal
from gateway.upstream.deadline import until

REFUSAL_BYTES: Final = 64 * 1024


async def answer_form(request: web.Request, loan: Loan, exchange: Exchange) -> web.StreamResponse:
    """The answer to a form, from the first place that has one."""
    draw = loan.runtime.clock.draw
    spool = Spool()
    try:
        form = await loan.reading(partial(_read, request, spool, loan.most_bytes, f"{draw():016x}{draw():016x}"))
        exchange.bytes_in = spool.size
        return await first_answer(exchange, loan, form.model, partial(_ask, request, loan, exchange, form))
    finally:
        spool.close()


async def _read(request: web.Request, spool: Spool, most_bytes: int, boundary: str) -> Form:
    return await read_form(await request.multipart(), spool, most_bytes, boundary)


async def _ask(request: web.Request, loan: Loan, exchange: Exchange, form: Form, ask: Ask) -> web.StreamResponse:
    place = ask.place
    headers = {**ask.headers, "content-type": form.content_type, "content-length": str(form.size(place.model))}
    try:
        async with (
            until(ask.total, loan.sweeper),
            ask.session.post(ask.url, data=form.write(place.model), headers=headers, allow_redirects=False) as upstream,
        ):
            ask.attempt.headers = loan.runtime.clock.monotonic()
            ask.attempt.status = upstream.status
            if not 200 <= upstream.status < 300:
                raw = {name.lower().encode(): value.encode() for name, value in upstream.headers.items()}
                raise refusal(place, upstream.status, raw, await _rest(upstream))
            exchange.status = upstream.status
            if upstream.content_type == "application/json":
                return await _whole(loan, exchange, ask, upstream)
            return await _stream(request, loan, exchange, ask, upstream)
    except TimeoutError as error:
        raise DeadlineExceeded("The request ran out of time.") from error


async def _rest(upstream: aiohttp.ClientResponse) -> bytes:
    """What a refusal says, as far as it comes: its status has already said what matters."""
    try:
        return await upstream.content.read(REFUSAL_BYTES)
    except aiohttp.ClientError:
        return b""


async def _whole(loan: Loan, exchange: Exchange, ask: Ask, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    """An answer that must be whole before its caller sees any of it."""
    body = bytearray()
    async for piece in upstream.content.iter_any():
        body += piece
        if len(body) > loan.runtime.settings.caps.answer_bytes:
            raise UpstreamBroken("The upstream's answer is above the limit.")
    whole = ask.place.wire.read_whole(Request({}, ""), "application/json", bytes(body))
    exchange.usage = whole.usage
    exchange.bytes_out = len(body)
    exchange.complete = True
    response = web.Response(status=upstream.status, body=bytes(body))
    _introduce(response, loan, exchange, ask, upstream)
    return response


async def _stream(
    request: web.Request, loan: Loan, exchange: Exchange, ask: Ask, upstream: aiohttp.ClientResponse
) -> web.StreamResponse:
    """An answer of any other kind, as it comes; from its first byte on it is this place's."""
    ask.place.wire.check_stream(upstream.content_type)
    piece = await _piece(loan, ask, upstream)
    if not piece:
        raise UpstreamBroken("The upstream sent an empty answer.")
    response = web.StreamResponse(status=upstream.status)
    _introduce(response, loan, exchange, ask, upstream)
    loan.started = True
    try:
        await response.prepare(request)
        while piece:
            exchange.bytes_out += len(piece)
            await response.write(piece)
            piece = await _piece(loan, ask, upstream)
        await response.write_eof()
    except ConnectionError as error:
        raise CallerLeft("The caller has left.") from error
    loan.done = exchange.complete = True
    ask.attempt.outcome = "answered"
    return response


async def _piece(loan: Loan, ask: Ask, upstream: aiohttp.ClientResponse) -> bytes:
    """The next bytes of an answer, b"" at its end."""
    idle_s = ask.place.target.timeouts.idle_s
    try:
        async with until(loan.runtime.clock.monotonic() + idle_s, loan.sweeper):
            return await upstream.content.readany()
    except TimeoutError as error:
        raise UpstreamSlow("The upstream took too long.") from error


def _introduce(
    response: web.StreamResponse, loan: Loan, exchange: Exchange, ask: Ask, upstream: aiohttp.ClientResponse
) -> None:
    """The head of an answer: the same allow-list as the pipeline's."""
    runtime = loan.runtime
    fixed = fixed_lines(ask.place.target, runtime.settings.pop)
    content_type = upstream.headers.get("content-type", "").encode("ascii", "replace")
    lines = lines_of(exchange, content_type, fixed, runtime.clock.monotonic())
    for line in lines.decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        response.headers[name] = value
    response.headers["x-request-id"] = loan.call.request_id
    response.force_close()
