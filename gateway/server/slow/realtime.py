"""WebSocket: a session with the first place that takes it, relayed both ways until one of the two has had enough."""

import asyncio
from functools import partial
from typing import Final, Protocol
from urllib.parse import parse_qs, urlencode

import aiohttp
from aiohttp import WSMessage, WSMsgType, web

from gateway.errors import BadRequest, UpstreamDisconnected, UpstreamSlow
from gateway.exchange import Exchange
from gateway.server.loan import Loan
from gateway.server.slow.attempts import Ask, first_answer
from gateway.stages.trial import refusal
from gateway.upstream.deadline import until

PROTOCOL: Final = "realtime"
MODEL_CHARACTERS: Final = 256
GOODBYE_S: Final = 0.1  # how long a place may take to return a close frame
BROKEN: Final = 1006
# Codes that only describe an end and are never sent, by what is said instead.
_SAYABLE: Final = {1005: 1000, BROKEN: 1011, 1015: 1011}


class Talker(Protocol):
    """One side of a session; aiohttp's two kinds of WebSocket both are."""

    @property
    def close_code(self) -> int | None: ...

    async def receive(self) -> WSMessage: ...

    async def send_str(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...


async def answer_realtime(request: web.Request, loan: Loan, exchange: Exchange) -> web.StreamResponse:
    """A session, from the upgrade to its end."""
    models = parse_qs(loan.call.query).get("model", [])
    if len(models) != 1 or not models[0].isprintable() or len(models[0]) > MODEL_CHARACTERS:
        raise BadRequest("The query needs one 'model'.", code="missing_field", param="model")
    return await first_answer(exchange, loan, models[0], partial(_ask, request, loan, exchange))


async def _ask(request: web.Request, loan: Loan, exchange: Exchange, ask: Ask) -> web.StreamResponse:
    async with await _dial(loan, ask) as upstream:
        ask.attempt.headers = loan.runtime.clock.monotonic()
        ask.attempt.status = exchange.status = 101
        caller = web.WebSocketResponse(
            timeout=loan.linger_s,
            autoclose=False,
            protocols=(PROTOCOL,),
            compress=False,
            max_msg_size=loan.most_bytes,
        )
        caller.headers["x-request-id"] = loan.call.request_id
        caller.headers["x-gateway-model"] = exchange.model
        loan.started = True
        await caller.prepare(request)
        code, by_place = await _relay(caller, upstream, loan)
        loan.done = True
        exchange.complete = code != BROKEN
        if by_place and code == BROKEN:
            exchange.error = UpstreamDisconnected("The upstream connection was lost.")
            ask.attempt.outcome = exchange.error.reason
        else:
            ask.attempt.outcome = "answered"
        # Goodbyes are said in this order, so that a caller who hangs up on hearing his cuts nothing short.
        said = _SAYABLE.get(code, code)
        await upstream.close(code=said)
        await caller.close(code=said)
        return caller


async def _dial(loan: Loan, ask: Ask) -> aiohttp.ClientWebSocketResponse:
    """A session with one place. Raises what it refused with."""
    now = loan.runtime.clock.monotonic()
    timeouts = ask.place.target.timeouts
    try:
        async with until(min(ask.total, now + timeouts.first_token_s), loan.sweeper):
            return await ask.session.ws_connect(
                _url(ask),
                protocols=(PROTOCOL,),
                headers=ask.headers,
                timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_S),
                autoclose=False,
                compress=0,
                max_msg_size=loan.most_bytes,
            )
    except TimeoutError as error:
        raise UpstreamSlow("The upstream took too long.") from error
    except aiohttp.WSServerHandshakeError as error:
        raw = {name.lower().encode(): value.encode() for name, value in (error.headers or {}).items()}
        raise refusal(ask.place, error.status, raw, b"") from error


def _url(ask: Ask) -> str:
    """The place's address as a WebSocket's; the model is in its query where it isn't in its path."""
    provider = ask.place.target.backend.provider
    url = f"ws{ask.url.removeprefix('http')}"
    if "{model}" in provider.paths["realtime"]:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'model': ask.place.model})}"


async def _relay(caller: Talker, upstream: Talker, loan: Loan) -> tuple[int, bool]:
    """Messages both ways until one side ends: its close code, and whether it was the place's."""
    async with asyncio.TaskGroup() as group:
        there = group.create_task(_pass_on(caller, upstream, loan))
        back = group.create_task(_pass_on(upstream, caller, loan))
        there.add_done_callback(lambda _: back.cancel())
        back.add_done_callback(lambda _: there.cancel())
    by_place = there.cancelled()
    return (back if by_place else there).result(), by_place


async def _pass_on(source: Talker, sink: Talker, loan: Loan) -> int:
    while True:
        message = await source.receive()
        loan.touch()
        try:
            if message.type == WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            else:
                return source.close_code or BROKEN
        except ConnectionError:
            return BROKEN
