"""The aiohttp application: each exchange is the pipeline's story once more, told with aiohttp's words.

The door has authenticated the caller and chosen the route; nothing is routed here.
"""

import asyncio
from typing import Final

from aiohttp import hdrs, web

from gateway.errors import Bug, CallerLeft, GatewayError
from gateway.exchange import Exchange
from gateway.server import bytes_out
from gateway.server.loan import Loan
from gateway.server.slow.form import answer_form
from gateway.server.slow.realtime import answer_realtime
from gateway.wire import load

# The door has counted these already; aiohttp's own limits only must not be lower.
LINE_BYTES: Final = 16 * 1024
HEADER_FIELDS: Final = 128


class Application:
    """Makes a protocol for each exchange."""

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def protocol(self) -> asyncio.Protocol:
        return self._server()


async def open_application(linger_s: float) -> Application:
    """The application, ready to answer in the running loop."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", _answer, expect_handler=_said_at_the_door)
    application.on_response_prepare.append(_say_nothing_of_ourselves)
    runner = web.AppRunner(
        application,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=0,
        lingering_time=linger_s,
        max_line_size=LINE_BYTES,
        max_field_size=LINE_BYTES,
        max_headers=HEADER_FIELDS,
        auto_decompress=False,
    )
    await runner.setup()
    assert runner.server is not None
    return Application(runner.server)


async def _said_at_the_door(request: web.Request) -> None:
    """100 Continue, where it was asked for."""
    del request


async def _say_nothing_of_ourselves(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.popall(hdrs.SERVER, None)
    response.headers.popall(hdrs.DATE, None)


async def _answer(request: web.Request) -> web.StreamResponse:
    """One exchange, settled once whatever comes of it."""
    assert request.transport is not None
    loan = request.transport.get_protocol()
    assert isinstance(loan, Loan)
    runtime, call = loan.runtime, loan.call
    assert call.endpoint is not None
    exchange = Exchange(call, runtime.clock.monotonic(), operation=call.endpoint.operation)
    try:
        if loan.route.slow == "form":
            return await answer_form(request, loan, exchange)
        return await answer_realtime(request, loan, exchange)
    except GatewayError as error:
        exchange.left = isinstance(error, CallerLeft)
        return refusal(loan, exchange, error)
    except asyncio.CancelledError:
        exchange.left = not loan.done
        raise
    except Exception as error:  # noqa: BLE001  (as in the pipeline: a bug of ours becomes an answer)
        runtime.faults.bug(error, call.request_id)
        return refusal(loan, exchange, Bug("The gateway failed to handle this request."))
    finally:
        runtime.settler.settle(exchange, runtime.clock.monotonic())


def refusal(loan: Loan, exchange: Exchange, error: GatewayError) -> web.Response:
    """An error as the door itself would say it; where the answer has begun, the connection's end is what says it."""
    call = exchange.call
    assert call.endpoint is not None
    exchange.fail(error)
    if loan.started:
        loan.hang_up()
    else:
        exchange.status = error.answer_status
    response = web.Response(
        status=error.answer_status, body=load(call.endpoint.wire).write_error(error, call.request_id)
    )
    for name, value in bytes_out.error_headers(error):
        response.headers[name.decode()] = value.decode()
    response.headers["x-request-id"] = call.request_id
    response.force_close()
    return response
